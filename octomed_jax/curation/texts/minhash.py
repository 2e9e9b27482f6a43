"""Band keys of questions: two that have most of their words in common share one of them with near certainty.

A question is the set of its *shingles*: runs of SHINGLE_WORDS words of the question and of each option; of a text of
fewer words the whole. None goes from one option to the next, so the order of the options does not count. MinHash
(Broder 1997) takes of this set the smallest value under each of BANDS * ROWS random orders; two sets have the same
smallest one with a probability that is their Jaccard similarity s. ROWS of them make a band, so that two questions
share a band with a probability of 1 - (1 - s**ROWS)**BANDS: 0.9993 at s = 0.8, 0.31 at 0.5, 0.02 at 0.3.

An order is a multiplication by an odd number and an addition, modulo 2**32, of 32 bits of the shingle's hash.

Legend: N questions, L shingles, K = BANDS * ROWS orders.
"""

import numpy as np
from jaxtyping import Int64, UInt32, UInt64

from octomed_jax.curation.texts.hashing import BASE, mix, range_hashes, run_hashes
from octomed_jax.curation.texts.question_texts import QuestionTexts

VERSION = "1"  # of shingles, orders and bands: keys of others are not to be compared with these
SHINGLE_WORDS = 5
BANDS, ROWS = 24, 6
LEAST_SIMILARITY = 0.7  # below it a band is shared too seldom to look for near-duplicates by it
NO_KEY = 0  # of questions without words, which are like no other

_SEED = 20251123
_AT_ONCE = 1 << 15  # shingles: 128 KB, which stay in the cache while all orders go over them


def recall(similarity: float) -> float:
    """Return how probable it is that two questions of that Jaccard similarity share a band, and so are compared."""
    return 1.0 - (1.0 - similarity**ROWS) ** BANDS


def band_keys(texts: QuestionTexts, guard: UInt64[np.ndarray, "N"] | None = None) -> UInt64[np.ndarray, "BANDS N"]:
    """Return the keys of the bands, one row for each band; NO_KEY for questions without words.

    Args:
        texts: questions with their options.
        guard: what must be equal beside the words, such as a hash of images, gold answer and numbers: questions with
            another guard share no key.
    """
    signatures = minhashes(texts).reshape(BANDS, ROWS, len(texts))
    keys = np.empty((BANDS, len(texts)), dtype=np.uint64)
    keys[:] = np.uint64(BASE) if guard is None else mix(guard)
    for row in range(ROWS):
        keys ^= signatures[:, row]
        keys *= np.uint64(BASE)
        keys ^= keys >> np.uint64(32)
    keys[keys == NO_KEY] = 1
    keys[:, texts.whole.lengths == 0] = NO_KEY
    return keys


def minhashes(texts: QuestionTexts) -> UInt32[np.ndarray, "K N"]:
    """Return the smallest value of each question's shingles under each order; the largest number where it has none."""
    shingles, ends = shingle_hashes(texts)
    smallest = np.full((BANDS * ROWS, len(texts)), 0xFFFFFFFF, dtype=np.uint32)
    some = np.flatnonzero(np.diff(ends))  # an empty range has no smallest value
    starts = ends[some]
    factors, summands = _orders()
    begin = 0
    while begin < len(some):
        end = max(int(np.searchsorted(starts, starts[begin] + _AT_ONCE)), begin + 1)
        piece = shingles[starts[begin] : ends[some[end - 1] + 1]]
        values, places = np.empty_like(piece), starts[begin:end] - starts[begin]
        found = np.empty((BANDS * ROWS, end - begin), dtype=np.uint32)
        for order in range(BANDS * ROWS):
            np.multiply(piece, factors[order], out=values)
            np.add(values, summands[order], out=values)
            np.minimum.reduceat(values, places, out=found[order])
        smallest[:, some[begin:end]] = found
        begin = end
    return smallest


def shingle_hashes(texts: QuestionTexts) -> tuple[UInt32[np.ndarray, "L"], Int64[np.ndarray, "N+1"]]:
    """Return a hash of each shingle, question after question and with repetitions, and where each question begins."""
    parts = texts.parts
    lengths = parts.lengths
    counts = np.where(lengths >= SHINGLE_WORDS, lengths - SHINGLE_WORDS + 1, lengths > 0)
    part_ends = np.cumsum(counts)
    word = np.arange(counts.sum()) + np.repeat(parts.first - part_ends + counts, counts)
    runs = run_hashes(parts.hashes, SHINGLE_WORDS)
    short = np.flatnonzero((lengths > 0) & (lengths < SHINGLE_WORDS))
    hashes = runs[np.minimum(word, len(runs) - 1)] if len(runs) else np.zeros(len(word), dtype=np.uint64)
    hashes[part_ends[short] - 1] = range_hashes(parts.hashes, parts.first[short], parts.last[short])
    ends = np.zeros(len(texts) + 1, dtype=np.int64)
    ends[1:] = part_ends[texts.starts[1:] - 1]
    return (mix(hashes) >> np.uint64(32)).astype(np.uint32), ends


def _orders() -> tuple[UInt32[np.ndarray, "K"], UInt32[np.ndarray, "K"]]:
    """Return the factors and summands of the orders: the same in every process and of any version of NumPy."""
    numbers = mix(np.arange(_SEED, _SEED + BANDS * ROWS, dtype=np.uint64))
    return (numbers >> np.uint64(32)).astype(np.uint32) | np.uint32(1), numbers.astype(np.uint32)
