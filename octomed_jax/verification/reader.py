"""What reads the answers of one question, and what a search for one comes back with."""

import dataclasses
from typing import Protocol

from octomed_jax.verification.candidates import Candidate
from octomed_jax.verification.text import Reading


class Reader(Protocol):
    """What reads the answers of one question.

    Attributes:
        joins: neighbouring boxes are parts of one answer (several labels), not rivals.
        emphasis: bold and bracketed text, or a line of its own, may be the answer (not where any text can be read as
            one).
        closed: the answer is one of a few names.
    """

    joins: bool
    emphasis: bool
    closed: bool

    def prepared(self, answer: str, foreign: bool) -> str:
        """Return the answer part as it is searched, every character in its place; ``foreign``: not in English."""

    def read(self, text: str) -> Reading:
        """Read a text that is meant as the answer."""

    def read_bare(self, text: str) -> Reading:
        """Read a text that must be the answer and nothing else."""

    def read_freely(self, text: str) -> Reading:
        """Read free text that may only mention an answer."""


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """What was read, and from where; ``place`` is None where nothing of the answer could be used."""

    reading: Reading
    place: Candidate | None = None
