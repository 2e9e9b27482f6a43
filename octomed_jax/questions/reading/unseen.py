"""Characters of a text that nobody sees: control characters, and those that turn the order of letters on a page.

A model that learns from a text reads all of them; a person who looks at the text sees something else.
"""

import re
from collections.abc import Mapping
from typing import Any

from octomed_jax.verification.rows import RowError

# Embeddings, overrides and isolates of text that runs both ways (Unicode Annex 9). Texts in Hebrew or Arabic need none
# of them to be shown rightly, and the plain marks of direction (U+200E, U+200F) stay.
TURNING = "\u202a-\u202e\u2066-\u2069"
_APART = re.compile(r"[\x0b\x0c\x1c-\x1f]")  # they stand between words or lines
_UNSEEN = re.compile(rf"[\x01-\x08\x0e-\x1b\x7f{TURNING}]")  # of the first 32, tab and line ends stay


def without_unseen(value: Any, where: str, column: str) -> tuple[Any, int]:
    """Return a text, or a list or mapping of texts, without what nobody sees in them, and how much that was.

    Vertical tab, form feed and separators become a blank. Other values are returned as they are.

    Args:
        value: of a cell.
        where: names the row in an error.
        column: the cell.

    Raises:
        RowError: a NUL, which no text has: the row is cut, or is none.
    """
    if isinstance(value, str):
        if "\0" in value:
            raise RowError(f"{where}: {column} holds a NUL, which no text has; mend it", column)
        text, blanks = _APART.subn(" ", value)
        text, taken = _UNSEEN.subn("", text)
        return text, blanks + taken
    if isinstance(value, Mapping):
        texts = [without_unseen(one, where, column) if isinstance(one, str) else (one, 0) for one in value.values()]
        return dict(zip(value, (one for one, _ in texts), strict=True)), sum(count for _, count in texts)
    if isinstance(value, list | tuple):
        texts = [without_unseen(one, where, column) if isinstance(one, str) else (one, 0) for one in value]
        return [one for one, _ in texts], sum(count for _, count in texts)
    return value, 0
