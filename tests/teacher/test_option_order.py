"""Options in another order for each request, with those that speak of others in their place."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octomed_jax.schema import Question, with_option_order
from octomed_jax.teacher.option_order import is_anchored, names_letters, option_order


def mcq(*options, text="Which one?", task="mcq"):
    return Question("s:1", "s", "b", "train", task, text, options[0], options=options)


@pytest.mark.parametrize(
    "option",
    [
        "All of the above", "None of the above.", "all of these", "None of these", "Both of the above", "All the above",
        "Any of the above", "None of the above options", "Neither of them", "All of the following", "None",
        "Two of the above", "None of the listed options", "All are correct", "Either of the above", "Both", "All",
        "none of the other choices", "All of them", "All answers are correct", "None is correct", "Both are correct",
        "All of the above are true", "Cannot be determined from the above", "Tous les précédents",
        "Todas las anteriores", "Keine der genannten", "以上皆是",
    ],
)  # fmt: skip
def test_options_that_speak_of_others_stay(option):
    assert is_anchored(option)


@pytest.mark.parametrize(
    "option",
    [
        "Vitamin C deficiency", "Above the knee", "All patients with fever", "None of the patients had a rash",
        "Both kidneys", "Neither kidney", "No treatment", "Amputation above the knee", "All four limbs",
        "Hepatitis B", "Fracture of the above-elbow cast type",
        "Decreased preload", "All-trans retinoic acid", "Answering machine", "Same as before",
    ],
)  # fmt: skip
def test_other_options_move(option):
    assert not is_anchored(option)
    assert not names_letters(option)


@pytest.mark.parametrize("option", ["A and B", "Both A and C", "b & d", "A, B and C", "(a) or (b)", "Same as A"])
def test_a_question_whose_options_name_letters_is_left_alone(option):
    assert names_letters(option)
    assert all(option_order(mcq("one", "two", "three", option), 0, group) == () for group in range(20))


def test_a_question_whose_text_names_options_is_left_alone():
    assert all(option_order(mcq("x", "y", "z", text="Is option B right?"), 0, group) == () for group in range(20))
    assert any(option_order(mcq("x", "y", "z", text="Is hepatitis B right?"), 0, group) for group in range(20))


def test_only_lettered_options_are_shuffled():
    assert all(option_order(mcq("x", "y", "z", task="classification"), 0, group) == () for group in range(20))


def test_what_stood_above_an_anchor_still_does():
    question = mcq("one", "two", "All of the above", "three", "four", "None of the above")
    for group in range(50):
        order = option_order(question, 7, group) or range(6)
        assert order[2] == 2
        assert order[5] == 5
        assert set(order[:2]) == {0, 1}
        assert set(order[3:5]) == {3, 4}


def test_every_order_comes_equally_often_and_depends_on_seed_question_and_group():
    question = mcq("one", "two", "three", "All of the above")
    counts = Counter(option_order(question, 0, group) for group in range(6000))
    assert len(counts) == 6
    assert all(850 < count < 1150 for count in counts.values())
    assert counts[()]  # as they are: told by nothing
    first = [option_order(question, 0, group) for group in range(20)]
    assert first == [option_order(question, 0, group) for group in range(20)]
    assert first != [option_order(question, 1, group) for group in range(20)]


@given(st.lists(st.text(max_size=12), min_size=1, max_size=12), st.integers(0, 99), st.integers(0, 99))
def test_an_order_names_every_option_once_and_the_gold_moves_with_its_text(options, seed, group):
    question = mcq(*options)
    shown = with_option_order(question, option_order(question, seed, group))
    assert sorted(shown.options) == sorted(options)
    assert shown.answer in shown.options
    for place, option in enumerate(options):
        if is_anchored(option):
            assert shown.options[place] == option


def test_a_wrong_order_is_refused():
    with pytest.raises(ValueError, match="no order of its 3 options"):
        with_option_order(mcq("a1", "b1", "c1"), (0, 0, 2))
