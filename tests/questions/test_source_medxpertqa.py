"""MedXpertQA, Text and MM: the choices stand in the question too and must go."""

import pytest
from adapter_helpers import built, picture, refused, write_lines, write_parquet
from hypothesis import given
from hypothesis import strategies as st
from image_helpers import write_file, write_zip

from octomed_jax.prompts import LETTERS
from octomed_jax.questions.sources.medxpertqa import MARK, without_choices
from octomed_jax.verification.rows import RowError

OPTIONS = {letter: f"Sign {letter.lower()} (of {number})" for number, letter in enumerate(LETTERS[:10])}
CHOICES = "\nAnswer Choices: " + " ".join(f"({letter}) {text}" for letter, text in OPTIONS.items())
TEXT = {
    "id": "Text-20",
    "question": "A 57-year-old man is weak.\nWhat is seen?" + CHOICES,
    "options": OPTIONS,
    "label": "J",
    "medical_task": "Diagnosis",
    "body_system": "Digestive",
    "question_type": "Reasoning",
}
MM = {
    "id": "MM-26",
    "question": "A 70-year-old man has a rash. What is the diagnosis?\nAnswer Choices: (A) Gout (B) Lupus (C) "
    "Vitamin C deficiency (D) Cyst (E) Scurvy or (A)",
    "options": {"A": "Gout", "B": "Lupus", "C": "Vitamin C deficiency", "D": "Cyst", "E": "Scurvy or (A)"},
    "label": "C",
    "images": ["MM-26-a.jpeg", "MM-26-b.jpeg"],
    "medical_task": "Diagnosis",
    "body_system": "Skeletal",
    "question_type": "Reasoning",
}
IMAGES = {"MM-26-a.jpeg": picture(1, "JPEG"), "MM-26-b.jpeg": picture(2, "JPEG")}


def test_text_of_the_hub(tmp_path):
    write_lines(tmp_path / "in" / "Text" / "test.jsonl", [TEXT])
    write_lines(tmp_path / "in" / "Text" / "dev.jsonl", [TEXT | {"id": "Text-dev-0"}])
    train, (question,), _ = built("medxpertqa-text", tmp_path / "in", tmp_path / "out")
    assert train == []
    assert question.question == "A 57-year-old man is weak.\nWhat is seen?"
    assert (question.id, question.task, question.licence) == ("medxpertqa-text:test:text-20", "mcq", "MIT")
    assert (question.options, question.answer) == (tuple(OPTIONS.values()), "Sign j (of 9)")


def test_text_of_the_makers_repository_has_lists(tmp_path):
    listed = [{"letter": letter, "content": text} for letter, text in reversed(OPTIONS.items())]
    path = write_lines(tmp_path / "medxpertqa_text_input.jsonl", [TEXT | {"options": listed, "label": ["B"]}])
    _, (question,), _ = built("medxpertqa-text", path, tmp_path / "out")
    assert (question.options, question.answer) == (tuple(OPTIONS.values()), "Sign b (of 1)")


@pytest.mark.parametrize("form", ["zip", "folder", "parquet"])
def test_choices_stand_once_and_images_in_their_order(tmp_path, form):
    folder = tmp_path / "in"
    if form == "zip":
        write_zip(folder / "images.zip", {f"images/{name}": data for name, data in IMAGES.items()})
    for name, data in IMAGES.items() if form != "zip" else ():
        write_file(folder / "images" / name, data)
    other = {"question": "Which sign?", "images": ["MM-26-b.jpeg"], "label": "A"}
    if form == "parquet":
        write_parquet(folder / "MM" / "test" / "0000.parquet", [MM, MM | other])
    else:
        write_lines(folder / "MM" / "dev.jsonl", [MM])
        write_lines(folder / "MM" / "test.jsonl", [MM, MM | other])
        write_lines(folder / "Text" / "test.jsonl", [{"id": "Text-1"}])
    train, test, manifest = built("medxpertqa-mm", folder, tmp_path / "out")
    assert not train
    assert manifest.counts["published_splits"] == {"test": 2}
    assert test[0].question == "A 70-year-old man has a rash. What is the diagnosis?"
    assert test[0].options == tuple(MM["options"].values())
    assert [question.answer for question in test] == ["Vitamin C deficiency", "Gout"]
    assert test[0].images == tuple(IMAGES.values())
    assert test[1].images == (IMAGES["MM-26-b.jpeg"],)


@pytest.mark.parametrize(("name", "part", "row"), [("medxpertqa-text", "Text", TEXT), ("medxpertqa-mm", "MM", MM)])
def test_dev_is_held_out_in_both(tmp_path, name, part, row):
    write_zip(tmp_path / "in" / "images.zip", {f"images/{image}": data for image, data in IMAGES.items()})
    write_lines(tmp_path / "in" / part / "dev.jsonl", [row])
    train, test, _ = built(name, tmp_path / "in", tmp_path / "out", "--split=dev")
    assert (len(train), len(test)) == (0, 1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"label": "K"}, "line 1: label is 'K', but the options have the letters A, B"),
        ({"label": ["A", "B"]}, "line 1: label is 'AB', but the options have the letters A, B"),
        ({"question": "What?\nAnswer Choices: (A) Other"}, "line 1: the choices in the question are not its options"),
        ({"question": CHOICES}, "line 1: has no question"),
    ],
)
def test_a_row_of_text_that_cannot_be_used_is_named(tmp_path, capsys, change, words):
    path = write_lines(tmp_path / "test.jsonl", [TEXT | change])
    assert words in refused(capsys, "medxpertqa-text", path, tmp_path / "out")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"label": "F"}, "line 1: label is 'F', but the options have the letters A, B, C, D, E"),
        ({"question": "What?\nAnswer Choices: (A) Gout (B) Lupus"}, "the choices in the question are not its options"),
        ({"images": ["MM-26-a.jpeg", "none.jpeg"]}, "line 1: image 2: no file 'none.jpeg' beside the rows"),
        ({"images": ["../MM-26-a.jpeg"]}, "'../MM-26-a.jpeg' leads out of the folder of the rows"),
        ({"images": []}, "line 1: has no image"),
    ],
)
def test_a_row_of_mm_that_cannot_be_used_is_named(tmp_path, capsys, change, words):
    write_zip(tmp_path / "in" / "images.zip", {f"images/{name}": data for name, data in IMAGES.items()})
    write_lines(tmp_path / "in" / "MM" / "test.jsonl", [MM | change])
    assert words in refused(capsys, "medxpertqa-mm", tmp_path / "in", tmp_path / "out", "--split=test")


WORDS = st.text(st.characters(exclude_categories=("Cs",)), max_size=30)


@given(asked=WORDS, texts=st.lists(WORDS, min_size=1, max_size=10), other=WORDS)
def test_choices_are_cut_where_they_are_the_options_and_only_there(asked, texts, other):
    options = dict(zip(LETTERS, texts, strict=False))
    shown = " ".join(f"({letter}) {text}" for letter, text in options.items())
    assert without_choices(f"{asked}\n{MARK} {shown}", options) == asked.strip()
    assert without_choices(asked, options) == asked.strip()
    with pytest.raises(RowError, match="are not its options"):
        without_choices(f"{asked}\n{MARK} {shown} {other}(", options)


def test_a_question_without_choices_stays():
    assert without_choices("What are the Answer Choices?", OPTIONS) == "What are the Answer Choices?"
