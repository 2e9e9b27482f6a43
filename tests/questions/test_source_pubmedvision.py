"""PubMedVision in its published form: a JSON list, images beside it or in zip files."""

import json
import zipfile

import pytest
from adapter_helpers import built, picture, refused
from image_helpers import write_zip

ROW = {
    "id": "Instruction-Tuning_1",
    "image": ["images/pmc_952216_0.jpg", "images/pmc_952216_1.jpg"],
    "conversations": [
        {"from": "human", "value": "What differs between the images?"},
        {"from": "gpt", "value": "The second one is later."},
    ],
    "modality": "Computed Tomography",
    "body_part": "Chest",
}
NAME = "PubMedVision_InstructionTuning_VQA.json"


def write(folder, rows, name=NAME):
    (folder / "images").mkdir(parents=True)
    (folder / name).write_text(json.dumps(rows))
    for seed in range(2):
        (folder / "images" / f"pmc_952216_{seed}.jpg").write_bytes(picture(seed, "JPEG"))
    return folder


def test_rows_with_all_their_images(tmp_path):
    other = ROW | {"image": "images/pmc_952216_1.jpg", "modality": "Microscopy Images", "body_part": None}
    train, _, _ = built("pubmedvision", write(tmp_path / "in", [ROW, other]), tmp_path / "out")
    assert [question.id for question in train] == [f"pubmedvision:instruction:000000{row}" for row in range(2)]
    first, second = train
    assert (first.question, first.answer) == (ROW["conversations"][0]["value"], ROW["conversations"][1]["value"])
    assert first.images == (picture(0, "JPEG"), picture(1, "JPEG"))
    assert (first.task, first.modality, first.body_region) == ("instruction", "CT", "chest")
    assert second.images == (picture(1, "JPEG"),)
    assert (second.modality, second.body_region) == ("microscopy images", "")
    assert first.cluster == second.cluster == "pmc_952216"


def test_images_in_zip_files_and_the_other_split(tmp_path):
    folder = write(tmp_path / "in", [ROW], "PubMedVision_Alignment_VQA.json")
    for seed in range(2):
        path = folder / "images" / f"pmc_952216_{seed}.jpg"
        with zipfile.ZipFile(folder / f"images_{seed}.zip", "w") as archive:
            archive.write(path, f"images/{path.name}")
        path.unlink()
    (question,), _, _ = built("pubmedvision", folder, tmp_path / "out", "--split=alignment")
    assert question.id == "pubmedvision:alignment:0000000"
    assert question.images == (picture(0, "JPEG"), picture(1, "JPEG"))


def test_images_in_whatever_folder_of_a_zip_file(tmp_path, capsys):
    folder = write(tmp_path / "in", [ROW])
    for path in (folder / "images").iterdir():
        path.unlink()
    write_zip(folder / "images_0.zip", {"pmc_952216_0.jpg": picture(0, "JPEG")})
    write_zip(folder / "images_1.zip", {"tmp/part_1/pmc_952216_1.jpg": picture(1, "JPEG")})
    (question,), _, _ = built("pubmedvision", folder, tmp_path / "out")
    assert question.images == (picture(0, "JPEG"), picture(1, "JPEG"))
    write_zip(folder / "images_2.zip", {"pmc_952216_1.jpg": picture(2, "JPEG")})
    line = refused(capsys, "pubmedvision", folder, tmp_path / "other")
    words = "row 1: image 2: 'images/pmc_952216_1.jpg' is ambiguous: two files of its base name differ, in "
    assert f"{words}{folder / 'images_1.zip'} and in {folder / 'images_2.zip'}; remove one" in line


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"image": []}, "row 1: names no image"),
        ({"image": ["images/pmc_1_0.jpg"]}, "row 1: image: no file 'images/pmc_1_0.jpg'"),
        ({"conversations": ROW["conversations"][1:]}, "row 1: conversations of gpt: a person and a model"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(tmp_path, capsys, change, words):
    assert words in refused(capsys, "pubmedvision", write(tmp_path / "in", [ROW | change]), tmp_path / "out")
