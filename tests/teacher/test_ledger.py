"""The ledger: one process at a time, whole groups, torn files ignored, damaged ones named, nothing lost to a kill."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pytest

from octomed_jax.errors import StopAndLook, TryAgain
from octomed_jax.schema import Attempt
from octomed_jax.teacher import ledger as module
from octomed_jax.teacher import ownership
from octomed_jax.teacher.ledger import Held, Ledger, read_journal
from octomed_jax.traces import lake


def group(name, number, error="", verdicts=("correct", "wrong")):
    return [
        Attempt(
            name, number * 2 + index, "t", "r", "", "stop", 1, 1, verdict, "", "", "2", (), number, 1, "hash", error
        )
        for index, verdict in enumerate(verdicts)
    ]


def table_of(ledger):
    return pa.concat_tables(ledger.tables())


def held(ledger):
    return {(name, number) for name, groups in ledger.held.items() for number in groups}


def test_attempts_are_sorted_and_each_once(tmp_path):
    with Ledger(tmp_path) as ledger:
        ledger.add(group("b", 1))
        ledger.add(group("b", 0, error="HTTP 500"))
        assert 0 in ledger.held["b"]  # not again in this process
        ledger.seal()
        ledger.add(group("a", 0))
    with Ledger(tmp_path) as ledger:
        assert ledger.held == {"b": {1: Held("hash", 1)}, "a": {0: Held("hash", 1)}}  # the failed one is asked again
        ledger.add(group("b", 0))
        rows = table_of(ledger).to_pylist()
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
            tables.append(table_of(ledger))
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
        assert not ledger.due()
        ledger.add(group("a", 1))
        assert ledger.due()
        ledger.seal()
        assert len(ledger.segments) == 1
        monkeypatch.setattr(module, "SEAL_SECONDS", 0.0)
        assert not ledger.due()  # nothing to seal
        ledger.add(group("a", 2))
        assert ledger.due()


def test_torn_files_are_ignored_and_damaged_ones_named(tmp_path):
    with Ledger(tmp_path) as ledger:
        ledger.add(group("a", 0))
    (tmp_path / "segments" / ".segment-000001.parquet.partial").write_bytes(b"PAR1")
    with Ledger(tmp_path) as ledger:
        assert held(ledger) == {("a", 0)}
    assert not list((tmp_path / "segments").glob(".*"))
    (tmp_path / "segments" / "segment-000000.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(StopAndLook, match=r"segment-000000\.parquet is damaged"), Ledger(tmp_path):
        pass


KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[2])
from test_ledger import group
from octomed_jax.teacher.ledger import Ledger
with Ledger(sys.argv[1]) as ledger:
    ledger.add(group("a", 0))
    ledger.seal()
    ledger.add(group("a", 1))
    ledger.add(group("b", 0))
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_loses_nothing_that_came_back(tmp_path):
    child = subprocess.run([sys.executable, "-c", KILLED, tmp_path, Path(__file__).parent], check=False)
    assert child.returncode == -signal.SIGKILL
    assert [path.name for path in tmp_path.glob("journal-*")] == ["journal-000001.jsonl"]
    journal = tmp_path / "journal-000001.jsonl"
    journal.write_bytes(journal.read_bytes() + b'[{"question_id": "c"')  # torn by the kill
    with Ledger(tmp_path) as ledger:
        assert held(ledger) == {("a", 0), ("a", 1), ("b", 0)}
        assert len(ledger.segments) == 2
        assert not list(tmp_path.glob("journal-*"))
        assert table_of(ledger).num_rows == 6


def test_a_kill_between_sealing_and_removing_the_journal_doubles_nothing(tmp_path):
    with Ledger(tmp_path) as ledger:
        ledger.add(group("a", 0))
        journal = next(tmp_path.glob("journal-*"))
        kept = journal.read_bytes()
        ledger.seal()
        journal.write_bytes(kept)
    with Ledger(tmp_path) as ledger:
        assert len(ledger.segments) == 1
        assert table_of(ledger).num_rows == 2
        ledger.add(group("a", 1))
        assert [path.name for path in tmp_path.glob("journal-*")] == ["journal-000001.jsonl"]


@pytest.mark.parametrize("cut", range(0, 200, 7))
def test_a_journal_cut_anywhere_gives_whole_groups(tmp_path, cut):
    lines = [json.dumps([{"question_id": name, "sample_index": n} for n in range(2)]) for name in "abc"]
    whole = "".join(f"{line}\n" for line in lines)
    path = tmp_path / "journal-000000.jsonl"
    path.write_text(whole[:cut])
    rows = read_journal(path)
    assert len(rows) == 2 * whole[:cut].count("\n")


def test_in_a_bucket_an_owner_is_known_by_a_file_that_it_keeps_writing(tmp_path, monkeypatch):
    """A stand-in for a bucket: a folder that is claimed as one. The real protocol is in the integration test."""
    from etils import epath

    owners = epath.Path(tmp_path / "owners")
    with ownership._claimed(owners) as token:
        assert (tmp_path / "owners" / f"{token}.txt").exists()
        with pytest.raises(TryAgain, match=f"in use by process {os.getpid()}"), ownership._claimed(owners):
            pass
        assert [path.stem for path in (tmp_path / "owners").iterdir()] == [token]
    assert not list((tmp_path / "owners").iterdir())
    (tmp_path / "owners" / "dead.txt").write_text(f"{time.time() - 1000:.0f} process 1 on gone")
    monkeypatch.setattr(ownership, "BEAT_SECONDS", 0.01)
    with ownership._claimed(owners) as token:
        assert [path.stem for path in (tmp_path / "owners").iterdir()] == [token]
        mine = tmp_path / "owners" / f"{token}.txt"
        mine.write_text("0 old")
        limit = time.monotonic() + 10
        while mine.read_text() == "0 old":
            assert time.monotonic() < limit
            time.sleep(0.01)


def test_a_kill_while_journals_are_taken_up_doubles_nothing(tmp_path):
    """Several journals are left, and the process that seals them is killed before it removes the first."""
    lines = {number: json.dumps([vars(one) for one in group("a", number)]) + "\n" for number in (0, 1)}
    for number, line in lines.items():
        (tmp_path / f"journal-{number:06d}.jsonl").write_text(line)
    with Ledger(tmp_path) as ledger:
        assert ledger.held == {"a": {0: Held("hash", 1), 1: Held("hash", 1)}}
    (tmp_path / "journal-000000.jsonl").write_text(lines[0])
    with Ledger(tmp_path) as ledger:
        assert ledger.held == {"a": {0: Held("hash", 1), 1: Held("hash", 1)}}
        assert sum(lake.count_rows(path) for path in ledger.segments) == 4
    twice = (tmp_path / "segments" / "segment-000000.parquet").read_bytes()
    (tmp_path / "segments" / "segment-000009.parquet").write_bytes(twice)  # as two owners of a bucket may leave it
    with Ledger(tmp_path) as ledger:
        assert ledger.held == {"a": {0: Held("hash", 1), 1: Held("hash", 1)}}
        assert table_of(ledger).num_rows == 4
