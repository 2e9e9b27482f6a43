"""Rows of the tables between the stages: one found by its key, or many handed out in the order of the key.

A row is found by the statistics of the row groups, so that of a large table a few thousand keys are read, and of the
columns that hold images nothing at all.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from etils import epath

from octomed_jax.errors import StopAndLook


class Row(NamedTuple):
    """A row of a table: the file, its number there (0 is the first), and what it holds."""

    path: epath.Path
    number: int
    fields: dict[str, Any]


@contextlib.contextmanager
def open_table(path: epath.Path) -> Iterator[pq.ParquetFile]:
    """Yield a Parquet file.

    Raises:
        StopAndLook: it is missing, damaged, or lacks a column that the block reads.
    """
    try:
        with path.open("rb") as source, pq.ParquetFile(source) as file:
            yield file
    except FileNotFoundError as error:
        raise StopAndLook(f"{path} is missing") from error
    except (pa.ArrowException, OSError, KeyError) as error:
        raise StopAndLook(f"{path} is damaged ({str(error).splitlines()[0][:120]})") from error


def parts(folder: epath.Path) -> list[epath.Path]:
    """Return ``part-00000.parquet`` and so on."""
    return sorted(folder.glob("part-*.parquet"))


def without_images(path: epath.Path) -> list[str]:
    """Return the columns of a table but for the bytes of its images."""
    with open_table(path) as file:
        return [name for name in file.schema_arrow.names if name != "image"]


def find_rows(paths: Sequence[epath.Path], key: str, value: str, columns: Sequence[str] | None = None) -> list[Row]:
    """Return the rows with a key.

    Args:
        paths: of the tables; they need not be sorted.
        key: name of the column.
        value: of the key.
        columns: that are read; None: all but the images.

    Raises:
        StopAndLook: a table is missing or damaged.
    """
    found = []
    for path in paths:
        with open_table(path) as file:
            wanted = list(columns or (name for name in file.schema_arrow.names if name != "image"))
            first = 0
            for group in range(file.num_row_groups):
                if _may_hold(file.metadata.row_group(group), key, value):
                    keys = file.read_row_group(group, columns=[key])[key]
                    numbers = np.flatnonzero(pc.equal(keys, value).to_numpy())
                    if len(numbers):
                        rows = file.read_row_group(group, columns=wanted).take(pa.array(numbers)).to_pylist()
                        pairs = zip(numbers.tolist(), rows, strict=True)
                        found += [Row(path, first + number, row) for number, row in pairs]
                first += file.metadata.row_group(group).num_rows
    return found


def _may_hold(group: pq.RowGroupMetaData, key: str, value: str) -> bool:
    for number in range(group.num_columns):
        column = group.column(number)
        if column.path_in_schema == key:
            known = column.statistics
            return known is None or not known.has_min_max or known.min <= value <= known.max
    return True


class Sorted:
    """The rows of tables that are sorted by a key, handed out up to a key; a row group of each is in memory."""

    def __init__(self, paths: Sequence[epath.Path], key: str, columns: Sequence[str] | None = None):
        self._key = key
        self._groups = self._read(paths, columns)
        self._held: pa.Table | None = next(self._groups, None)

    def _read(self, paths: Sequence[epath.Path], columns: Sequence[str] | None) -> Iterator[pa.Table]:
        for path in paths:
            with open_table(path) as file:
                wanted = list(columns or (name for name in file.schema_arrow.names if name != "image"))
                if file.num_row_groups == 0:
                    yield file.schema_arrow.empty_table().select(wanted)
                for group in range(file.num_row_groups):
                    yield file.read_row_group(group, columns=wanted).select(wanted)

    def up_to(self, last: str | None) -> pa.Table:
        """Return the rows not handed out yet whose key is at most ``last``; None: all that are left."""
        taken = []
        while self._held is not None:
            keys = self._held[self._key]
            count = self._held.num_rows
            if last is not None and count:
                count = pc.sum(pc.less_equal(keys, last)).as_py()
            taken.append(self._held.slice(0, count))
            rest = self._held.slice(count)
            if rest.num_rows:
                self._held = rest
                break
            # The schema is kept: there is always a table to hand out.
            after = next(self._groups, None)
            if after is None:
                self._held = rest
                break
            self._held = after
        return pa.concat_tables(taken).combine_chunks() if taken else pa.table({self._key: pa.array([], pa.string())})


def tables(path: epath.Path, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """Yield a table, a row group at a time."""
    with open_table(path) as file:
        for group in range(file.num_row_groups):
            yield file.read_row_group(group, columns=list(columns) if columns else None)


def unsorted(keys: pa.ChunkedArray, last: str) -> str | None:
    """Return the first key that is not greater than the one before it, ``last`` standing before them all."""
    if not len(keys):
        return None
    before = pa.concat_arrays([pa.array([last], pa.string()), *keys.slice(0, len(keys) - 1).cast(pa.string()).chunks])
    wrong = np.flatnonzero(~pc.greater(keys.combine_chunks(), before).to_numpy(zero_copy_only=False))
    return keys[int(wrong[0])].as_py() if len(wrong) else None
