"""Parquet between the stages: what goes in comes out, equal rows give equal bytes, damage is named."""

import pyarrow.parquet as pq
import pytest

from octomed_jax.errors import StopAndLook, UserError
from octomed_jax.schema import QUESTION_SCHEMA, Question, question_to_row
from octomed_jax.traces import lake


def made(index):
    return Question(
        id=f"a:{index:04d}",
        source="a",
        benchmark="b",
        split="train",
        task="numeric",
        question="How many?",
        answer="1",
        options=("x", "y"),
        aliases=("one",),
        lower_limit=0.5,
        images=(b"\x89PNG" + bytes([index % 256]),),
        image_hashes=("h",),
    )


def test_questions_come_back(tmp_path):
    questions = [made(index) for index in range(5)]
    assert lake.write_questions(tmp_path / "q.parquet", questions) == 5
    assert list(lake.iterate_questions(tmp_path / "q.parquet")) == questions


def test_rows_are_grouped_and_bytes_repeat(tmp_path):
    rows = [question_to_row(made(index)) for index in range(1100)]
    for name in "ab":
        assert lake.write_rows(tmp_path / name, iter(rows), QUESTION_SCHEMA) == 1100
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert pq.ParquetFile(tmp_path / "a").num_row_groups == 3
    assert lake.count_rows(tmp_path / "a") == 1100
    assert next(lake.iterate_rows(tmp_path / "a", ("id",))) == {"id": "a:0000"}


def test_an_empty_file_is_a_file(tmp_path):
    lake.write_rows(tmp_path / "none.parquet", [], QUESTION_SCHEMA)
    assert list(lake.iterate_questions(tmp_path / "none.parquet")) == []


def test_nothing_is_left_of_a_failed_write(tmp_path):
    def rows():
        yield question_to_row(made(0))
        raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        lake.write_rows(tmp_path / "q.parquet", rows(), QUESTION_SCHEMA)
    assert list(tmp_path.iterdir()) == []


def test_damage_and_absence_are_named(tmp_path):
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 cut")
    with pytest.raises(StopAndLook, match=r"bad.parquet is damaged"):
        list(lake.iterate_rows(tmp_path / "bad.parquet"))
    with pytest.raises(UserError, match="no such file"):
        list(lake.iterate_rows(tmp_path / "none.parquet"))
    lake.write_questions(tmp_path / "q.parquet", [made(0)])
    with pytest.raises(UserError, match="no column 'responses'"):
        list(lake.iterate_rows(tmp_path / "q.parquet", ("responses",)))
