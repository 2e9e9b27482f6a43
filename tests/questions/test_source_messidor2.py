"""Messidor-2: grades of one publication, images of another, pairs of eyes."""

import pytest
from adapter_helpers import built, picture, refused

from octomed_jax.questions.pseudonyms import pseudonym

HEADER = "image_id,adjudicated_dr_grade,adjudicated_dme,adjudicated_gradable\n"
LEFT, RIGHT, OTHER, BAD = "20051020_43808_0100_PP.png", "20051020_43832_0100_PP.png", "IM003718.jpg", "IM004176.jpg"
ROWS = f"{LEFT},0,0,1\n{RIGHT},2.0,0.0,1\n{OTHER},4,1,1\n{BAD},,,0\n"


def write(folder, rows=ROWS, images="IMAGES"):
    (folder / images).mkdir(parents=True, exist_ok=True)
    (folder / "messidor_data.csv").write_text(HEADER + rows)
    for number, name in enumerate((LEFT, RIGHT, "IM003718.JPG", "IM004176.JPG")):
        (folder / images / name).write_bytes(picture(number, "PNG" if name.endswith("png") else "JPEG"))


@pytest.mark.parametrize("images", ["IMAGES", "messidor-2/messidor-2/preprocess"])
def test_grades_and_images(tmp_path, images):
    write(tmp_path, images=images)
    train, test, manifest = built("messidor2", tmp_path, tmp_path / "out")
    assert [question.answer.split(" diabetic")[0] for question in train] == [
        "no", "moderate nonproliferative", "proliferative"
    ]  # fmt: skip
    assert test == []
    assert manifest.counts["passed_over"] == {"ungradable": 1}
    assert len({question.cluster for question in train}) == 3


def test_eyes_of_a_patient_are_one_cluster(tmp_path):
    write(tmp_path)
    (tmp_path / "messidor-2.csv").write_text(f"left;right\n{LEFT};{RIGHT}\nIM003718.JPG;IM004176.JPG\n")
    train, _, _ = built("messidor2", tmp_path, tmp_path / "out")
    assert train[0].cluster == train[1].cluster == pseudonym("messidor2", f"{LEFT[:-4]}+{RIGHT[:-4]}")
    assert train[2].cluster == pseudonym("messidor2", "IM003718+IM004176")


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (f"{LEFT},5,0,1\n", "adjudicated_dr_grade '5' is no class from 0 to 4"),
        (f"{LEFT},1.5,0,1\n", "adjudicated_dr_grade '1.5' is no class"),
        (f"{LEFT},,0,1\n", "adjudicated_dr_grade is empty, but the image is gradable"),
        (f"{LEFT},3,0,0\n", "is ungradable, but has the grade 3"),
        ("IM999999.jpg,3,0,1\n", "no file 'IM999999.jpg'"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(tmp_path, capsys, row, words):
    write(tmp_path, row)
    line = refused(capsys, "messidor2", tmp_path, tmp_path / "out")
    assert words in line
    assert "messidor_data.csv line 2" in line


def test_the_pairs_alone_are_not_the_grades(tmp_path, capsys):
    write(tmp_path)
    (tmp_path / "messidor_data.csv").unlink()
    (tmp_path / "messidor-2.csv").write_text(f"left;right\n{LEFT};{RIGHT}\n")
    assert "but not messidor_data.csv" in refused(capsys, "messidor2", tmp_path, tmp_path / "out")
    write(tmp_path)
    (tmp_path / "messidor-2.csv").write_text(f"image,eye\n{LEFT},left\n")
    assert "line 2 is no pair under 'left;right'" in refused(capsys, "messidor2", tmp_path, tmp_path / "out")
