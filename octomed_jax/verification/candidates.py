"""Where an answer may be stated: the thought is split off; boxes, answer tags and statements are found in the rest.

Everything here is linear in the length of the response.
"""

import dataclasses
import re
from bisect import bisect_left
from collections import deque

from octomed_jax.verification.phrases import (
    CHOSEN,
    CONCLUSION,
    CONDITION,
    COPULA,
    EXAMPLE,
    FOREIGN,
    HEADING,
    LEAVES,
    MAY_PRECEDE_KEY,
    NOT_LIKELY,
    OTHER_VALUE,
    OTHERS_SAY,
    SPOILT,
    STATEMENT,
    SUPERLATIVE,
    VERDICT,
)
from octomed_jax.verification.text import fold

THINK_START, THINK_END = "<think>", "</think>"
_THINK = re.compile(r"<(/?)think(?:ing)?>", re.IGNORECASE)
MOST = 16  # explicit answers looked at, counted from the end


@dataclasses.dataclass(frozen=True, slots=True)
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
    if end >= 0:
        thought, answer = response[:end], response[end + len(THINK_END) :]
    else:
        tags = deque(_THINK.finditer(response), maxlen=1)
        if not tags:
            return Response("", response.strip(), True)
        last = tags[0]
        if not last.group(1):
            return Response(response[last.end() :].strip(), "", False)
        thought, answer = response[: last.start()], response[last.end() :]
    if "<" in answer and (tag := _THINK.search(answer)) and not tag.group(1):
        return Response(thought.strip(), "", False)  # a second thought was begun and cut
    return Response(thought.strip().removeprefix(THINK_START).strip(), answer.strip(), True)


@dataclasses.dataclass(frozen=True, slots=True)
class Candidate:
    """A place where an answer is stated.

    Attributes:
        kind: ``box``, ``tag``, ``statement`` ("the answer is X"), ``claim`` ("the diagnosis is X"), ``field`` (of
            JSON), ``verdict`` ("X is correct"),
            ``value`` ("the score is X"), ``conclusion`` ("therefore, X"), ``superlative``
            ("the best test is X"), ``bold``, ``bracket``, ``line`` or ``text``.
        start, end: where it stands in the answer part.
        text: what is stated.
    """

    kind: str
    start: int
    end: int
    text: str


# --------------------------------------------------------------------------------------------------- boxes and tags

_BRACE = re.compile(r"(?:\\boxed|\\fbox|\x08oxed|\bb?oxed)\s{0,3}\{|\\[{}]|[{}]")
_BARE_BOX = re.compile(r"\\boxed\s{1,3}([A-Za-z0-9])(?!\w)")
_TAG = re.compile(r"<(/?)\s{0,3}(?:final[_ ])?answer\s{0,3}>", re.IGNORECASE)


def boxes(answer: str) -> tuple[list[Candidate], int]:
    """Return the closed ``\\boxed{...}`` (innermost where nested) and the start of the last unclosed one (-1: none)."""
    if "oxed" not in answer and "fbox" not in answer:
        return [], -1
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
                found.append(Candidate("box", start, match.end(), answer[inner : match.start()]))
    unclosed = [start for start, _, is_box in stack if is_box]
    found += [Candidate("box", *match.span(), match.group(1)) for match in _BARE_BOX.finditer(answer)]
    return sorted(found, key=lambda box: box.start), unclosed[-1] if unclosed else -1


def tags(answer: str) -> tuple[list[Candidate], int]:
    """Return the ``<answer>...</answer>`` and the start of an unclosed last one (-1: none)."""
    if "<" not in answer:
        return [], -1
    found, opened = [], None
    for match in _TAG.finditer(answer):
        if not match.group(1):
            opened = match
        elif opened:
            found.append(Candidate("tag", opened.start(), match.end(), answer[opened.end() : match.start()]))
            opened = None
    return found, opened.start() if opened else -1


# --------------------------------------------------------------------------------------------------- statements

_FIELD = re.compile(r"[\"'](?:[a-z]{1,10}_)?$")
_WORD_BEFORE = re.compile(r"([A-Za-z][\w'-]*)[ ]$")
_POINTERS = frozenset({"here", "this", "that", "it", "below", "above", "which", "what"})
_CLAUSE = re.compile(r"[.;:,!?\n]\s|\n")
_QUESTION = re.compile(r"[^.;!\n]{0,80}\?")


def statements(answer: str) -> list[Candidate]:
    """Return what is stated by "Answer: X", "the answer is X", "X is correct" and the like; the last MOST of each."""
    found = []
    for pattern in (STATEMENT, HEADING, CHOSEN, LEAVES, FOREIGN, CONCLUSION, SUPERLATIVE):
        for match in deque(pattern.finditer(answer), maxlen=MOST):
            kind = _kind(answer, match)
            if _states_nothing(answer, match, kind):
                continue
            if candidate := _rest_of_line(answer, match, kind):
                found.append(candidate)
    for match in deque(VERDICT.finditer(answer), maxlen=MOST):
        before = answer[max(0, match.start() - 160) : match.start()]
        cuts = deque(_CLAUSE.finditer(before), maxlen=1)
        text = before[cuts[0].end() :] if cuts else before
        start = match.start() - len(text)
        if OTHERS_SAY.search(fold(text)) or fold(text.strip()) in _POINTERS:
            continue
        if text.strip() and not _QUESTION.match(answer, match.end()) and not _supposed(answer, start):
            found.append(Candidate("verdict", start, match.end(), text))
    return sorted(found, key=lambda candidate: (candidate.start, candidate.end))


def _kind(answer: str, match: re.Match[str]) -> str:
    if match.re in (CONCLUSION, SUPERLATIVE):
        return "conclusion" if match.re is CONCLUSION else "superlative"
    if match.re is STATEMENT and match["value"]:
        return "value"
    if _FIELD.search(answer[max(0, match.start() - 12) : match.start()]):
        return "field"
    return "claim" if match.re is LEAVES or (match.re is STATEMENT and match["claim"]) else "statement"


def unsettled(answer: str) -> bool:
    """Say whether "the answer is" and the like stand there denied, supposed, or of another thing."""
    matches = deque(STATEMENT.finditer(answer), maxlen=MOST)
    return any(_states_nothing(answer, match, _kind(answer, match)) for match in matches)


def _states_nothing(answer: str, match: re.Match[str], kind: str) -> bool:
    """Say whether a statement is denied, asked, supposed, an example, or of another thing than the answer."""
    if _spoilt(answer, match.start(), conclusion=kind == "conclusion"):
        return True
    return match.re is STATEMENT and kind != "field" and _another_thing(answer, match.start(), kind)


def _spoilt(answer: str, start: int, conclusion: bool) -> bool:
    """Say whether the words before a statement deny it, ask, quote another's, or suppose something."""
    before = fold(answer[max(0, start - 40) : start])
    if not conclusion and (SPOILT.search(before) or NOT_LIKELY.search(before)):
        return True
    return _supposed(answer, start)


def _another_thing(answer: str, start: int, kind: str) -> bool:
    """Say whether the word before a key makes it another thing ("differential diagnosis", "maximum score")."""
    before = answer[max(0, start - 40) : start]
    word = _WORD_BEFORE.search(before)
    if kind == "value":
        return word is not None and OTHER_VALUE.search(fold(before)) is not None
    return word is not None and fold(word[1]) not in MAY_PRECEDE_KEY


def _supposed(answer: str, start: int) -> bool:
    """Say whether a statement holds under a condition only, or stands in an example."""
    before = fold(answer[max(0, start - 300) : start])
    return CONDITION.search(before) is not None or EXAMPLE.search(before.rpartition("\n\n")[2]) is not None


def _rest_of_line(answer: str, match: re.Match[str], kind: str) -> Candidate | None:
    """Return what follows a match, up to the end of the line, or of the quotation that the match opens."""
    start = match.end()
    while start < len(answer) and answer[start] in " \t\n*_:":
        start += 1
    limit = min(len(answer), start + 500)
    end = answer.find("\n", start, limit)
    end = limit if end < 0 else end
    if (quote := match.group()[-1:]) in "\"'":
        closed = answer.find(quote, start, end)
        end = closed if closed > start else end
    elif kind == "field" and (ended := re.search(r"(?<=\])|[,}](?![^\[]*\])", answer[start:end])):
        end = start + ended.start()
    return Candidate(kind, match.start(), end, COPULA.sub("", answer[start:end])) if start < end else None


def explicit(answer: str) -> tuple[list[Candidate], Candidate | None]:
    """Return boxes and answer tags in order, and the last one that is not closed, if nothing explicit follows it."""
    boxed, open_box = boxes(answer)
    tagged, open_tag = tags(answer)
    if boxed and tagged:  # of a box within a tag, the box counts
        starts = [box.start for box in boxed]
        tagged = [tag for tag in tagged if bisect_left(starts, tag.start) == bisect_left(starts, tag.end)]
    strong = sorted(boxed + tagged, key=lambda candidate: candidate.start)
    if max(open_box, open_tag) > (strong[-1].end if strong else -1):
        start = max(open_box, open_tag)
        return strong, Candidate("box" if start == open_box else "tag", start, len(answer), answer[start:])
    return strong, None
