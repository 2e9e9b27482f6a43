"""MedXpertQA without images: the choices stand in the question and must go."""

import pytest
from adapter_helpers import built, refused, write_lines
from hypothesis import given
from hypothesis import strategies as st

from octomed_jax.prompts import LETTERS
from octomed_jax.questions.sources.medxpertqa_text import HEAD, without_choices

OPTIONS = {letter: f"Sign {letter.lower()} (of {number})" for number, letter in enumerate(LETTERS[:10])}
CHOICES = "\nAnswer Choices: " + " ".join(f"({letter}) {text}" for letter, text in OPTIONS.items())
ROW = {
    "id": "Text-20",
    "question": "A 57-year-old man is weak.\nWhat is seen?" + CHOICES,
    "options": OPTIONS,
    "label": "J",
    "medical_task": "Diagnosis",
    "body_system": "Digestive",
    "question_type": "Reasoning",
}


def test_the_hub(tmp_path):
    write_lines(tmp_path / "in" / "Text" / "test.jsonl", [ROW])
    write_lines(tmp_path / "in" / "Text" / "dev.jsonl", [ROW | {"id": "Text-dev-0"}])
    train, (question,), _ = built("medxpertqa-text", tmp_path / "in", tmp_path / "out")
    assert train == []
    assert question.question == "A 57-year-old man is weak.\nWhat is seen?"
    assert (question.id, question.task, question.licence) == ("medxpertqa-text:test:text-20", "mcq", "MIT")
    assert (question.options, question.answer) == (tuple(OPTIONS.values()), "Sign j (of 9)")


def test_the_makers_repository_has_lists(tmp_path):
    listed = [{"letter": letter, "content": text} for letter, text in reversed(OPTIONS.items())]
    path = write_lines(tmp_path / "medxpertqa_text_input.jsonl", [ROW | {"options": listed, "label": ["B"]}])
    _, (question,), _ = built("medxpertqa-text", path, tmp_path / "out")
    assert (question.options, question.answer) == (tuple(OPTIONS.values()), "Sign b (of 1)")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"label": "K"}, "line 1: label is 'K', but the options are A, B"),
        ({"label": ["A", "B"]}, "line 1: label is 'AB', but the options are A, B"),
        ({"question": "What?\nAnswer Choices: (A) Other"}, "line 1: the choices in the question are not its options"),
        ({"question": CHOICES}, "line 1: has no question"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(tmp_path, capsys, change, words):
    path = write_lines(tmp_path / "test.jsonl", [ROW | change])
    assert words in refused(capsys, "medxpertqa-text", path, tmp_path / "out")


@given(
    st.text().map(str.rstrip),
    st.lists(st.text(min_size=1).filter(lambda text: HEAD not in f" {text} "), min_size=2, max_size=10),
)
def test_what_was_put_behind_a_question_is_taken_off(question, texts):
    options = dict(zip(LETTERS, texts, strict=False))
    choices = " ".join(f"({letter}) {text}" for letter, text in options.items())
    assert without_choices(question + HEAD + choices, options) == question


def test_a_question_without_choices_stays():
    assert without_choices("What are the Answer Choices?", OPTIONS) == "What are the Answer Choices?"
