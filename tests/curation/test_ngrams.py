"""Shared runs of words: as a plain search finds them, in any batches, and only where the words are the same."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octomed_jax.curation.texts import ngrams
from octomed_jax.curation.texts.ngrams import KINDS, WHOLE_WORDS, Overlap, build_index, read_index
from octomed_jax.curation.texts.question_texts import QuestionTexts, question_texts

Pair = tuple[str, list[str]]
WORD = st.sampled_from(["a", "b", "A,", "é", "longer-word", "0.5"])
TEXT = st.lists(WORD, max_size=14).map(" ".join)
QUESTIONS = st.lists(st.tuples(TEXT, st.lists(st.lists(WORD, max_size=3).map(" ".join), max_size=2)), max_size=5)

# 24 words, 4 options
STEM = (
    "A 45-year-old man comes to the clinic with fever, weight loss and night sweats that began three weeks ago; "
    "which test is ordered first?"
)
OPTIONS = ["Sputum culture", "Chest film", "Bone marrow biopsy", "CT of the abdomen"]


def texts_of(questions: list[Pair]) -> QuestionTexts:
    return question_texts([text for text, _ in questions], pa.array([o for _, o in questions], pa.list_(pa.string())))


def words_of(texts: QuestionTexts, number: int) -> tuple[list[str], int]:
    """Return the words of a question with its options, and how many are the question's own."""
    return texts.whole.text(number).split(), int(texts.questions.lengths[number])


def plain_find(evaluation: QuestionTexts, texts: QuestionTexts, count: int) -> list[Overlap]:
    """Find by lists of words, as slowly as can be."""
    theirs = [words_of(evaluation, number) for number in range(len(evaluation))]
    first = {}
    for number, (words, _) in enumerate(theirs):
        for place in range(len(words) - count + 1):
            first.setdefault(tuple(words[place : place + count]), (number, place))
    found = []
    for question in range(len(texts)):
        words, alone = words_of(texts, question)
        runs = [(place, tuple(words[place : place + count])) for place in range(len(words) - count + 1)]
        hits = [(place, run) for place, run in runs if run in first]
        if hits:
            place, run = hits[0]
            other, other_place = first[run]
            inside = place + count <= alone and other_place + count <= theirs[other][1]
            kind = KINDS[0 if inside else 1]
            found.append(Overlap(question, other, kind, " ".join(run), place, other_place, len(hits)))
            continue
        for form, ours in enumerate((words[:alone], words)):
            others = [other[: length if form == 0 else None] for other, length in theirs]
            if WHOLE_WORDS <= len(ours) < count and ours in others:
                found.append(Overlap(question, others.index(ours), KINDS[2 + form], " ".join(ours), 0, 0, 0))
                break
    return found


@given(QUESTIONS, QUESTIONS, st.integers(2, 16), st.integers(1, 3))
@settings(max_examples=200)
def test_as_a_plain_search_in_any_batches(evaluation, questions, count, size):
    theirs, ours = texts_of(evaluation), texts_of(questions)
    expected = plain_find(theirs, ours, count)
    index = build_index([theirs], count)
    assert index.find(ours) == expected
    in_batches = build_index((texts_of(evaluation[at : at + size]) for at in range(0, len(evaluation), size)), count)
    assert all(np.array_equal(getattr(index, name), getattr(in_batches, name)) for name in ngrams._INDEX_ARRAYS)
    found = []
    for start in range(0, len(questions), size):
        for overlap in in_batches.find(texts_of(questions[start : start + size])):
            found.append(Overlap(**{**vars(overlap), "question": overlap.question + start}))
    assert found == expected


@pytest.mark.parametrize("count", [8, 13, 16])
@pytest.mark.parametrize(
    "text",
    [
        STEM,
        STEM.upper(),
        STEM.replace(",", " ").replace(";", " --").replace("-", "‑"),
        STEM.replace(" ", "\u00a0").replace("fever", "ｆｅｖｅｒ").replace("man", "mán"),
        "Seen today: " + STEM + " Choose one.",
        " ".join(STEM.split()[:17]),
    ],
    ids=["as it is", "case", "punctuation", "unicode", "inside another", "its beginning"],
)
def test_planted(text, count):
    index = build_index([texts_of([("Another question of no interest", []), (STEM, OPTIONS)])], count)
    (overlap,) = index.find(texts_of([("Nothing shared", ["at", "all"]), (text, OPTIONS[::-1])]))
    assert (overlap.question, overlap.evaluation, overlap.kind) == (1, 1, "question n-gram")
    assert len(overlap.words.split()) == count
    assert overlap.words == " ".join(words_of(index.texts, 1)[0][:count])


def test_a_changed_word_breaks_long_runs_only():
    words = STEM.split()
    changed = " ".join([*words[:10], "other", *words[11:]])
    found = {
        count: build_index([texts_of([(STEM, OPTIONS)])], count).find(texts_of([(changed, [])])) for count in (8, 16)
    }
    assert [overlap.shared > 0 for overlap in found[8]] == [True]
    assert found[16] == []


def test_options_belong_to_the_text_and_their_order_counts_for_runs():
    short = ("Which of these tests is ordered first in a fever?", OPTIONS)
    index = build_index([texts_of([short])], 16)
    assert [overlap.kind for overlap in index.find(texts_of([short]))] == ["n-gram with options"]
    # The question alone has ten words, and is found as a whole whatever its options are.
    assert [o.kind for o in index.find(texts_of([(short[0], OPTIONS[::-1])]))] == ["whole question"]


def test_short_texts_are_compared_as_a_whole_unless_they_say_nothing():
    stock, whole = ("What is shown?", ["A cyst", "A bone", "A cell"]), ("What is shown?", [])
    index = build_index([texts_of([stock, whole])], 16)
    (overlap,) = index.find(texts_of([whole, (stock[0], ["A cyst", "A tooth"]), (stock[0] + "!", stock[1])]))
    assert (overlap.question, overlap.evaluation, overlap.kind) == (2, 0, "whole with options")
    assert overlap.words == "what is shown a cyst a bone a cell"


def test_equal_hashes_are_no_overlap(monkeypatch):
    """With a hash that says of all runs of words that they are equal, what is found is still only what is shared."""
    monkeypatch.setattr(ngrams, "run_hashes", lambda hashes, n: np.ones(max(len(hashes) - n + 1, 0), np.uint64))
    monkeypatch.setattr(ngrams, "range_hashes", lambda _, first, __: np.ones(len(first), np.uint64))
    index = build_index([texts_of([(STEM, OPTIONS)])], 8)
    other = "Quite another text, with as many words as are needed for a run, and for more than one of them"
    found = index.find(texts_of([(other, []), (STEM, []), ("one two three four five six seven eight", [])]))
    assert [(overlap.question, overlap.shared) for overlap in found] == [(1, 1)]


def test_an_index_can_be_written_and_shared(tmp_path):
    evaluation = texts_of([(STEM, OPTIONS), ("Which of these is a sign of a fever?", ["This", "That"])])
    ours = texts_of([("Well: " + STEM, []), ("which of these is a sign of a FEVER", ["This", "That"])])
    index = build_index([evaluation], 16)
    index.write(tmp_path / "index")
    again = read_index(tmp_path / "index")
    assert again.find(ours) == index.find(ours)
    assert [overlap.kind for overlap in again.find(ours)] == ["question n-gram", "whole question"]
    assert isinstance(again.keys, np.memmap)


def test_nothing_to_find():
    nothing = build_index([], 16)
    assert nothing.find(texts_of([(STEM, OPTIONS)])) == []
    assert build_index([texts_of([(STEM, OPTIONS)])], 16).find(texts_of([])) == []
    with pytest.raises(ValueError, match="at least 2"):
        build_index([], 1)


def test_bytes_of_a_run():
    """What the module says of its memory."""
    rng = np.random.default_rng(0)
    index = build_index([question_texts([" ".join(map(str, rng.integers(0, 9999, 100))) for _ in range(500)])], 16)
    size = index.keys.nbytes + index.places.nbytes + index.bits.nbytes
    assert 14 <= size / len(index.keys) <= 16.01
