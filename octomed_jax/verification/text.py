"""Spelling out of the way: cleaning, comparing, sentences. All linear in the text's length."""

import dataclasses
import functools
import re
import unicodedata


@dataclasses.dataclass(frozen=True, slots=True)
class Reading:
    """What a reader took from a piece of text.

    Attributes:
        value: the answer in its one spelling, or None where a careful reader would not decide.
        reason: a code of ``check.REASONS`` where ``value`` is None, else empty.
    """

    value: str | None
    reason: str = ""


_DASHES = dict.fromkeys(map(ord, "‐‑‒–—―−"), "-")
_QUOTES = {ord("‘"): "'", ord("’"): "'", ord("“"): '"', ord("”"): '"', ord("«"): '"', ord("»"): '"'}
_INVISIBLE = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff\u00ad"))
_BRACKETS = {ord(odd): plain for odd, plain in zip("【】「」『』〔〕〈〉", "[]" * 5, strict=True)}
# One character for one, so that places in the text stay.
_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: 0x20}

_WRAPPER = re.compile(
    r"\\(?:text\w{0,6}|math\w{2,4}|mbox|bm|boldsymbol|underline|emph|displaystyle)\s{0,3}\{([^{}]{0,2000})\}"
)
_LATEX_SPACE = re.compile(r"\\[,;:! ]|\\q?quad\b|(?<!\\)~")
_LATEX_MATH = re.compile(r"\\[()\[\]]|\\(?:left|right|large|Large|LARGE|huge|bf|it|rm)\b|\$")
_INNER_HYPHEN = re.compile(r"(?<=[^\W\d_])-(?=[^\W\d_])")
_BARE_POINT = re.compile(r"(?<![\w.])\.(?=\d)")
_STAR_TIMES = re.compile(r"(?<=\d)\s?\*\s?(?=\d)")
_PLAIN = re.compile(r"[A-Za-z0-9 ]+")
_ARTICLE = re.compile(r"^(?:the|an|a)\s+(?=\S)")
_EDGE = " \t.,:;!\"'。、，"
_PAIRS = {"(": ")", "[": "]", "{": "}", "<": ">"}


def ascii_forms(text: str) -> str:
    """Return ``text`` with full-width letters, digits and signs as plain ones; every character keeps its place."""
    return text if text.isascii() else text.translate(_FULL_WIDTH)


def clean(text: str) -> str:
    """Return ``text`` without markup: LaTeX wrappers, Markdown marks, odd dashes and quotes, outer punctuation.

    Case is kept. A hyphen between letters becomes a space (``X-ray`` and ``X ray`` are one name).
    """
    return _clean_short(text) if len(text) <= 120 else _clean(text)


def _clean(text: str) -> str:
    if _PLAIN.fullmatch(text):  # nothing to clean: most options
        return " ".join(text.split())
    if not text.isascii():
        text = text.translate(_DASHES).translate(_QUOTES).translate(_INVISIBLE).translate(_BRACKETS)
    if "\\" in text:
        for _ in range(3):
            shorter = _WRAPPER.sub(r" \1 ", text)
            if shorter == text:
                break
            text = shorter
        text = _LATEX_SPACE.sub(" ", text)
        for escaped in "%&_#{}$":
            text = text.replace("\\" + escaped, escaped)
    text = _LATEX_MATH.sub("", text).replace("~", " ")
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text).translate(_DASHES)
    text = _STAR_TIMES.sub("×", _BARE_POINT.sub("0.", text))  # before "*" and outer points go
    text = text.replace("*", "").replace("`", "").replace("__", "")
    text = _INNER_HYPHEN.sub(" ", " ".join(text.split()))
    for _ in range(4):
        inner = text.strip(_EDGE)
        if (len(inner) > 1 and _PAIRS.get(inner[0]) == inner[-1] and inner.find(inner[-1]) == len(inner) - 1) or (
            len(inner) > 2 and inner[0] == inner[-1] == "_"
        ):
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
    return without_article(fold(clean(text)))


def without_article(name: str) -> str:
    """Return a folded name without the article that leads it."""
    return _ARTICLE.sub("", name)


_OXFORD = re.compile(r",\s(and|or)\s")
_BRITISH = re.compile(r"a(?=e[mscdt])|o(?=e[dtas])|(?<=[lmvi]o)u(?=rs?\b)", re.IGNORECASE)


def american(text: str) -> str:
    """Return ``text`` with anaemia as anemia, tumour as tumor, and no comma before "and"; only to compare."""
    lower = text.lower()
    if "ae" in lower or "oe" in lower or "our" in lower:
        text = _BRITISH.sub("", text)
    return _OXFORD.sub(r" \1 ", text) if "," in text else text


SENTENCE_BREAK = re.compile(r"[.!?]\s")
_SENTENCE_END = re.compile(r"(?<=[.!?;])\s+(?=\S)|(?<=[。！？；])|\n")
_LONG_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=\S)|(?<=[。！？])")


def first_sentence(text: str, semicolons: bool = True) -> tuple[str, str]:
    """Split off the first sentence of a line; a list label (``B. Pneumonia``) does not end one.

    Without ``semicolons`` neither they nor new lines end one.
    """
    for match in (_SENTENCE_END if semicolons else _LONG_SENTENCE_END).finditer(text):
        head = text[: match.start()].strip(" *_([")
        label = head.rstrip(".)*_ ")
        if len(label) > 1 or label.isdigit():
            return text[: match.start()], text[match.end() :]
    return text, ""
