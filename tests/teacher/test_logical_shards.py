"""Logical shards: questions split by the hash of their ids, attempts merged again whatever the number of shards."""

import itertools
import random

import pyarrow as pa
import pytest
from etils import epath
from hypothesis import given, settings
from hypothesis import strategies as st
from teacher_helpers import make_question

from octomed_jax.errors import UserError
from octomed_jax.schema import ATTEMPT_SCHEMA, Attempt
from octomed_jax.teacher import merge, shards
from octomed_jax.teacher.ledger import Ledger
from octomed_jax.teacher.merge import merged, write_parts
from octomed_jax.teacher.shards import Shards, begin
from octomed_jax.traces import lake
from octomed_jax.verification.check import VERIFIER_VERSION


def attempt(name, sample, verifier=VERIFIER_VERSION, response="\\boxed{x}", verdict="wrong"):
    return Attempt(
        name, sample, "t", response, "", "stop", 1, 1, verdict, "", "other_option", verifier, (), sample // 4, 1, "h"
    )


def rows_of(names, samples=3):
    return [vars(attempt(name, sample)) for name in names for sample in range(samples)]


@given(
    ids=st.sets(st.text("abc:0123", min_size=1, max_size=4), max_size=40),
    count=st.integers(1, 6),
    group=st.integers(1, 7),
    part=st.integers(1, 50),
    samples=st.integers(1, 5),
    block=st.integers(1, 9),
)
@settings(max_examples=60, deadline=None)
def test_any_number_of_shards_merges_into_the_same_bytes(tmp_path_factory, ids, count, group, part, samples, block):
    folder = epath.Path(tmp_path_factory.mktemp("run"))
    old = merge.PART_ROWS, merge.GROUP_ROWS, merge.BLOCK_QUESTIONS
    merge.PART_ROWS, merge.GROUP_ROWS, merge.BLOCK_QUESTIONS = part, 8, block
    try:
        written = []
        for number in (1, count):
            run = Shards(folder, number, "w")
            paths = []
            for shard in range(number):
                names = sorted(name for name in ids if run.of(name) == shard)
                paths.append(folder / f"{number}-{shard}.parquet")
                lake.write_rows(paths[-1], rows_of(names, samples), ATTEMPT_SCHEMA, row_group=group)
            parts = write_parts(merged(paths, iter(sorted(ids))), folder / f"to-{number}")
            written.append([path.read_bytes() for path in parts])
        assert written[0] == written[1]
        tables = [lake.read_table(path) for path in parts]
        assert [row for table in tables for row in table.to_pylist()] == pa.Table.from_pylist(
            rows_of(sorted(ids), samples), ATTEMPT_SCHEMA
        ).to_pylist()
        for table, following in itertools.pairwise(tables):
            assert table.num_rows >= part
            assert table["question_id"][-1] != following["question_id"][0]  # a question stands in one part
    finally:
        merge.PART_ROWS, merge.GROUP_ROWS, merge.BLOCK_QUESTIONS = old


def test_questions_are_split_in_one_pass_and_none_is_lost(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "SPLIT_SHARDS", 3)
    questions = [make_question(index, 8) for index in range(60)]
    run = Shards(epath.Path(tmp_path), 5, "w")
    lake.write_questions(tmp_path / "questions.parquet", questions)
    run.split([0, 2])
    assert [run.questions(number).exists() for number in range(5)] == [True, False, True, False, False]
    run.split(range(5))
    found = [list(lake.iterate_questions(run.questions(number))) for number in range(5)]
    assert sorted((one for part in found for one in part), key=lambda one: one.id) == questions
    assert all(4 <= len(part) <= 22 for part in found)
    assert all(run.of(one.id) == number for number, part in enumerate(found) for one in part)


def test_workers_share_the_shards_out():
    run = Shards(epath.Path("x"), 7, "w")
    shares = [run.share(worker, 3) for worker in range(3)]
    assert sorted(number for share in shares for number in share) == list(range(7))
    assert run.share(8, 9) == []


def test_a_run_keeps_its_number_of_shards_and_its_settings(tmp_path):
    folder = epath.Path(tmp_path)
    assert begin(folder, {"n": 1}, {"q": "a"}, 5000, 2, 0).count == 10
    assert begin(folder, {"n": 1}, {"q": "a"}, 5000, 8, 3).count == 10
    assert begin(folder, {"n": 2}, {"q": "a"}, 10, 4, 0).count == 4  # nothing was recorded yet
    with Ledger(folder / "shards" / "00001") as ledger:
        ledger.add([attempt("a", 0)])
    with pytest.raises(UserError, match=r"begun with other settings \(config\.n: 2 -> 3\)"):
        begin(folder, {"n": 3}, {"q": "a"}, 10, 4, 0)
    with pytest.raises(UserError, match=r"begun with other settings \(inputs\.q: 'a' -> 'b'\)"):
        begin(folder, {"n": 2}, {"q": "b"}, 10, 4, 0)


def test_attempts_judged_by_an_earlier_verifier_are_judged_again(tmp_path):
    questions = [make_question(3), make_question(7)]
    run = Shards(epath.Path(tmp_path), 1, "w")
    lake.write_questions(tmp_path / "questions.parquet", questions)
    with run.ledger(0) as ledger:
        ledger.add([attempt("made:00003", 0, "1", "\\boxed{B}"), attempt("made:00003", 1, "1", "\\boxed{C}")])
        ledger.add([attempt("made:00007", 0, VERIFIER_VERSION, "\\boxed{B}", "correct")])
        run.finish(0, ledger)
    rows = list(lake.iterate_rows(run[0] / "attempts.parquet"))
    assert [(row["verdict"], row["verifier"]) for row in rows] == [
        ("correct", VERIFIER_VERSION), ("wrong", VERIFIER_VERSION), ("correct", VERIFIER_VERSION),
    ]  # fmt: skip


def test_many_rows_in_random_order_come_out_sorted(tmp_path):
    names = [f"q{number:03d}" for number in range(50)]
    groups = [[attempt(name, group * 4 + index) for index in range(4)] for name in names for group in range(4)]
    random.Random(0).shuffle(groups)
    with Ledger(tmp_path) as ledger:
        for number, group in enumerate(groups):
            ledger.add(group)
            if number % 37 == 0:
                ledger.seal()
        table = pa.concat_tables(ledger.tables())
    keys = list(zip(table["question_id"].to_pylist(), table["sample_index"].to_pylist(), strict=True))
    assert keys == [(name, sample) for name in names for sample in range(16)]
