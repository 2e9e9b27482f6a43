"""Questions that are the same but for case, punctuation, spelling of characters and the order of their options.

A key is 128 bits of a hash: among a thousand million questions two different ones share a key with a chance of one in
10**20, so keys are compared instead of texts, and a text is never read again.

Legend: N questions.
"""

import numpy as np
from jaxtyping import Int64, UInt64

from octomed_jax.curation.texts.hashing import BASE, mix, range_hashes
from octomed_jax.curation.texts.question_texts import QuestionTexts

_BASES = (BASE, 0xD1B54A32D192ED03)  # one for each half; both odd
_QUESTION = np.uint64(0x2545F4914F6CDD1D)  # tells the question from its options


def exact_keys(texts: QuestionTexts, guard: UInt64[np.ndarray, "N"] | None = None) -> UInt64[np.ndarray, "N 2"]:
    """Return a key of each question: equal for equal words and signs of the question and of its options in any order.

    Args:
        texts: questions with their options.
        guard: what else must be equal, such as a hash of the images and of the gold answer.
    """
    keys = np.zeros((len(texts), 2), dtype=np.uint64)
    if not len(texts):
        return keys
    parts = texts.parts
    for half, base in enumerate(_BASES):
        hashes = mix(range_hashes(parts.hashes, parts.first, parts.last, base) + mix(parts.signs ^ np.uint64(base)))
        hashes[texts.starts[:-1]] = mix(hashes[texts.starts[:-1]] ^ _QUESTION)
        sums = np.add.reduceat(hashes, texts.starts[:-1])  # the order of the options is lost, how often each comes not
        keys[:, half] = mix(sums if guard is None else sums ^ mix(guard + np.uint64(base)))
    return keys


def first_of_each(keys: UInt64[np.ndarray, "N 2"]) -> Int64[np.ndarray, "N"]:
    """Return for each key the place of the first that is equal: its own for those that stay."""
    first = np.empty(len(keys), dtype=np.int64)
    if not len(keys):
        return first
    order = np.argsort(keys[:, 0])  # by one half, which is the fastest: of keys with one half the other differs never
    new = np.ones(len(keys), dtype=bool)
    new[1:] = np.diff(keys[order, 0]) != 0
    other = np.diff(keys[order, 1]) != 0
    if (other & ~new[1:]).any():  # or next to never
        order = np.lexsort((keys[:, 1], keys[:, 0]))
        new[1:] = (np.diff(keys[order], axis=0) != 0).any(axis=1)
    starts = np.flatnonzero(new)
    counts = np.diff(np.append(starts, len(keys)))
    first[order] = np.repeat(np.minimum.reduceat(order, starts), counts)
    return first


def place_among(keys: UInt64[np.ndarray, "N 2"], others: UInt64[np.ndarray, "M 2"]) -> Int64[np.ndarray, "N"]:
    """Return for each key the place of the first equal one among ``others``; -1 if there is none."""
    first = first_of_each(np.concatenate([others, keys]))[len(others) :]
    return np.where(first < len(others), first, -1)
