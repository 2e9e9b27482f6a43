"""JSON files that hold one object of rows, id to row, read a row at a time: some have gigabytes."""

import codecs
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ijson

from octomed_jax.errors import UserError
from octomed_jax.traces.row_files import LimitedFile


def is_keyed(path: Path) -> bool:
    """Return whether a file is one JSON object, by its ending and how it begins."""
    with path.open("rb") as file:
        return path.suffix.lower() == ".json" and file.read(1024).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")


def keyed_rows(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield id and row of a file that is one JSON object, in their order.

    Raises:
        UserError: it is none, or one of its rows is too large.
    """
    with path.open("rb") as file:
        if file.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:
            file.seek(0)
        limited = LimitedFile(file, path)
        try:
            for key, row in ijson.kvitems(limited, "", use_float=True):
                limited.since = 0
                yield key, row
        except (ijson.JSONError, UnicodeDecodeError) as error:
            raise UserError(f"{path} is no JSON ({str(error).splitlines()[0]}); mend it") from error
