"""Words that questions share with evaluation questions: runs of n words, or a whole text that is shorter than n.

The index holds the hash of every run of n words of the evaluation questions with their options, each once with the
place where it first comes, and a filter of bits in front of it, so that few of the runs that are looked up are searched
for. It takes 14 to 16 bytes for each run (8 hash, 4 place, 2 to 4 filter), and the evaluation texts, some 15 bytes a
word: by them every hit is checked word for word, so that no question is ever removed because two hashes are equal.
While it is built it takes some 70 bytes a run, with the texts.

A run in a question without its options is one in the question with its options too, so both are found at once, and of
each hit it is said where it lies. A text of fewer than n words has no run; it is compared as a whole, the question
alone and the question with its options, if it has WHOLE_WORDS words.

Legend: L words, K runs in the index, F bytes of its filter, C places that may share words.
"""

import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int64, UInt8, UInt32, UInt64

from octomed_jax.curation.texts.hashing import MASKS, eight_bytes, range_hashes, run_hashes
from octomed_jax.curation.texts.normal_text import NormalTexts
from octomed_jax.curation.texts.question_texts import QuestionTexts, concatenate_questions

VERSION = "2"  # of what runs are compared, and which texts as a whole; it is part of the result
NGRAM_WORDS = (8, 13, 16)  # what is offered: the last is the paper's
# The smallest n that is offered: fewer words are stock phrases ("Which of the following is true?", "What is shown?"),
# which say nothing without an image or options, and no one takes a run of so few for an overlap.
WHOLE_WORDS = 8
KINDS = ("question n-gram", "n-gram with options", "whole question", "whole with options")

_FILTER_BITS = 16  # for each run, rounded up to a power of two: 1 in 16 to 1 in 32 of other runs pass
_HITS_AT_ONCE = 1 << 16
_AT_ONCE = 1 << 18  # runs that are sorted, or put into the filter, at a time
_TEXT_ARRAYS = ("data", "words", "hashes", "first", "last", "signs")
_INDEX_ARRAYS = ("keys", "places", "bits", "whole_keys", "wholes")


@dataclasses.dataclass(frozen=True)
class Overlap:
    """Words that a question shares with an evaluation question.

    Attributes:
        question: its place among those that were looked up.
        evaluation: place of the evaluation question among those of the index.
        kind: one of KINDS. A "question n-gram" lies in both questions before the options; the whole ones have fewer
            than n words: where images belong to the questions, ask for these too before you take them for the same.
        words: the first run that is shared, or the whole text.
        place, evaluation_place: words before it in both questions.
        shared: how many of the question's runs are in the index, of whatever evaluation question; 0 for whole texts.
    """

    question: int
    evaluation: int
    kind: str
    words: str
    place: int
    evaluation_place: int
    shared: int


@dataclasses.dataclass(frozen=True)
class NgramIndex:
    """The runs of words of evaluation questions; made by ``build_index``.

    Attributes:
        count: words of a run.
        texts: the evaluation questions; their hashes of words are left out.
        keys: hashes of the runs, sorted, each once.
        places: of each the number of its first word in ``texts``.
        bits: filter of the hashes, by their highest bits.
        whole_keys, wholes: the same for texts of fewer words; twice a question's number, plus 1 for one with options.
    """

    count: int
    texts: QuestionTexts
    keys: UInt64[np.ndarray, "K"]
    places: UInt32[np.ndarray, "K"]
    bits: UInt8[np.ndarray, "F"]
    whole_keys: UInt64[np.ndarray, "C"]
    wholes: Int64[np.ndarray, "C"]

    def __len__(self) -> int:
        return len(self.texts)

    def find(self, texts: QuestionTexts, ignored: Bool[np.ndarray, "K"] | None = None) -> list[Overlap]:
        """Return the questions that share words with an evaluation question, in their order, each once.

        Args:
            texts: questions with their options.
            ignored: runs of the index that do not count.
        """
        found = self._runs(texts, ignored)
        known = {overlap.question for overlap in found}
        found += [overlap for overlap in self.shared_wholes(texts) if overlap.question not in known]
        return sorted(found, key=lambda overlap: overlap.question)

    def write(self, folder: Path) -> None:
        """Write the index into a new folder, from which many processes can read it and share its memory."""
        folder.mkdir()
        arrays = {name: getattr(self.texts.parts, name) for name in _TEXT_ARRAYS}
        arrays |= {name: getattr(self, name) for name in _INDEX_ARRAYS}
        arrays |= {"starts": self.texts.starts, "count": np.array(self.count)}
        for name, array in arrays.items():
            np.save(folder / f"{name}.npy", array, allow_pickle=False)

    def shared_runs(self, texts: QuestionTexts) -> tuple[Int64[np.ndarray, "C"], Int64[np.ndarray, "C"]]:
        """Return the runs of each question that are in the index: the question and the run's number, each pair once."""
        _, _, question, key = self._hits(texts)
        pairs = np.unique(question * max(len(self.keys), 1) + key)
        return pairs // max(len(self.keys), 1), pairs % max(len(self.keys), 1)

    def _hits(self, texts: QuestionTexts) -> tuple[Int64[np.ndarray, "C"], ...]:
        """Return of each run that is in the index its first word, there and in the index, its question and number."""
        if not len(self.keys):
            return (np.zeros(0, dtype=np.int64),) * 4
        whole = texts.whole
        hashes = run_hashes(whole.hashes, self.count)
        word = np.flatnonzero(_passes(self.bits, hashes))
        place = np.searchsorted(self.keys, hashes[word])
        place[place == len(self.keys)] = 0
        hit = self.keys[place] == hashes[word]
        word, key = word[hit], place[hit]
        question = np.searchsorted(whole.last, word, side="right")
        inside = word + self.count <= whole.last[question]  # of one question, not of the end of one and the next
        word, key, question = word[inside], key[inside], question[inside]
        other = self.places[key].astype(np.int64)
        counts = np.full(len(word), self.count)
        same = same_words(whole, word, self.texts.parts, other, counts, counts)
        return word[same], other[same], question[same], key[same]

    def _runs(self, texts: QuestionTexts, ignored: Bool[np.ndarray, "K"] | None) -> list[Overlap]:
        whole, alone = texts.whole, texts.questions
        word, other, question, key = self._hits(texts)
        if ignored is not None:
            counted = ~ignored[key]
            word, other, question = word[counted], other[counted], question[counted]
        questions, starts, shared = np.unique(question, return_index=True, return_counts=True)
        word, other = word[starts], other[starts]
        theirs = self.texts.whole
        evaluation = np.searchsorted(theirs.last, other, side="right")
        before_options = (word + self.count <= alone.last[questions]) & (
            other + self.count <= self.texts.questions.last[evaluation]
        )
        return [
            Overlap(
                question=int(questions[at]),
                evaluation=int(evaluation[at]),
                kind=KINDS[0 if before_options[at] else 1],
                words=whole.between(int(word[at]), int(word[at]) + self.count),
                place=int(word[at] - whole.first[questions[at]]),
                evaluation_place=int(other[at] - theirs.first[evaluation[at]]),
                shared=int(shared[at]),
            )
            for at in range(len(questions))
        ]

    def shared_wholes(self, texts: QuestionTexts) -> list[Overlap]:
        """Return the questions that are an evaluation question as a whole, alone or with their options, each once.

        ``evaluation`` is the first of those that are the same.
        """
        found: dict[int, Overlap] = {}
        if not len(self.whole_keys):
            return []
        for form, ours, theirs in (
            (0, texts.questions, self.texts.questions),
            (1, texts.whole, self.texts.whole),
        ):
            short, hashes = _short(texts, form, self.count)
            place = np.searchsorted(self.whole_keys, hashes)
            place[place == len(self.whole_keys)] = 0
            evaluation = self.wholes[place]
            hit = (self.whole_keys[place] == hashes) & (evaluation % 2 == form)
            short, evaluation = short[hit], evaluation[hit] // 2
            same = same_words(
                *(ours, ours.first[short], theirs, theirs.first[evaluation]),
                *(ours.lengths[short], theirs.lengths[evaluation]),
            )
            for question, other in zip(short[same].tolist(), evaluation[same].tolist(), strict=True):
                if question not in found:
                    found[question] = Overlap(question, other, KINDS[2 + form], ours.text(question), 0, 0, 0)
        return list(found.values())


def build_index(batches: Iterable[QuestionTexts], count: int = NGRAM_WORDS[-1]) -> NgramIndex:
    """Return the index of evaluation questions, which may come in any batches.

    Args:
        batches: evaluation questions with their options.
        count: words of a run.

    Raises:
        ValueError: ``count`` is less than 2, or there are more than 2**32 words.
    """
    if count < 2:
        raise ValueError(f"n-grams of {count} words: at least 2, such as {NGRAM_WORDS}")
    none = np.zeros(0, dtype=np.uint64)
    keys, places = [none], [none.astype(np.uint32)]
    whole_keys, wholes = [none], [none.astype(np.int64)]

    def taken() -> Iterator[QuestionTexts]:
        words = questions = 0
        for batch in batches:
            runs, first = _runs_of(batch.whole, count)
            keys.append(runs)
            places.append((first + words).astype(np.uint32))
            for form in (0, 1):
                short, hashes = _short(batch, form, count)
                whole_keys.append(hashes)
                wholes.append(2 * (short + questions) + form)
            words += len(batch.parts.hashes)
            questions += len(batch)
            if words >> 32:
                raise ValueError(f"{words} words of evaluation questions in one index: 2**32 at most, make several")
            yield QuestionTexts(dataclasses.replace(batch.parts, hashes=none), batch.starts)

    texts = concatenate_questions(taken())
    sorted_keys, sorted_places = _merged(keys, places)
    wholes_of_each = _first_of_each(whole_keys, wholes)
    return NgramIndex(count, texts, sorted_keys, sorted_places, _filter_of(sorted_keys), *wholes_of_each)


def read_index(folder: Path) -> NgramIndex:
    """Return an index that was written into a folder; its arrays stay on the disk until they are asked for."""
    names = (*_TEXT_ARRAYS, *_INDEX_ARRAYS, "starts", "count")
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in names}
    texts = QuestionTexts(NormalTexts(**{name: arrays[name] for name in _TEXT_ARRAYS}), arrays["starts"])
    return NgramIndex(int(arrays["count"]), texts, **{name: arrays[name] for name in _INDEX_ARRAYS})


def same_words(
    texts: NormalTexts,
    first: Int64[np.ndarray, "C"],
    others: NormalTexts,
    other_first: Int64[np.ndarray, "C"],
    counts: Int64[np.ndarray, "C"],
    other_counts: Int64[np.ndarray, "C"],
) -> Bool[np.ndarray, "C"]:
    """Say for each pair of runs, given by their first words and how many they are, whether they are the same words."""
    same = np.zeros(len(first), dtype=bool)
    for start in range(0, len(first), _HITS_AT_ONCE):
        part = slice(start, start + _HITS_AT_ONCE)
        ours, theirs = texts.words[first[part]], others.words[other_first[part]]
        lengths = texts.words[first[part] + counts[part]] - ours
        left = np.flatnonzero(lengths == others.words[other_first[part] + other_counts[part]] - theirs)
        for eight in range(0, int(lengths[left].max(initial=0)), 8):
            # What is left has a space where it ends: of the last eight bytes those after it may differ.
            equal = _heads(texts.data, ours[left] + eight, lengths[left] - eight) == _heads(
                others.data, theirs[left] + eight, lengths[left] - eight
            )
            left = left[equal]
        same[start + left] = True
    return same


def _heads(data: UInt8[np.ndarray, "B"], places: Int64[np.ndarray, "C"], lengths: Int64[np.ndarray, "C"]) -> np.ndarray:
    """Return the next eight bytes at each place, or as many as ``lengths`` says, which may be none."""
    short = np.clip(lengths, 0, 8)
    return eight_bytes(data)[np.where(short > 0, places, 0)] & MASKS[short]


def _runs_of(texts: NormalTexts, count: int) -> tuple[UInt64[np.ndarray, "K"], Int64[np.ndarray, "K"]]:
    """Return the hashes of the runs of a batch, sorted and each once, and the word where each first begins."""
    hashes = run_hashes(texts.hashes, count)
    word = np.arange(len(hashes))
    word = word[word + count <= texts.last[np.searchsorted(texts.last, word, side="right")]]
    return _first_of_each([hashes[word]], [word])


def _short(batch: QuestionTexts, form: int, count: int) -> tuple[Int64[np.ndarray, "C"], UInt64[np.ndarray, "C"]]:
    """Return the questions (form 1: with options) that have too few words for a run, and hashes of their words."""
    texts = batch.whole if form else batch.questions
    short = np.flatnonzero((texts.lengths >= WHOLE_WORDS) & (texts.lengths < count))
    return short, range_hashes(texts.hashes, texts.first[short], texts.last[short]) + np.uint64(form)


def _first_of_each(keys: list[np.ndarray], values: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the keys, sorted and each once, and the value that came first with each."""
    unique, first = np.unique(np.concatenate(keys), return_index=True)
    return unique, np.concatenate(values)[first]


def _merged(keys: list[np.ndarray], values: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return what ``_first_of_each`` returns, of sorted keys, a share of them at a time; the lists are empty then.

    Sorting takes four times as much memory as what is sorted, and so it is done with little at once.
    """
    count = sum(map(len, keys))
    bits = (count // _AT_ONCE).bit_length()
    edges = np.arange(1, 1 << bits, dtype=np.uint64) << np.uint64(64 - bits) if bits else np.zeros(0, np.uint64)
    cuts = [[0, *np.searchsorted(one, edges).tolist(), len(one)] for one in keys]
    found_keys, found_values = np.empty(count, keys[0].dtype), np.empty(count, values[0].dtype)
    done = 0
    for share in range(1 << bits):
        parts = [slice(cut[share], cut[share + 1]) for cut in cuts]
        some_keys, some_values = _first_of_each(
            [one[part] for one, part in zip(keys, parts, strict=True)],
            [one[part] for one, part in zip(values, parts, strict=True)],
        )
        stop = done + len(some_keys)
        found_keys[done:stop], found_values[done:stop] = some_keys, some_values
        done = stop
    keys.clear()
    values.clear()
    found_keys.resize(done, refcheck=False)
    found_values.resize(done, refcheck=False)
    return found_keys, found_values


def _filter_of(keys: UInt64[np.ndarray, "K"]) -> UInt8[np.ndarray, "F"]:
    width = max(int(len(keys) * _FILTER_BITS - 1).bit_length(), 6) if len(keys) else 6
    bits = np.zeros(1 << (width - 3), dtype=np.uint8)
    for start in range(0, len(keys), _AT_ONCE):
        slots = keys[start : start + _AT_ONCE] >> np.uint64(64 - width)
        bit = np.uint8(1) << (slots & np.uint64(7)).astype(np.uint8)
        np.bitwise_or.at(bits, (slots >> np.uint64(3)).astype(np.int64), bit)
    return bits


def _passes(bits: UInt8[np.ndarray, "F"], hashes: UInt64[np.ndarray, "L"]) -> Bool[np.ndarray, "L"]:
    """Say which hashes may be in the index; all that are, and few others."""
    width = len(bits).bit_length() + 2
    slots = (hashes >> np.uint64(64 - width)).astype(np.int64)
    return ((bits[slots >> 3] >> (slots & 7).astype(np.uint8)) & 1).astype(bool)
