"""Rows of files that people bring: JSON lines, a JSON list, Parquet, CSV; read with limits and a few at a time.

Files of lines may be packed with gzip; the limits are of what they unpack to.
"""

import csv
import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from octomed_jax.errors import StopAndLook, UserError
from octomed_jax.traces.gzip_lines import GzipLines, Lines
from octomed_jax.traces.json_stream import first_sign, json_rows

BATCH = 512  # rows in memory at once
BATCH_BYTES = 64 * 2**20  # rows with images: fewer than BATCH, so that they stay near this
BUFFER_BYTES = 2**20  # what is read of a column at once; without it, all of a row group
LINE_BYTES = 256 * 2**20  # of one row
LINES, PARQUET = (".jsonl", ".ndjson", ".json"), (".parquet",)
TABLES = {".csv": ",", ".tsv": "\t"}
GZIP, PACKED = ".gz", (".jsonl", ".ndjson", *TABLES)  # what may be packed


@dataclasses.dataclass(frozen=True)
class Entry:
    """What stands at one place of a file: a row, or why there is none.

    Attributes:
        number: of the row, or of the line where it begins; 1 is the first.
        row: column to value, None where it cannot be read.
        problem: why it cannot.
        position: how much of the file was read by then, as in ``RowFile.total``.
    """

    number: int
    row: dict[str, Any] | None
    problem: str = ""
    position: int = 0


class RowFile:
    """A file of rows of any kind.

    Attributes:
        path: the file.
        counts: what ``Entry.number`` counts, ``line`` or ``row``.
        total, unit: how long the file is, in ``bytes`` or ``rows``.
        names: its columns, where the file itself says them (Parquet).
    """

    def __init__(self, path: Path):
        """Open a file.

        Raises:
            UserError: there is none, or it is of no known kind.
        """
        ending, self._packed = _ending(path)
        if ending not in (PACKED if self._packed else (*LINES, *PARQUET, *TABLES)):
            raise UserError(
                f"{path} is none of .jsonl, .json, .parquet, .csv, .tsv, .jsonl.gz, .csv.gz, .tsv.gz; "
                "its ending tells what it holds"
            )
        if not path.is_file():
            raise UserError(f"no such file: {path}")
        self.path, self.names = path, tuple[str, ...]()
        self.total, self.unit = path.stat().st_size, "bytes"
        self._list = ending == ".json" and first_sign(path) == b"["
        self.counts = "row" if self._list or ending in PARQUET else "line"
        if ending in PARQUET:
            with open_parquet(path) as file:
                self.names, self.total, self.unit = tuple(file.schema_arrow.names), file.metadata.num_rows, "rows"
            if len(set(self.names)) < len(self.names):
                raise UserError(f"{path} has two columns of one name; rename one")

    def entries(self, columns: Sequence[str]) -> Iterator[Entry]:
        """Yield what stands in the file, one after the other; of Parquet files nothing but ``columns`` is read.

        Raises:
            UserError: the file as a whole cannot be read.
            StopAndLook: it is damaged.
        """
        if self.path.suffix.lower() in PARQUET:
            yield from _parquet_entries(self.path, [name for name in columns if name in self.names])
            return
        if self._list:
            yield from _list_entries(self.path)
            return
        with GzipLines(self.path) if self._packed else self.path.open("rb") as file:
            delimiter = TABLES.get(_ending(self.path)[0])
            yield from _table_entries(file, self.path, delimiter) if delimiter else line_entries(file)


def _ending(path: Path) -> tuple[str, bool]:
    """Return what a file's ending says that it holds, and whether it is packed with gzip."""
    if path.suffix.lower() == GZIP:
        return path.with_suffix("").suffix.lower(), True
    return path.suffix.lower(), False


def kind_of(path: Path) -> tuple[str, ...]:
    """Return LINES or PARQUET, as the file's ending says.

    Raises:
        UserError: it says neither.
    """
    for kind in (LINES, PARQUET):
        if path.suffix.lower() in kind:
            return kind
    raise UserError(f"{path} is neither .jsonl nor .parquet; its ending tells what it holds")


def open_parquet(source: Path) -> pq.ParquetFile:
    """Open a Parquet file.

    Raises:
        UserError: it is none.
    """
    try:
        file = pq.ParquetFile(source, buffer_size=BUFFER_BYTES, page_checksum_verification=True)
        if not file.schema_arrow.names:  # asked for here, where a name that is no UTF-8 is the file's fault
            raise UserError(f"{source} has no columns; give a file with rows")
        return file
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # of the system; a broken footer's has none
            raise
        raise UserError(f"{source} is no Parquet file ({str(error).splitlines()[0]})") from error


def iterate_batches(
    file: pq.ParquetFile, source: Path, columns: Sequence[str], rows: int = BATCH, group: int | None = None
) -> Iterator[pa.RecordBatch]:
    """Yield some columns of a Parquet file, or of one of its row groups, ``rows`` rows at a time.

    Raises:
        StopAndLook: the file is damaged.
    """
    try:
        groups = None if group is None else [group]
        yield from file.iter_batches(batch_size=rows, columns=list(columns), row_groups=groups)
    except (OSError, pa.ArrowException) as error:
        raise StopAndLook(f"{source} is damaged ({str(error).splitlines()[0]}); get it again") from error


def iterate_lines(file: Lines, source: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a file of JSON lines; empty lines are passed over.

    Raises:
        UserError: a line holds no row.
    """
    for entry in line_entries(file):
        if entry.row is None:
            raise UserError(f"{source} line {entry.number} {entry.problem}; every line must be one row")
        yield entry.row


def line_entries(file: Lines) -> Iterator[Entry]:
    """Yield what stands in a file of JSON lines; empty lines are passed over."""
    number = 0
    while line := file.readline(LINE_BYTES):
        number += 1
        piece, too_long = line, False
        while len(piece) == LINE_BYTES and not piece.endswith(b"\n") and (piece := file.readline(LINE_BYTES)):
            too_long = True
        if too_long:
            yield Entry(number, None, "is longer than 256 MiB", file.tell())
        elif line.strip():
            yield _entry(number, line, file.tell())


def _entry(number: int, line: bytes, position: int) -> Entry:
    try:
        return _row_entry(number, json.loads(line), position)
    except (ValueError, RecursionError) as error:
        return Entry(number, None, f"is no JSON ({error})", position)


def _row_entry(number: int, row: object, position: int) -> Entry:
    if isinstance(row, dict):
        return Entry(number, row, "", position)
    return Entry(number, None, f"is no row but {type(row).__name__}", position)


def _list_entries(path: Path) -> Iterator[Entry]:
    for number, (_, row, position) in enumerate(json_rows(path), 1):
        yield _row_entry(number, row, position)


def _parquet_entries(path: Path, columns: Sequence[str]) -> Iterator[Entry]:
    number = 0
    with open_parquet(path) as file:
        for group in range(file.num_row_groups):  # read together, all of them would stay in memory to the end
            at_once = _rows_at_once(file.metadata.row_group(group))
            for batch in iterate_batches(file, path, columns, at_once, group):
                yield from _batch_entries(batch, number)
                number += len(batch)


def _rows_at_once(group: pq.RowGroupMetaData) -> int:
    """Return how many rows of a row group may be in memory at once, by the size that the file names.

    The size of all columns is asked for, not of those that are read: where a damaged file says nonsense of a single
    column, pyarrow ends the process instead of raising.
    """
    return max(1, min(BATCH, BATCH_BYTES * group.num_rows // max(1, group.total_byte_size)))


def _batch_entries(batch: pa.RecordBatch, before: int) -> Iterator[Entry]:
    try:
        rows: list[dict[str, Any] | None] = batch.to_pylist()
    except UnicodeDecodeError:
        rows = [None] if len(batch) == 1 else []
    if len(rows) < len(batch):  # one text among them is no UTF-8: find it
        for place in range(len(batch)):
            yield from _batch_entries(batch.slice(place, 1), before + place)
        return
    for number, row in enumerate(rows, before + 1):
        yield Entry(number, row, "" if row is not None else "holds a text that is no UTF-8", number)


def _table_entries(file: Lines, path: Path, delimiter: str) -> Iterator[Entry]:
    csv.field_size_limit(LINE_BYTES)
    lines = _TextLines(file, path)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise UserError(f"{path}: its first line names no columns ({error}); mend it") from error
    for name in header:
        if name and header.count(name) > 1:
            raise UserError(f"{path} has two columns {name!r}; rename one")
    while True:
        first, lines.since = lines.number + 1, 0
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Entry(first, None, f"cannot be read ({error})", file.tell())
            continue
        if cells and len(cells) != len(header):
            yield Entry(first, None, f"has {len(cells)} cells, but {len(header)} columns have names", file.tell())
        elif cells:
            row = {name: cell for name, cell in zip(header, cells, strict=True) if name}
            yield Entry(first, row, "", file.tell())


class _TextLines:
    """The lines of a file as text, counted; ``since`` is how many bytes of a row were read, which may have many."""

    def __init__(self, file: Lines, path: Path):
        self.number = self.since = 0
        self._file, self._path = file, path

    def __iter__(self) -> "_TextLines":
        return self

    def __next__(self) -> str:
        line = self._file.readline(LINE_BYTES + 1)
        if not line:
            raise StopIteration
        self.number += 1
        self.since += len(line)
        if self.since > LINE_BYTES:
            raise UserError(
                f"{self._path} line {self.number} belongs to a row of over {LINE_BYTES} bytes; close its quote"
            )
        try:
            return line.decode("utf-8-sig" if self.number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise UserError(f"{self._path} line {self.number} is no UTF-8; save the file as UTF-8") from error
