"""Forms in which published sets write their options, their gold and the places of images in a text."""

import ast
import re
from collections.abc import Mapping, Sequence
from typing import Any

from octomed_jax.prompts import LETTERS
from octomed_jax.questions.adapter import Cells
from octomed_jax.verification.rows import RowError
from octomed_jax.verification.text import plain_name

LIST_CHARACTERS = 100_000  # of a list in a text; the longest that is published has a few thousand
_MARK = re.compile(r"<\s*image[ _]?([0-9]{1,3})\s*>", re.IGNORECASE)


def lettered(row: Mapping[str, Any], columns: Mapping[str, str]) -> dict[str, str]:
    """Return letter to option of a row that has a column for each.

    An option that is missing or blank is left out, and the others keep their letters; where the text repeats its
    letter (" A:Asthma ") it is taken off.
    """
    found = {}
    for letter, column in columns.items():
        text = str(row[column]).strip() if row.get(column) is not None else ""
        text = re.sub(rf"^{letter}\s*:\s*", "", text)
        if text:
            found[letter] = text
    return found


def by_letter(texts: Sequence[str]) -> dict[str, str]:
    """Return letter to option of a list."""
    return dict(zip(LETTERS, texts, strict=False))


def at_letter(options: Mapping[str, str], letter: Any, column: str) -> str:
    """Return the option of a gold letter, which stands in a column.

    Raises:
        RowError: no option has it.
    """
    bare = str(letter).strip().upper()
    if bare not in options:
        raise RowError(
            f"{column} is {str(letter)[:40]!r}, but the options have the letters {', '.join(options)}", column
        )
    return options[bare]


def agreed(options: Mapping[str, str], letter: Any, text: str, columns: tuple[str, str]) -> str:
    """Return the option that a gold letter and a gold text name, which stand in two columns.

    Raises:
        RowError: they name two.
    """
    gold = at_letter(options, letter, columns[0])
    if plain_name(gold) != plain_name(text):
        raise RowError(f"{columns[0]} {letter} is {gold[:60]!r}, but {columns[1]} is {text[:60]!r}", columns[1])
    return gold


def list_of_texts(text: str, column: str) -> list[str]:
    """Return the texts of a list that is written as Python writes it: ``"['Asthma', \\"Crohn's\\"]"``.

    Nothing is run: only a list of plain texts is read.

    Raises:
        RowError: it is none.
    """
    if len(text) > LIST_CHARACTERS:
        raise RowError(f"{column} has {len(text)} characters, over the limit of {LIST_CHARACTERS}", column)
    try:
        found = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        found = None
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise RowError(f"{column} {text[:40]!r} is no list of texts", column)
    return found


def marked_images(text: str, count: int, column: str) -> str:
    """Return a text with ``<image 1>`` written ``(image 1)``: images stand before the text, in their order.

    Raises:
        RowError: it names an image that the row, which has ``count``, does not have.
    """

    def mark(match: re.Match[str]) -> str:
        if not 1 <= int(match[1]) <= count:
            raise RowError(f"{match[0]} is named, but the row has {count} images", column)
        return f"(image {int(match[1])})"

    return _MARK.sub(mark, text)


def short_answer(question: str, answer: Any) -> dict[str, Any]:
    """Return the cells of a question with a short answer, which is of the task yes_no where it is one of the two."""
    text = "" if answer is None else str(answer).strip()
    if plain_name(text) in ("yes", "no"):
        return {"question": question.strip(), "task": "yes_no", "answer": plain_name(text)}
    return {"question": question.strip(), "task": "short_answer", "answer": text}


def gold_cells(
    options: Mapping[str, str | None],
    letter: str,
    text: str,
    columns: tuple[str, str] = ("the gold", "the gold's text"),
) -> Cells:
    """Return the cells ``options`` and ``answer`` of options by letter; letters without a text are no options.

    ``columns`` are what errors call the gold's letter and its text.

    Raises:
        RowError: the letter is no option's, or is not the letter of ``text``.
    """
    given = {key: value for key, value in sorted(options.items()) if value is not None}
    return {"options": list(given.values()), "answer": agreed(given, letter, text, columns)}


def nested(data: Mapping[str, Any]) -> Cells:
    """Return the cells of a row of openlifescienceai's mirrors, all of it in a column ``data``; errors as above."""
    gold = gold_cells(data["Options"], data["Correct Option"], data["Correct Answer"])
    return {"question": data["Question"], "task": "mcq", **gold}
