"""Reading a choice among named options: multiple choice (with letters), classification (without)."""

import functools
import itertools
import re
from collections.abc import Mapping, Sequence

from octomed_jax.prompts import LETTERS
from octomed_jax.verification.assertion import headed_otherwise, modified, spoken_of, stated
from octomed_jax.verification.names import Mention, find_names, masked, ruled_out
from octomed_jax.verification.phrases import (
    DENIED_AFTER,
    DENIED_BEFORE,
    GROUNDS,
    HEDGE,
    NEGATION,
    OTHERS_SAY,
    REASON,
    RIVAL_AFTER_LABEL,
    words,
)
from octomed_jax.verification.text import Reading, american, clean, fold, plain_name, without_article

MOST_NAMES = 40  # in a text that is read; more of them are a list
FREE_CHARACTERS = 400  # free text longer than this is a discussion, not an answer

_BULLET = re.compile(r"^\s{0,8}(?:[-•>#*]{1,6}\s{1,4})")
_LETTER = re.compile(
    r"^(?:the\s)?(?P<word>(?:(?:option|choice|answer|letter|label|opción|réponse|antwort)\s{1,3}){0,2})[(\[{<\"']?\s?"
    r"(?P<letter>[A-Za-z])\s?(?P<mark>[)\]}>\"'.:,;、]|-(?=\s)|\s|$)[)\].:,;]?\s{0,3}",
    re.IGNORECASE | re.ASCII,  # without ASCII, [A-Z] would also match the Turkish dotted I
)
_LETTER_LAST = re.compile(r"\s{0,3}[(\[]([A-Za-z])[)\]]$")
_LABEL = re.compile(r"(?<![\w'.-])[(\[]?([A-Z])[)\]]?(?![\w'-])")
_BUT_NOT = re.compile(r"\bbut (?:it|this|that)\b[^.]{0,40}\bnot\b")
_LISTED = re.compile(r"^[ \t>*(\[-]{0,6}([A-Z])[*_]{0,2}[)\].:]", re.MULTILINE)
_ASIDE = re.compile(r"^(.{3,200}?)\s?\(([^()]{2,100})\)$")
_ASIDES = re.compile(r"\([^()]{0,200}\)")
_WORD_BEFORE = re.compile(r"([\w'-]+)\s$")
_PROSE = re.compile(r"\s(?!(?:is|and|or|nor|was|but|can|because)\b)[a-z0-9]")  # after the article "A", the pronoun "I"
_EDGES = " -:.,;()[]\"'"
# With these words alone around it, a letter is an option's; a letter after another word is a part of a name.
_FILLER = words(
    """not the answer answers is are option options choice choices correct best right but rather than it so
    therefore thus i choose pick select would go with my final letter hence isn't and wrong incorrect false be
    can cannot excluded ruled out all both none neither nor of eliminate eliminated remains leaving leaves only
    as instead exclude seems say believe think must s it's that's this that"""
)
_MAY_PRECEDE_LETTER = _FILLER | words("or vs versus either between maybe perhaps possibly")


class Options:
    """The options of a question in the spelling they are looked for in.

    ``lettered`` options (multiple choice) can be named by their letter too.
    """

    joins, emphasis, closed = False, True, True

    def __init__(self, options: Sequence[str], lettered: bool):
        self.options = tuple(options)
        self.lettered = lettered
        cleaned = [clean(option) for option in options]
        folded = [american(fold(name)) for name in cleaned]
        self.plain = [without_article(name) for name in folded]
        self._names = {
            name: index for names in (self.plain, folded) for index, name in reversed(list(enumerate(names))) if name
        }
        self._acronyms: dict[str, int] = {}
        if any(name.endswith(")") for name in cleaned):
            shorter, self._acronyms = _without_asides(cleaned, self._names)
            self._names |= shorter

    @functools.cached_property
    def _squeezed(self) -> dict[str, int]:
        """Names without spaces and hyphens."""
        return {_squeeze(name): index for name, index in reversed(self._names.items())}

    @functools.cached_property
    def _parts(self) -> "set[int]":
        """Options that are a part of another option: a word before them may make them a third thing."""
        return {i for i, name in enumerate(self.plain) if any(name != other and name in other for other in self.plain)}

    def prepared(self, answer: str, foreign: bool) -> str:  # noqa: ARG002
        """Return the answer part as it is."""
        return answer

    def read(self, text: str) -> Reading:
        """Read a text that is meant as the answer."""
        return self._read(text, free=False)

    def read_bare(self, text: str) -> Reading:
        """Read a text that is an option's letter, its name, or both, and nothing else."""
        text = american(clean(_BULLET.sub("", text)))
        if not text:
            return Reading(None, "empty_answer")
        if by_name := self._exactly(text):
            return self._one(by_name)
        match = _LETTER.match(text) if self.lettered else None
        if match and (index := LETTERS.index(match["letter"].upper())) < len(self.options):
            rest = text[match.end() :]
            if not rest or (self._exactly(rest.strip(" -:.()")) == {index} and not match["mark"].isspace()):
                return self._one({index})
        if self.lettered and (match := _LETTER_LAST.search(text)):
            return self._both(text, match)
        return Reading(None, "not_an_option")

    def read_freely(self, text: str) -> Reading:
        """Read free text: it must be short, affirm one option, and neither deny nor doubt it."""
        if len(text) > FREE_CHARACTERS:
            return Reading(None, "no_answer")
        reading = self._read(text, free=True)
        if reading.value is None and reading.reason != "undecided":
            return Reading(None, "no_answer")
        return reading

    def _read(self, text: str, free: bool) -> Reading:
        raw, question = text, text.rstrip(" *_`\"')$").endswith("?")
        text = american(clean(_BULLET.sub("", text)))
        if not text or text == "?":
            return Reading(None, "empty_answer")
        if question or (self.lettered and len(set(_LISTED.findall(raw))) > 1):
            return Reading(None, "undecided")
        if by_name := self._exactly(text):
            return self._one(by_name)
        labelled = self._read_label(text) if self.lettered else None
        return labelled or (not free and self._read_leading(text)) or self._read_mentions(text, free)

    def _exactly(self, text: str) -> set[int]:
        """Return the options that a cleaned text names, and nothing else."""
        folded = fold(text)
        found = {index for name in (folded, without_article(folded)) if (index := self._names.get(name)) is not None}
        found |= {
            index for index in [self._squeezed.get(_squeeze(folded)), self._acronyms.get(text)] if index is not None
        }
        if len(text) == 1 and self.lettered and text.upper() in LETTERS:
            letter = LETTERS.index(text.upper())
            found = found | {letter} if letter < len(self.options) else found or {letter}
        return found

    def _one(self, found: set[int]) -> Reading:
        inside = {i for i in found if i < len(self.options)}
        if not inside:
            return Reading(None, "not_an_option")
        return Reading(self.options[inside.pop()]) if len(found) == 1 else Reading(None, "undecided")

    def _both(self, text: str, match: re.Match[str]) -> Reading:
        """Read ``text (B)``: a name and its letter, which must agree."""
        index, named = LETTERS.index(match[1].upper()), self._exactly(text[: match.start()].strip())
        if not named:
            return Reading(None, "not_an_option")
        return self._one(named | {index})

    def _read_label(self, text: str) -> Reading | None:
        """Read ``B``, ``(B)``, ``B. text``, ``Option B: text``, ``B because ...``; None where no label leads."""
        if (last := _LETTER_LAST.search(text)) and self._exactly(text[: last.start()].strip()):
            return self._both(text, last)
        match = _LETTER.match(text)
        if not match:
            return None
        letter, mark, named = match["letter"], match["mark"], bool(match["word"])
        rest = text[match.end() :]
        prose = letter.islower() or (letter in "AI" and rest[:1].islower())
        if rest and not named and mark.isspace() and prose and not (letter == "A" and REASON.match(rest)):
            return None  # "a 45-year-old ...", "A melanoma", "I would say"
        if rest and letter.islower() and not named and mark in ",;-":
            return None
        if mark == "." and rest[:1].islower() and letter.isupper() and not named and not REASON.match(fold(rest)):
            own = self._exactly(rest.strip(_EDGES))
            return self._one(own | {LETTERS.index(letter)}) if own else Reading(None, "undecided")  # "E. coli"
        index = LETTERS.index(letter.upper())
        if index >= len(self.options):
            return None if rest and not named else Reading(None, "not_an_option")
        if not rest:
            return self._one({index})
        return self._read_after_label(index, rest, mark, sure=named or not mark.isspace())

    def _read_after_label(self, index: int, rest: str, mark: str, sure: bool) -> Reading | None:
        folded = fold(rest)
        start = folded.lstrip(_EDGES)
        if self._exactly(rest.strip(" -:.()\"'")) == {index}:
            return self._one({index})
        if RIVAL_AFTER_LABEL.match(start) or _BUT_NOT.search(start) or "?" in rest:
            return Reading(None, "undecided")
        if DENIED_AFTER.match(" " + start):
            return None
        if REASON.match(start):
            return self._one({index})
        marks = self._marks(rest)
        own = bool(marks and marks[0].index == index and not folded[: marks[0].start].strip(" -:.,()[]\"'"))
        tail = folded[marks[0].end :].lstrip(_EDGES) if own else start
        if own and (RIVAL_AFTER_LABEL.match(tail) or DENIED_AFTER.match(" " + tail)):
            return Reading(None, "undecided")
        if own and REASON.match(tail):
            return self._one({index})
        if any(named.index != index and not named.negated for named in marks) or (mark == "," and marks and not own):
            return None  # "A, B and C are wrong; D"
        if any(named.index == index and named.negated for named in marks):
            return Reading(None, "undecided")
        if own:
            return self._one({index})
        outside = _without(folded, marks)
        if sure or (marks and not outside.strip(_EDGES)):
            return Reading(None, "undecided") if HEDGE.search(GROUNDS.sub(" ", outside)) else self._one({index})
        return None

    def _read_leading(self, text: str) -> Reading | None:
        """Read a name that leads, and what is said of it after a comma; None where none does."""
        marks = self._marks(text)
        if not marks or marks[0].negated or text[: marks[0].start].strip(_EDGES):
            return None
        tail = text[marks[0].end :]
        others = {mark.index for mark in marks if not mark.negated} - {marks[0].index}
        if others or tail[:1] not in (",", ".", ";", "(", ":") or RIVAL_AFTER_LABEL.match(fold(tail).lstrip(_EDGES)):
            return None
        return Reading(None, "undecided") if DENIED_AFTER.match(fold(tail)) else self._one({marks[0].index})

    def _is_label(self, text: str, match: re.Match[str]) -> bool:
        """Say whether a capital letter is an option's label and not the article "A" or the pronoun "I"."""
        letter = match.group(1)
        if LETTERS.index(letter) >= len(self.options):
            return False
        if match.group() == letter:
            word = _WORD_BEFORE.search(text[max(0, match.start() - 40) : match.start()])
            if word and fold(word[1]) not in _MAY_PRECEDE_LETTER:
                return False  # vitamin C, hepatitis B
        after = text[match.end() : match.end() + 12]
        return not (match.group() in ("A", "I") and _PROSE.match(after))

    def _marks(self, text: str) -> list[Mention]:
        """Return where options are named in a cleaned text, by name or by letter, in order."""
        found = find_names(fold(text), self._names)
        if self._acronyms:  # in capitals only
            found += find_names(masked(text, found), self._acronyms)
            found.sort(key=lambda mark: mark.start)
        if self.lettered:
            covered = masked(text, found)
            found += [
                Mention(LETTERS.index(match.group(1)), *match.span(), letter=True)
                for match in _LABEL.finditer(covered)
                if self._is_label(text, match)
            ]
            found.sort(key=lambda mark: mark.start)
        return ruled_out(fold(text), found) if len(found) <= MOST_NAMES else found

    def _read_mentions(self, text: str, free: bool) -> Reading:
        """Read the one option that a text names and does not rule out."""
        text = GROUNDS.sub(" ", text) if GROUNDS.search(text) else text
        folded = fold(text)
        marks = self._marks(text)
        letters = [mark for mark in marks if mark.letter]
        only_letters = len(letters) == len(marks) > 0
        if len(marks) > MOST_NAMES:
            return Reading(None, "undecided")
        if only_letters and not self._only_filler(folded, letters):
            return Reading(None, "undecided" if len({mark.index for mark in letters}) > 1 else "not_an_option")
        if not marks:
            return Reading(None, "not_an_option")
        live = [mark for mark in marks if not mark.negated]
        chosen = {mark.index for mark in live}
        outside = _ASIDES.sub(" ", _without(folded, marks))
        if len(chosen) != 1 or HEDGE.search(outside) or NEGATION.search(outside):
            return Reading(None, "undecided")
        if any(mark.negated and mark.index in chosen and not mark.letter for mark in marks):
            return Reading(None, "undecided")
        if all(mark.letter for mark in live) and not self._only_filler(folded, marks):
            return Reading(None, "undecided")
        if any(spoken_of(folded, mark) for mark in live):
            return Reading(None, "undecided")
        if any(not mark.letter and headed_otherwise(folded, mark) for mark in live):
            return Reading(None, "undecided")
        if chosen & self._parts and any(modified(folded, mark) for mark in live):
            return Reading(None, "undecided")
        if free and OTHERS_SAY.search(folded):
            return Reading(None, "no_answer")
        if free and not only_letters and not any(stated(folded, mark) for mark in live):
            return Reading(None, "no_answer")
        return self._one(chosen)

    def _only_filler(self, folded: str, marks: Sequence[Mention]) -> bool:
        return all(word in _FILLER for word in re.findall(r"[\w']+", masked(folded, marks)))


def _squeeze(name: str) -> str:
    return name.replace(" ", "").replace("-", "")


def _without_asides(cleaned: Sequence[str], known: Mapping[str, int]) -> tuple[dict[str, int], dict[str, int]]:
    """Return further names of options, and acronyms, which are in capitals, where no two options share them.

    They are the text without its last brackets, and what stands in those.
    """
    found: dict[str, set[int]] = {}
    for index, option in enumerate(cleaned):
        if match := _ASIDE.match(option):
            inner = match[2] if match[2].isupper() else american(plain_name(match[2]))
            for name in (american(plain_name(match[1])), inner):
                found.setdefault(name, set()).add(index)
    unique = {
        name: indices.pop() for name, indices in found.items() if len(indices) == 1 and name and name not in known
    }
    acronyms = {name: index for name, index in unique.items() if name.isupper()}
    return {name: index for name, index in unique.items() if name not in acronyms}, acronyms


def _without(folded: str, marks: Sequence[Mention]) -> str:
    """Return a text without the names found, and without the words that rule the negated ones out."""
    outside = masked(folded, marks)
    for mark in marks:
        if mark.negated:
            before = folded[max(0, mark.start - 60) : mark.start]
            match = DENIED_BEFORE.search(before)
            start = mark.start - len(before) + match.start() if match else mark.start
            after = DENIED_AFTER.match(folded[mark.end : mark.end + 60])
            end = mark.end + after.end() if after else mark.end
            outside = outside[:start] + " " * (end - start) + outside[end:]
    # The "or" of a list that is ruled out as a whole went with it.
    for left, right in itertools.pairwise(marks):
        if left.negated and right.negated and right.start - left.end <= 24:
            outside = outside[: left.end] + " " * (right.start - left.end) + outside[right.start :]
    return outside
