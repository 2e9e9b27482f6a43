"""The texts of questions with their options, normalised once for all that is asked of them.

A question and its options are *parts*: texts of their own that stand one after another. So the question alone and the
question with its options are two views of the same words, and what must not hang on the order of the options (exact
keys, shingles, numbers) is found part by part.

Legend: N questions, T parts.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from jaxtyping import Int64

from octomed_jax.curation.texts.normal_text import NormalTexts, as_array, concatenate, normalise


@dataclasses.dataclass(frozen=True)
class QuestionTexts:
    """Questions with their options in the normal form.

    Attributes:
        parts: each question, followed by its options.
        starts: of each question the number of its part, and one more for the end.
    """

    parts: NormalTexts
    starts: Int64[np.ndarray, "N+1"]

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def questions(self) -> NormalTexts:
        """The questions without their options."""
        first = self.starts[:-1]
        parts = self.parts
        return dataclasses.replace(parts, first=parts.first[first], last=parts.last[first], signs=parts.signs[first])

    @property
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


def concatenate_questions(batches: Sequence[QuestionTexts]) -> QuestionTexts:
    """Return the questions of several batches, in their order, as one."""
    starts, parts = [np.zeros(1, dtype=np.int64)], 0
    for batch in batches:
        starts.append(batch.starts[1:] + parts)
        parts += len(batch.parts)
    return QuestionTexts(concatenate([batch.parts for batch in batches]), np.concatenate(starts))
