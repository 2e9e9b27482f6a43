"""Near-duplicates: as a comparison of all pairs finds them, in any pieces; guards, runs and rounds."""

import itertools
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octomed_jax.curation.texts import near_duplicates as module
from octomed_jax.curation.texts.guards import all_guards, number_guard, text_guard
from octomed_jax.curation.texts.minhash import (
    BANDS,
    LEAST_SIMILARITY,
    NO_KEY,
    ROWS,
    SHINGLE_WORDS,
    band_keys,
    minhashes,
    recall,
    shingle_hashes,
)
from octomed_jax.curation.texts.near_duplicates import NearDuplicates, near_duplicates
from octomed_jax.curation.texts.question_texts import QuestionTexts, question_texts

Pair = tuple[str, list[str]]
WORDS = [f"word{number}" for number in range(40)]


def texts_of(questions: list[Pair]) -> QuestionTexts:
    return question_texts([text for text, _ in questions], pa.array([o for _, o in questions], pa.list_(pa.string())))


def shingles(question: Pair) -> set[tuple[str, ...]]:
    """Return the shingles of a question by lists of words; its words are in the normal form already."""
    found = set()
    for part in (question[0], *question[1]):
        words = part.split()
        found |= {
            tuple(words[at : at + SHINGLE_WORDS]) for at in range(max(len(words) - SHINGLE_WORDS + 1, 1)) if words
        }
    return found


def jaccard(one: Pair, other: Pair) -> float:
    ours, theirs = shingles(one), shingles(other)
    return len(ours & theirs) / max(len(ours | theirs), 1)


def found_in(questions: list[Pair], guard: np.ndarray | None = None, threshold: float = 0.8) -> NearDuplicates:
    keys = band_keys(texts_of(questions), guard)
    return near_duplicates(len(questions), keys.__getitem__, reader(questions), threshold)


def reader(questions: list[Pair]) -> Callable[[np.ndarray], QuestionTexts]:
    def read(places: np.ndarray) -> QuestionTexts:
        assert np.array_equal(places, np.unique(places))
        return texts_of([questions[place] for place in places])

    return read


def edited(rng: np.random.Generator, words: list[str], edits: int) -> str:
    words = list(words)
    for _ in range(edits):
        words[rng.integers(len(words))] = "edit" + str(rng.integers(1000))
    return " ".join(words)


def corpus(seed: int, count: int = 60, length: int = 80) -> list[Pair]:
    """Return questions of which many are edits of others, a few words or many."""
    rng = np.random.default_rng(seed)
    questions: list[Pair] = []
    for number in range(count):
        if number and rng.random() < 0.7:
            text, options = questions[rng.integers(number)]
            questions.append((edited(rng, text.split(), rng.integers(0, 5)), list(rng.permutation(options))))
        else:
            options = [" ".join(rng.choice(WORDS, rng.integers(1, 7))) for _ in range(4)]
            questions.append((" ".join(rng.choice(WORDS, length)), options))
    return questions


@pytest.mark.parametrize("seed", range(4))
def test_as_all_pairs(seed):
    questions, guard = corpus(seed), np.arange(60, dtype=np.uint64) % 2
    found = found_in(questions, guard, 0.85)
    for (one, other), similarity in zip(found.pairs.tolist(), found.similarities, strict=True):
        assert one < other
        assert guard[one] == guard[other]
        assert similarity == pytest.approx(jaccard(questions[one], questions[other]))
        assert similarity >= 0.85
    parents = {place: place for place in range(60)}
    for one, other in found.pairs.tolist():
        joined = {parents[one], parents[other]}
        parents = {place: min(joined) if parent in joined else parent for place, parent in parents.items()}
    assert found.first.tolist() == [parents[place] for place in range(60)]  # groups are what pairs connect
    kept = np.flatnonzero(found.first == np.arange(60)).tolist()
    assert 10 < len(kept) < 55
    for place, one in enumerate(kept):
        assert not [
            other
            for other in kept[place + 1 :]
            if guard[one] == guard[other] and jaccard(questions[one], questions[other]) >= 0.85
        ]


@given(st.integers(0, 1000), st.integers(1, 60))
@settings(max_examples=10)
def test_pieces_do_not_matter(seed, size):
    questions = corpus(seed)
    texts = texts_of(questions)
    whole = band_keys(texts, number_guard(texts))
    pieces = [texts_of(questions[start : start + size]) for start in range(0, len(questions), size)]
    assert np.array_equal(np.concatenate([band_keys(piece, number_guard(piece)) for piece in pieces], axis=1), whole)
    found = near_duplicates(len(questions), whole.__getitem__, reader(questions))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PAIRS_AT_ONCE", size)
        again = near_duplicates(len(questions), whole.__getitem__, reader(questions))
    assert np.array_equal(again.first, found.first)
    assert np.array_equal(again.pairs, found.pairs)
    assert np.array_equal(again.similarities, found.similarities)


def test_the_first_of_a_run_may_be_unlike_the_others():
    """One run for all: its first is like nobody, and two groups follow; nothing is compared twice."""
    rng = np.random.default_rng(0)
    one, two, three = (" ".join(rng.choice(WORDS, 60)) for _ in range(3))
    questions: list[Pair] = [(text, []) for text in (one, two, three, two + " end", three + " end")]
    keys = np.ones((BANDS, 5), dtype=np.uint64)
    found = near_duplicates(5, keys.__getitem__, reader(questions))
    assert found.first.tolist() == [0, 1, 2, 1, 2]
    assert found.pairs.tolist() == [[1, 3], [2, 4]]
    assert found.compared == 4 + 3 + 1  # with the first, with the second, and with the third


def test_rounds_have_an_end():
    rng = np.random.default_rng(0)
    questions: list[Pair] = [(" ".join(rng.choice(WORDS, 30)), []) for _ in range(40)]
    found = near_duplicates(40, np.ones((BANDS, 40), dtype=np.uint64).__getitem__, reader(questions))
    assert found.first.tolist() == list(range(40))
    assert found.compared == sum(39 - done for done in range(module.ROUNDS))


def test_a_run_of_many_is_compared_with_its_first_alone():
    found = found_in([("the very same words for each of them", [])] * 500)
    assert found.first.tolist() == [0] * 500
    assert found.compared == 499


def test_questions_without_words_are_like_no_other():
    questions: list[Pair] = [("", []), ("?!", []), ("one", []), ("one", [])]
    assert (band_keys(texts_of(questions))[:, :2] == NO_KEY).all()
    assert found_in(questions).first.tolist() == [0, 1, 2, 2]
    assert found_in([]).first.tolist() == []


def test_options_in_another_order_are_the_same():
    options = ["a first option of some words", "second", "the third one"]
    texts = texts_of([("What is it?", options), ("What is it?", options[::-1])])
    keys = band_keys(texts)
    assert np.array_equal(keys[:, 0], keys[:, 1])
    swapped = texts_of([("What is it?", ["second the", "third one"]), ("What is it?", ["second", "the third one"])])
    assert (np.diff(band_keys(swapped)) != 0).any()


def test_guards():
    long = " ".join(WORDS * 3)
    questions: list[Pair] = [(long + end, []) for end in (" 5 mg", " 5 mg", " 0.5 mg", " 5 mg", " 5 mg", " > 5 mg")]
    texts = texts_of(questions)
    answers = ["yes", "Yes.", "yes", "no", "yes", "yes"]
    images = ["ab", "ab", "ab", "ab", "cd", "ab"]
    guard = all_guards(number_guard(texts), text_guard(answers), text_guard(images))
    assert found_in(questions).first.tolist() == [0] * 6
    assert found_in(questions, guard).first.tolist() == [0, 0, 2, 3, 4, 5]
    assert all_guards(guard, number_guard(texts)).tolist() != all_guards(number_guard(texts), guard).tolist()


def test_smallest_values_say_how_alike_two_sets_are():
    """The share of equal ones is the Jaccard similarity: its error over many pairs is that of so many draws."""
    rng = np.random.default_rng(0)
    questions, expected = [], []
    for _ in range(300):
        words = [f"w{number}" for number in rng.integers(0, 10**6, 100)]
        pair = [(" ".join(words), []), (edited(rng, words, rng.integers(1, 8)), [])]
        questions += pair
        expected.append(jaccard(*pair))
    smallest = minhashes(texts_of(questions))
    found = (smallest[:, ::2] == smallest[:, 1::2]).mean(axis=0)
    errors = (found - expected) / np.sqrt(np.multiply(expected, np.subtract(1, expected)) / (BANDS * ROWS))
    print(
        f"\nerrors in standard deviations of {BANDS * ROWS} draws: mean {errors.mean():.3f}, spread {errors.std():.3f}"
    )
    assert abs(errors.mean()) < 4 / np.sqrt(300)
    assert 0.85 < errors.std() < 1.15


def test_shingles_are_those_of_the_words():
    questions = corpus(1)[:20] + [("one two three four five", ["one", "one"]), ("", []), ("six", ["one", ""])]
    hashes, ends = shingle_hashes(texts_of(questions))
    sets = [set(hashes[start:end].tolist()) for start, end in itertools.pairwise(ends)]
    words = [shingles(question) for question in questions]
    assert [len(one) for one in sets] == [len(one) for one in words]
    for one, other in zip(sets, words, strict=True):
        assert [len(one & more) for more in sets] == [len(other & more) for more in words]


@pytest.mark.parametrize("threshold", [0, -1, 1.5])
def test_thresholds(threshold):
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        near_duplicates(1, np.ones((BANDS, 1), np.uint64).__getitem__, reader([("a", [])]), threshold)


def test_as_many_questions_are_read_as_were_asked_for():
    keys = np.ones((BANDS, 3), dtype=np.uint64)
    with pytest.raises(ValueError, match="3 questions were asked for, and 1 read"):
        near_duplicates(3, keys.__getitem__, lambda _: texts_of([("a", [])]))


def test_a_threshold_is_reached_exactly():
    questions: list[Pair] = [(" ".join(WORDS[:12]), []), (" ".join(WORDS[:14]), [])]  # 8 shingles of 10
    assert jaccard(*questions) == 0.8
    keys = np.ones((BANDS, 2), dtype=np.uint64)
    assert near_duplicates(2, keys.__getitem__, reader(questions), 0.8).first.tolist() == [0, 0]
    assert near_duplicates(2, keys.__getitem__, reader(questions), 0.8001).first.tolist() == [0, 1]


def test_the_recall_that_the_docs_state_is_that_of_bands_and_rows(root):
    section = (root / "docs" / "curation.md").read_text().partition("looked for by MinHash")[2].partition("**What")[0]
    assert f"({BANDS} bands of {ROWS} rows)" in section
    assert f"1 - (1 - s^{ROWS})^{BANDS}" in section
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| 0")]
    assert [float(similarity) for similarity, _ in rows] == [0.7, 0.8, 0.9]
    assert float(rows[0][0]) == LEAST_SIMILARITY
    for similarity, share in rows:
        decimals = len(share.strip("%").partition(".")[2])
        assert share == f"{100 * (1 - (1 - float(similarity) ** ROWS) ** BANDS):.{decimals}f}%"
        assert recall(float(similarity)) == pytest.approx(float(share.strip("%")) / 100, abs=10**-decimals)


def test_the_recall_is_what_is_found():
    """Of 2,000 pairs, each alike to about 0.7 and drawn apart; the formula says 95 %."""
    rng = np.random.default_rng(7)
    found = expected = 0.0
    for start in range(0, 2000, 500):
        questions: list[Pair] = []
        for number in range(start, start + 500):
            words = [f"w{number}x{place}" for place in range(60)]
            other = list(words)
            for place in rng.choice(range(10, 50), 2, replace=False):
                other[place] = f"other{place}"
            questions += [(" ".join(words), []), (" ".join(other), [])]
        keys = band_keys(texts_of(questions))
        pairs = list(zip(questions[::2], questions[1::2], strict=True))
        found += (keys[:, ::2] == keys[:, 1::2]).any(axis=0).sum()
        expected += sum(recall(jaccard(one, other)) for one, other in pairs)
    assert found == pytest.approx(expected, rel=0.02)
    assert 0.8 < expected / 2000 < 0.99
