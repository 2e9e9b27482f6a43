"""Spelling out of the way: cleaning, comparing, and finding known names in a text. All linear in the text's length."""

import dataclasses
import functools
import re
import unicodedata
from collections.abc import Iterator, Sequence


@dataclasses.dataclass(frozen=True)
class Reading:
    """What a reader took from a piece of text.

    Attributes:
        value: the answer in its one spelling, or None where a careful reader would not decide.
        reason: a code of ``check.REASONS`` where ``value`` is None, else empty.
    """

    value: str | None
    reason: str = ""


_DASHES = dict.fromkeys(map(ord, "‐‑‒–—―−"), "-")
_QUOTES = {ord("‘"): "'", ord("’"): "'", ord("“"): '"', ord("”"): '"'}
_WRAPPER = re.compile(r"\\(?:text\w{0,4}|math\w{2}|mbox|bm|boldsymbol)\s{0,3}\{([^{}]{0,2000})\}")
_LATEX_SPACE = re.compile(r"\\[,;:! ]|\\quad\b|(?<!\\)~")
_LATEX_MATH = re.compile(r"\\[()\[\]]|\\left\b|\\right\b|\$")
_INNER_HYPHEN = re.compile(r"(?<=[^\W\d_])-(?=[^\W\d_])")
_BARE_POINT = re.compile(r"(?<![\w.])\.(?=\d)")
_STAR_TIMES = re.compile(r"(?<=\d)\s?\*\s?(?=\d)")
_ARTICLE = re.compile(r"^(?:the|an|a)\s+(?=\S)")
_EDGE = " \t.,:;!?\"'"
_PAIRS = {"(": ")", "[": "]", "{": "}"}


def clean(text: str) -> str:
    """Return ``text`` without markup: LaTeX wrappers, Markdown marks, odd dashes and quotes, outer punctuation.

    Case is kept. A hyphen between letters becomes a space (``X-ray`` and ``X ray`` are one name).
    """
    return _clean_short(text) if len(text) <= 120 else _clean(text)


def _clean(text: str) -> str:
    text = text.translate(_DASHES).translate(_QUOTES)
    for _ in range(3):
        shorter = _WRAPPER.sub(r" \1 ", text)
        if shorter == text:
            break
        text = shorter
    text = _LATEX_SPACE.sub(" ", text)
    text = _LATEX_MATH.sub("", text)
    text = text.replace("\\%", "%").replace("\\&", "&").replace("\\_", "_").replace("\\#", "#")
    text = unicodedata.normalize("NFKC", text).translate(_DASHES)
    text = _STAR_TIMES.sub("×", _BARE_POINT.sub("0.", text))  # before "*" and outer points go
    text = text.replace("*", "").replace("`", "").replace("__", "")
    text = _INNER_HYPHEN.sub(" ", " ".join(text.split()))
    for _ in range(4):
        inner = text.strip(_EDGE)
        if len(inner) > 1 and _PAIRS.get(inner[0]) == inner[-1] and inner.find(inner[-1]) == len(inner) - 1:
            inner = inner[1:-1]
        if inner == text:
            break
        text = inner
    return text


_clean_short = functools.lru_cache(maxsize=8192)(_clean)  # the same options come again and again


def fold(text: str) -> str:
    """Return ``text`` in lower case, with the same length."""
    lower = text.lower()
    if len(lower) == len(text):
        return lower
    return "".join(low if len(low := letter.lower()) == 1 else letter for letter in text)


def plain_name(text: str) -> str:
    """Return the one spelling under which two names are compared: cleaned, lower case, no leading article."""
    name = fold(clean(text))
    return _ARTICLE.sub("", name)


NEGATION_BEFORE = re.compile(
    r"(?:\bnot|n't|\bno|\bnever|\bneither|\bnor|\brather than|\binstead of|\brules? out|\bruled out|\bexcludes?"
    r"|\bexcluding|\bexcept|\bunlike|\bwithout|\bagainst)[\s:]{1,3}(?:(?:the|a|an|be|in|of|option|answer|choice|it|is)"
    r"[\s:]{1,3}){0,3}[(\[]?$"
)
NEGATION_AFTER = re.compile(
    r"^[)\].]?\s{1,3}(?:is|was|are|were|seems|can be|could be|should be|has been)\s{1,3}"
    r"(?:not|unlikely|incorrect|wrong|excluded|ruled out|less likely|false|never|eliminated)\b"
)
NEGATION = re.compile(r"\b(?:not|no|never|neither|nor|without|except|cannot|unlikely|wrong|incorrect)\b|n't\b")
HEDGE = re.compile(
    r"\b(?:either|or|maybe|perhaps|possibly|might|could|may|unclear|uncertain|unsure|undetermined|alternatively|unless"
    r"|cannot|can't|not sure|not certain|impossible|insufficient|guess)\b"
)


@dataclasses.dataclass(frozen=True)
class Mention:
    """One place where a known name stands: which name, from where to where, and whether it is ruled out there."""

    index: int
    start: int
    end: int
    negated: bool


def negated_at(folded: str, start: int, end: int) -> bool:
    """Say whether the words around ``folded[start:end]`` rule it out ("not X", "X is unlikely")."""
    before, after = folded[max(0, start - 48) : start], folded[end : end + 48]
    return bool(NEGATION_BEFORE.search(before) or NEGATION_AFTER.match(after))


def mentions(folded: str, names: Sequence[str]) -> list[Mention]:
    """Return where ``names`` (folded) stand in a folded text as whole words, longer names before shorter ones.

    A name inside a longer one that matched is not counted; digits next to a number are part of another number.
    """
    return [
        Mention(index, start, end, negated_at(folded, start, end)) for index, start, end in _find(folded, tuple(names))
    ]


def _find(folded: str, names: tuple[str, ...]) -> Iterator[tuple[int, int, int]]:
    first = {name: index for index, name in reversed(list(enumerate(names))) if name}
    if not first:
        return
    pattern = re.compile("|".join(re.escape(name) for name in sorted(first, key=lambda name: (-len(name), name))))
    position = 0
    while match := pattern.search(folded, position):
        start, end = match.span()
        if _whole(folded, start, end):
            yield first[match.group()], start, end
            position = end
        else:
            position = start + 1


def _whole(folded: str, start: int, end: int) -> bool:
    """Say whether ``folded[start:end]`` is not a part of a longer word or number."""
    before, after = folded[start - 1 : start], folded[end : end + 1]
    if (before.isalnum() and folded[start].isalnum()) or (after.isalnum() and folded[end - 1].isalnum()):
        return False
    if folded[start].isdigit():
        further = folded[start - 2 : start - 1] if start > 1 else ""
        if before in ("-", "/", "<", ">", "=", "^") or (before in (".", ",") and further.isdigit()) or before == ".":
            return False
    if folded[end - 1].isdigit():
        further = folded[end + 1 : end + 2]
        if after == "/" or (after in (".", ",", "-") and further.isdigit()):
            return False
    return True


def masked(text: str, found: Sequence[Mention]) -> str:
    """Return ``text`` with the mentioned names blanked out, at the same length."""
    pieces, position = [], 0
    for mention in found:
        pieces += [text[position : mention.start], " " * (mention.end - mention.start)]
        position = mention.end
    return "".join([*pieces, text[position:]])


_SENTENCE_END = re.compile(r"(?<=[.!?;])\s+(?=\S)|\n")


def first_sentence(text: str) -> tuple[str, str]:
    """Split off the first sentence of a line; a list label (``B. Pneumonia``) does not end one."""
    for match in _SENTENCE_END.finditer(text):
        head = text[: match.start()].strip(" *_([")
        label = head.rstrip(".)*_ ")
        if len(label) > 1 or label.isdigit():
            return text[: match.start()], text[match.end() :]
    return text, ""
