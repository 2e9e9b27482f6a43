"""Foreign text for our own cards."""

import re

_MARKS = re.compile(r"[`*#<>|\[\]]|(?<!\w)_|_(?!\w)")


def plain(text: str) -> str:
    """Return foreign text as one line without Markdown and HTML; an underscore within a word is none."""
    return " ".join(_MARKS.sub(" ", text).split())
