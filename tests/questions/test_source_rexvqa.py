"""ReXVQA: a JSON object of rows, and images of another set beside it."""

import json

import pytest
from adapter_helpers import built, picture, refused
from image_helpers import write_file, write_zip

from octomed_jax.questions.pseudonyms import pseudonym

FIRST = "deid_png/GRDN001/A1/studies/1.2/series/1.3/instances/1.4.png"
SECOND = "deid_png/GRDN001/A1/studies/1.2/series/1.5/instances/1.6.png"
ROW = {
    "study_id": "pGRDN001_aA1_s1.2",
    "question": "Is there evidence of pneumothorax?",
    "options": ["A. Yes, on the left", "B. Yes, on the right", "C. No", "D. It cannot be said"],
    "correct_answer": "C",
    "correct_answer_explanation": "The report denies it.",
    "task_name": "Negation",
    "category": "Pleura",
    "PatientID": "GRDN001",
    "StudyInstanceUid": "1.2",
    "ImagePath": [f"../{FIRST}", f"../{SECOND}"],
    "ImageViewPosition": ["PA", "LATERAL"],
    "Findings": "No pneumothorax.",
}
OTHER = {"PatientID": "GRDN002", "ImagePath": [f"../{SECOND}"]}


def write_rows(path, rows):
    """Write a split as it is published: question id to row."""
    write_file(path, json.dumps({f"q{number}": row for number, row in enumerate(rows)}).encode())


@pytest.mark.parametrize("form", ["packed", "beside", "in images"])
def test_questions_on_studies_with_several_images(tmp_path, form):
    folder = tmp_path / "in"
    images = {FIRST: picture(1), SECOND: picture(2)}
    if form == "packed":
        write_zip(folder / "deid_png.zip", images)
    for name, data in images.items() if form != "packed" else ():
        write_file(folder / ("images" if form == "in images" else "") / name, data)
    write_rows(
        folder / "metadata" / "train_vqa_data.json", [ROW, ROW | {"question": "And now?", "correct_answer": "A"}]
    )
    write_rows(folder / "metadata" / "test_vqa_data.json", [ROW | OTHER])
    train, test, manifest = built("rexvqa", folder, tmp_path / "out")
    assert train[0].options == ("Yes, on the left", "Yes, on the right", "No", "It cannot be said")
    assert [question.answer for question in train] == ["No", "Yes, on the left"]
    assert train[0].images == (picture(1), picture(2))
    assert test[0].images == (picture(2),)
    assert (train[0].cluster, train[0].explanation) == (pseudonym("rexvqa", "GRDN001"), "The report denies it.")
    assert (train[0].modality, train[0].body_region, manifest.access) == ("X-ray", "chest", "credentialed")
    assert {question.access for question in [*train, *test]} == {"credentialed"}
    assert manifest.counts["published_splits"] == {"test": 1, "train": 2}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"correct_answer": "E"}, "question 1: correct_answer is 'E', but the options have the letters A, B, C, D"),
        ({"options": ["Yes", "No"]}, "question 1: options do not begin with A., B. and so on"),
        ({"ImagePath": []}, "question 1: ImagePath names no image"),
        ({"ImagePath": [f"../{FIRST}", "../deid_png/x.png"]}, "image 2: no file (name withheld) beside the rows"),
        ({"ImagePath": ["../../secret.png"]}, "image: (name withheld) leads out of the folder of the rows"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(tmp_path, capsys, change, words):
    write_file(tmp_path / "secret.png", picture(3))
    write_file(tmp_path / "in" / FIRST, picture(1))
    write_rows(tmp_path / "in" / "test_vqa_data.json", [ROW | change])
    assert words in refused(capsys, "rexvqa", tmp_path / "in", tmp_path / "out", "--split=test")


def test_a_value_that_is_no_row_is_named(tmp_path, capsys):
    write_rows(tmp_path / "in" / "test_vqa_data.json", ["text"])
    words = refused(capsys, "rexvqa", tmp_path / "in", tmp_path / "out", "--split=test")
    assert "question 1: is no row but str" in words


def test_a_list_of_rows_is_read_too(tmp_path):
    write_file(tmp_path / "in" / FIRST, picture(1))
    rows = [ROW | {"ImagePath": [f"../{FIRST}"]}]
    write_file(tmp_path / "in" / "valid_vqa_data.json", json.dumps(rows).encode())
    train, _, _ = built("rexvqa", tmp_path / "in", tmp_path / "out", "--split=validation")
    assert [question.answer for question in train] == ["No"]
