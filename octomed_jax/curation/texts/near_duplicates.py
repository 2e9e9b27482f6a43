"""Groups of questions that have nearly all of their words in common; of each group the first in order stays.

Band keys (minhash.py) say which questions may be alike. One band at a time is sorted; a run of m equal keys gives m - 1
candidates, each with the first of the run, not m * m. Candidates are read again, through the caller, and compared by
the words of their shingles: only those with a Jaccard similarity of ``threshold`` or more are alike. What is alike
directly or through others is one group.

The first of a run may be unlike others of it that are alike among themselves: so those that it rejects are a run of
their own in the next round, ROUNDS rounds at most. Of two questions that share a key and are alike, one at least is
then not the first of its group. All of it is a function of the keys and texts, whoever made them in whatever pieces.

Memory: some 50 bytes a question (a band's keys and their order, and the groups), 32 bytes a candidate, and the texts of
PAIRS_AT_ONCE candidates. Texts are asked for once for so many candidates of all bands together, not for each band.

Legend: N questions, C candidates, D rejected ones, R places that are asked for.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Float32, Int64, UInt64

from octomed_jax import progress
from octomed_jax.curation.groups import Groups
from octomed_jax.curation.texts.minhash import BANDS, NO_KEY, SHINGLE_WORDS
from octomed_jax.curation.texts.question_texts import QuestionTexts

THRESHOLD = 0.8
PAIRS_AT_ONCE = 8192
# A run of m equal keys costs up to m comparisons a round. Questions made by one template can be alike to 0.6 or 0.7,
# and stand in long runs: without an end they would cost m * m.
ROUNDS = 8


@dataclasses.dataclass(frozen=True)
class NearDuplicates:
    """Which questions are alike.

    Attributes:
        first: of each question the first of its group; its own place for those that stay.
        pairs: the pairs that were found alike, sorted; the earlier question first.
        similarities: Jaccard similarity of each pair.
        compared: candidates that were read and compared.
    """

    first: Int64[np.ndarray, "N"]
    pairs: Int64[np.ndarray, "C 2"]
    similarities: Float32[np.ndarray, "C"]
    compared: int


def near_duplicates(
    count: int,
    band: Callable[[int], UInt64[np.ndarray, "N"]],
    read: Callable[[Int64[np.ndarray, "R"]], QuestionTexts],
    threshold: float = THRESHOLD,
) -> NearDuplicates:
    """Return the groups of near-duplicates.

    Args:
        count: questions.
        band: gives the keys of all questions in a band, by its number below BANDS.
        read: gives the questions at some places, which are sorted and each named once.
        threshold: smallest Jaccard similarity of two questions that are alike; above 0, at most 1.

    Raises:
        ValueError: the threshold is none, there are 2**32 questions or more, or ``read`` gives another number.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold {threshold:g} of near-duplicates: above 0 and at most 1, such as {THRESHOLD}")
    if count >> 32:
        raise ValueError(f"{count} questions: fewer than 2**32 can be compared at once")
    groups = Groups(count)
    alike, similarities, rejected = _none(), np.zeros(0, dtype=np.float32), _none()
    left: list[Int64[np.ndarray, "R"] | None] = [None] * BANDS  # all of them
    compared = 0
    for _ in range(ROUNDS):
        candidates = np.setdiff1d(_candidates(band, left, rejected, groups.first()), rejected, assume_unique=True)
        if not candidates.size:
            break
        similarity = _all_similarities(candidates, read, threshold)
        compared += len(candidates)
        good = similarity >= 0
        alike = np.concatenate([alike, candidates[good]])
        similarities = np.concatenate([similarities, similarity[good]])
        groups.join(_split(candidates[good]))
        if good.all():
            break
        rejected = np.union1d(rejected, candidates[~good])
    order = np.argsort(alike)
    return NearDuplicates(groups.first(), _split(alike[order]), similarities[order], compared)


def _candidates(
    band: Callable[[int], UInt64[np.ndarray, "N"]],
    left: list[Int64[np.ndarray, "R"] | None],
    rejected: UInt64[np.ndarray, "D"],
    first: Int64[np.ndarray, "N"],
) -> UInt64[np.ndarray, "C"]:
    """Return the pairs that share a key in some band, sorted and each once; those of one group left out.

    Args:
        band: gives the keys of a band.
        left: of each band the places that are still asked; brought up to date.
        rejected: pairs that are not alike.
        first: of each place the first of its group.
    """
    found = _none()
    for number in progress.track(range(BANDS), "looking for near-duplicates", BANDS, "bands"):
        keys = band(number)
        places = left[number]
        if rejected.size:
            pairs = _with_first(keys, places)
            places = left[number] = np.sort(_split(pairs[np.isin(pairs, rejected)])[:, 1])
        pairs = _with_first(keys, places)
        one, other = _split(pairs).T
        found = np.union1d(found, pairs[first[one] != first[other]])
    return found


def _with_first(keys: UInt64[np.ndarray, "N"], places: Int64[np.ndarray, "R"] | None) -> UInt64[np.ndarray, "C"]:
    """Return for each run of equal keys at these places (None: at all) the pairs of its first one with each other."""
    if places is not None:
        keys = keys[places]
    order = np.argsort(keys, kind="stable")  # equal keys stay in the order of their places
    ordered = keys[order]
    new = np.ones(len(keys), dtype=bool)
    new[1:] = ordered[1:] != ordered[:-1]
    later = np.flatnonzero(~new & (ordered != NO_KEY))
    starts = np.flatnonzero(new)
    pairs = np.stack([order[starts[np.searchsorted(starts, later, side="right") - 1]], order[later]], axis=1)
    return _join(pairs if places is None else places[pairs])


def _all_similarities(
    pairs: UInt64[np.ndarray, "C"], read: Callable[[Int64[np.ndarray, "R"]], QuestionTexts], threshold: float
) -> Float32[np.ndarray, "C"]:
    found = []
    with progress.bar("comparing near-duplicates", len(pairs), "pairs") as line:
        for start in range(0, len(pairs), PAIRS_AT_ONCE):
            some = _split(pairs[start : start + PAIRS_AT_ONCE])
            found.append(_similarities(some, read, threshold))
            line.advance(len(some))
    return np.concatenate(found)


def _similarities(
    pairs: Int64[np.ndarray, "C 2"], read: Callable[[Int64[np.ndarray, "R"]], QuestionTexts], threshold: float
) -> Float32[np.ndarray, "C"]:
    """Return the Jaccard similarity of each pair; -1 where it is less than the threshold."""
    places = np.unique(pairs)
    texts = read(places)
    if len(texts) != len(places):
        raise ValueError(f"{len(places)} questions were asked for, and {len(texts)} read: their places are unsure")
    found = np.full(len(pairs), -1, dtype=np.float32)
    ours: frozenset[bytes] = frozenset()
    known = -1
    for at, (one, other) in enumerate(np.searchsorted(places, pairs).tolist()):
        if one != known:  # pairs are sorted: most have the same first question as those before
            known, ours = one, _shingles(texts, one)
        theirs = _shingles(texts, other)
        shared = len(ours & theirs)
        every = len(ours) + len(theirs) - shared
        if shared >= threshold * every:
            found[at] = shared / every
    return found


def _shingles(texts: QuestionTexts, question: int) -> frozenset[bytes]:
    """Return the shingles of a question, as their words and not as hashes: a collision makes no two questions alike."""
    parts = texts.parts
    found: set[bytes] = set()
    for part in range(texts.starts[question], texts.starts[question + 1]):
        words = parts.words[parts.first[part] : parts.last[part] + 1]
        data = parts.data[words[0] : words[-1]].tobytes()
        places = (words - words[0]).tolist()
        run = min(SHINGLE_WORDS, len(words) - 1)
        if run:
            found.update(data[start:end] for start, end in zip(places, places[run:], strict=False))
    return frozenset(found)


def _none() -> UInt64[np.ndarray, "0"]:
    return np.zeros(0, dtype=np.uint64)


def _join(pairs: Int64[np.ndarray, "C 2"]) -> UInt64[np.ndarray, "C"]:
    """Return pairs as one number each, which sort as the pairs do."""
    return (pairs[:, 0].astype(np.uint64) << np.uint64(32)) | pairs[:, 1].astype(np.uint64)


def _split(pairs: UInt64[np.ndarray, "C"]) -> Int64[np.ndarray, "C 2"]:
    return np.stack([pairs >> np.uint64(32), pairs & np.uint64(0xFFFFFFFF)], axis=1).astype(np.int64)
