"""Rows of files that people bring, JSON lines or Parquet, read with limits and a few at a time."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from octomed_jax.errors import StopAndLook, UserError

BATCH = 512  # rows in memory at once
LINE_BYTES = 256 * 2**20
LINES, PARQUET = (".jsonl", ".ndjson", ".json"), (".parquet",)


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
        return pq.ParquetFile(source)
    except pa.ArrowInvalid as error:
        raise UserError(f"{source} is no Parquet file ({str(error).splitlines()[0]})") from error


def iterate_batches(file: pq.ParquetFile, source: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Yield some columns of a Parquet file, BATCH rows at a time.

    Raises:
        StopAndLook: the file is damaged.
    """
    try:
        yield from file.iter_batches(batch_size=BATCH, columns=list(columns))
    except (OSError, pa.ArrowException) as error:
        raise StopAndLook(f"{source} is damaged ({str(error).splitlines()[0]}); get it again") from error


def iterate_lines(file: BinaryIO, source: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a file of JSON lines; empty lines are passed over.

    Raises:
        UserError: a line holds no row.
    """
    number = 0
    while line := file.readline(LINE_BYTES):
        number += 1
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            what = "is longer than 256 MiB" if len(line) == LINE_BYTES else f"is no JSON ({error})"
            raise UserError(f"{source} line {number} {what}; every line must be one row") from error
        if not isinstance(row, dict):
            raise UserError(f"{source} line {number} is no row but {type(row).__name__}; every line must be one row")
        yield row
