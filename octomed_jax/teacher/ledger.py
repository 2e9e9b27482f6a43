"""The record of what was asked and answered in one logical shard of a run: never lost, never twice, never torn.

A group (one request's samples) is appended to a journal as soon as it comes back, so that a killed process loses only
what was in flight. Every 30 seconds what is in the journal is sealed: a Parquet segment that is never changed. The
folder may be a network mount, or a bucket; for a bucket the journal lies on the local disk, and a lost machine loses
what was not yet sealed. What is held is known from the segments alone, and read from them at every start.
"""

import contextlib
import dataclasses
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson
import pyarrow as pa
from etils import epath

from octomed_jax import places, storage
from octomed_jax.errors import StopAndLook
from octomed_jax.os_errors import explain_os_error, making
from octomed_jax.progress import say
from octomed_jax.schema import ATTEMPT_SCHEMA, Attempt
from octomed_jax.teacher.ownership import owned
from octomed_jax.traces import lake

SEAL_SECONDS = 27.0  # at most 30 with what it takes to notice it and to write
SEAL_ROWS = 4096
TABLE_ROWS = 4096
KEYS = ("question_id", "group", "request_hash", "verdict", "error")

Row = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Held:
    """What is known of a group that came back: the hash of its request, and how many of its attempts are correct."""

    hash: str
    correct: int


class Ledger:
    """The attempts of one shard. Use as ``with Ledger(folder) as ledger``; only one process may own it.

    Attributes:
        held: question id to group to what is held of it. Groups that failed for good are there only in the process in
            which they failed: the next one asks again.
    """

    def __init__(self, folder: storage.PathLike, work: str = ""):
        """Begin; ``work`` is the hash of what is asked for, so that no journal of other work is taken up."""
        self.folder = epath.Path(folder)
        self.held: dict[str, dict[int, Held]] = {}
        self._buffer: list[Row] = []
        self._sealed = time.monotonic()
        self._journal = _journal_folder(self.folder, work)
        self._file: int | None = None
        self._next = 0
        self._token = ""
        self._owned = contextlib.ExitStack()

    @property
    def segments(self) -> list[epath.Path]:
        """The sealed segments, oldest first."""
        folder = self.folder / "segments"
        return sorted(folder.glob("segment-*.parquet")) if folder.exists() else []

    def __enter__(self) -> "Ledger":
        self.open()
        return self

    def open(self) -> None:
        """Own the folder, and find out what is held.

        Raises:
            TryAgain: another process owns it, or the disk is full.
            StopAndLook: a segment is damaged.
        """
        with making(self.folder):
            (self.folder / "segments").mkdir(parents=True, exist_ok=True)
            self._journal.mkdir(parents=True, exist_ok=True)
        self._token = self._owned.enter_context(owned(self.folder))
        try:
            self._recover()
        except BaseException:
            self._owned.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Seal what is left, and let others own the folder."""
        try:
            self.seal()
        finally:
            self._close_journal()
            self._owned.close()

    def _recover(self) -> None:
        """Read what is sealed, and seal what killed processes left in their journals."""
        for folder in (self.folder, self.folder / "segments"):
            for torn in folder.glob(".*.partial"):
                torn.unlink()
        sealed = set()
        for path in self.segments:
            sealed.add(_number(path))
            try:
                self._hold(lake.iterate_rows(path, KEYS))
            except StopAndLook as error:
                raise StopAndLook(
                    f"{path} is damaged; what it held is asked again once you have removed that file"
                ) from error
        for path in sorted(self._journal.glob("journal-*.jsonl")):
            if _number(path) not in sealed:  # else the kill came after sealing it
                rows = read_journal(path)
                self._hold(rows)
                self._write(rows, _number(path))
            path.unlink(missing_ok=True)
            sealed.add(_number(path))
        self._next = max(sealed, default=-1) + 1

    def _hold(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Note the groups of one segment; one that is held already came twice, and is not counted again."""
        found: dict[tuple[str, int], Held] = {}
        for row in rows:
            if not row["error"]:
                key = row["question_id"], row["group"]
                correct = found[key].correct if key in found else 0
                found[key] = Held(row["request_hash"], correct + (row["verdict"] == "correct"))
        for (question_id, group), one in found.items():
            self.held.setdefault(question_id, {}).setdefault(group, one)

    def add(self, attempts: Sequence[Attempt]) -> None:
        """Add the attempts of one group; they are sealed together, and from now on nothing but the disk loses them."""
        rows = [vars(attempt) for attempt in attempts]  # asdict copies deeply, at the price of all the rest
        self._append(orjson.dumps(rows) + b"\n")
        self._buffer += rows
        first = attempts[0]
        correct = sum(attempt.verdict == "correct" for attempt in attempts)
        groups = self.held.setdefault(first.question_id, {})
        groups[first.group] = Held(first.request_hash, correct)

    def _append(self, line: bytes) -> None:
        try:
            if self._file is None:
                path = self._journal / f"journal-{self._next:06d}.jsonl"
                self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            while line:
                line = line[os.write(self._file, line) :]
        except OSError as error:
            raise explain_os_error(error, self._journal) from error

    def due(self) -> bool:
        """Return whether what is in the journal is old or large enough to be sealed."""
        old = time.monotonic() - self._sealed >= SEAL_SECONDS
        return len(self._buffer) >= SEAL_ROWS or (old and bool(self._buffer))

    def seal(self) -> None:
        """Write what is in the journal as a new segment."""
        self.begin_seal()()

    def begin_seal(self) -> Callable[[], None]:
        """Begin a new journal; return what seals the old one, which may be called in another thread."""
        rows, number, self._buffer = self._buffer, self._next, []
        self._sealed = time.monotonic()
        if not rows:
            return lambda: None
        self._close_journal()
        self._next += 1
        return lambda: self._write(rows, number)

    def _write(self, rows: Sequence[Row], number: int) -> None:
        """Write a segment; only when it is on the disk does its journal go."""
        path = self.folder / "segments" / f"segment-{number:06d}{self._token}.parquet"
        if rows:
            lake.write_rows(path, rows, ATTEMPT_SCHEMA, row_group=20_000)
            storage.sync(path)
        (self._journal / f"journal-{number:06d}.jsonl").unlink(missing_ok=True)

    def _close_journal(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def tables(self) -> Iterator[pa.Table]:
        """Yield all attempts, sorted by question and sample, each once.

        An attempt that came back stands before one that failed, a later failure before an earlier one. They do not
        depend on the order in which attempts came, nor on how often the work was killed.
        """
        self.seal()
        table = pa.concat_tables([ATTEMPT_SCHEMA.empty_table(), *map(lake.read_table, self.segments)])
        best: dict[tuple[str, int], int] = {}
        errors = table["error"].to_pylist()
        keys = zip(table["question_id"].to_pylist(), table["sample_index"].to_pylist(), strict=True)
        for row, key in enumerate(keys):
            if key not in best or errors[best[key]]:
                best[key] = row
        order = [best[key] for key in sorted(best)]
        for first in range(0, len(order), TABLE_ROWS):  # in pieces: a column of one holds at most 2 GiB of text
            yield table.take(pa.array(order[first : first + TABLE_ROWS], pa.int64()))


def _number(path: epath.Path | Path) -> int:
    return int(path.stem.split("-")[1])


def read_journal(path: Path) -> list[Row]:
    """Return the rows of a journal; a last line that a kill has cut, and all after a damaged one, is left out."""
    rows: list[Row] = []
    for line in path.read_bytes().split(b"\n")[:-1]:  # what follows the last line break was cut
        try:
            rows += json.loads(line)
        except ValueError:
            say(f"{path} is damaged after {len(rows)} attempts; what followed is asked again")
            break
    return rows


def _journal_folder(folder: epath.Path, work: str) -> Path:
    """Return where the journal lies: in the folder itself, or for a bucket in the local cache."""
    if not storage.in_bucket(folder):
        return Path(folder)
    return places.cache_folder() / "journals" / storage.fingerprint([str(folder), work])
