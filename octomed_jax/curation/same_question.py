"""Questions that are a held-out one with its options in any order, whatever else is said of their words.

Runs of words end where options stand in another order, and of a short question alone a text of fewer than WHOLE_WORDS
words says nothing: "Best drug?" with four long options is found by neither. So the order-free keys of deduplication
(texts/exact.py) are compared too, where question and options together have as many words. The images must be the same,
by their bytes, or none: then it does not matter that other held-out questions are asked in the same words.

Legend: N questions, H held-out ones.
"""

import dataclasses
from pathlib import Path

import numpy as np
from jaxtyping import Int64, UInt64

from octomed_jax.curation.scratch import load_array, save_array
from octomed_jax.curation.texts.exact import exact_keys, first_of_each
from octomed_jax.curation.texts.ngrams import WHOLE_WORDS
from octomed_jax.curation.texts.question_texts import QuestionTexts

REASON = "same_question"
_FILES = ("question_keys.npy", "question_places.npy")


@dataclasses.dataclass(frozen=True)
class QuestionKeys:
    """Order-free keys of some questions that are long enough, and their places."""

    keys: UInt64[np.ndarray, "N 2"]
    places: Int64[np.ndarray, " N"]

    def among(self, others: "QuestionKeys") -> tuple[Int64[np.ndarray, " M"], Int64[np.ndarray, " M"]]:
        """Return the places of those that are among others, as ``read_held_out`` gives them, and of those others."""
        if not len(others.keys):
            return self.places[:0], self.places[:0]
        at = np.searchsorted(others.keys[:, 0], self.keys[:, 0])
        at[at == len(others.keys)] = 0
        hit = (others.keys[at] == self.keys).all(axis=1)
        return self.places[hit], others.places[at[hit]]


def question_keys(
    texts: QuestionTexts, guard: UInt64[np.ndarray, " N"], places: Int64[np.ndarray, " N"]
) -> QuestionKeys:
    """Return the keys of those that are long enough; ``guard`` is a number of each question's images."""
    long = texts.whole.lengths >= WHOLE_WORDS
    return QuestionKeys(exact_keys(texts, guard)[long], places[long])


def joined_keys(parts: list[QuestionKeys]) -> QuestionKeys:
    """Return the keys of all parts."""
    keys = [np.zeros((0, 2), dtype=np.uint64), *(part.keys for part in parts)]
    places = [np.zeros(0, dtype=np.int64), *(part.places for part in parts)]
    return QuestionKeys(np.concatenate(keys), np.concatenate(places))


def write_held_out(found: QuestionKeys, folder: Path) -> None:
    """Write keys sorted, each once with the first place that has it."""
    first = np.unique(first_of_each(found.keys))
    first = first[np.argsort(found.keys[first, 0])]
    for name, array in zip(_FILES, (found.keys[first], found.places[first]), strict=True):
        save_array(folder / name, array)


def read_held_out(folder: Path) -> QuestionKeys:
    """Return the keys that were written into a folder; they stay on the disk until they are asked for."""
    return QuestionKeys(*(load_array(folder / name) for name in _FILES))
