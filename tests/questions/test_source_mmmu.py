"""MMMU and MMMU-Pro, the subjects of health and medicine."""

import pytest
from adapter_helpers import built, hub_image, picture, refused, write_parquet

IMAGES = {f"image_{number}": None for number in range(1, 8)}
ROW = {
    "id": "validation_Pharmacy_7",
    "question": "<image 1> Which of <image 2> and the first has Crohn's?",
    "options": """["<image 2>", "Crohn's disease", 'Both']""",
    "explanation": "?",
    **IMAGES,
    "image_1": hub_image(picture(1), "validation_Pharmacy_7_1.png"),
    "image_2": hub_image(picture(2), "validation_Pharmacy_7_2.png"),
    "img_type": "['Microscopic Images']",
    "answer": "A",
    "topic_difficulty": "Easy",
    "question_type": "multiple-choice",
    "subfield": "Pharmacology",
}
OPEN = ROW | {
    "id": "validation_Pharmacy_8", "question": "Name it. <image 1>", "options": "[]", "answer": "aspirin",
    "question_type": "open", "explanation": "A salicylate.", "image_2": None,
}  # fmt: skip
PRO = {name: value for name, value in ROW.items() if name not in ("question_type", "subfield")}


def write_subject(folder, subject, split, rows):
    """Write a split of a subject."""
    write_parquet(folder / subject / f"{split}-00000-of-00001.parquet", rows)


def test_subjects_of_medicine_with_several_images(tmp_path):
    folder = tmp_path / "in"
    more = [OPEN | {"answer": "['24/7', \"3.429\"]"}, OPEN | {"answer": "0.5"}, OPEN | {"answer": "?"}]
    write_subject(folder, "Pharmacy", "validation", [ROW, OPEN, *more])
    laboratory = {"id": "validation_Diagnostics_and_Laboratory_Medicine_1", "answer": "B"}
    write_subject(folder, "Diagnostics_and_Laboratory_Medicine", "validation", [ROW | laboratory])
    write_subject(folder, "Accounting", "validation", [ROW | {"id": "validation_Accounting_1"}])
    write_subject(folder, "Pharmacy", "dev", [ROW | {"id": "dev_Pharmacy_1"}])
    write_subject(folder, "Pharmacy", "test", [ROW | {"id": "test_Pharmacy_1", "answer": "?"}])
    train, test, manifest = built("mmmu", folder, tmp_path / "out")
    assert not train
    assert manifest.counts["published_splits"] == {"validation": 7}
    assert manifest.counts["passed_over"] == {
        "of another subject than health and medicine": 1, "without a gold answer": 1,
    }  # fmt: skip
    of_laboratory, first, opened, several, number = test
    assert (of_laboratory.answer, first.answer) == ("Crohn's disease", "(image 2)")
    assert first.question == "(image 1) Which of (image 2) and the first has Crohn's?"
    assert first.options == ("(image 2)", "Crohn's disease", "Both")
    assert (first.images, first.explanation) == ((picture(1), picture(2)), "")
    assert (opened.task, opened.answer, opened.explanation) == ("short_answer", "aspirin", "A salicylate.")
    assert (several.answer, several.aliases) == ("24/7", ("3.429",))
    assert (number.task, number.answer) == ("numeric", "0.5")
    assert opened.images == (picture(1),)


def test_the_test_split_has_no_gold(tmp_path, capsys):
    write_subject(tmp_path / "in", "Pharmacy", "test", [ROW])
    words = refused(capsys, "mmmu", tmp_path / "in", tmp_path / "out", "--split=test")
    assert words == "the split test of mmmu has no gold answers; take dev or validation"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"options": "__import__('os').getcwd()"}, "row 1: options \"__import__('os').getcwd()\" is no list of texts"),
        ({"options": "['a', 2]"}, "row 1: options \"['a', 2]\" is no list of texts"),
        ({"answer": "D"}, "row 1: answer is 'D', but the options have the letters A, B, C"),
        ({"question": "<image 3>?"}, "row 1: <image 3> is named, but the row has 2 images"),
        ({"image_1": None}, "row 1: image columns are empty before one that is not"),
        ({"question_type": "essay"}, "row 1: question_type is 'essay', neither multiple-choice nor open"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(tmp_path, capsys, change, words):
    write_subject(tmp_path / "in", "Pharmacy", "validation", [ROW | change])
    assert words in refused(capsys, "mmmu", tmp_path / "in", tmp_path / "out")


def test_pro_has_subjects_as_a_column_and_ten_options(tmp_path):
    ten = str([f"Option {letter}" for letter in "ABCDEFGHIJ"])
    rows = [
        PRO | {"id": "test_Public_Health_1", "subject": "Public_Health", "options": ten, "answer": "J"},
        PRO | {"id": "test_Public_Health_2", "subject": "Music"},
    ]
    write_parquet(tmp_path / "in" / "standard (10 options)" / "test-00000-of-00002.parquet", rows)
    write_parquet(tmp_path / "in" / "standard (4 options)" / "test-00000-of-00002.parquet", rows * 2)
    _, (question,), manifest = built("mmmu-pro", tmp_path / "in", tmp_path / "out")
    assert (len(question.options), question.answer, question.source) == (10, "Option J", "mmmu-pro")
    assert manifest.counts["published_splits"] == {"test": 2}
    assert manifest.counts["passed_over"] == {"of another subject than health and medicine": 1}
