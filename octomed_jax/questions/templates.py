"""Classification sets as questions: several wordings for what a set asks, and all its classes as options.

Which wording a row gets depends on a hash of the key that names it, so that a build is the same each time and the
wordings are spread evenly, whatever part of the set is read.
"""

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any

from octomed_jax.questions.adapter import Cells
from octomed_jax.verification.rows import RowError

# {picture} and {asked} are nouns without an article, such as "fundus photograph" and "diagnosis".
ONE_CLASS = (
    "What {asked} does this {picture} show?",
    "Which {asked} fits this {picture} best?",
    "Which {asked} can be seen in this {picture}?",
    "Going by this {picture}, what is the {asked}?",
    "Classify this {picture} by {asked}.",
    "Look closely at this {picture}. Which {asked} is it?",
)
# Here {asked} is a noun in the plural, such as "findings".
SEVERAL_CLASSES = (
    "Which of these {asked} does this {picture} show?",
    "Which of the following {asked} are present in this {picture}?",
    "Look closely at this {picture}. Which of these {asked} can be seen?",
    "Going by this {picture}, which of these {asked} are present?",
)


def wordings(picture: str, asked: str, templates: Sequence[str] = ONE_CLASS) -> tuple[str, ...]:
    """Return every wording of a question about a kind of picture."""
    return tuple(template.format(picture=picture, asked=asked) for template in templates)


def pick(texts: Sequence[str], key: str) -> str:
    """Return one of some texts, by the hash of a key."""
    return texts[int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") % len(texts)]


@dataclasses.dataclass(frozen=True)
class Classes:
    """What a classification set asks.

    Attributes:
        picture: what its images are, ``dermoscopy image of a skin lesion``.
        asked: what is to be said of them, ``diagnosis``.
        labels: every class, in the order that the set gives them: the options of each question.
        aliases: other names by label, such as the set's own where it does not make a good option.
    """

    picture: str
    asked: str
    labels: tuple[str, ...]
    aliases: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def wordings(self) -> tuple[str, ...]:
        """Return every wording of its question."""
        return wordings(self.picture, self.asked)

    def cells(self, key: str, label: str, image: Any) -> Cells:
        """Return the cells of the question about an image; ``key`` names the row within the set."""
        return {
            "task": "classification",
            "question": pick(self.wordings(), key),
            "options": list(self.labels),
            "answer": label,
            "aliases": list(dict(self.aliases).get(label, ())),
            "image": image,
        }

    def label(self, number: Any, column: str) -> str:
        """Return the label with a number, 0 is the first.

        Raises:
            RowError: there is none; ``column`` held the number.
        """
        return label_at(self.labels, number, column)


def several_cells(
    key: str, picture: str, asked: str, labels: Sequence[str], present: Sequence[str], image: Any
) -> Cells:
    """Return the cells of a question with any number of labels as its answer."""
    return {
        "task": "multi_label",
        "question": pick(wordings(picture, asked, SEVERAL_CLASSES), key),
        "options": list(labels),
        "answer": list(present),
        "image": image,
    }


def label_at(labels: Sequence[str], number: Any, column: str) -> str:
    """Return the label with a number: an integer, or its text as tables have it (``2`` or ``2.0``).

    Raises:
        RowError: there is none; ``column`` held the number.
    """
    try:
        value = float(number)
        place = int(value) if value.is_integer() else -1
    except (TypeError, ValueError, OverflowError):
        place = -1
    if not 0 <= place < len(labels):
        raise RowError(f"{column} {str(number)[:40]!r} is no class from 0 to {len(labels) - 1}", column)
    return labels[place]
