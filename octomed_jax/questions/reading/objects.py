"""Files that hold one JSON object, such as rows keyed by id."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from octomed_jax.errors import UserError
from octomed_jax.traces.json_stream import first_sign, json_rows

MOST_BYTES = 256 * 2**20  # it is read whole
_BEGINNING = 1024


def read_object(path: Path) -> dict[str, Any]:
    """Return the object that a file holds.

    Raises:
        UserError: it holds none, or is too large.
    """
    if (size := path.stat().st_size) > MOST_BYTES:
        raise UserError(
            f"{path} is one JSON object of {size} bytes, over the limit of {MOST_BYTES}; is it the right file?"
        )
    try:
        held = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is no JSON ({error}); get it again") from error
    if not isinstance(held, dict):
        raise UserError(f"{path} holds no JSON object but {type(held).__name__}; is it the right file?")
    return held


def begins_with(path: Path, *words: str) -> bool:
    """Return whether all words stand in the first bytes of a file; tells published forms of one ending apart."""
    with path.open("rb") as file:
        beginning = file.read(_BEGINNING)
    return all(word.encode() in beginning for word in words)


def is_keyed(path: Path) -> bool:
    """Return whether a file is one JSON object, by its ending and how it begins."""
    return path.suffix.lower() == ".json" and first_sign(path) == b"{"


def keyed_rows(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield id and row of a file that is one JSON object, in their order.

    Raises:
        UserError: it is none, or one of its rows is too large.
    """
    yield from ((key, row) for key, row, _ in json_rows(path))
