"""MedVLThinker's four sets, which share a schema."""

import json

import pytest
from adapter_helpers import built, hub_image, picture, refused, write_lines, write_parquet

from octomed_jax.questions.sources import medvlthinker

TEXT = {
    "question": "Stellate reticulum first appears in:",
    "options": json.dumps({"A": "Cap stage.", "B": "Bud stage.", "C": "Bell stage.", "D": "B"}),
    "answer_label": "A",
    "answer": "Cap stage.",
    "reasoning": " It is the cap stage. ",
    "dataset_name": "openlifescienceai/medmcqa",
    "dataset_index": 15425,
    "hash": None,
    "misc": None,
    "text": "<|im_start|>user",
}
IMAGES = TEXT | {
    "images": [hub_image(picture(0)), hub_image(picture(1))],
    "question": "What changed?",
    "reasoning": None,
    "dataset_name": "MedXpertQA-MM",
}


def test_text_with_a_thought(tmp_path):
    write_parquet(tmp_path / "in" / "data" / "train-00000-of-00001.parquet", [TEXT])
    (question,), test, _ = built("medvlthinker-m23k", tmp_path / "in", tmp_path / "out")
    assert test == []
    assert (question.task, question.answer, question.images) == ("mcq", "Cap stage.", ())
    assert question.options == ("Cap stage.", "Bud stage.", "Bell stage.", "B")
    assert (question.source, question.benchmark) == ("medvlthinker-m23k", "medmcqa")
    # The response that the thought was taken from is not published, so there is none to verify.
    (cells,) = medvlthinker.cells(TEXT, "train")
    assert "responses" not in cells


def test_several_images_and_no_thought(tmp_path):
    write_parquet(tmp_path / "in" / "data" / "test-00000-of-00001.parquet", [IMAGES])
    train, (question,), _ = built("medvlthinker-eval", tmp_path / "in", tmp_path / "out")
    assert train == []
    assert question.images == (picture(0), picture(1))
    assert question.benchmark == "MedXpertQA-MM"


@pytest.mark.parametrize("name", ["medvlthinker-pmc-vqa", "medvlthinker-gpt-4o"])
def test_training_sets_with_images(tmp_path, name):
    row = {key: value for key, value in IMAGES.items() if key not in ("misc", "text")}
    write_parquet(tmp_path / "in" / "data" / "train-00000-of-00002.parquet", [row])
    (question,), _, _ = built(name, tmp_path / "in", tmp_path / "out")
    assert (len(question.images), question.split) == (2, "train")


def test_a_letter_that_is_an_options_text_stays_the_letter(tmp_path):
    write_lines(tmp_path / "train.jsonl", [TEXT | {"answer_label": "D", "answer": "B"}])
    (question,), _, _ = built("medvlthinker-m23k", tmp_path / "train.jsonl", tmp_path / "out")
    assert (question.answer, question.options.index(question.answer)) == ("B", 3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"answer_label": "B"}, "line 1: answer_label B is 'Bud stage.', but answer is 'Cap stage.'"),
        ({"answer_label": "E"}, "line 1: answer_label is 'E', but the options have the letters A, B"),
        ({"options": "['Cap stage.']"}, "line 1: is not as medvlthinker-m23k is published (JSONDecodeError"),
        ({"options": '["Cap stage."]'}, "line 1: is not as medvlthinker-m23k is published (AttributeError"),
        ({"options": TEXT["options"].replace("Bud", "The Cap")}, "options hold the answer 'Cap stage.' more than once"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(tmp_path, capsys, change, words):
    write_lines(tmp_path / "train.jsonl", [TEXT | change])
    assert words in refused(capsys, "medvlthinker-m23k", tmp_path / "train.jsonl", tmp_path / "out")
