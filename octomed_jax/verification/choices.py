"""Reading a choice among named options: multiple choice (with letters), classification (without), yes or no."""

import re
from collections.abc import Sequence

from octomed_jax.prompts import LETTERS
from octomed_jax.verification.text import (
    HEDGE,
    NEGATION,
    NEGATION_AFTER,
    NEGATION_BEFORE,
    Mention,
    Reading,
    clean,
    fold,
    masked,
    mentions,
    negated_at,
    plain_name,
)

LOOSE_CHARACTERS = 400  # free text longer than this is a discussion, not an answer

_LETTER = re.compile(
    r"^(?:(?:option|choice|answer|letter|label)\s{1,3})?[(\[]?\s?([A-Za-z])\s?([)\].:,;]|-|\s|$)[)\].:,;]?\s{0,3}"
)
_LABEL_WORD = re.compile(r"^(?:option|choice|answer|letter|label)\s")
_REASON = re.compile(
    r"^(?:because|since|as|due|given|which|that|for|by|based|with|not|is (?:the )?(?:correct|right|best))\b"
)
_RIVAL = re.compile(r"^(?:(?:and|or|and/or|but|possibly|perhaps|maybe|though|although)\b|[/&+])")
_LABEL = re.compile(r"(?<![\w'.-])[(\[]?([A-Z])[)\]]?(?![\w'-])")
_FILLER = frozenset(
    "not the answer is are option choice correct best right but rather than it so therefore thus i choose pick "  # noqa: SIM905
    "select would go with my final letter hence isn't and".split()
)


class Options:
    """The options of a question in the spelling they are looked for in.

    ``lettered`` options (multiple choice) can be named by their letter too.
    """

    def __init__(self, options: Sequence[str], lettered: bool):
        self.options = tuple(options)
        self.lettered = lettered
        self.names = [fold(clean(option)) for option in options]
        self.plain = [plain_name(option) for option in options]

    def read(self, text: str) -> Reading:
        """Read a text that is meant as the answer."""
        text = clean(text)
        if not text:
            return Reading(None, "empty_answer")
        by_text = {i for i in range(len(self.names)) if text and fold(text) == self.names[i]} or {
            i for i, plain in enumerate(self.plain) if plain == plain_name(text)
        }
        if len(text) == 1 and self.lettered and text.upper() in LETTERS:
            letter = LETTERS.index(text.upper())
            by_text = by_text | {letter} if letter < len(self.options) else by_text or {letter}
        if by_text:
            return self._one(by_text)
        labelled = self._read_label(text) if self.lettered else None
        return labelled or self._read_mentions(text)

    def read_loosely(self, text: str) -> Reading:
        """Read free text: it must be short and name one option, without any word of negation or doubt."""
        if len(text) > LOOSE_CHARACTERS:
            return Reading(None, "no_answer")
        reading = self.read(text)
        if reading.value is None:
            return reading if reading.reason == "undecided" else Reading(None, "no_answer")
        return reading

    def _one(self, found: set[int]) -> Reading:
        inside = {i for i in found if i < len(self.options)}
        if not inside:
            return Reading(None, "not_an_option")
        return Reading(self.options[inside.pop()]) if len(found) == 1 else Reading(None, "undecided")

    def _read_label(self, text: str) -> Reading | None:
        """Read ``B``, ``(B)``, ``B. text``, ``Option B: text``, ``B because ...``; None where no label leads."""
        match = _LETTER.match(text) or _LETTER.match(text[:1].upper() + text[1:])
        if not match:
            return None
        letter, delimiter = match.group(1), match.group(2)
        named = _LABEL_WORD.match(fold(text)) is not None
        rest = text[match.end() :]
        if rest and letter.islower() and not named and (delimiter.isspace() or delimiter in ",;-"):
            return None  # "a 45-year-old ..."
        index = LETTERS.index(letter.upper())
        if index >= len(self.options):
            return None if rest and not named else Reading(None, "not_an_option")
        if not rest:
            return self._one({index})
        return self._read_after_label(index, rest, sure=named or not delimiter.isspace())

    def _read_after_label(self, index: int, rest: str, sure: bool) -> Reading | None:
        folded = fold(rest)
        found = mentions(folded, self.names)
        own = bool(found and found[0].index == index and not folded[: found[0].start].strip(" -:.()"))
        own = own or plain_name(rest) == self.plain[index]
        tail = rest[found[0].end :] if own and found else rest
        tail_folded = fold(tail).lstrip(" -:.,;()[]")
        if _RIVAL.match(tail_folded):
            return Reading(None, "undecided")
        label = _LABEL.match(tail.lstrip(" -:.,;"))
        if label and self._is_label(tail.lstrip(" -:.,;"), label) and label.group(1) != LETTERS[index]:
            return Reading(None, "undecided")
        others = {mention.index for mention in found if not mention.negated} - {index}
        if own:
            return Reading(None, "undecided") if others and HEDGE.search(tail_folded) else self._one({index})
        if _REASON.match(folded):
            return self._one({index})
        if others:
            return Reading(None, "undecided")
        if sure and not HEDGE.search(masked(folded, found)):
            return self._one({index})
        return None

    def _is_label(self, text: str, match: re.Match[str]) -> bool:
        """Say whether a capital letter is an option's label and not the article "A" or part of a phrase."""
        index = LETTERS.index(match.group(1))
        if index >= len(self.options):
            return False
        after = text[match.end() : match.end() + 2]
        return not (match.group() == "A" and re.match(r"\s[a-z0-9]", after))

    def _labels(self, text: str) -> list[Mention]:
        """Return where the letters of options stand alone in a text."""
        folded = fold(text)
        return [
            Mention(LETTERS.index(match.group(1)), *match.span(), negated_at(folded, *match.span()))
            for match in _LABEL.finditer(text)
            if self._is_label(text, match)
        ]

    def _only_labels(self, text: str) -> bool:
        words = re.findall(r"[\w']+", _LABEL.sub(" ", text))
        return self.lettered and all(fold(word) in _FILLER for word in words)

    def _read_mentions(self, text: str) -> Reading:
        """Read the one option that a text names and does not rule out."""
        folded = fold(text)
        found = mentions(folded, self.names)
        labels = self._labels(masked(text, found)) if self.lettered else []
        named = found or (labels if self._only_labels(text) else [])
        live = {mention.index for mention in named if not mention.negated}
        if not named:
            return Reading(None, "undecided" if len({label.index for label in labels}) > 1 else "not_an_option")
        outside = _outside(folded, named)
        if len(live) != 1 or HEDGE.search(outside) or NEGATION.search(outside):
            return Reading(None, "undecided")
        if any(mention.negated and mention.index in live for mention in named):
            return Reading(None, "undecided")
        if {label.index for label in labels if not label.negated} - live:
            return Reading(None, "undecided")
        return self._one(live)


def _outside(folded: str, found: Sequence[Mention]) -> str:
    """Return a text without the names found, and without the words that rule the negated ones out."""
    outside = masked(folded, found)
    for mention in found:
        if mention.negated:
            before = folded[max(0, mention.start - 48) : mention.start]
            match = NEGATION_BEFORE.search(before)
            start = mention.start - len(before) + match.start() if match else mention.start
            after = NEGATION_AFTER.match(folded[mention.end : mention.end + 48])
            end = mention.end + after.end() if after else mention.end
            outside = outside[:start] + " " * (end - start) + outside[end:]
    return outside


_AFTER_YES = r"(?=\s{0,3}(?:[,.;:!(-]|$)|\s{1,3}(?:because|since|as|due|given|there|it|this|he|she|they)\b)"


class YesNo(Options):
    """Yes or no (or whatever few words the options are): the word must lead, a mere mention of "no" is no answer."""

    def __init__(self, options: Sequence[str]):
        super().__init__(options or ("yes", "no"), lettered=False)

    def _read_mentions(self, text: str) -> Reading:
        folded = fold(text)
        for index, name in enumerate(self.names):
            match = re.match(re.escape(name) + _AFTER_YES, folded)
            if not match:
                continue
            rest = folded[match.end() :]
            for other in self.names:
                if other != name and re.search(rf"(?<!\w){re.escape(other)}\s{{0,3}}(?:[,.;:!]|$)", rest):
                    return Reading(None, "undecided")
            if re.match(r"\W{0,5}(?:and|or|but)\b", rest) or (HEDGE.search(rest[:60]) and "or" in rest[:12].split()):
                return Reading(None, "undecided")
            return self._one({index})
        rivals = sum(1 for name in self.names if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", folded))
        return Reading(None, "undecided" if rivals > 1 else "not_an_option")
