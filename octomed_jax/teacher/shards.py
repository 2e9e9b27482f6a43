"""The logical shards of a run: each is a set of questions, by the hash of their ids, with a ledger of its own.

They are what workers share out among them, on one machine or many, and what a failed worker leaves to the next. The
result does not depend on how many there are: at the end their attempts are merged in the order of the questions.
"""

import contextlib
import hashlib
import itertools
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from etils import epath

from octomed_jax import manifests, storage
from octomed_jax.errors import StopAndLook, UserError
from octomed_jax.os_errors import explain_os_error
from octomed_jax.schema import ATTEMPT_SCHEMA, QUESTION_SCHEMA
from octomed_jax.teacher.ledger import TABLE_ROWS, Ledger, Row
from octomed_jax.teacher.merge import merged, write_parts
from octomed_jax.teacher.ownership import owned
from octomed_jax.traces import lake
from octomed_jax.verification.check import VERIFIER_VERSION, Checkers

WORK = "work.json"
QUESTIONS = "questions.parquet"
QUESTIONS_EACH = 500  # in a shard at most, by default: its attempts are sorted in memory
SPLIT_SHARDS, SPLIT_ROWS = 512, 8  # files open at a time while questions are split, and questions held for each
MERGE_FILES, MERGE_ROWS = 64, 256  # files that are merged at a time, and rows of each in memory


class Shards:
    """The shards of the run in ``folder``; made by ``begin``.

    Attributes:
        folder: of the run.
        count: how many there are.
        work: the hash of what is asked for.
    """

    def __init__(self, folder: epath.Path, count: int, work: str):
        self.folder, self.count, self.work = folder, count, work

    def __getitem__(self, number: int) -> epath.Path:
        return self.folder / "shards" / f"{number:05d}"

    def of(self, question_id: str) -> int:
        """Return the number of the shard of a question."""
        return int.from_bytes(hashlib.sha256(question_id.encode()).digest()[:8], "big") % self.count

    def share(self, worker: int, workers: int) -> list[int]:
        """Return the numbers of the shards of one of so many workers."""
        return list(range(worker, self.count, workers))

    def is_done(self, number: int) -> bool:
        """Return whether all attempts of a shard are there."""
        return (self[number] / "attempts.parquet").exists()

    def is_wanted(self, number: int) -> bool:
        """Return whether attempts of a shard may be missing: another process may have done it, or finished the run."""
        return not (self.is_done(number) or (self.folder / manifests.MANIFEST).exists())

    def missing(self) -> list[int]:
        """Return the numbers of the shards that are not done."""
        return [number for number in range(self.count) if not self.is_done(number)]

    def hold_attempts(self) -> bool:
        """Return whether anything that came back is recorded."""
        return any(self.folder.glob("shards/*/segments/*.parquet")) or any(self.folder.glob("shards/*/journal-*"))

    def reopen_failed(self, numbers: Sequence[int]) -> None:
        """Let shards that were done with requests that failed for good be asked for these again."""
        for number in numbers:
            path = self[number] / "attempts.parquet"
            if path.exists() and any(row["error"] for row in lake.iterate_rows(path, ("error",))):
                path.unlink()

    def ledger(self, number: int) -> Ledger:
        """Return the ledger of a shard."""
        return Ledger(self[number], self.work)

    def questions(self, number: int) -> epath.Path:
        """Return the file with the questions of a shard; see ``split``."""
        return (self.folder if self.count == 1 else self[number]) / QUESTIONS

    def split(self, numbers: Sequence[int]) -> None:
        """Write the questions of shards into files of their own, those of some hundred in one pass over all."""
        wanted = [number for number in numbers if not self.questions(number).exists()]
        for first in range(0, len(wanted), SPLIT_SHARDS):
            self._split(wanted[first : first + SPLIT_SHARDS])

    def _split(self, numbers: Sequence[int]) -> None:
        with contextlib.ExitStack() as files:
            writers = {
                number: files.enter_context(
                    lake.open_writer(self.questions(number), QUESTION_SCHEMA, row_group=SPLIT_ROWS)
                )
                for number in numbers
            }
            for row in lake.iterate_rows(self.folder / QUESTIONS):
                if writer := writers.get(self.of(row["id"])):
                    writer.write(row)

    def finish(self, number: int, ledger: Ledger) -> None:
        """Write the attempts of a shard, sorted, and judged by the verifier of now.

        Raises:
            StopAndLook: attempts are there that belong to no question of the shard.
        """
        with lake.open_table_writer(self[number] / "attempts.parquet", ATTEMPT_SCHEMA, brief=True) as writer:
            for table in self._judged(number, ledger.tables()):
                writer.write_table(table, row_group_size=MERGE_ROWS)
        pa.default_memory_pool().release_unused()  # the next shard may take as much
        if self.count > 1:
            self.questions(number).unlink(missing_ok=True)

    def _judged(self, number: int, tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
        tables = list(tables)
        if all(pc.all(pc.equal(table["verifier"], VERIFIER_VERSION)).as_py() for table in tables):
            yield from tables
            return
        rows = self._judged_again(number, [row for table in tables for row in table.to_pylist()])
        while some := list(itertools.islice(rows, TABLE_ROWS)):
            yield pa.Table.from_pylist(some, schema=ATTEMPT_SCHEMA)

    def _judged_again(self, number: int, rows: Sequence[Row]) -> Iterator[Row]:
        remaining = iter(rows)
        row = next(remaining, None)
        for question in lake.iterate_questions(self.questions(number)):
            checkers = Checkers(question)
            while row is not None and row["question_id"] == question.id:
                verdict = checkers.check(row)
                read = {"verdict": verdict.verdict, "extracted": verdict.extracted, "reason": verdict.reason}
                yield {**row, **read, "verifier": VERIFIER_VERSION}
                row = next(remaining, None)
        if row is not None:
            raise StopAndLook(f"{self[number]} holds attempts at the unknown question {row['question_id']!r}")

    def merge(self, see: Callable[[pa.Table], None]) -> list[epath.Path]:
        """Write the attempts of all shards, in the order of question and sample, into parts; return these.

        ``see`` is shown them on the way, as tables of whole questions.
        """
        target = self.folder / "attempts"
        for old in target.glob("*") if target.exists() else ():
            old.unlink()
        paths = [self[number] / "attempts.parquet" for number in range(self.count)]
        between = self.folder / "merging"
        for level in itertools.count():  # a few at a time: what is held of each and known of its file adds up
            if len(paths) <= MERGE_FILES:
                break
            some = [paths[first : first + MERGE_FILES] for first in range(0, len(paths), MERGE_FILES)]
            paths = [self._merge_some(group, between / f"{level}-{place:05d}") for place, group in enumerate(some)]

        def seen() -> Iterator[pa.Table]:
            for table in merged(paths, self._ids()):
                see(table)
                yield table
                pa.default_memory_pool().release_unused()  # blocks of many sizes: what is kept of them adds up

        parts = write_parts(seen(), target)
        if between.exists():
            between.rmtree()
        return parts

    def _merge_some(self, paths: Sequence[epath.Path], target: epath.Path) -> epath.Path:
        with lake.open_table_writer(target, ATTEMPT_SCHEMA, brief=True) as writer:
            for table in merged(paths, self._ids()):
                writer.write_table(table, row_group_size=MERGE_ROWS)
        return target

    def _ids(self) -> Iterator[str]:
        return (row["id"] for row in lake.iterate_rows(self.folder / QUESTIONS, ("id",)))

    def clear(self) -> None:
        """Remove what the result holds too; segments stay, they are the record."""
        for number in range(self.count):
            (self[number] / "attempts.parquet").unlink(missing_ok=True)
            if self.count > 1:  # of a process that came while another one finished the shard
                self.questions(number).unlink(missing_ok=True)


def begin(
    folder: epath.Path, config: Mapping[str, Any], inputs: Mapping[str, str], questions: int, workers: int, shards: int
) -> Shards:
    """Note what is asked for, or check that the attempts already here answer the same.

    Args:
        folder: of the run.
        config, inputs: what the attempts depend on.
        questions: how many there are.
        workers: among how many the shards are shared out.
        shards: how many there are to be; 0: as many as needed. A run that has begun keeps its number.

    Raises:
        UserError: the folder was begun with other settings.
        TryAgain: another process begins it with other settings at this moment.
    """
    path = folder / WORK
    asked = {"config": dict(config), "inputs": dict(inputs)}
    if path.exists():
        held = storage.read_json(path)
        changed = manifests.changes({key: held.get(key) for key in asked}, asked)
        if not changed:
            return Shards(folder, held["shards"], storage.fingerprint(asked))
        if Shards(folder, held["shards"], "").hold_attempts():
            raise UserError(
                f"{folder} was begun with other settings ({', '.join(changed[:2])}); "
                "remove it or choose another --output"
            )
        for shard in (folder / "shards").glob("*"):
            with owned(shard):
                shard.rmtree()
        (folder / QUESTIONS).unlink(missing_ok=True)  # they may be others now
    count = shards or max(workers, -(-questions // QUESTIONS_EACH))
    storage.write_json(path, {**asked, "shards": count})
    return Shards(folder, count, storage.fingerprint(asked))


def carry(source: epath.Path, target: epath.Path) -> None:
    """Carry a file on into another folder: a hard link where possible, else a copy.

    Raises:
        TryAgain: the disk is full.
    """
    if storage.in_bucket(target) or storage.in_bucket(source):
        source.copy(target, overwrite=True)
        return
    final = Path(target)
    partial = storage.partial_of(final)
    try:
        partial.unlink(missing_ok=True)
        try:
            os.link(source, partial)
        except OSError:
            shutil.copyfile(source, partial)
        partial.replace(final)
        partial.unlink(missing_ok=True)  # replacing a hard link by itself does nothing, and leaves it
    except OSError as error:
        raise explain_os_error(error, target) from error
