"""Sorted attempts of many shards become one sorted table in parts, a few thousand rows in memory at a time.

The bytes depend on the attempts only, not on how they were shared out.
"""

import contextlib
import itertools
from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from etils import epath

from octomed_jax.schema import ATTEMPT_SCHEMA
from octomed_jax.traces import lake

PART_ROWS = 200_000  # after which a part ends, with the question at hand
GROUP_ROWS = 4096
BLOCK_QUESTIONS = 250


class Sorted:
    """The sorted attempts of one shard, read a row group at a time; open only while it is read."""

    def __init__(self, path: epath.Path):
        self._path = path
        with path.open("rb") as file:
            self._metadata = pq.read_metadata(file)
        self._next = 0
        self._held = ATTEMPT_SCHEMA.empty_table()

    def take(self, before: str | None) -> pa.Table:
        """Return the rows of all questions before one that were not taken yet; without one, all that is left."""
        while self._next < self._metadata.num_row_groups and (before is None or self._last() < before):
            with self._path.open("rb") as file:
                group = pq.ParquetFile(file, metadata=self._metadata).read_row_group(self._next)
            self._held = pa.concat_tables([self._held, group])
            self._next += 1
        count = self._held.num_rows
        if before is not None and count:
            count = pc.sum(pc.less(self._held["question_id"], before)).as_py()
        taken, self._held = self._held.slice(0, count), self._held.slice(count)
        return taken

    def _last(self) -> str:
        return self._held["question_id"][-1].as_py() if self._held.num_rows else ""


def merged(paths: Sequence[epath.Path], question_ids: Iterable[str]) -> Iterator[pa.Table]:
    """Yield the attempts of all files in order, those of some hundred questions at a time.

    Args:
        paths: each sorted by question and sample; a question stands in one of them.
        question_ids: of all questions, sorted.
    """
    files = [Sorted(path) for path in paths]
    for before in [*itertools.islice(question_ids, BLOCK_QUESTIONS, None, BLOCK_QUESTIONS), None]:
        table = pa.concat_tables([file.take(before) for file in files])
        if table.num_rows:
            yield table.sort_by([("question_id", "ascending"), ("sample_index", "ascending")]).combine_chunks()


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
