"""Marks the words that two questions share in their texts as they are written.

Curation compares questions in their normal form, which has neither case nor punctuation. A text is cut at its spaces,
each piece is brought into the normal form alone, which gives the same words, and each word knows where it came from.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from octomed_jax.curation.decontaminate import SHOWN_WORDS
from octomed_jax.curation.texts.normal_text import normalise

_PIECE = re.compile(r"\S+")
# What is usually one word of the normal form: a run of letters and digits, or one character of Chinese or Japanese.
_WORD = re.compile(
    "[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]|[^\\W_\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+"
)

Pieces = list[tuple[str, bool]]  # of a text: what stands there, and whether it is shared


class Word(NamedTuple):
    """A word in its normal form, and where it stands: in which text, from where, to before where."""

    word: str
    text: int
    start: int
    end: int


def run_of(detail: str) -> tuple[str, ...]:
    """Return the words that the detail of a removed question names as shared."""
    words = detail.partition(" (and ")[0]
    # Longer runs are cut, maybe within their last word.
    return tuple(words.split()[:-1] if len(words) == SHOWN_WORDS else words.split())


def mark_shared(left: Sequence[str], right: Sequence[str], run: Sequence[str]) -> tuple[list[Pieces], list[Pieces]]:
    """Return the texts of two questions in pieces, those that both have marked.

    Marked are all runs of as many words as ``run`` has that stand in both, wherever one text ends and the next begins;
    nothing, where ``run`` itself is not among them.

    Args:
        left, right: the texts of each: the question, then its options.
        run: the words that they are known to share.
    """
    ours, theirs = words_of(left), words_of(right)
    length = len(run)
    common = set(_runs(ours, length)) & set(_runs(theirs, length))
    if not run or tuple(run) not in common:
        common = set()
    return _pieces(left, ours, common, length), _pieces(right, theirs, common, length)


def words_of(texts: Sequence[str]) -> list[Word]:
    """Return the words of some texts, one after another, each with its place."""
    found = [(number, match) for number, text in enumerate(texts) for match in _PIECE.finditer(text)]
    normal = normalise([match.group() for _, match in found])
    words: list[Word] = []
    for index, (number, match) in enumerate(found):
        forms = normal.text(index).split()
        spans = [(match.start() + one.start(), match.start() + one.end()) for one in _WORD.finditer(match.group())]
        if len(spans) != len(forms):  # such as 1,200: all of them stand for the whole
            spans = [(spans[0][0], spans[-1][1]) if spans else match.span()] * len(forms)
        words += [Word(form, number, *span) for form, span in zip(forms, spans, strict=True)]
    return words


def _runs(words: Sequence[Word], length: int) -> list[tuple[str, ...]]:
    plain = [word.word for word in words]
    return [tuple(plain[first : first + length]) for first in range(len(plain) - length + 1)]


def _pieces(texts: Sequence[str], words: Sequence[Word], common: set[tuple[str, ...]], length: int) -> list[Pieces]:
    """Return each text in pieces, the words of all runs in ``common`` marked, with what stands between two of them."""
    shared: set[int] = set()
    for first, run in enumerate(_runs(words, length) if common else ()):
        if run in common:
            shared.update(range(first, first + length))
    spans: list[list[tuple[int, int]]] = [[] for _ in texts]
    for index in sorted(shared):
        _, text, start, end = words[index]
        if spans[text] and index - 1 in shared and words[index - 1].text == text:
            start = spans[text].pop()[0]
        spans[text].append((start, end))
    return [_cut_at(text, of_text) for text, of_text in zip(texts, spans, strict=True)]


def _cut_at(text: str, spans: Sequence[tuple[int, int]]) -> Pieces:
    pieces, last = [], 0
    for start, end in spans:
        pieces += [(text[last:start], False), (text[start:end], True)]
        last = end
    return [(piece, marked) for piece, marked in [*pieces, (text[last:], False)] if piece]
