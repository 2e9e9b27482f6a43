"""MedMCQA: the release counts the gold from 1, the hub from 0, and nothing but the values says which it is."""

import pytest
from adapter_helpers import build, built, refused, write_lines, write_parquet

ROW = {
    "id": "0f1d3a70-0000-4000-8000-000000000001",
    "question": "Which vitamin is lacking in scurvy?",
    "opa": "Vitamin A",
    "opb": "Vitamin B12",
    "opc": "Vitamin C",
    "opd": "Vitamin D",
    "cop": 3,
    "choice_type": "single",
    "exp": "Ans. is 'c' i.e., Vitamin C",
    "subject_name": "Biochemistry",
    "topic_name": None,
}
LETTERS = ("opa", "opb", "opc", "opd")


def items(first, golds=(2, 3, 0, 1), **change):
    """Rows whose golds are at these places of the options."""
    return [
        ROW | {"id": f"id-{number}", "question": f"Question {number}?", "cop": gold + first} | change
        for number, gold in enumerate(golds)
    ]


def golds(questions):
    return [question.options.index(question.answer) for question in questions]


def test_the_release_counts_from_one(tmp_path):
    write_lines(tmp_path / "in" / "train.json", items(1))
    held_out = [row | {"id": f"dev-{row['id']}"} for row in items(1, (3, 1), question="Which is held out?")]
    write_lines(tmp_path / "in" / "dev.json", held_out)
    train, test, manifest = built("medmcqa", tmp_path / "in", tmp_path / "out")
    assert (golds(train), golds(test)) == ([2, 3, 0, 1], [3, 1])
    question = train[0]
    assert (question.id, question.task, question.answer) == ("medmcqa:id-0", "mcq", "Vitamin C")
    assert (question.explanation, question.licence) == (ROW["exp"], "Apache-2.0")
    assert manifest.counts["published_splits"] == {"train": 4, "validation": 2}


def test_the_hub_counts_from_zero_over_all_of_its_files(tmp_path):
    data = tmp_path / "in" / "data"
    write_parquet(data / "train-00000-of-00002.parquet", items(0, (1, 2, 3)))
    write_parquet(data / "train-00001-of-00002.parquet", [items(0)[2] | {"id": "a"}, items(0)[0] | {"id": "b"}])
    write_parquet(data / "validation-00000-of-00001.parquet", items(0, (0,), question="Held out?", id="held-out"))
    train, test, _ = built("medmcqa", tmp_path / "in", tmp_path / "out")
    assert {question.id: question.options.index(question.answer) for question in train} == {
        "medmcqa:id-0": 1, "medmcqa:id-1": 2, "medmcqa:id-2": 3, "medmcqa:a": 0, "medmcqa:b": 2,
    }  # fmt: skip
    assert golds(test) == [0]


@pytest.mark.parametrize(
    ("first", "places", "words"),
    [
        (1, (0, 1, 2), "does not say whether cop counts from 0 or 1: it holds neither 0 nor 4"),
        (0, (1, 2, 3), "does not say whether cop counts from 0 or 1: it holds neither 0 nor 4"),
        (1, (3, -1), "does not say whether cop counts from 0 or 1: it holds both 0 and 4"),
        (-1, (0, 0), "holds neither 0 nor 4"),  # the hub's test split, whose golds are all -1
    ],
)
def test_a_split_that_does_not_say_how_it_counts_is_refused(tmp_path, capsys, first, places, words):
    write_lines(tmp_path / "train.json", items(first, places))
    assert words in refused(capsys, "medmcqa", tmp_path / "train.json", tmp_path / "out")


def test_rows_without_a_gold_are_passed_over_and_the_test_split_has_none(tmp_path, capsys):
    rows = [*items(0), ROW | {"id": "hidden", "cop": -1}, {key: ROW[key] for key in ROW if key != "cop"}]
    write_lines(tmp_path / "train.jsonl", rows)
    train, _, manifest = built("medmcqa", tmp_path / "train.jsonl", tmp_path / "out")
    assert (len(train), manifest.counts["passed_over"]) == (4, {"its gold is not published": 2})
    assert build("medmcqa", tmp_path / "train.jsonl", tmp_path / "test", "--split=test") == 2
    assert "the split test of medmcqa has no gold answers; take train or validation" in capsys.readouterr().err


def test_an_option_without_a_text_is_none(tmp_path):
    write_lines(tmp_path / "train.json", [*items(1), ROW | {"id": "three", "opa": "", "opd": None}])
    train, _, _ = built("medmcqa", tmp_path / "train.json", tmp_path / "out")
    (question,) = [question for question in train if question.id == "medmcqa:three"]
    assert (question.options, question.answer) == (("Vitamin B12", "Vitamin C"), "Vitamin C")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"opc": ""}, "line 5: cop is 3, but opc has no text"),
        ({"cop": 5}, "line 5: cop is 5, but counts from 1 to 4"),
        ({"cop": "c"}, "line 5: cop is 'c', but counts from 1 to 4"),
        ({"opd": "vitamin C."}, "line 5: options hold the answer 'Vitamin C' more than once"),
        ({"question": None}, "line 5: has no question"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(tmp_path, capsys, change, words):
    write_lines(tmp_path / "train.json", [*items(1), ROW | change])
    assert words in refused(capsys, "medmcqa", tmp_path / "train.json", tmp_path / "out")


def test_a_wrong_option_may_stand_twice(tmp_path):
    write_lines(tmp_path / "train.json", [*items(1), ROW | {"opa": "None", "opb": "None"}])
    train, _, _ = built("medmcqa", tmp_path / "train.json", tmp_path / "out")
    assert len(train) == 5
