"""Talks in the forms in which instruction sets publish them: turns of a person and of a model, one after the other.

For adapters of sets whose replies are texts to learn from: each pair of turns is a question with its reference text.
``reading.conversations`` reads the same turns as a row of OctoMed's schema: one question, whose reply is no gold.
"""

from collections.abc import Mapping
from typing import Any

from octomed_jax.verification.rows import RowError

PLACEHOLDER = "<image>"
PERSON, MODEL = ("human", "user"), ("gpt", "assistant")


def exchanges(talk: Any, images: int, column: str) -> list[tuple[str, str]]:
    """Return what the person said and what the model replied, for each pair of turns.

    Marks of images are taken out where they begin or end a turn, since images come before the text; within a text
    they say which image they are.

    Args:
        talk: a list of turns with ``from`` and ``value``, or with ``role`` and ``content``.
        images: how many the row has.
        column: its name, for errors.

    Raises:
        RowError: it is none, turns do not alternate, one is empty, or there are more marks than images.
    """
    turns = turns_of(talk, column)
    if turns and turns[0][0] == "system":
        turns = turns[1:]
    speakers = [PERSON if who in PERSON else MODEL if who in MODEL else who for who, _ in turns]
    if not turns or len(turns) % 2 or speakers != [PERSON, MODEL] * (len(turns) // 2):
        said = ", ".join(who for who, _ in turns[:6]) or "nobody"
        raise RowError(f"{column} of {said}: a person and a model must speak in turn", column)
    found, seen = [], 0
    for (_, asked), (_, reply) in zip(turns[::2], turns[1::2], strict=True):
        text, marks = without_marks(asked, seen)
        seen += marks
        if not text or not reply.strip():
            raise RowError(f"{column} has an empty turn", column)
        if PLACEHOLDER in reply:
            raise RowError(f"{column} has {PLACEHOLDER} in a reply", column)
        found.append((text, reply.strip()))
    if seen > images:
        raise RowError(f"{column} has {seen} {PLACEHOLDER}, but the row {images} images", column)
    return found


def turns_of(talk: Any, column: str) -> list[tuple[str, str]]:
    """Return who speaks, in lower case, and what is said, for each turn; errors as ``exchanges``."""
    if not isinstance(talk, list | tuple) or not all(isinstance(turn, Mapping) for turn in talk):
        raise RowError(f"{column} is no list of turns", column)
    return [_turn(turn, column) for turn in talk]


def _turn(turn: Mapping[str, Any], column: str) -> tuple[str, str]:
    who, text = turn.get("from", turn.get("role")), turn.get("value", turn.get("content"))
    if not isinstance(who, str) or not isinstance(text, str):
        raise RowError(f"{column} has a turn without a speaker or a text", column)
    return who.lower(), text


def without_marks(text: str, before: int = 0) -> tuple[str, int]:
    """Return a text without the marks of images at its ends, and how many marks it had.

    Args:
        text: with marks.
        before: how many marks stood before it; a mark within the text is spelt as the number of its image.
    """
    parts = text.split(PLACEHOLDER)
    first, last = 0, len(parts) - 1
    while first < last and not parts[first].strip():
        first += 1
    while last > first and not parts[last].strip():
        last -= 1
    words = parts[first]
    for number in range(first + 1, last + 1):
        words += f"(image {before + number}){parts[number]}"
    return words.strip(), len(parts) - 1
