import itertools
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octomed_jax.evaluation.voting import at_each, maj_at, pass_at

SMALL = st.lists(st.sampled_from(["gold", "also gold", "x", "y", "z", None]), min_size=1, max_size=8)
GOLDS = ("gold", "also gold")


def votes_of(answers):
    counts = Counter(answers)
    right = tuple(sorted(counts[name] for name in GOLDS if counts[name]))
    wrong = tuple(sorted(count for name, count in counts.items() if name and name not in GOLDS))
    return len(answers), right, wrong


def vote_by_hand(answers) -> Fraction:
    """Return the chance that the winner of one vote is right."""
    counts = Counter(answer for answer in answers if answer)
    if not counts:
        return Fraction(0)
    winners = [name for name, count in counts.items() if count == max(counts.values())]
    return Fraction(sum(name in GOLDS for name in winners), len(winners))


@settings(max_examples=150)
@given(SMALL, st.data())
def test_majority_is_the_mean_over_all_subsets(answers, data):
    k = data.draw(st.integers(1, len(answers)))
    subsets = [vote_by_hand(subset) for subset in itertools.combinations(answers, k)]
    assert maj_at(votes_of(answers), k) == sum(subsets) / len(subsets)


@given(SMALL, st.data())
def test_at_least_one_is_the_mean_over_all_subsets(answers, data):
    k = data.draw(st.integers(1, len(answers)))
    subsets = [any(name in GOLDS for name in subset) for subset in itertools.combinations(answers, k)]
    right = sum(name in GOLDS for name in answers)
    assert pass_at(len(answers), right, k) == pytest.approx(sum(subsets) / len(subsets), abs=1e-12)


@given(SMALL)
def test_one_vote_is_the_accuracy_and_no_vote_beats_at_least_one(answers):
    n, right, wrong = votes_of(answers)
    assert maj_at((n, right, wrong), 1) == pass_at(n, sum(right), 1) == Fraction(sum(right), n)
    for k in range(1, n + 1):
        assert 0 <= maj_at((n, right, wrong), k) <= pass_at(n, sum(right), k)


@given(st.integers(1, 12), st.integers(1, 12), st.data())
def test_two_answers_follow_the_hypergeometric_distribution(right, wrong, data):
    from scipy.stats import hypergeom

    n = right + wrong
    k = data.draw(st.integers(1, n))
    drawn = hypergeom(n, right, k)
    expected = sum(drawn.pmf(hits) * (1 if 2 * hits > k else 0.5 if 2 * hits == k else 0) for hits in range(k + 1))
    assert maj_at((n, (right,), (wrong,)), k) == pytest.approx(expected, abs=1e-9)


def test_ties_are_split_evenly():
    assert maj_at((2, (1,), (1,)), 2) == 0.5
    assert maj_at((3, (1,), (1, 1)), 3) == pytest.approx(1 / 3)
    assert maj_at((4, (2,), (1, 1)), 4) == 1
    assert maj_at((16, (4,), (4, 4, 4)), 16) == 0.25


def test_silent_samples_neither_win_nor_tie():
    assert maj_at((10, (1,), ()), 10) == 1  # one vote against nine that say nothing
    assert maj_at((10, (), ()), 10) == 0
    assert maj_at((10, (1,), ()), 1) == pytest.approx(0.1)


def test_a_vote_of_many_samples_is_quick_and_near_its_limit():
    """Of 64 samples 40 are right and 24 are split between two wrong answers: votes of 16 are nearly always right."""
    assert maj_at((64, (40,), (12, 12)), 16) > 0.98


def test_means_over_questions_leave_out_what_a_question_cannot_say():
    passed, voted = at_each(Counter({(5, (5,), ()): 3, (4, (), (4,)): 1}))
    assert passed == voted == {"1": 0.75, "2": 0.75, "4": 0.75}
    assert at_each(Counter()) == ({}, {})


@pytest.mark.parametrize("arguments", [(3, 4, 1), (3, 1, 0), (3, 1, 4), (3, -1, 1)])
def test_no_choice_is_refused(arguments):
    with pytest.raises(ValueError, match="no choice"):
        pass_at(*arguments)
    n, right, k = arguments
    with pytest.raises(ValueError, match="no choice"):
        maj_at((n, (right,) if right > 0 else (), (n + 1,) if right < 0 else ()), k)
