"""Reading short free answers, and sets of labels."""

import re
from collections.abc import Sequence

from octomed_jax.verification.text import HEDGE, NEGATION, Reading, clean, fold, masked, mentions, plain_name

LOOSE_CHARACTERS = 120
_NONE = frozenset({"", "none", "no finding", "no findings", "none of the above", "no abnormality", "normal"})
_CONNECTIVE = re.compile(r"(?:\W|\b(?:and|the|labels?|findings?|present|are|is|as well as|with|both)\b){0,2000}")


def read_short(text: str) -> Reading:
    """Read a text that is meant as a short answer: the text itself, in its one spelling."""
    name = plain_name(text)
    return Reading(name) if name else Reading(None, "empty_answer")


def read_short_loosely(text: str) -> Reading:
    """Read free text: one short line is the answer."""
    if len(text) > LOOSE_CHARACTERS or "\n" in text.strip():
        return Reading(None, "no_answer")
    return read_short(text)


def grade_short(value: str, golds: Sequence[str]) -> bool | None:
    """Say whether ``value`` equals one of ``golds``; None where one contains the other, so that a rule cannot tell."""
    names = [plain_name(gold) for gold in golds]
    if value in names:
        return True
    folded = fold(value)
    rivals = mentions(folded, names) or any(name and mentions(name, [folded]) for name in names)
    doubtful = HEDGE.search(folded) and not any(HEDGE.search(name) for name in names)
    return None if rivals or doubtful else False


def join_labels(labels: "set[str]") -> str:
    """Return a set of labels in its one spelling."""
    return ";".join(sorted(labels))


def gold_labels(answer: str) -> "set[str]":
    """Return the labels of a gold answer (joined by ``;``)."""
    names = {plain_name(part) for part in answer.split(";")}
    return set() if names <= _NONE else names - {""}


class Labels:
    """Reads a set of labels, out of known ones where the question lists them."""

    def __init__(self, options: Sequence[str]):
        self.names = [plain_name(option) for option in options]

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
        found = mentions(folded, self.names)
        outside = masked(folded, found)
        if not found:
            return Reading(None, "not_an_option")
        if HEDGE.search(outside) or NEGATION.search(outside) or any(mention.negated for mention in found):
            return Reading(None, "undecided")
        if len(outside) > 2000 or not _CONNECTIVE.fullmatch(outside):
            return Reading(None, "undecided")
        labels = {self.names[mention.index] for mention in found}
        return Reading("" if labels <= _NONE else join_labels(labels - _NONE))

    def read_loosely(self, text: str) -> Reading:
        """Read free text: nothing but labels may stand in it."""
        reading = self.read(text) if self.names and len(text) <= 1000 else Reading(None, "no_answer")
        return Reading(None, "no_answer") if reading.reason == "not_an_option" else reading
