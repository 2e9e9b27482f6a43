"""Golds that are published in two forms, which must agree: a letter and a text."""

from collections.abc import Mapping
from typing import Any

from octomed_jax.questions.adapter import Cells
from octomed_jax.verification.rows import RowError


def lettered(options: Mapping[str, str | None], letter: str, text: str) -> Cells:
    """Return the cells ``options`` and ``answer`` of options by letter; letters without a text are no options.

    Raises:
        RowError: the letter is no option's, or is not the letter of ``text``.
    """
    given = {key: value for key, value in sorted(options.items()) if value is not None}
    if letter not in given:
        raise RowError(f"the gold is {letter!r}, but the options are {', '.join(given)}", "answer")
    if given[letter].strip() != text.strip():
        raise RowError(f"option {letter} is {given[letter][:60]!r}, but the gold is {text[:60]!r}", "answer")
    return {"options": list(given.values()), "answer": given[letter]}


def nested(data: Mapping[str, Any]) -> Cells:
    """Return the cells of a row of openlifescienceai's mirrors, all of it in a column ``data``; errors as above."""
    gold = lettered(data["Options"], data["Correct Option"], data["Correct Answer"])
    return {"question": data["Question"], "task": "mcq", **gold}
