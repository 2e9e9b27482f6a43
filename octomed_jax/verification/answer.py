"""The final answer of a response: the last explicit one, or what the text states where there is none.

Everything here is linear in the length of the response, and looks at no more than ANSWER_CHARACTERS.
"""

import dataclasses
import re

from octomed_jax.verification.candidates import MOST, Candidate, explicit, statements, unsettled
from octomed_jax.verification.emphasis import read_conclusion, read_emphasis, read_lines
from octomed_jax.verification.phrases import (
    CONDITION,
    DENIED_BEFORE,
    EXAMPLE,
    FOREIGN,
    HEDGE,
    JOINING,
    LAST_WORD,
    NOT_GIVEN,
    QUOTED,
    REVISED,
    RIVAL_AFTER_BOX,
    SURE,
    TAKEN_BACK,
)
from octomed_jax.verification.reader import Finding, Reader
from octomed_jax.verification.text import SENTENCE_BREAK, Reading, ascii_forms, first_sentence, fold

# An answer that goes on for longer is not one: it is unparsed ("too_long"), which also bounds the work.
ANSWER_CHARACTERS = 20_000
CONTENT_CHARACTERS = 2_000  # of a box or a tag


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
    if reader.emphasis and (finding := read_emphasis(answer, reader) or read_lines(answer, reader)):
        if finding.reading.value is None and (concluded := read_conclusion(answer, reader)):
            return concluded
        return finding
    whole = Candidate("text", 0, len(answer), answer)
    return Finding(Reading(None, "no_answer") if unsettled(answer) else reader.read_freely(answer), whole)


def searched(answer: str, reader: Reader) -> str:
    """Return the answer part as it is searched, every character in its place: plain letters, no quoted "Answer: X"."""
    answer = QUOTED.sub(lambda match: " " * len(match.group()), ascii_forms(answer))
    return reader.prepared(answer, FOREIGN.search(answer) is not None)


def final_marks(answer: str, strong: list[Candidate]) -> list[Candidate]:
    """Return the last of the boxes and tags that is filled, after those that stand joined to it ("A and B").

    More than MOST of them decide nothing. Empty where none is filled.
    """
    filled = [candidate for candidate in strong if candidate.text.strip(" \t\n.…_$*?")]
    group = filled[-1:]
    for earlier in reversed(filled[:-1]):
        if len(group) > MOST or not _joined(answer[earlier.end : group[0].start]):
            break
        group.insert(0, earlier)
    return group


def _read_strong(answer: str, strong: list[Candidate], reader: Reader) -> Finding:
    group = final_marks(answer, strong)
    if not group:
        return Finding(Reading(None, "empty_answer"), strong[-1])
    last = group[-1]
    undecided = Finding(Reading(None, "undecided"), last)
    if _denied_before(answer, last.start) or len(group) > MOST:
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
    before = fold(SENTENCE_BREAK.split(answer[max(0, start - 160) : start])[-1]).rstrip(" $*(\\[") + " "
    return any(pattern.search(before) for pattern in (DENIED_BEFORE, CONDITION, EXAMPLE))


def _read_content(candidate: Candidate, reader: Reader) -> Reading:
    """Read a box or a tag; a tag of several lines may hold a statement of its own."""
    if len(candidate.text) > CONTENT_CHARACTERS:
        return Reading(None, "too_long")
    reading = reader.read(candidate.text)
    if reading.value is None and candidate.kind == "tag" and "\n" in candidate.text.strip():
        inner = _read_statements(candidate.text.strip(), reader) or (
            reader.emphasis and read_lines(candidate.text.strip(), reader)
        )
        return inner.reading if inner else reading
    return reading


def _outside(text: str, group: list[Candidate], offset: int) -> str:
    """Return ``text`` (which starts at ``offset`` of the answer) without the candidates in it."""
    pieces, position = [], offset
    for candidate in group:
        pieces.append(text[position - offset : candidate.start - offset])
        position = candidate.end
    return " ".join(pieces)


def _joined(between: str) -> bool:
    """Say whether two explicit answers stand side by side, as rivals or as parts of one."""
    if SENTENCE_BREAK.search(between.strip(" \n.$*")):
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
