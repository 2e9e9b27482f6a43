"""Foreign text for our own cards, and for a terminal."""

import re

_MARKS = re.compile(r"[`*#<>|\[\]]|(?<!\w)_|_(?!\w)")


def plain(text: str) -> str:
    """Return foreign text as one line without Markdown and HTML; an underscore within a word is none."""
    return " ".join(_MARKS.sub(" ", text).split())


def printed(text: str) -> str:
    """Return foreign text as a terminal may have it: one line, and what cannot be seen as its escape."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
