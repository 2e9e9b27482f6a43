"""The texts of questions with their options, normalised once for all that is asked of them.

A question and its options are *parts*: texts of their own that stand one after another. So the question alone and the
question with its options are two views of the same words, and what must not hang on the order of the options (exact
keys, shingles, numbers) is found part by part.

Legend: N questions, T parts.
"""

import dataclasses
import functools
from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
from jaxtyping import Int64

from octomed_jax.curation.texts.hashing import PADDING
from octomed_jax.curation.texts.normal_text import NormalTexts, as_array, normalise


@dataclasses.dataclass(frozen=True)
class QuestionTexts:
    """Questions with their options in the normal form; the two views of them are made when they are first asked for.

    Attributes:
        parts: each question, followed by its options.
        starts: of each question the number of its part, and one more for the end.
    """

    parts: NormalTexts
    starts: Int64[np.ndarray, "N+1"]

    def __len__(self) -> int:
        return len(self.starts) - 1

    @functools.cached_property
    def questions(self) -> NormalTexts:
        """The questions without their options."""
        first = self.starts[:-1]
        parts = self.parts
        return dataclasses.replace(parts, first=parts.first[first], last=parts.last[first], signs=parts.signs[first])

    @functools.cached_property
    def whole(self) -> NormalTexts:
        """The questions, each followed by its options in their order."""
        parts, first = self.parts, self.starts[:-1]
        signs = np.add.reduceat(parts.signs, first) if len(first) else parts.signs
        return dataclasses.replace(parts, first=parts.first[first], last=parts.last[self.starts[1:] - 1], signs=signs)


def question_texts(
    questions: "Sequence[str] | pa.Array | pa.ChunkedArray",
    options: "Sequence[Sequence[str]] | pa.Array | pa.ChunkedArray | None" = None,
) -> QuestionTexts:
    """Return questions with their options in the normal form.

    Args:
        questions: their texts, such as the column of a Parquet file.
        options: of each the texts of its options; left out: there are none.

    Raises:
        ValueError: there are not as many lists of options as questions.
    """
    texts = as_array(questions, pa.large_string())
    if options is None:
        return QuestionTexts(normalise(texts), np.arange(len(texts) + 1))
    lists = as_array(options, pa.large_list(pa.large_string()))
    if len(lists) != len(texts):
        raise ValueError(f"{len(texts)} questions, but the options of {len(lists)}: give a list for each")
    counts = lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    starts = np.zeros(len(texts) + 1, dtype=np.int64)
    np.cumsum(counts + 1, out=starts[1:])
    order = np.arange(starts[-1]) - np.repeat(np.arange(len(texts)), counts + 1) + len(texts) - 1
    order[starts[:-1]] = np.arange(len(texts))
    return QuestionTexts(normalise(pa.concat_arrays([texts, lists.flatten()]).take(pa.array(order))), starts)


def concatenate_questions(batches: Iterable[QuestionTexts]) -> QuestionTexts:
    """Return the questions of several batches, in their order, as one; a batch is not needed once it is taken."""
    data, words, hashes, signs = (_Growing(kind) for kind in (np.uint8, np.int64, np.uint64, np.uint64))
    first, last, starts = (_Growing(np.int64) for _ in range(3))
    for batch in batches:
        parts, word = batch.parts, words.count
        starts.add(batch.starts[:-1] + first.count)
        words.add(parts.words[:-1] + data.count)
        data.add(parts.data[: parts.words[-1]])
        hashes.add(parts.hashes)
        signs.add(parts.signs)
        first.add(parts.first + word)
        last.add(parts.last + word)
    starts.add(np.array([first.count]))
    words.add(np.array([data.count]))
    data.add(np.full(PADDING, ord(" "), np.uint8))
    parts = NormalTexts(*(one.taken() for one in (data, words, hashes, first, last, signs)))
    return QuestionTexts(parts, starts.taken())


class _Growing:
    """An array that others are added to; it holds an eighth more room than it needs, and no list of them."""

    def __init__(self, kind: type[np.generic]) -> None:
        self._array = np.zeros(0, kind)
        self.count = 0

    def add(self, values: np.ndarray) -> None:
        """Put values at the end."""
        needed = self.count + len(values)
        if needed > len(self._array):
            self._array.resize(needed + needed // 8, refcheck=False)
        self._array[self.count : needed] = values
        self.count = needed

    def taken(self) -> np.ndarray:
        """Return what was added; nothing may be added to it any more."""
        self._array.resize(self.count, refcheck=False)
        return self._array
