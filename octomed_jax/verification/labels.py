"""Reading short free answers, and sets of labels."""

import re
from collections.abc import Sequence

from octomed_jax.prompts import LETTERS
from octomed_jax.verification.exact import asks_share, equal, exact
from octomed_jax.verification.names import find_names, masked, ruled_out
from octomed_jax.verification.phrases import HEDGE, NEGATION, PLACEHOLDERS
from octomed_jax.verification.text import Reading, american, clean, fold, plain_name
from octomed_jax.verification.words import digits

FREE_CHARACTERS = 120
_REFUSES = re.compile(
    r"(?:it is |answer is )?(?:unknown|unclear|uncertain|undetermined|not sure|not known|n/?a"
    r"|cannot (?:be determined|say|tell)|i (?:do not|don't|cannot|can't) (?:know|tell|say|answer)[^.]{0,60})"
)
_SENTENCE = re.compile(
    r"\b(?:i|i'm|we|you|it|there|this|here|cannot|can't|would|could|need|needs|please|sorry|unable|unknown|unclear|uncertain"
    r"|insufficient|not enough|maybe|perhaps)\b"
)
_ASIDE = re.compile(r"^(.{2,200}?)\s?\(([^()]{1,100})\)$")


def short_name(text: str) -> str:
    """Return the one spelling under which short answers are compared: as ``plain_name``, numbers in digits."""
    return digits(plain_name(text))


class ShortAnswers:
    """Reads short free answers: the text itself, in its one spelling."""

    joins, emphasis, closed = False, False, False

    def __init__(self, golds: Sequence[str], asked: str):
        self._golds = [name for gold in golds if (name := american(short_name(gold)))]
        self._numbers = [number for gold in self._golds if (number := exact(gold))]
        self._share = bool(self._numbers) and asks_share(asked)
        self.unsure = "partly_equal" if self._golds else "broken_gold"

    def prepared(self, answer: str, foreign: bool) -> str:  # noqa: ARG002
        """Return the answer part as it is."""
        return answer

    def read(self, text: str) -> Reading:
        """Read a text that is meant as a short answer."""
        name = short_name(text)
        if _REFUSES.fullmatch(name) and american(name) not in self._golds:
            return Reading(None, "undecided")
        match = _ASIDE.match(name)
        if match and {american(match[1]), american(match[2])} <= set(self._golds):
            name = match[1]  # "myocardial infarction (MI)"
        return Reading(name) if name and name not in PLACEHOLDERS else Reading(None, "empty_answer")

    def read_bare(self, text: str) -> Reading:  # noqa: ARG002
        """Read nothing: any text could be an answer."""
        return Reading(None, "no_answer")

    def read_freely(self, text: str) -> Reading:
        """Read free text: one short line, which is no sentence of its writer, is the answer."""
        if (
            len(text) > FREE_CHARACTERS
            or "\n" in text.strip()
            or len(text.split()) > 10
            or _SENTENCE.search(fold(text))
        ):
            return Reading(None, "no_answer")
        return self.read(text)

    def grade(self, value: str) -> bool | None:
        """Say whether ``value`` is a gold answer, as a text or as an exact number.

        None where one contains the other, or may be the same number or another thing, so that a rule cannot tell.
        """
        value = american(value)
        if value in self._golds:
            return True
        if self._numbers and (number := exact(value)):
            found = [equal(gold, number, self._share) for gold in self._numbers]
            if any(found) or None in found:
                return True if any(found) else None
        rivals = find_names(value, self._golds) or any(find_names(gold, [value]) for gold in self._golds)
        doubtful = HEDGE.search(value) and not any(HEDGE.search(gold) for gold in self._golds)
        return None if rivals or doubtful or not self._golds else False


# --------------------------------------------------------------------------------------------------- label sets

_NONE = frozenset({"", "none", "no finding", "no findings", "none of the above", "no abnormality", "normal"})
_CONNECTIVE = re.compile(
    r"(?:[\s,;.:&/'\"\[\]{}*•+]|-(?=\s)|\b(?:and|the|labels?|findings?|present|are|is|as well as|with|both)\b"
    r"|\d{1,2}[.)](?=\s)){0,2000}"
)
_LETTERS = re.compile(r"\(?([A-Z])\)?(?:\s{0,2}(?:[;,&]|\band\b|\s)\s{0,2}\(?([A-Z])\)?){0,25}")


def join_labels(labels: "set[str]") -> str:
    """Return a set of labels in its one spelling."""
    return ";".join(sorted(labels))


def gold_labels(answer: str) -> "set[str]":
    """Return the labels of a gold answer (joined by ``;``)."""
    names = {plain_name(part) for part in answer.split(";")}
    return set() if names <= _NONE else names - {""}


class Labels:
    """Reads a set of labels, out of known ones where the question lists them."""

    joins, emphasis, closed = True, False, False

    def __init__(self, options: Sequence[str], golds: Sequence[str]):
        self.names = [plain_name(option) for option in options]
        self._golds = {join_labels(gold_labels(gold)) for gold in golds}

    def grade(self, value: str) -> bool:
        """Say whether a set is the gold one."""
        return value in self._golds

    def prepared(self, answer: str, foreign: bool) -> str:  # noqa: ARG002
        """Return the answer part as it is."""
        return answer

    def read(self, text: str) -> Reading:
        """Read a text that is meant as the set of labels."""
        folded = fold(clean(text))
        if not folded:
            return Reading(None, "empty_answer")
        if plain_name(text) in _NONE and plain_name(text) not in self.names:
            return Reading("")
        if not self.names:
            parts = re.split(r"[;\n]" if ";" in text else r"[,\n]|\band\b", text)
            labels = {plain_name(part) for part in parts} - {""}
            return Reading(join_labels(labels)) if labels else Reading(None, "empty_answer")
        if _LETTERS.fullmatch(clean(text)):
            return self._read_letters(clean(text))
        found = ruled_out(folded, find_names(folded, self.names))
        outside = masked(folded, found)
        if not found:
            return Reading(None, "not_an_option")
        if HEDGE.search(outside) or NEGATION.search(outside) or any(mention.negated for mention in found):
            return Reading(None, "undecided")
        if len(outside) > 2000 or not _CONNECTIVE.fullmatch(outside):
            return Reading(None, "undecided")
        return self._joined({self.names[mention.index] for mention in found})

    def read_bare(self, text: str) -> Reading:
        """Read a text that is nothing but labels."""
        return self.read(text) if self.names else Reading(None, "no_answer")

    def read_freely(self, text: str) -> Reading:
        """Read free text: nothing but labels may stand in it."""
        reading = self.read(text) if self.names and len(text) <= 1000 else Reading(None, "no_answer")
        return Reading(None, "no_answer") if reading.reason == "not_an_option" else reading

    def _read_letters(self, text: str) -> Reading:
        """Read ``A, C``: the letters of options that were shown with them."""
        if any(len(name) == 1 for name in self.names):
            return Reading(None, "undecided")
        indices = [LETTERS.index(letter) for letter in re.findall(r"[A-Z]", text)]
        if max(indices) >= len(self.names):
            return Reading(None, "not_an_option")
        return self._joined({self.names[index] for index in indices})

    def _joined(self, labels: "set[str]") -> Reading:
        if labels & _NONE and labels - _NONE:
            return Reading(None, "undecided")  # "edema; no finding"
        return Reading(join_labels(labels - _NONE))
