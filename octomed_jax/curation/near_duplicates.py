"""Groups of questions that have nearly all of their words in common; of each group the first in order stays.

Band keys (minhash.py) say which questions may be alike. One band at a time is sorted; a run of m equal keys gives m - 1
candidates, each with the first of the run, not m * m. Candidates are read again, through the caller, and compared by
the words of their shingles: only those with a Jaccard similarity of ``threshold`` or more are alike. What is alike
directly or through others is one group.

The first of a run may be unlike the others, and they alike among themselves: so the rejected ones are asked once more
without it, ROUNDS times at most. All of it is a function of the keys and texts, whoever made them in whatever pieces.

Memory: a band's keys and their order (16 bytes a question), 8 bytes a question for the groups, 16 bytes a candidate,
and the texts of PAIRS_AT_ONCE candidates.

Legend: N questions, C candidates.
"""

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Float32, Int64, UInt64

from octomed_jax.curation.minhash import BANDS, NO_KEY, SHINGLE_WORDS
from octomed_jax.curation.question_texts import QuestionTexts

THRESHOLD = 0.8
PAIRS_AT_ONCE = 8192
# Rejected members of a run of m equal keys cost m comparisons a round. Templated questions make long runs that are alike
# to 0.6 or 0.7: after some rounds what is left of them is rejected for good.
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
    read: Callable[[Int64[np.ndarray, "M"]], QuestionTexts],
    threshold: float = THRESHOLD,
) -> NearDuplicates:
    """Return the groups of near-duplicates.

    Args:
        count: questions.
        band: gives the keys of all questions in a band, by its number below BANDS.
        read: gives the questions at some places, which are sorted and each named once.
        threshold: smallest Jaccard similarity of two questions that are alike; above 0, at most 1.

    Raises:
        ValueError: the threshold is none, or there are 2**32 questions or more.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold {threshold:g} of near-duplicates: above 0 and at most 1, such as {THRESHOLD}")
    if count >> 32:
        raise ValueError(f"{count} questions: fewer than 2**32 can be compared at once")
    groups = _Groups(count)
    alike, similarities, rejected = _none(), np.zeros(0, dtype=np.float32), _none()
    places: Int64[np.ndarray, "M"] | None = None  # all of them
    compared = 0
    for _ in range(ROUNDS):
        candidates = _candidates(band, places, groups)
        candidates = np.setdiff1d(candidates, rejected, assume_unique=True)
        if not candidates.size:
            break
        similarity = np.concatenate([_similarities(pairs, read, threshold) for pairs in _batches(candidates)])
        compared += len(candidates)
        good = similarity >= 0
        alike = np.concatenate([alike, candidates[good]])
        similarities = np.concatenate([similarities, similarity[good]])
        rejected = np.union1d(rejected, candidates[~good])
        groups.join(candidates[good])
        places = np.unique(rejected & np.uint64(0xFFFFFFFF)).astype(np.int64)
        if not places.size:
            break
    order = np.argsort(alike)
    return NearDuplicates(groups.first(), _split(alike[order]), similarities[order], compared)


class _Groups:
    """Groups of places; the smallest place of each stands for it."""

    def __init__(self, count: int) -> None:
        self.parents = np.arange(count)

    def join(self, pairs: UInt64[np.ndarray, "C"]) -> None:
        for one, other in _split(pairs).tolist():
            low, high = sorted((self._root(one), self._root(other)))
            self.parents[high] = low

    def first(self) -> Int64[np.ndarray, "N"]:
        """Return the first of each place's group."""
        while True:
            above = self.parents[self.parents]
            if np.array_equal(above, self.parents):
                return above
            self.parents = above

    def _root(self, place: int) -> int:
        parents = self.parents
        while parents[place] != place:
            parents[place] = parents[parents[place]]
            place = int(parents[place])
        return place


def _candidates(
    band: Callable[[int], UInt64[np.ndarray, "N"]], places: Int64[np.ndarray, "M"] | None, groups: _Groups
) -> UInt64[np.ndarray, "C"]:
    """Return the pairs of places that share a key in some band, sorted and each once; those of one group left out."""
    first, found = groups.first(), _none()
    for number in range(BANDS):
        keys = band(number)
        pairs = _split(_with_first(keys if places is None else keys[places]))
        if places is not None:
            pairs = places[pairs]
        apart = first[pairs[:, 0]] != first[pairs[:, 1]]
        found = np.union1d(found, _join(pairs[apart]))
    return found


def _with_first(keys: UInt64[np.ndarray, "N"]) -> UInt64[np.ndarray, "C"]:
    """Return for each run of equal keys the pairs of its first place with each other one."""
    order = np.argsort(keys, kind="stable")  # equal keys stay in the order of their places
    ordered = keys[order]
    new = np.ones(len(keys), dtype=bool)
    new[1:] = ordered[1:] != ordered[:-1]
    later = np.flatnonzero(~new & (ordered != NO_KEY))
    starts = np.flatnonzero(new)
    first = starts[np.searchsorted(starts, later, side="right") - 1]
    return _join(np.stack([order[first], order[later]], axis=1))


def _batches(pairs: UInt64[np.ndarray, "C"]) -> Iterator[Int64[np.ndarray, "M 2"]]:
    for start in range(0, len(pairs), PAIRS_AT_ONCE):
        yield _split(pairs[start : start + PAIRS_AT_ONCE])


def _similarities(
    pairs: Int64[np.ndarray, "M 2"], read: Callable[[Int64[np.ndarray, "M"]], QuestionTexts], threshold: float
) -> Float32[np.ndarray, "M"]:
    """Return the Jaccard similarity of each pair; -1 where it is less than the threshold."""
    places, numbers = np.unique(pairs, return_inverse=True)
    reader = _Shingles(read(places))
    found = np.full(len(pairs), -1, dtype=np.float32)
    known, ours = -1, frozenset[bytes]()
    for at, (one, other) in enumerate(numbers.reshape(pairs.shape).tolist()):
        if one != known:  # pairs are sorted: most have the same first question as those before
            known, ours = one, reader.of(one)
        theirs = reader.of(other)
        shared = len(ours & theirs)
        every = len(ours) + len(theirs) - shared
        if shared >= threshold * every:
            found[at] = shared / every
    return found


class _Shingles:
    """The shingles of questions, as their words and not as hashes: a collision makes no two questions alike."""

    def __init__(self, texts: QuestionTexts) -> None:
        parts = texts.parts
        self.data = parts.data.tobytes()
        self.words, self.starts = parts.words.tolist(), texts.starts.tolist()
        self.first, self.last = parts.first.tolist(), parts.last.tolist()

    def of(self, question: int) -> frozenset[bytes]:
        found: set[bytes] = set()
        words, data = self.words, self.data
        for part in range(self.starts[question], self.starts[question + 1]):
            first, last = self.first[part], self.last[part]
            if last - first >= SHINGLE_WORDS:
                ends = words[first + SHINGLE_WORDS : last + 1]
                found.update(data[start:end] for start, end in zip(words[first:], ends, strict=False))
            elif last > first:
                found.add(data[words[first] : words[last]])
        return frozenset(found)


def _none() -> UInt64[np.ndarray, "0"]:
    return np.zeros(0, dtype=np.uint64)


def _join(pairs: Int64[np.ndarray, "C 2"]) -> UInt64[np.ndarray, "C"]:
    """Return pairs as one number each, which sort as the pairs do."""
    return (pairs[:, 0].astype(np.uint64) << np.uint64(32)) | pairs[:, 1].astype(np.uint64)


def _split(pairs: UInt64[np.ndarray, "C"]) -> Int64[np.ndarray, "C 2"]:
    return np.stack([pairs >> np.uint64(32), pairs & np.uint64(0xFFFFFFFF)], axis=1).astype(np.int64)
