"""Answers that nothing announces: bold or bracketed ones, and lines that are an answer and nothing else."""

import re
from collections import deque

from octomed_jax.verification.candidates import MOST, Candidate
from octomed_jax.verification.phrases import (
    DENIED_AFTER,
    DENIED_BEFORE,
    HEDGE,
    LISTS_OTHERS,
    NEGATION,
    REVISED,
    SECTION,
    words,
)
from octomed_jax.verification.reader import Finding, Reader
from octomed_jax.verification.text import SENTENCE_BREAK, Reading, fold

LINES = 200  # of an answer without any explicit one

_BOLD = re.compile(r"\*\*([^*\n]{1,300})\*\*")
_BRACKET = re.compile(r"[(\[]\s?([A-Za-z])\s?[)\]]")


def read_emphasis(answer: str, reader: Reader) -> Finding | None:
    """Read bold or bracketed answers, if those that can be read agree; None where there are none."""
    for pattern, kind in ((_BOLD, "bold"), (_BRACKET, "bracket")):
        values: dict[str, Candidate] = {}
        for match in deque(pattern.finditer(answer), maxlen=MOST):
            if _is_part_of_name(answer, match):
                continue
            value = reader.read_bare(match.group(1)).value
            if value is not None:
                values[value] = Candidate(kind, *match.span(), match.group(1))
                before = fold(
                    SENTENCE_BREAK.split(answer[answer.rfind("\n", 0, match.start()) + 1 : match.start()])[-1]
                )
                after = fold(_line_after(answer, match.end()))
                denied = (
                    NEGATION.search(before)
                    or DENIED_BEFORE.search(before)
                    or DENIED_AFTER.match(after)
                    or _listed_out(answer, match.start())
                )
                if denied or HEDGE.search(before + after.split("(")[0]) or "?" in after:
                    return Finding(Reading(None, "undecided"), values[value])
        if values:
            (value, place), *others = values.items()
            if len(place.text.strip()) == 1:  # what the text says without the letter
                without = answer[: place.start] + " " * (place.end - place.start) + answer[place.end :]
                if reader.read_freely(without).value not in (None, value):
                    return Finding(Reading(None, "undecided"), place)
            return Finding(Reading(None, "undecided") if others else Reading(value), place)
    return None


def _is_part_of_name(answer: str, match: re.Match[str]) -> bool:
    """Say whether a bold or bracketed letter belongs to a word before or after it: "figure (B)", "**A** man"."""
    if len(match.group(1).strip()) != 1:
        return False
    word = _LAST_WORD.search(answer[max(0, match.start() - 40) : match.start()])
    if word and fold(word[1]) not in _BEFORE_LETTER:
        return True
    return _PROSE_AFTER.match(answer, match.end()) is not None and match.group(1) in "AIai"


_LAST_WORD = re.compile(r"([A-Za-z][\w'-]*)[ ]{1,2}$")
_PROSE_AFTER = re.compile(r"\s(?!(?:is|fits|has|shows|gives|causes|and|or|because)\b)[a-z0-9]")
_BEFORE_LETTER = words(
    """is be answer option choice choose select pick therefore thus hence so with by fits fit remains it to on as and
    letter for was are film picture findings therefore, explained supports supported"""
)


def _listed_out(answer: str, start: int) -> bool:
    """Say whether the line above, or what stands before on this one, heads what is out or only listed."""
    above = answer[:start].rstrip(" *\n-").rpartition("\n")[2]
    return LISTS_OTHERS.search(fold(above[-120:])) is not None


def read_conclusion(answer: str, reader: Reader) -> Finding | None:
    """Read what stands emphasised under a last heading "Conclusion"; None where nothing does."""
    headings = deque(SECTION.finditer(answer), maxlen=1)
    finding = read_emphasis(answer[headings[0].end() :], reader) if headings else None
    return finding if finding and finding.reading.value is not None else None


def _line_after(answer: str, start: int) -> str:
    end = answer.find("\n", start)
    return answer[start:] if end < 0 else answer[start:end]


def read_lines(answer: str, reader: Reader) -> Finding | None:
    """Read lines, of several, that are an answer and nothing else, if they agree; None where there are none."""
    lines = answer.split("\n")
    if not 1 < len(lines) <= LINES:
        return None
    position, found = 0, {}
    for line in lines:
        if len(line) <= 300 and (value := reader.read_bare(line).value) is not None:
            place = Candidate("line", position, position + len(line), line)
            if _listed_out(answer, position):
                return Finding(Reading(None, "undecided"), place)
            found[value] = place
        position += len(line) + 1
    if not found:
        return None
    (value, place), *others = found.items()
    if others or REVISED.search(fold(answer)) or HEDGE.search(fold(answer[: 2 * len(place.text) + 80])):
        return Finding(Reading(None, "undecided"), place)
    return Finding(Reading(value), place)
