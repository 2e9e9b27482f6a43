"""PAD-UFES-20: a table, and images in three parts, unpacked or not."""

import zipfile

import pytest
from adapter_helpers import built, picture, refused

from octomed_jax.questions.pseudonyms import pseudonym

HEADER = "patient_id,lesion_id,smoke,age,region,diagnostic,itch,img_id,biopsed\n"
ROWS = (
    "PAT_1516,1765,,8,ARM,NEV,FALSE,PAT_1516_1765_530.png,FALSE\n"
    "PAT_46,881,FALSE,55,NECK,BCC,TRUE,PAT_46_881_939.png,TRUE\n"
    "PAT_46,882,FALSE,55,FACE,ACK,TRUE,PAT_46_882_11.png,FALSE\n"
)
NAMES = ("PAT_1516_1765_530.png", "PAT_46_881_939.png", "PAT_46_882_11.png")


def write(folder, rows=ROWS):
    folder.mkdir(exist_ok=True)
    (folder / "metadata.csv").write_text(HEADER + rows)


@pytest.mark.parametrize(
    "parts",
    [
        ("images/imgs_part_1/imgs_part_1", "images/imgs_part_2/imgs_part_2", "images/imgs_part_3/imgs_part_3"),
        ("imgs_part_1", "imgs_part_2", "imgs_part_3"),
        ("images", "images", "images"),
        ("images/imgs_part_1.zip", "images/imgs_part_2.zip", "images/imgs_part_3.zip"),
    ],
)
def test_images_in_every_place(tmp_path, parts):
    write(tmp_path)
    for number, (part, name) in enumerate(zip(parts, NAMES, strict=True), 1):
        path = tmp_path / part
        if part.endswith(".zip"):
            path.parent.mkdir(exist_ok=True)
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr(f"imgs_part_{number}/{name}", picture(number))
        else:
            path.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(picture(number))
    train, test, _ = built("pad-ufes", tmp_path, tmp_path / "out")
    found = {question.id: (question.answer, question.cluster) for question in train}
    golds = ("nevus", "PAT_1516"), ("basal cell carcinoma", "PAT_46"), ("actinic keratosis", "PAT_46")
    assert found == {
        f"pad-ufes:{pseudonym('pad-ufes', name.removesuffix('.png'))}": (answer, pseudonym("pad-ufes", patient))
        for name, (answer, patient) in zip(NAMES, golds, strict=True)
    }
    assert test == []
    assert len({question.cluster for question in train}) == 2
    assert len(train[0].options) == 6
    assert (train[0].modality, train[0].licence) == ("clinical photography", "CC-BY-4.0")


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (ROWS.splitlines()[0].replace("NEV", "BOD"), "diagnostic 'BOD' is none of ACK, BCC, MEL, NEV, SCC, SEK"),
        (ROWS.splitlines()[0].replace("PAT_1516,", "PAT_151,"), "is not of the patient 'PAT_151'"),
        (ROWS.splitlines()[0], "no file 'PAT_1516_1765_530.png'"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(tmp_path, capsys, row, words):
    write(tmp_path, row + "\n")
    line = refused(capsys, "pad-ufes", tmp_path, tmp_path / "out")
    assert words in line
    assert "line 2" in line
