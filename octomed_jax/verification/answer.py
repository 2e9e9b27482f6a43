"""Where in a response the answer stands: the thought is split off, then explicit answers are found, last one first.

Everything here is linear in the length of the response, and looks at no more than the last ANSWER_CHARACTERS.
"""

import dataclasses
import re
from bisect import bisect_left
from collections import deque
from collections.abc import Callable

from octomed_jax.verification.text import HEDGE, NEGATION, Reading, first_sentence, fold

THINK_START, THINK_END = "<think>", "</think>"

# An answer that goes on for longer is not one: it is unparsed ("too_long"), which also bounds the work.
ANSWER_CHARACTERS = 20_000
MOST = 16  # explicit answers looked at, counted from the end


@dataclasses.dataclass(frozen=True)
class Response:
    """A response in its two parts.

    Attributes:
        thought: what stands between the think tags; empty without tags.
        answer: what follows the last ``</think>``; the whole response where there are no tags at all.
        closed: False where a thought was opened and never closed, so that no answer was reached.
    """

    thought: str
    answer: str
    closed: bool


def split_response(response: str) -> Response:
    """Split a response into its thought and its answer."""
    end = response.rfind(THINK_END)
    if end < 0:
        start = response.find(THINK_START)
        if start < 0:
            return Response("", response.strip(), True)
        return Response(response[start + len(THINK_START) :].strip(), "", False)
    thought, answer = response[:end].strip(), response[end + len(THINK_END) :]
    if THINK_START in answer:  # a second thought was begun and cut
        return Response(thought, "", False)
    return Response(thought.removeprefix(THINK_START).strip(), answer.strip(), True)


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A place where an answer is stated: its text, and where it stands in the answer part."""

    start: int
    end: int
    text: str


_BRACE = re.compile(r"(?:\\boxed|\\fbox|\x08oxed)\s{0,3}\{|\\[{}]|[{}]")
_TAG = re.compile(r"<(/?)\s{0,3}answer\s{0,3}>", re.IGNORECASE)
_MARKER = re.compile(
    r"\b(?:answer|option|choice|diagnosis|value|result|score|label)\b"
    r"(?:\s{1,2}(?:is|was|would be|should be|must be)\b|[*_\s]{0,4}[:=])[*_:\s]{0,8}",
    re.IGNORECASE,
)
_HEADING = re.compile(r"^[\s#*_]{0,8}(?:the )?(?:final |correct )?answer[\s*_:.]{0,8}$", re.IGNORECASE | re.MULTILINE)
_CORRECT = re.compile(
    r"\b(?:option|choice|answer)\s{1,2}[*_(\[]{0,4}([A-Z])[*_)\]]{0,4}\s{1,2}is\s{1,2}(?:the\s{1,2})?(?:correct|best|right)\b",
    re.IGNORECASE,
)
_SPOILT = re.compile(
    r"(?:\bincorrect|\bwrong|\bfalse|\bnot|\bno|\bif|\bwhether|\bunless|n't|\banother)\s{1,3}(?:the\s{1,3})?$"
)
_BOLD = re.compile(r"\*\*([^*\n]{1,300})\*\*")
_BRACKET = re.compile(r"[(\[]\s?([A-Za-z])\s?[)\]]")
_REVISED = re.compile(
    r"\b(?:wait|scratch that|on second thoughts?|correction|i was wrong|i made an? (?:mistake|error)"
    r"|let me reconsider)\b"
)
_JOINING = re.compile(r"(?:\W|\b(?:or|and|also|either|answer|the|option)\b){0,40}")
_TAKEN_BACK = re.compile(r"\W*(?:or|maybe|perhaps|possibly|alternatively|but (?:it |this )?(?:may|might|could))\b")
_OR_AFTER = re.compile(r"[^\w\n]{0,6}(?:and/)?or\b", re.IGNORECASE)
_NOT_BEFORE = re.compile(r"(?:\bnot|n't|\bnever|\brather than|\binstead of)[\s$*(:]{0,5}$", re.IGNORECASE)


def boxes(answer: str) -> tuple[list[Candidate], int]:
    """Return the closed ``\\boxed{...}`` (innermost where nested) and the start of the last unclosed one (-1: none)."""
    found: list[Candidate] = []
    stack: list[tuple[int, int, bool]] = []
    for match in _BRACE.finditer(answer):
        mark = match.group()
        if mark in ("\\{", "\\}"):
            continue
        if mark == "{":
            stack.append((match.start(), match.end(), False))
        elif mark != "}":
            stack.append((match.start(), match.end(), True))
        elif stack:
            start, inner, is_box = stack.pop()
            if is_box and not (found and found[-1].start > start):
                found.append(Candidate(start, match.end(), answer[inner : match.start()]))
    unclosed = [start for start, _, is_box in stack if is_box]
    return found, unclosed[-1] if unclosed else -1


def tags(answer: str) -> tuple[list[Candidate], int]:
    """Return the ``<answer>...</answer>`` and the start of an unclosed last one (-1: none)."""
    found, opened = [], None
    for match in _TAG.finditer(answer):
        if not match.group(1):
            opened = match
        elif opened:
            found.append(Candidate(opened.start(), match.end(), answer[opened.end() : match.start()]))
            opened = None
    return found, opened.start() if opened else -1


def markers(answer: str) -> list[Candidate]:
    """Return what follows "Answer:", "the answer is" and the like, up to the end of the line; the last MOST of each."""
    found = []
    for pattern in (_MARKER, _HEADING):
        for match in deque(pattern.finditer(answer), maxlen=MOST):
            if _SPOILT.search(fold(answer[max(0, match.start() - 24) : match.start()])):
                continue
            start = match.end()
            while start < len(answer) and answer[start] in " \t\n*_:":
                start += 1
            limit = min(len(answer), start + 500)
            end = answer.find("\n", start, limit)
            end = limit if end < 0 else end
            if start < end:
                found.append(Candidate(match.start(), end, answer[start:end]))
    for match in deque(_CORRECT.finditer(answer), maxlen=MOST):
        if not _SPOILT.search(fold(answer[max(0, match.start() - 24) : match.start()])):
            found.append(Candidate(match.start(), match.end(), match.group(1)))
    return sorted(found, key=lambda candidate: candidate.start)


Reader = Callable[[str], Reading]


def read_answer(answer: str, read: Reader, read_loosely: Reader, joins: bool = False, emphasis: bool = True) -> Reading:
    """Read the final answer out of the answer part of a response.

    Boxes and answer tags come first and the last of them counts; a clean "the answer is X" after it overrides it. Then
    markers, then bold or bracketed answers that all agree, then the whole text.

    Args:
        answer: the text after ``</think>``.
        read: reads a text that is meant as the answer.
        read_loosely: reads free text that may only mention one.
        joins: neighbouring boxes are parts of one answer (several labels), not rivals.
        emphasis: bold and bracketed text may be the answer (not where any text can be read as one).
    """
    if not answer:
        return Reading(None, "empty_answer")
    if len(answer) > ANSWER_CHARACTERS:
        return Reading(None, "too_long")
    boxed, open_box = boxes(answer)
    tagged, open_tag = tags(answer)
    starts = [box.start for box in boxed]  # in order, as boxes are found from left to right and never nest
    tagged = [tag for tag in tagged if bisect_left(starts, tag.start) == bisect_left(starts, tag.end)]
    strong = sorted(boxed + tagged, key=lambda candidate: candidate.start)
    if max(open_box, open_tag) > (strong[-1].end if strong else -1):
        return Reading(None, "not_closed")
    if strong:
        return _read_strong(answer, strong, read, joins)
    return _read_markers(answer, read) or (emphasis and _read_emphasis(answer, read)) or read_loosely(answer)


def _read_strong(answer: str, strong: list[Candidate], read: Reader, joins: bool) -> Reading:
    filled = [candidate for candidate in strong if candidate.text.strip(" \t\n.…_$*")]
    if not filled:
        return Reading(None, "empty_answer")
    last = filled[-1]
    if _NOT_BEFORE.search(answer[max(0, last.start - 24) : last.start]):
        return Reading(None, "undecided")
    group = [last]
    for earlier in reversed(filled[:-1]):
        if not _joined(answer[earlier.end : group[0].start]):
            break
        group.insert(0, earlier)
        if len(group) > MOST:
            return Reading(None, "undecided")
    if joins and len(group) > 1:
        around = answer[max(0, group[0].start - 12) : last.end]
        if HEDGE.search(fold(_outside(around, group, max(0, group[0].start - 12)))):
            return Reading(None, "undecided")
        reading = read("; ".join(candidate.text for candidate in group))
    else:
        readings = [read(candidate.text) for candidate in group]
        reading = readings[-1]
        if any(other.value != reading.value for other in readings):
            return Reading(None, "undecided")
    rest = answer[last.end :]
    if _OR_AFTER.match(rest):
        return Reading(None, "undecided")
    later = _read_markers(rest, read)
    if later is not None and later.value is not None:
        return later
    if _REVISED.search(fold(rest)):
        return Reading(None, "undecided")
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
    return (len(between) <= 40 and _JOINING.fullmatch(fold(between)) is not None) or (
        len(between) <= 80 and HEDGE.search(fold(between)) is not None
    )


def _read_markers(answer: str, read: Reader) -> Reading | None:
    """Read the last "the answer is X" that states an answer; None where there is none."""
    for candidate in reversed(markers(answer)):
        reading = read_line(candidate.text, read)
        if reading.value is not None or reading.reason == "undecided":
            return reading
    return None


def read_line(line: str, read: Reader) -> Reading:
    """Read the first sentence of a line if the rest does not take it back, else the whole line."""
    head, tail = first_sentence(line)
    reading = read(head)
    if reading.value is None and tail:
        return read(line)
    if reading.value is not None and tail:
        start = fold(tail[:200])
        if _TAKEN_BACK.match(start) or _REVISED.search(start):
            return Reading(None, "undecided")
    return reading


def _read_emphasis(answer: str, read: Reader) -> Reading | None:
    """Read bold or bracketed answers, if those that can be read agree; None where there are none."""
    for pattern in (_BOLD, _BRACKET):
        values = set()
        for match in deque(pattern.finditer(answer), maxlen=MOST):
            value = read(match.group(1)).value
            if value is not None:
                values.add(value)
                line = answer[answer.rfind("\n", 0, match.start()) + 1 : match.start()] + _line_after(
                    answer, match.end()
                )
                if NEGATION.search(fold(line)) or HEDGE.search(fold(line)):
                    return Reading(None, "undecided")
        if values:
            return Reading(values.pop()) if len(values) == 1 else Reading(None, "undecided")
    return None


def _line_after(answer: str, start: int) -> str:
    end = answer.find("\n", start)
    return answer[start:] if end < 0 else answer[start:end]
