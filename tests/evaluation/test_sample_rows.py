"""What makes two rows of samples ask the same question, and how rows are read again."""

import json

import pytest

from octomed_jax.evaluation.sample_files import Scorer
from octomed_jax.evaluation.sample_rows import CONTENT, first_difference, key_of, row_at

ROW = {
    "task": "numeric", "question": "How old?", "options": ["7", "9"], "answer": "7", "aliases": ["seven"],
    "lower_limit": -1.0, "upper_limit": 7, "cluster": "patient 1", "response": "7", "seed": 3,
}  # fmt: skip


def test_nothing_null_and_empty_are_one_and_so_are_whole_numbers():
    bare = {"question": "How old?", "answer": "7"}
    empty = {**bare, "task": "", "options": [], "aliases": None, "lower_limit": None, "cluster": ""}
    assert key_of(bare) == key_of(empty)
    assert key_of({**ROW, "upper_limit": 7.0}) == key_of({**ROW, "response": "9", "seed": 4}) == key_of(ROW)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("task", "mcq"),
        ("question", "How old is he?"),
        ("options", ["9", "7"]),
        ("options", {"A": "7", "B": "9"}),
        ("answer", "9"),
        ("aliases", []),
        ("lower_limit", -2.0),  # -1.0 and -2.0 have one hash
        ("lower_limit", 0.0),
        ("lower_limit", None),
        ("upper_limit", 7.5),
        ("cluster", ""),
    ],
)
def test_every_column_of_a_question_counts_and_the_first_that_differs_is_named(name, value):
    other = {**ROW, name: value}
    assert key_of(other) != key_of(ROW)
    assert first_difference(ROW, other) == name
    assert name in CONTENT


def test_a_table_as_a_column_has_a_key_too():
    one, other = ({**ROW, "options": {"A": number, "B": "9"}} for number in ("7", "8"))
    assert key_of(one) == key_of(json.loads(json.dumps(one))) != key_of(other)


def test_verdicts_are_believed_where_that_is_asked_for(tmp_path):
    """The response says 9, which is wrong; the row says that it was found correct."""
    rows = [{**ROW, "benchmark": "ages", "id": "q", "seed": seed, "verdict": "correct"} for seed in (5, 300, -1, 2)]
    rows[3] |= {"verdict": "unparsed", "error": "HTTP 500"}
    path = tmp_path / "a.jsonl"
    path.write_text("\n" + "".join(json.dumps({**row, "response": "\\boxed{9}"}) + "\n" for row in rows))
    found = {}
    for believe in (True, False):
        scorer = Scorer([path], believe=believe)
        scorer.read(0)
        own = scorer.columns["ages"]
        found[believe] = [counts.tolist() for counts in own.counts()]
        assert own.seeds() == [[-1, 2, 5, 300]]
        assert scorer.judged == {not believe}
        assert scorer.first_row("ages", "q")["seed"] == 5
    assert found == {True: [[4], [3], [3]], False: [[4], [3], [0]]}
    assert row_at(path, 3)["seed"] == 300
