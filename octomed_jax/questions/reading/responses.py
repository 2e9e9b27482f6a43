"""The responses that a row was published with, in the forms in which rows hold them: a teacher's words, never gold."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from octomed_jax.errors import UserError
from octomed_jax.questions.reading.conversations import reply_of
from octomed_jax.verification.rows import responses_of

MOST_RESPONSES = 10_000  # of one row
# How a response ended, where the set does not say it. "stop" would be a guess: whether it was cut is read in its text.
UNKNOWN = "unknown"


@dataclasses.dataclass(frozen=True)
class Responses:
    """Responses to a question that stood in one row.

    Attributes:
        texts: each with how it ended, ``unknown`` where that is not known.
        option_order: how the options were shown, as in ``Attempt``; empty: as they are.
    """

    texts: tuple[tuple[str, str], ...]
    option_order: tuple[int, ...] = ()


def read_responses(cells: Mapping[str, Any], where: str, option_order: tuple[int, ...]) -> Responses:
    """Return the responses of a row; there may be none.

    Args:
        cells: ``responses``, a list of texts or JSON of one; ``finish_reason``, how each of them ended or how all did;
            or the older ``conversations``, whose turn of ``gpt`` is a response where it is not the gold.
        where: names the row in an error.
        option_order: how the options were shown.

    Raises:
        UserError: they are no texts. That ends the build: a row is not left out for it, so that the questions do not
            depend on whether responses are asked for.
    """
    given = {name: _listed(cells.get(name)) for name in ("responses", "finish_reason")}
    if given["responses"] is None:
        reply = reply_of(cells) if cells.get("question") is None else ""
        given["responses"] = [reply] if reply else []
    try:
        pairs = responses_of(given, where)
    except UserError as error:
        raise UserError(f"{error}; give a list of texts, or leave out --attempts") from error
    if len(pairs) > MOST_RESPONSES:
        raise UserError(f"{where} has {len(pairs)} responses, over the limit of {MOST_RESPONSES}; leave some out")
    try:
        "".join(text + end for text, end in pairs).encode()
    except UnicodeEncodeError as error:
        half = error.object[error.start]
        raise UserError(f"{where}: responses hold {half!r}, half a character, which UTF-8 cannot spell") from error
    as_they_are = option_order == tuple(range(len(option_order)))
    return Responses(tuple((text, end or UNKNOWN) for text, end in pairs), () if as_they_are else option_order)


def _listed(value: Any) -> Any:
    """Return a cell, a list where it is JSON of one (as CSV has it), None where it is empty."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return None if value == "" or (isinstance(value, float) and value != value) else value
