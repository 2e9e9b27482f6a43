"""The record of what was asked and answered: sealed segment files, never changed, and the sorted table at the end.

A segment holds whole groups (one request's samples). Killing a run loses what was not yet sealed, at most
SEAL_SECONDS of work; the next run reads the segments and asks for the rest.
"""

import contextlib
import dataclasses
import fcntl
import json
import os
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from octomed_jax import storage
from octomed_jax.errors import TryAgain, UserError
from octomed_jax.schema import ATTEMPT_SCHEMA, Attempt
from octomed_jax.traces import lake

SEAL_SECONDS = 30.0
SEAL_ROWS = 8192
LOCK = ".lock"
WORK = "work.json"


class Ledger:
    """The attempts of one folder. Use as ``with Ledger(folder) as ledger``; only one process may hold it.

    Attributes:
        held: (question id, group) to request hash, for the groups that came back without an error.
    """

    def __init__(self, folder: storage.PathLike):
        self.folder = Path(folder)
        self.held: dict[tuple[str, int], str] = {}
        self._buffer: list[dict[str, Any]] = []
        self._sealed = time.monotonic()
        self._lock: int | None = None

    @property
    def segments(self) -> list[Path]:
        """The sealed segments, oldest first."""
        return sorted((self.folder / "segments").glob("segment-*.parquet"))

    def __enter__(self) -> "Ledger":
        try:
            (self.folder / "segments").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise storage.explain_os_error(error, self.folder) from error
        self._lock = _take_lock(self.folder / LOCK)
        try:
            for torn in (self.folder / "segments").glob(".*.partial"):
                torn.unlink()
            for path in self.segments:
                for row in lake.iterate_rows(path, ("question_id", "group", "request_hash", "error")):
                    if not row["error"]:
                        self.held[row["question_id"], row["group"]] = row["request_hash"]
        except BaseException:
            self._free()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.seal()
        finally:
            self._free()

    def _free(self) -> None:
        if self._lock is not None:
            with contextlib.suppress(OSError):
                (self.folder / LOCK).unlink()
            os.close(self._lock)
            self._lock = None

    def begin(self, config: Mapping[str, Any], inputs: Mapping[str, str]) -> None:
        """Note what is asked for, or check that the attempts already here answer the same.

        Raises:
            UserError: the folder was begun with other settings.
        """
        path = self.folder / WORK
        work = json.loads(storage.canonical_json({"config": dict(config), "inputs": dict(inputs)}))
        if not path.exists() or not self.segments:
            storage.write_json(path, work)
            return
        old, new = storage.flatten(storage.read_json(path)), storage.flatten(work)
        changed = [
            f"{name}: {old.get(name)!r} -> {new.get(name)!r}"
            for name in sorted(old.keys() | new.keys())
            if old.get(name) != new.get(name)
        ]
        if changed:
            raise UserError(
                f"{self.folder} was begun with other settings ({', '.join(changed[:2])}); "
                "remove it or choose another --output"
            )

    def add(self, attempts: Sequence[Attempt]) -> None:
        """Add the attempts of one group; they are sealed together."""
        self._buffer += [dataclasses.asdict(attempt) for attempt in attempts]
        if attempts and not attempts[0].error:
            self.held[attempts[0].question_id, attempts[0].group] = attempts[0].request_hash
        self.tick()

    def tick(self) -> None:
        """Seal what is held back if it is old or large enough."""
        if len(self._buffer) >= SEAL_ROWS or time.monotonic() - self._sealed >= SEAL_SECONDS:
            self.seal()

    def seal(self) -> None:
        """Write what is held back as a new segment."""
        self._sealed = time.monotonic()
        if self._buffer:
            number = int(self.segments[-1].stem.rpartition("-")[2]) + 1 if self.segments else 0
            lake.write_rows(
                self.folder / "segments" / f"segment-{number:06d}.parquet", self._buffer, ATTEMPT_SCHEMA, 20_000
            )
            self._buffer = []

    def table(self) -> pa.Table:
        """Return all attempts, sorted by question and sample, each once.

        An attempt that came back stands before one that failed, a later failure before an earlier one. The table does
        not depend on the order in which attempts came, nor on how often the work was killed.
        """
        self.seal()
        tables = [lake.read_table(path) for path in self.segments]
        table = pa.concat_tables(tables) if tables else ATTEMPT_SCHEMA.empty_table()
        best: dict[tuple[str, int], int] = {}
        errors = table["error"].to_pylist()
        keys = zip(table["question_id"].to_pylist(), table["sample_index"].to_pylist(), strict=True)
        for row, key in enumerate(keys):
            if key not in best or errors[best[key]]:
                best[key] = row
        return table.take(pa.array([best[key] for key in sorted(best)], pa.int64()))


def _take_lock(path: Path) -> int:
    """Take the folder's lock; the operating system frees it with the process, so a dead one's is taken over.

    Raises:
        TryAgain: another process holds it.
    """
    while True:
        try:
            lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise storage.explain_os_error(error, path) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(lock, 200).decode("utf-8", "replace").strip()
            os.close(lock)
            raise TryAgain(
                f"{path.parent} is in use by {owner or 'another process'}; wait for it or end it first"
            ) from None
        with contextlib.suppress(OSError):
            if path.stat().st_ino == os.fstat(lock).st_ino:  # else: its last owner removed it just now
                os.ftruncate(lock, 0)
                os.write(lock, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
                return lock
        os.close(lock)
