"""The ledger: one process at a time, whole groups, torn files ignored, damaged ones named."""

import subprocess

import pytest

from octomed_jax.errors import StopAndLook, TryAgain
from octomed_jax.schema import Attempt
from octomed_jax.teacher import ledger as module
from octomed_jax.teacher.ledger import Ledger


def group(name, number, error=""):
    return [
        Attempt(name, number * 2 + index, number, 1, "hash", "t", "r", "", "stop", 1, 1, error) for index in range(2)
    ]


def test_attempts_are_sorted_and_each_once(tmp_path):
    with Ledger(tmp_path) as ledger:
        ledger.add(group("b", 1))
        ledger.add(group("b", 0, error="HTTP 500"))
        ledger.seal()
        ledger.add(group("a", 0))
    with Ledger(tmp_path) as ledger:
        assert set(ledger.held) == {("b", 1), ("a", 0)}
        ledger.add(group("b", 0))
        rows = ledger.table().to_pylist()
    assert [(row["question_id"], row["sample_index"], row["error"]) for row in rows] == [
        ("a", 0, ""), ("a", 1, ""), ("b", 0, ""), ("b", 1, ""), ("b", 2, ""), ("b", 3, ""),
    ]  # fmt: skip
    assert not (tmp_path / ".lock").exists()


def test_the_order_of_arrival_does_not_show(tmp_path):
    tables = []
    for name, order in (("x", [0, 1, 2]), ("y", [2, 0, 1])):
        with Ledger(tmp_path / name) as ledger:
            for number in order:
                ledger.add(group("a", number))
                ledger.seal()
            tables.append(ledger.table())
    assert tables[0].equals(tables[1])


def test_a_second_process_is_refused_and_a_dead_ones_lock_is_taken_over(tmp_path):
    with Ledger(tmp_path), pytest.raises(TryAgain, match="is in use by process"), Ledger(tmp_path):
        pass
    dead = subprocess.Popen(["true"])
    dead.wait()
    (tmp_path / ".lock").write_text(f"process {dead.pid} on here\n")
    with Ledger(tmp_path) as ledger:
        ledger.add(group("a", 0))


def test_sealing_goes_by_age_and_size(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SEAL_ROWS", 4)
    with Ledger(tmp_path) as ledger:
        ledger.add(group("a", 0))
        assert ledger.segments == []
        ledger.add(group("a", 1))
        assert len(ledger.segments) == 1
        monkeypatch.setattr(module, "SEAL_SECONDS", 0.0)
        ledger.add(group("a", 2))
        assert len(ledger.segments) == 2


def test_torn_files_are_ignored_and_damaged_ones_named(tmp_path):
    with Ledger(tmp_path) as ledger:
        ledger.add(group("a", 0))
    (tmp_path / "segments" / ".segment-000001.parquet.partial").write_bytes(b"PAR1")
    with Ledger(tmp_path) as ledger:
        assert set(ledger.held) == {("a", 0)}
    (tmp_path / "segments" / "segment-000000.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(StopAndLook, match=r"segment-000000\.parquet is damaged"), Ledger(tmp_path):
        pass
