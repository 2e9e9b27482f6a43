"""Which held-out questions share words with what was trained on.

The index is that of the held-out questions, so that memory is theirs; what was trained on is read once, and may be of
any size.

Legend: H held-out questions, K runs of words in the index.
"""

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Int64

from octomed_jax.curation.corpus import Corpus
from octomed_jax.curation.decontaminate import TEXT_COLUMNS, has_images
from octomed_jax.curation.texts.ngrams import NGRAM_WORDS, NgramIndex, build_index
from octomed_jax.curation.texts.question_texts import QuestionTexts, question_texts

WORDS = NGRAM_WORDS[-1]  # the paper's
NONE = np.iinfo(np.int64).max  # the place of no question


@dataclasses.dataclass(frozen=True)
class SeenWords:
    """Which held-out questions share words, and with what.

    Attributes:
        place: of each the place of a question that was trained on, NONE where there is none.
        shared: of each the words, "" where there are none.
        runs: the runs of words that were found, each with the number of held-out questions that it was found by.
        ignored: how many runs were left out as common.
    """

    place: Int64[np.ndarray, " H"]
    shared: Sequence[str]
    runs: Mapping[tuple[str, ...], int]
    ignored: int


def seen_words(held: Corpus, trained: Corpus, pictured: Bool[np.ndarray, " H"], ignore_common: int) -> SeenWords:
    """Return which held-out questions share words with any that was trained on.

    Args:
        held: the held-out questions.
        trained: those that were trained on.
        pictured: of each held-out one whether it has images: it is never the same as a whole by its words alone.
        ignore_common: runs that more of the questions trained on have do not count; 0: all do.
    """
    index = build_index((texts for _, texts, _ in _texts(held, "indexing held-out questions")), WORDS)
    counts = np.zeros(len(index.keys), dtype=np.int64)
    place_of = np.full(len(index.keys), NONE)  # of each run the first question that has it
    same = np.full(len(index), NONE)  # of each held-out question the first that is the same as a whole
    for first, texts, images in _texts(trained, "comparing words with what was trained on"):
        question, key = index.shared_runs(texts)
        np.add.at(counts, key, 1)
        np.minimum.at(place_of, key, question + first)
        for overlap in index.shared_wholes(texts):
            if not images[overlap.question]:
                same[overlap.evaluation] = min(same[overlap.evaluation], first + overlap.question)
    common = counts > ignore_common if ignore_common else np.zeros(len(counts), dtype=bool)
    place_of[common] = NONE
    return _matched(index, held, pictured, place_of, same, int(common.sum()))


def _matched(
    index: NgramIndex,
    held: Corpus,
    pictured: Bool[np.ndarray, " H"],
    place_of: Int64[np.ndarray, " K"],
    same: Int64[np.ndarray, " H"],
    ignored: int,
) -> SeenWords:
    """Return which held-out questions have a run that was trained on, or are the same as a whole."""
    place = np.full(len(held), NONE)
    shared = [""] * len(held)
    runs = Counter[tuple[str, ...]]()
    for first, texts, _ in _texts(held, "looking up held-out questions"):
        question, key = index.shared_runs(texts)
        known = place_of[key] < NONE
        question, key = question[known], key[known]
        for at in np.unique(question, return_index=True)[1].tolist():
            number = first + int(question[at])
            start = int(index.places[key[at]])
            shared[number] = index.texts.parts.between(start, start + index.count)
            place[number] = place_of[key[at]]
            runs[tuple(shared[number].split())] += 1
        for overlap in index.shared_wholes(texts):
            number = first + overlap.question
            if place[number] == NONE and same[overlap.evaluation] < NONE and not pictured[number]:
                place[number], shared[number] = same[overlap.evaluation], overlap.words
    return SeenWords(place, shared, runs, ignored)


def _texts(corpus: Corpus, title: str) -> Iterator[tuple[int, QuestionTexts, Bool[np.ndarray, " N"]]]:
    """Yield the questions of a corpus, with the place of the first, and which have images."""
    for first, table in corpus.tables(TEXT_COLUMNS, title):
        yield first, question_texts(table["question"], table["options"]), has_images(table)
