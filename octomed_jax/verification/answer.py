"""The final answer of a response: the last explicit one, or what the text states where there is none.

Everything here is linear in the length of the response, and looks at no more than ANSWER_CHARACTERS.
"""

import dataclasses
import re
from collections import deque
from typing import Protocol

from octomed_jax.verification.candidates import MOST, Candidate, explicit, statements, unsettled
from octomed_jax.verification.phrases import (
    CONDITION,
    DENIED_AFTER,
    DENIED_BEFORE,
    EXAMPLE,
    FOREIGN,
    HEDGE,
    JOINING,
    LAST_WORD,
    LISTS_OTHERS,
    NEGATION,
    NOT_GIVEN,
    QUOTED,
    REVISED,
    RIVAL_AFTER_BOX,
    SECTION,
    SURE,
    TAKEN_BACK,
    words,
)
from octomed_jax.verification.text import Reading, ascii_forms, first_sentence, fold

# An answer that goes on for longer is not one: it is unparsed ("too_long"), which also bounds the work.
ANSWER_CHARACTERS = 20_000
CONTENT_CHARACTERS = 2_000  # of a box or a tag
LINES = 200  # of an answer without any explicit one


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


_BOLD = re.compile(r"\*\*([^*\n]{1,300})\*\*")
_BRACKET = re.compile(r"[(\[]\s?([A-Za-z])\s?[)\]]")


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """What was read, and from where; ``place`` is None where nothing of the answer could be used."""

    reading: Reading
    place: Candidate | None = None


def read_answer(answer: str, reader: Reader) -> Finding:
    """Read the final answer out of the answer part of a response.

    Boxes and answer tags come first and the last of them counts; a clean "the answer is X" after it overrides it. Then
    statements, then bold or bracketed answers that all agree, then lines that are an answer, then the whole text.
    """
    if not answer:
        return Finding(Reading(None, "empty_answer"))
    if len(answer) > ANSWER_CHARACTERS:
        return Finding(Reading(None, "too_long"))
    answer = searched(answer, reader)
    strong, unclosed = explicit(answer)
    if unclosed:
        return Finding(Reading(None, "not_closed"), unclosed)
    if strong:
        return _read_strong(answer, strong, reader)
    if finding := _read_statements(answer, reader):
        return finding
    if reader.closed and (finding := _read_last_word(answer, reader)):
        return finding
    if not reader.emphasis and any(candidate.kind == "statement" for candidate in statements(answer)):
        return Finding(Reading(None, "no_answer"))  # "Answer: [your answer here]"
    if reader.emphasis and (finding := _read_emphasis(answer, reader) or _read_lines(answer, reader)):
        if finding.reading.value is None and (concluded := _read_conclusion(answer, reader)):
            return concluded
        return finding
    whole = Candidate("text", 0, len(answer), answer)
    return Finding(Reading(None, "no_answer") if unsettled(answer) else reader.read_freely(answer), whole)


def searched(answer: str, reader: Reader) -> str:
    """Return the answer part as it is searched, every character in its place: plain letters, no quoted "Answer: X"."""
    answer = QUOTED.sub(lambda match: " " * len(match.group()), ascii_forms(answer))
    return reader.prepared(answer, FOREIGN.search(answer) is not None)


def _read_strong(answer: str, strong: list[Candidate], reader: Reader) -> Finding:
    filled = [candidate for candidate in strong if candidate.text.strip(" \t\n.…_$*?")]
    if not filled:
        return Finding(Reading(None, "empty_answer"), strong[-1])
    last = filled[-1]
    undecided = Finding(Reading(None, "undecided"), last)
    if _denied_before(answer, last.start):
        return undecided
    group = [last]
    for earlier in reversed(filled[:-1]):
        if not _joined(answer[earlier.end : group[0].start]):
            break
        group.insert(0, earlier)
        if len(group) > MOST:
            return undecided
    if reader.joins and len(group) > 1:
        offset = max(0, group[0].start - 12)
        if HEDGE.search(fold(_outside(answer[offset : last.end], group, offset))):
            return undecided
        text = "; ".join(candidate.text for candidate in group)
        reading = reader.read(text) if len(text) <= CONTENT_CHARACTERS else Reading(None, "too_long")
    else:
        readings = [_read_content(candidate, reader) for candidate in group]
        reading = readings[-1]
        if any(other.value != reading.value for other in readings):
            return undecided
    rest = answer[last.end :]
    if not rest.strip(" \n.$*"):
        return Finding(reading, last)
    if RIVAL_AFTER_BOX.match(rest):
        return undecided
    # A box that is no answer may hold a step on the way to it.
    if later := _read_statements(rest, reader, after_box=reading.value is not None):
        return later
    return undecided if REVISED.search(fold(rest)) else Finding(reading, last)


def _denied_before(answer: str, start: int) -> bool:
    """Say whether the words before a box deny it, suppose it, or show it as an example."""
    before = fold(_SENTENCE_BREAK.split(answer[max(0, start - 160) : start])[-1]).rstrip(" $*(\\[") + " "
    return any(pattern.search(before) for pattern in (DENIED_BEFORE, CONDITION, EXAMPLE))


def _read_content(candidate: Candidate, reader: Reader) -> Reading:
    """Read a box or a tag; a tag of several lines may hold a statement of its own."""
    if len(candidate.text) > CONTENT_CHARACTERS:
        return Reading(None, "too_long")
    reading = reader.read(candidate.text)
    if reading.value is None and candidate.kind == "tag" and "\n" in candidate.text.strip():
        inner = _read_statements(candidate.text.strip(), reader) or (
            reader.emphasis and _read_lines(candidate.text.strip(), reader)
        )
        return inner.reading if inner else reading
    return reading


_SENTENCE_BREAK = re.compile(r"[.!?]\s")


def _outside(text: str, group: list[Candidate], offset: int) -> str:
    """Return ``text`` (which starts at ``offset`` of the answer) without the candidates in it."""
    pieces, position = [], offset
    for candidate in group:
        pieces.append(text[position - offset : candidate.start - offset])
        position = candidate.end
    return " ".join(pieces)


def _joined(between: str) -> bool:
    """Say whether two explicit answers stand side by side, as rivals or as parts of one."""
    if _SENTENCE_BREAK.search(between.strip(" \n.$*")):
        return False
    return (len(between) <= 40 and JOINING.fullmatch(fold(between)) is not None) or (
        len(between) <= 80 and HEDGE.search(fold(between)) is not None
    )


# What counts first; the last of each.
_RANKS = (("statement", "claim", "field", "verdict", "conclusion"), ("superlative",), ("value",))
_RANKS_OPEN = (("statement", "claim", "field", "verdict", "conclusion"), ("value",))
_AFTER_BOX = (("statement", "field"),)
_WOULD = re.compile(r"\b(?:would|could|might|may|should|if|unless)\b")


def _read_statements(answer: str, reader: Reader, after_box: bool = False) -> Finding | None:
    """Read the last "the answer is X" that states an answer; None where there is none.

    Values ("the score is X") count where no answer is stated. After a box only statements of the answer override it.
    """
    found = statements(answer)[::-1]
    ranks = _AFTER_BOX if after_box else _RANKS if reader.closed else _RANKS_OPEN
    for candidate in [candidate for kinds in ranks for candidate in found if candidate.kind in kinds]:
        if after_box and _WOULD.search(fold(answer[candidate.start : candidate.end])):
            continue
        if reader.joins:
            candidate = dataclasses.replace(candidate, text=_paragraph(answer, candidate))
        reading = (
            reader.read_bare(candidate.text) if candidate.kind == "conclusion" else read_line(candidate.text, reader)
        )
        if reading.value is None and (after_box or candidate.kind in ("conclusion", "verdict", "superlative")):
            continue
        rest = fold(answer[candidate.end :])
        if reading.value is not None and (
            REVISED.search(rest) or (candidate.kind == "value" and NOT_GIVEN.search(fold(answer)))
        ):
            return Finding(Reading(None, "undecided"), candidate)
        if candidate.kind == "verdict" and _rival_verdict(found, candidate, reading, reader):
            return Finding(Reading(None, "undecided"), candidate)
        if candidate.kind == "field" and _fields_disagree(found, reading, reader):
            return Finding(Reading(None, "undecided"), candidate)
        if reading.value is not None or reading.reason == "undecided":
            return Finding(reading, candidate)
    return None


def _rival_verdict(found: list[Candidate], candidate: Candidate, reading: Reading, reader: Reader) -> bool:
    """Say whether another is called correct right beside it ("A is correct, B is correct")."""
    near = [other for other in found if other.kind == "verdict" and 0 < candidate.start - other.end < 20]
    return any(reader.read(other.text).value not in (None, reading.value) for other in near)


def _read_last_word(answer: str, reader: Reader) -> Finding | None:
    """Read a last sentence that concludes ("The lesion thus lies in X"); None where there is none."""
    match = LAST_WORD.search(answer[-400:])
    reading = reader.read_freely(match.group().strip()) if match else None
    if not match or not reading or reading.value is None:
        return None
    return Finding(
        reading, Candidate("conclusion", len(answer) - len(match.group()), len(answer), match.group().strip())
    )


def _fields_disagree(found: list[Candidate], reading: Reading, reader: Reader) -> bool:
    """Say whether the fields of a JSON object ("letter", "answer") state different answers."""
    readings = [reader.read(candidate.text) for candidate in found if candidate.kind == "field"]
    return any(other.value not in (None, reading.value) for other in readings)


_ITEM = re.compile(r"\s{0,8}(?:[-*•]|\d{1,2}[.)])\s")


def _paragraph(answer: str, candidate: Candidate) -> str:
    """Return the text of a candidate and the list that follows it."""
    lines = [candidate.text]
    for line in answer[candidate.end : candidate.end + 1000].split("\n")[1:]:
        if not _ITEM.match(line):
            break
        lines.append(line)
    return "\n".join(lines)


def read_line(line: str, reader: Reader) -> Reading:
    """Read the first sentence of a line if the rest does not take it back, else the whole line."""
    head, tail = first_sentence(line, semicolons=not reader.joins)
    if head.rstrip(" *_\"'").endswith("?"):
        return Reading(None, "no_answer")
    surely = SURE.match(head)
    reading = reader.read(head[surely.end() :] if surely and not reader.closed else head)
    if reading.value is None and surely:
        reading = reader.read(head[surely.end() :])
    if reading.value is None and tail:
        return reader.read(line)
    if reading.value is not None and (TAKEN_BACK.match(fold(tail[:40])) or REVISED.search(fold(line))):
        return Reading(None, "undecided")
    return reading


def _read_emphasis(answer: str, reader: Reader) -> Finding | None:
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
                    _SENTENCE_BREAK.split(answer[answer.rfind("\n", 0, match.start()) + 1 : match.start()])[-1]
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


def _read_conclusion(answer: str, reader: Reader) -> Finding | None:
    """Read what stands emphasised under a last heading "Conclusion"; None where nothing does."""
    headings = deque(SECTION.finditer(answer), maxlen=1)
    finding = _read_emphasis(answer[headings[0].end() :], reader) if headings else None
    return finding if finding and finding.reading.value is not None else None


def _line_after(answer: str, start: int) -> str:
    end = answer.find("\n", start)
    return answer[start:] if end < 0 else answer[start:end]


def _read_lines(answer: str, reader: Reader) -> Finding | None:
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
