"""Sorted attempts of many shards become one sorted table in parts, a few thousand rows in memory at a time.

The bytes depend on the attempts only, not on how they were shared out.
"""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from etils import epath

from octomed_jax.schema import ATTEMPT_SCHEMA
from octomed_jax.traces import lake

PART_ROWS = 200_000  # after which a part ends, with the question at hand
GROUP_ROWS = 4096


class Run:
    """The sorted attempts of one shard, read a row group at a time."""

    def __init__(self, file: Any):
        self._file = pq.ParquetFile(file)
        self._next = 0
        self.held = ATTEMPT_SCHEMA.empty_table()
        self.fill()

    @property
    def ended(self) -> bool:
        """Whether all that is left is held."""
        return self._next == self._file.num_row_groups

    @property
    def last(self) -> str:
        """The last question that is held."""
        return self.held["question_id"][-1].as_py()

    def fill(self) -> None:
        """Hold one row group more, and all until a question is whole."""
        if not self.ended:
            self.held = pa.concat_tables([self.held, self._file.read_row_group(self._next)])
            self._next += 1

    def take(self, before: str | None) -> pa.Table:
        """Return the rows of the questions before one, or all that are held."""
        count = self.held.num_rows
        if before is not None:
            count = pc.sum(pc.less(self.held["question_id"], before)).as_py() or 0
        taken, self.held = self.held.slice(0, count), self.held.slice(count)
        return taken


def merged(runs: Sequence[Run]) -> Iterator[pa.Table]:
    """Yield whole questions of all runs, in order."""
    while any(run.held.num_rows or not run.ended for run in runs):
        for run in runs:
            if not run.held.num_rows:
                run.fill()
        open_runs = [run for run in runs if not run.ended]
        # Whatever stands before the last question held of a run that goes on is complete in all of them.
        bound = min((run.last for run in open_runs), default=None)
        table = pa.concat_tables([run.take(bound) for run in runs])
        if table.num_rows:
            yield table.sort_by([("question_id", "ascending"), ("sample_index", "ascending")]).combine_chunks()
        for run in open_runs:
            if bound is not None and run.last == bound:
                run.fill()


def write_parts(tables: Iterable[pa.Table], folder: epath.Path) -> list[epath.Path]:
    """Write tables of whole questions into ``part-00000.parquet`` and so on; return the paths."""
    with contextlib.ExitStack() as part:
        parts = _Parts(folder, part)
        for table in tables:
            parts.add(table)
        parts.end_part()
        return parts.paths


class _Parts:
    def __init__(self, folder: epath.Path, part: contextlib.ExitStack):
        self.paths: list[epath.Path] = []
        self._folder, self._part = folder, part
        self._writer: pq.ParquetWriter | None = None
        self._rows = 0  # of the part
        self._held = ATTEMPT_SCHEMA.empty_table()

    def add(self, table: pa.Table) -> None:
        """Add whole questions."""
        while table.num_rows:
            room, end = PART_ROWS - self._rows, table.num_rows
            if room <= end:  # the part ends with the question that fills it
                end = pc.sum(pc.less_equal(table["question_id"], table["question_id"][room - 1])).as_py()
            self._write(table.slice(0, end))
            table = table.slice(end)
            if self._rows >= PART_ROWS:
                self.end_part()

    def _write(self, table: pa.Table) -> None:
        if self._writer is None:
            self.paths.append(self._folder / f"part-{len(self.paths):05d}.parquet")
            self._writer = self._part.enter_context(lake.open_table_writer(self.paths[-1], ATTEMPT_SCHEMA))
        self._rows += table.num_rows
        self._held = pa.concat_tables([self._held, table])
        while self._held.num_rows >= GROUP_ROWS:
            self._writer.write_table(self._held.slice(0, GROUP_ROWS).combine_chunks())
            self._held = self._held.slice(GROUP_ROWS)

    def end_part(self) -> None:
        """Write what is held back, and close the part."""
        if self._writer and self._held.num_rows:
            self._writer.write_table(self._held.combine_chunks())
        self._held, self._writer, self._rows = ATTEMPT_SCHEMA.empty_table(), None, 0
        self._part.close()
