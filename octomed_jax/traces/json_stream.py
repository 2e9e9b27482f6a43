"""A JSON file of many rows, a list or an object of them, read a row at a time: some have gigabytes."""

import codecs
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import ijson
from ijson.common import ObjectBuilder

from octomed_jax.errors import UserError

ROW_BYTES = 256 * 2**20  # of one row
BEGINS, ENDS = ("start_map", "start_array"), ("end_map", "end_array")
MOST_DEPTH = 500  # of lists and objects within each other; rows have some three


def json_rows(path: Path) -> Iterator[tuple[str, Any, int]]:
    """Yield the values of the list or object that a file is: its key, empty in a list, the value, and the place after.

    Raises:
        UserError: the file is no JSON, a row is too large, or nests without end.
    """
    with path.open("rb") as file:
        if file.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:
            file.seek(0)
        limited = _LimitedFile(file, path)
        try:
            for key, value in _values(limited, path):
                limited.since = 0
                yield key, value, file.tell()
        except (ijson.JSONError, UnicodeDecodeError) as error:
            raise UserError(f"{path} is no JSON ({str(error).splitlines()[0]}); mend it") from error


def _values(file: "_LimitedFile", path: Path) -> Iterator[tuple[str, Any]]:
    # ijson's own iterators of items remember the whole way to a value: of a deep file, that is memory without end.
    depth, key, builder = 0, "", ObjectBuilder()
    for event, value in ijson.basic_parse(file, use_float=True):
        begins, ends = event in BEGINS, event in ENDS
        depth -= ends
        if depth == 1 and event == "map_key":
            key = value
        elif depth >= 1:
            builder.event(event, value)
            if depth == 1 and not begins:  # a value of the outermost is whole
                yield key, builder.value
                builder = ObjectBuilder()
        depth += begins
        if depth > MOST_DEPTH:
            raise UserError(f"{path} holds lists within lists without end; mend it")


class _LimitedFile:
    """A file of which only so much is read for one row; without it, a row could be as large as the file."""

    def __init__(self, file: BinaryIO, path: Path):
        self.since = 0
        self._file, self._path = file, path

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        if self.since > ROW_BYTES:
            raise UserError(f"{self._path} is JSON with a row of over {ROW_BYTES} bytes; write it as .jsonl")
        data = self._file.read(size)
        self.since += len(data)
        return data
