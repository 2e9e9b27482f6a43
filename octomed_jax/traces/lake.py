"""The Parquet files between the stages: questions, attempts, verdicts, traces. Read and written a row group at a time.

One set of writer settings everywhere, so that equal rows give equal bytes whoever writes them.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from etils import epath

from octomed_jax.errors import StopAndLook, UserError
from octomed_jax.schema import QUESTION_SCHEMA, Question, question_from_row, question_to_row
from octomed_jax.storage import PathLike, whole_file

ROW_GROUP = 500  # rows; with images of 8 KB to 1 MB this keeps a row group between 4 MB and 500 MB
PYTHON_ROWS = 64  # that are Python's own at once: beside their row group they take as much room again
GROUP_BYTES = 64 * 2**20  # of images in a row group, where a writer is told them: what it and readers hold in memory


def write_rows(path: PathLike, rows: Iterable[Mapping[str, Any]], schema: pa.Schema, row_group: int = ROW_GROUP) -> int:
    """Write rows (mappings with the schema's names) to a Parquet file, whole or not at all; return how many.

    Holds at most one row group in memory. The bytes depend on the rows and the version of pyarrow only.

    Raises:
        TryAgain: the disk is full.
        UserError: the folder cannot be written.
    """
    with open_writer(path, schema, row_group) as writer:
        for row in rows:
            writer.write(row)
    return writer.count


class RowWriter:
    """Takes rows one by one and writes them a row group at a time; made by ``open_writer``."""

    def __init__(self, writer: pq.ParquetWriter, row_group: int):
        self.count = 0
        self._images = 0
        self._writer, self._row_group, self._rows = writer, row_group, list[Mapping[str, Any]]()

    def write(self, row: Mapping[str, Any], images: int = 0) -> None:
        """Add a row; where the bytes of its images are given, a row group holds about GROUP_BYTES of them at most."""
        self._rows.append(row)
        self.count += 1
        self._images += images
        if len(self._rows) == self._row_group:
            self.flush()
        if self._images >= GROUP_BYTES:
            self.flush()
            self._images = 0

    def flush(self) -> None:
        """Write the rows held as a row group."""
        if self._rows:
            table = pa.Table.from_pylist(self._rows, schema=self._writer.schema)
            self._writer.write_table(table, row_group_size=self._row_group)
            self._rows.clear()


@contextlib.contextmanager
def open_writer(path: PathLike, schema: pa.Schema, row_group: int = ROW_GROUP) -> Iterator[RowWriter]:
    """Yield a writer of rows; the file appears when the block ends without an error. Errors as ``write_rows``."""
    with open_table_writer(path, schema) as parquet:
        writer = RowWriter(parquet, row_group)
        yield writer
        writer.flush()


def write_table(path: PathLike, table: pa.Table, row_group: int = ROW_GROUP) -> None:
    """Write a table with the same settings as ``write_rows``, whole or not at all."""
    with open_table_writer(path, table.schema) as writer:
        writer.write_table(table.combine_chunks(), row_group_size=row_group)


@contextlib.contextmanager
def open_table_writer(path: PathLike, schema: pa.Schema, brief: bool = False) -> Iterator[pq.ParquetWriter]:
    """Yield a writer of tables; the file appears when the block ends without an error. Errors as ``write_rows``.

    Args:
        brief: the file is soon read again and removed, so that time is dearer than room.
    """
    how: dict[str, Any] = {"compression": "lz4"} if brief else {"compression": "zstd", "compression_level": 3}
    with whole_file(path) as file, pq.ParquetWriter(file, schema, write_statistics=True, **how) as writer:
        yield writer


def row_groups(tables: Iterable[pa.Table], rows: int = ROW_GROUP, image_bytes: int = GROUP_BYTES) -> Iterator[pa.Table]:
    """Yield rows of QUESTION_SCHEMA again in the tables that are to be row groups, whatever they came in.

    Each has so many rows, or fewer whose images come to so many bytes.
    """
    held: list[pa.Table] = []
    count = size = 0
    for table in tables:
        sizes = _image_bytes(table)
        first = 0
        for row, of_images in enumerate(sizes.tolist(), 1):
            count, size = count + 1, size + of_images
            if count == rows or size >= image_bytes:
                yield pa.concat_tables([*held, table.slice(first, row - first)]).combine_chunks()
                held, first, count, size = [], row, 0, 0
        held.append(table.slice(first))
    if count:
        yield pa.concat_tables(held).combine_chunks()


def _image_bytes(table: pa.Table) -> "np.ndarray":
    """Return how many bytes the images of each row have."""
    images = table["image"].combine_chunks()
    sizes = np.zeros(table.num_rows, dtype=np.int64)
    lengths = pc.fill_null(pc.binary_length(pc.struct_field(pc.list_flatten(images), "bytes")), 0)
    np.add.at(sizes, pc.list_parent_indices(images).to_numpy(), lengths.to_numpy())
    return sizes


def iterate_rows(
    path: PathLike, columns: Sequence[str] | None = None, first: int = 0, last: int | None = None
) -> Iterator[dict[str, Any]]:
    """Yield the rows of a Parquet file, one row group in memory at a time.

    Args:
        path: of the file.
        columns: what is read of them; None: all.
        first, last: of the rows; None: up to the end. Row groups of others are not read.

    Raises:
        UserError: no such file, or a column is missing.
        StopAndLook: the file is damaged.
    """
    with opened(path) as file:
        missing = [name for name in columns or () if name not in file.schema_arrow.names]
        if missing:
            raise UserError(f"{path} has no column {missing[0]!r}; it has {', '.join(file.schema_arrow.names)}")
        begin = 0
        for index in range(file.num_row_groups):
            rows = file.metadata.row_group(index).num_rows
            start, stop = max(first - begin, 0), rows if last is None else min(last + 1 - begin, rows)
            begin += rows
            if start < stop:
                yield from _rows(file.read_row_group(index, columns=list(columns) if columns else None), start, stop)


def _rows(group: pa.Table, start: int, stop: int) -> Iterator[dict[str, Any]]:
    """Yield rows of a table, few of them at a time as Python's own."""
    for batch in group.slice(start, stop - start).to_batches(max_chunksize=PYTHON_ROWS):
        yield from batch.to_pylist()


@contextlib.contextmanager
def opened(path: PathLike) -> Iterator[pq.ParquetFile]:
    """Yield a Parquet file to be read in the block.

    Raises:
        UserError: no such file.
        StopAndLook: the file is damaged.
    """
    target = epath.Path(path)
    if not target.exists():
        raise UserError(f"no such file: {path}")
    try:
        with target.open("rb") as source, pq.ParquetFile(source) as file:
            yield file
    except (pa.ArrowInvalid, OSError) as error:  # OSError: compressed data that is none
        raise StopAndLook(
            f"{path} is damaged ({str(error).splitlines()[0][:120]}); remove its folder and make it again"
        ) from error


def iterate_parts(folder: PathLike, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
    """Yield the rows of ``part-00000.parquet``, ``part-00001.parquet`` and so on, as ``iterate_rows``.

    Raises:
        UserError: there is none.
    """
    paths = sorted(epath.Path(folder).glob("part-*.parquet"))
    if not paths:
        raise UserError(f"no part-*.parquet in {folder}; make it again")
    for path in paths:
        yield from iterate_rows(path, columns)


def read_table(path: PathLike) -> pa.Table:
    """Read a whole Parquet file.

    Raises:
        StopAndLook: the file is damaged.
    """
    try:
        with epath.Path(path).open("rb") as source:
            return pq.read_table(source)
    except (pa.ArrowInvalid, OSError) as error:
        raise StopAndLook(f"{path} is damaged ({str(error).splitlines()[0][:120]}); remove it and run again") from error


def count_rows(path: PathLike) -> int:
    """Return the number of rows of a Parquet file without reading them."""
    with epath.Path(path).open("rb") as source, pq.ParquetFile(source) as file:
        return file.metadata.num_rows


def write_questions(path: PathLike, questions: Iterable[Question]) -> int:
    """Write questions to a Parquet file in the order given; return how many."""
    return write_rows(path, (question_to_row(question) for question in questions), QUESTION_SCHEMA)


def iterate_questions(path: PathLike) -> Iterator[Question]:
    """Yield the questions of a file of QUESTION_SCHEMA, with their images."""
    return (question_from_row(row) for row in iterate_rows(path))
