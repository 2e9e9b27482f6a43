"""Exact keys: what makes two questions the same."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from octomed_jax.curation.texts.exact import exact_keys, first_of_each, place_among
from octomed_jax.curation.texts.guards import number_guard
from octomed_jax.curation.texts.question_texts import QuestionTexts, concatenate_questions, question_texts

WORDS = st.sampled_from(["a", "b", "5", "0.5", "ß", "+", ""])
TEXT = st.lists(WORDS, max_size=3).map(" ".join)
QUESTIONS = st.lists(st.tuples(TEXT, st.lists(TEXT, max_size=3)), max_size=10)

QUESTION = ("Which drug is given at 0.5 mg?", ["Digoxin", "Aspirin 5 mg", "None of these"])
SAME = {
    "case": ("WHICH drug is given at 0.5 MG?", QUESTION[1]),
    "punctuation": ("Which drug is given at 0.5 mg...", ["Digoxin.", "Aspirin, 5 mg", "None of these"]),
    "unicode": ("Ｗhich drug is giv\u00aden at\u00a00·5 mg？", ["Digóxin", "Aspirin 5\u2009mg", "None of these"]),
    "option order": (QUESTION[0], ["None of these", "Digoxin", "Aspirin 5 mg"]),
}
OTHER = {
    "a number": ("Which drug is given at 5 mg?", QUESTION[1]),
    "numbers changed about": ("Which drug is given at 5 mg?", ["Digoxin", "Aspirin 0.5 mg", "None of these"]),
    "an option more": (QUESTION[0], [*QUESTION[1], "None of these"]),
    "an option in the question": (QUESTION[0] + " Digoxin", QUESTION[1][1:]),
    "words between options": (QUESTION[0], ["Digoxin Aspirin", "5 mg", "None of these"]),
    "a sign": ("Which drug is given at > 0.5 mg?", QUESTION[1]),
    "word order": ("Which is drug given at 0.5 mg?", QUESTION[1]),
    "no options": (QUESTION[0], []),
}


def texts_of(questions: list[tuple[str, list[str]]]) -> QuestionTexts:
    return question_texts([text for text, _ in questions], pa.array([o for _, o in questions], pa.list_(pa.string())))


@pytest.mark.parametrize("kind", SAME)
def test_the_same(kind):
    keys = exact_keys(texts_of([QUESTION, SAME[kind]]))
    assert keys[0].tolist() == keys[1].tolist()
    assert first_of_each(keys).tolist() == [0, 0]


def test_others_are_all_apart():
    keys = exact_keys(texts_of([QUESTION, *OTHER.values()]))
    assert len(set(map(tuple, keys.tolist()))) == 1 + len(OTHER)
    assert len(set(keys[:, 0].tolist())) == len(set(keys[:, 1].tolist())) == 1 + len(OTHER)


def test_a_guard_keeps_apart():
    texts = texts_of([QUESTION] * 3)
    keys = exact_keys(texts, np.array([7, 8, 7], dtype=np.uint64))
    assert first_of_each(keys).tolist() == [0, 1, 0]


@given(QUESTIONS, st.integers(1, 4))
def test_equal_where_words_are_in_any_batches(questions, size):
    """Brute force: the normal texts, and the options' sorted; signs stand with the words before them."""
    texts = texts_of(questions)
    plain = []
    for number in range(len(texts)):
        parts = [
            (texts.parts.text(part), int(texts.parts.signs[part]))
            for part in range(texts.starts[number], texts.starts[number + 1])
        ]
        plain.append((parts[0], tuple(sorted(parts[1:]))))
    keys = exact_keys(texts)
    assert first_of_each(keys).tolist() == [plain.index(one) for one in plain]
    batches = [texts_of(questions[start : start + size]) for start in range(0, len(questions), size)]
    assert [*map(tuple, keys.tolist())] == [tuple(key) for batch in batches for key in exact_keys(batch).tolist()]
    joined = concatenate_questions(batches)
    assert np.array_equal(exact_keys(joined), keys)
    assert np.array_equal(number_guard(joined), number_guard(texts))
    assert number_guard(texts).tolist() == [value for batch in batches for value in number_guard(batch).tolist()]


def test_places_among_others():
    others = exact_keys(texts_of([("one", []), ("two", []), ("One!", [])]))
    keys = exact_keys(texts_of([("three", []), ("Two", []), ("ONE", [])]))
    assert place_among(keys, others).tolist() == [-1, 1, 0]
    assert place_among(keys, others[:0]).tolist() == [-1, -1, -1]


def test_numbers_are_guarded_whatever_the_order_of_the_options():
    texts = texts_of([QUESTION, *SAME.values()])
    assert len(set(number_guard(texts).tolist())) == 1
    changed = ["a number", "an option more", "a sign", "no options", "word order"]
    guards = number_guard(texts_of([QUESTION, *(OTHER[kind] for kind in changed)])).tolist()
    assert len(set(guards[:1] + guards[1:2] + guards[3:5])) == 4
    assert guards[2] == guards[5] == guards[0]  # of the same numbers: not for this guard to say
    apart = ["cd4 cells", "cd8 cells", "5 5", "5", "0.5", "-5", "no number", "rh+"]
    assert len(set(number_guard(question_texts(apart)).tolist())) == len(apart)


def test_options_must_be_given_for_all():
    with pytest.raises(ValueError, match="2 questions, but the options of 1"):
        question_texts(["a", "b"], [["c"]])


def test_questions_without_options():
    texts = question_texts(["One", "", "two words"])
    assert [texts.questions.text(number) for number in range(3)] == ["one", "", "two words"]
    assert np.array_equal(exact_keys(texts), exact_keys(texts_of([("One", []), ("", []), ("two words", [])])))
    assert len(exact_keys(question_texts([]))) == len(number_guard(question_texts([]))) == 0


@pytest.mark.parametrize("halves", [(3, 5), (1000, 1), (10**9, 10**9)])
def test_the_first_of_equal_keys_also_where_one_half_is_shared(halves):
    rng = np.random.default_rng(0)
    keys = np.stack([rng.integers(0, most, 2000) for most in halves], axis=1).astype(np.uint64)
    keys = np.concatenate([keys, keys[::7]])
    places: dict[tuple[int, ...], int] = {}
    expected = [places.setdefault(tuple(key), place) for place, key in enumerate(keys.tolist())]
    assert first_of_each(keys).tolist() == expected
    assert first_of_each(keys[:0]).tolist() == []
