"""Guards: what two questions must have equal, beside their words, to be taken for duplicates.

A guard is one number for each question. It is mixed into exact keys and band keys, so that questions of different
guards never meet.

Legend: N questions.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from jaxtyping import UInt64

from octomed_jax.curation.texts.hashing import BASE, mix, range_hashes
from octomed_jax.curation.texts.normal_text import normalise
from octomed_jax.curation.texts.question_texts import QuestionTexts


def text_guard(texts: "Sequence[str] | pa.Array | pa.ChunkedArray") -> UInt64[np.ndarray, "N"]:
    """Return a hash of each text's words and signs, such as a gold answer or the hashes of a question's images."""
    normal = normalise(texts)
    return mix(range_hashes(normal.hashes, normal.first, normal.last) + mix(normal.signs))


def all_guards(*guards: UInt64[np.ndarray, "N"]) -> UInt64[np.ndarray, "N"]:
    """Return guards that are equal where all of the given ones are, each with its own."""
    mixed = np.zeros_like(guards[0])
    for guard in guards:
        mixed = mix(mixed * np.uint64(BASE) + guard)
    return mixed


def number_guard(texts: QuestionTexts) -> UInt64[np.ndarray, "N"]:
    """Return a hash of all that counts or compares in each question and its options, whatever the order of the options.

    These are the words with a digit in them (0.5, 12500, b12, cd4), each as often as it comes, and the signs +, <, >
    and the arrows up and down with the words before them. Two questions that differ in them are two questions,
    however alike their other words are: 5 mg and 0.5 mg, CD4 and CD8, Rh+ and Rh.
    """
    parts = texts.parts
    letters = parts.data[: parts.words[-1]]
    digits = np.flatnonzero((letters - np.uint8(ord("0"))) < 10)
    words = np.searchsorted(parts.words, digits, side="right") - 1
    words = words[np.diff(words, prepend=-1) > 0]
    sums = np.zeros(len(words) + 1, dtype=np.uint64)
    np.cumsum(mix(parts.hashes[words]), out=sums[1:])
    whole = texts.whole
    return sums[np.searchsorted(words, whole.last)] - sums[np.searchsorted(words, whole.first)] + whole.signs
