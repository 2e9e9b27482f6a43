"""The older published form of a row of OctoMed's schema: ``conversations``, turns as ``reading.turns`` has them.

Here they are one question with its options, and not a talk to learn from: the question is the turn of ``human``. The
gold answer is never taken from a response: a turn of ``gpt`` counts as gold only where it is an answer and nothing
else.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from octomed_jax.prompts import LETTERS, SUFFIXES
from octomed_jax.questions.reading.turns import PLACEHOLDER, turns_of
from octomed_jax.verification.rows import RowError

GOLD_CHARACTERS = 100  # longer than this, a turn is a response
_WORKED = re.compile(r"[\n]|</?think|</?answer|\\boxed", re.IGNORECASE)
_OPTION = re.compile(r"^\s*[(\[]?([A-Z])[)\].:]\s*\S")


def from_conversations(row: Mapping[str, Any], where: str, images: int) -> dict[str, Any]:
    """Return a row with ``question``, and ``options`` and ``answer`` where the turns hold them.

    Args:
        row: has ``conversations``; its own ``options`` and ``answer`` come before those of the turns.
        where: names the row in an error.
        images: how many images the row has.

    Raises:
        RowError: the turns are not one question with at most one reply, or hold no gold answer.
    """
    asked, reply = _turns(row["conversations"], where)
    text, options = _split_options(_without_placeholders(asked, images, where))
    if row.get("options") is not None:
        text, options = _without_suffix(_without_placeholders(asked, images, where)), row["options"]
    answer = row.get("answer")
    if answer is None:
        answer = reply.strip()
        if not _is_gold(answer):
            found = "a response" if answer else "missing"
            raise RowError(
                f"{where}: conversations hold no gold answer (the turn of gpt is {found}); add the column answer",
                "conversations",
            )
    return {**row, "question": text, "options": options or None, "answer": answer}


def reply_of(row: Mapping[str, Any]) -> str:
    """Return the turn of ``gpt`` where it is a response; empty where there is none, or it is the gold."""
    reply = _turns(row["conversations"], "")[1].strip() if row.get("conversations") is not None else ""
    return "" if _is_gold(reply) else reply


def _is_gold(reply: str) -> bool:
    """Return whether a turn of ``gpt`` is an answer and nothing else."""
    return 0 < len(reply) <= GOLD_CHARACTERS and not _WORKED.search(reply)


def _turns(value: Any, where: str) -> tuple[str, str]:
    """Return the text of ``human`` and that of ``gpt``, which may be missing."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            value = None
    try:
        turns = turns_of(value, "conversations")
    except RowError as error:
        raise RowError(f"{where}: {error}", error.column) from error
    speakers = [who for who, _ in turns]
    if speakers not in (["human"], ["human", "gpt"]):
        said = ", ".join(speakers[:6]) or "nobody"
        raise RowError(
            f"{where}: conversations of {said} cannot be read; one turn of human and one of gpt can", "conversations"
        )
    return turns[0][1], turns[1][1] if len(turns) > 1 else ""


def _without_placeholders(text: str, images: int, where: str) -> str:
    """Return a text without the marks of its images, which must stand before or after it: images come first here."""
    marks = text.count(PLACEHOLDER)
    bare = text.strip()
    while bare.startswith(PLACEHOLDER):
        bare = bare.removeprefix(PLACEHOLDER).lstrip()
    while bare.endswith(PLACEHOLDER):
        bare = bare.removesuffix(PLACEHOLDER).rstrip()
    if marks and (marks != images or PLACEHOLDER in bare):
        problem = f"{marks} {PLACEHOLDER} but {images} images" if marks != images else f"{PLACEHOLDER} within the text"
        raise RowError(f"{where}: conversations have {problem}; give question and image as columns", "conversations")
    return bare


def _without_suffix(text: str) -> str:
    """Return a question without the instruction that the prompt adds again."""
    for suffix in SUFFIXES.values():
        text = text.removesuffix(suffix).rstrip()
    return text


def _split_options(text: str) -> tuple[str, list[str]]:
    """Return a question and the lettered options that are its last lines, A first; none where it does not end so."""
    lines = _without_suffix(text).split("\n")
    first = len(lines)
    while first and _OPTION.match(lines[first - 1]):
        first -= 1
    options = lines[first:]
    letters = [match[1] for line in options if (match := _OPTION.match(line))]
    if not first or not 2 <= len(options) <= len(LETTERS) or letters != list(LETTERS[: len(options)]):
        return _without_suffix(text), []
    return "\n".join(lines[:first]).rstrip(), options
