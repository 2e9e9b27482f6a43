"""Finds the phrases that many of the shared runs of words have in common: where hundreds do, it is a template.

Each run is cut into pieces of PIECE_WORDS words. The piece that most questions have is taken, made longer for as long
as nearly all of them go on in the same words, and their runs are put aside; then the next. Memory: some 150 bytes for
each run that is other than all others, and its text.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int64, UInt64

PIECE_WORDS = 8
MOST_PHRASES = 10
LEAST_QUESTIONS = 3  # that a phrase is named for
NEARLY_ALL = 0.9


def shared_phrases(runs: Mapping[tuple[str, ...], int]) -> list[dict[str, Any]]:
    """Return the phrases that most questions share, the commonest first: ``words`` and the number of ``questions``.

    Args:
        runs: of words that questions share with held-out ones, each with the number of questions that it was found by.
    """
    texts = sorted(run for run in runs if len(run) >= PIECE_WORDS)
    if not texts:
        return []
    weights = np.array([runs[text] for text in texts])
    owner, piece = _pieces(texts)
    found: list[dict[str, Any]] = []
    left = np.ones(len(texts), dtype=bool)
    while len(found) < MOST_PHRASES:
        counts = np.bincount(piece, weights=weights[owner] * left[owner])
        best = int(counts.argmax())
        if counts[best] < LEAST_QUESTIONS:
            break
        mine = owner[(piece == best) & left[owner]]
        members = [texts[number] for number in mine.tolist()]
        words = _grown(members, weights[mine], texts[mine[0]], _place(texts, owner, piece, best, int(mine[0])))
        found.append({"words": " ".join(words), "questions": int(counts[best])})
        left[mine] = False
    return found


def _pieces(texts: Sequence[tuple[str, ...]]) -> tuple[Int64[np.ndarray, " C"], Int64[np.ndarray, " C"]]:
    """Return of each piece the text that it is of, and a number that equal pieces have in common."""
    owners, keys = [], []
    for number, words in enumerate(texts):
        own = {_key(words[at : at + PIECE_WORDS]): None for at in range(len(words) - PIECE_WORDS + 1)}
        owners.append(np.full(len(own), number))
        keys.append(np.array(list(own), dtype=np.uint64))
    whole: UInt64[np.ndarray, " C"] = np.concatenate(keys)
    _, first, piece = np.unique(whole, return_index=True, return_inverse=True)
    # Numbered as they first come, so that of equally common ones it is the first: it begins the template.
    order = np.argsort(np.argsort(first))
    return np.concatenate(owners), order[piece]


def _key(words: Sequence[str]) -> int:
    return int.from_bytes(hashlib.blake2b(" ".join(words).encode(), digest_size=8).digest(), "little")


def _place(
    texts: Sequence[tuple[str, ...]],
    owner: Int64[np.ndarray, " C"],
    piece: Int64[np.ndarray, " C"],
    best: int,
    text: int,
) -> int:
    """Return the word of a text at which a piece of it begins."""
    words = texts[text]
    keys = [_key(words[at : at + PIECE_WORDS]) for at in range(len(words) - PIECE_WORDS + 1)]
    numbers = piece[owner == text].tolist()
    return keys.index(list(dict.fromkeys(keys))[numbers.index(best)])


def _grown(
    members: Sequence[tuple[str, ...]], weights: Int64[np.ndarray, " M"], words: tuple[str, ...], start: int
) -> tuple[str, ...]:
    """Return the words around a piece that nearly all of the texts have."""
    end = start + PIECE_WORDS
    spelt = [f" {' '.join(member)} " for member in members]
    least = NEARLY_ALL * weights.sum()

    def common(first: int, last: int) -> bool:
        phrase = f" {' '.join(words[first:last])} "
        return sum(int(weight) for text, weight in zip(spelt, weights, strict=True) if phrase in text) >= least

    while end < len(words) and common(start, end + 1):
        end += 1
    while start > 0 and common(start - 1, end):
        start -= 1
    return words[start:end]
