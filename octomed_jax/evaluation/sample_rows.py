"""Reads files of samples: JSON lines, one response a line, and what makes two rows ask the same question."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from octomed_jax.errors import UserError

ENDINGS = (".jsonl", ".ndjson")
# What makes a question the same question. The prompt is made of these and of settings.
CONTENT = ("task", "question", "options", "answer", "aliases", "lower_limit", "upper_limit", "cluster")
_SHOWN_EVERY = 1000  # rows

Row = Mapping[str, Any]


def find_files(given: Sequence[Path]) -> list[Path]:
    """Return the sample files that are named, and those in folders that are.

    A folder is one of samples, or one with a folder ``samples`` in it, as ``octomed eval run`` writes.

    Raises:
        UserError: there is none, it is no file of JSON lines, or one is named twice.
    """
    files: list[Path] = []
    for path in given:
        if path.is_dir():
            folder = path / "samples" if (path / "samples").is_dir() else path
            inside = sorted(file for file in folder.iterdir() if file.suffix in ENDINGS)
            if not inside:
                raise UserError(f"no samples in {folder}; give a folder with .jsonl files, or a file")
            files += inside
        elif not path.is_file():
            raise UserError(f"no such file: {path}; give files of samples, or their folder")
        elif path.suffix not in ENDINGS:
            raise UserError(f"{path} is no .jsonl file; samples are JSON lines, one a response")
        else:
            files.append(path)
    seen: set[Path] = set()
    for file in files:
        if file.resolve() in seen:
            raise UserError(f"{file} is given twice; name it once")
        seen.add(file.resolve())
    return files


def read_rows(
    file: Path, see: Callable[[bytes], None] = lambda _: None, advance: Callable[[int], None] = lambda _: None
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the rows of a file of JSON lines with their line numbers; 1 is the first.

    Args:
        file: the file.
        see: called with every line.
        advance: called now and then with the number of bytes that were read since.

    Raises:
        UserError: a line holds no row, or the file ends in the middle of one.
    """
    read = 0
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            see(line)
            read += len(line)
            if not number % _SHOWN_EVERY:
                advance(read)
                read = 0
            try:
                row = orjson.loads(line)
            except orjson.JSONDecodeError:
                if not line.strip():
                    continue
                row = _read_otherwise(line, file, number)
            if type(row) is not dict:
                raise UserError(f"{file} line {number} is no row but {type(row).__name__}; every line is one sample")
            yield number, row
    advance(read)


def _read_otherwise(line: bytes, file: Path, number: int) -> Any:
    """Read what Python's own writer spells and the fast reader refuses: halves of an emoji, NaN."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        if not line.endswith(b"\n"):
            raise UserError(
                f"{file} line {number} is cut off in the middle; get the file again, or remove that line"
            ) from error
        raise UserError(f"{file} line {number} is no JSON ({error}); every line must be one sample") from error


def key_of(row: Row) -> int:
    """Return a hash of all of a row that belongs to its question; it holds within one run of the program."""
    try:
        return hash(tuple([_even(row.get(name)) for name in CONTENT]))
    except (TypeError, OverflowError):  # a column that holds a table, or a number beyond all
        values = [row.get(name) for name in CONTENT]
        return hash(json.dumps([None if value in ("", []) else value for value in values], sort_keys=True))


def first_difference(row: Row, other: Row) -> str:
    """Return the name of the first of CONTENT in which two rows differ, whose keys do."""
    for name in CONTENT:
        if key_of({name: row.get(name)}) != key_of({name: other.get(name)}):
            return name
    raise AssertionError("two rows whose keys differ are alike")


def _even(value: Any) -> Any:
    """Return a column as something with a hash, so that nothing, null and empty are the same."""
    kind = type(value)
    if kind is str:
        return value or None
    if kind is list:
        return tuple(value) or None
    if kind is int or kind is float:
        return f"number {value:.17g}"  # -1 and -2 have one hash
    return value


def row_at(file: Path, line: int) -> dict[str, Any]:
    """Return the row that stands in a line of a file, which was read before."""
    return next(row for number, row in read_rows(file) if number == line)
