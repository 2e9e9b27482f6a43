import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from octomed_jax.evaluation.statistics import bin_width, mean, moving_average, summary, wilson


@given(
    st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.sampled_from([0.8, 0.95, 0.99])
)
def test_wilson_agrees_with_scipy(counts, level):
    successes, n = counts
    expected = binomtest(successes, n).proportion_ci(level, method="wilson")
    assert wilson(successes, n, level) == pytest.approx((expected.low, expected.high), abs=1e-9)


@given(st.integers(1, 200), st.floats(0, 1))
def test_wilson_holds_the_share_and_stays_a_proportion(n, share):
    low, high = wilson(share * n, n)
    assert 0 <= low <= share + 1e-12
    assert share - 1e-12 <= high <= 1


def test_wilson_covers_the_truth_as_often_as_it_says():
    """Exactly, by summing over all outcomes of a binomial: Wilson's coverage is near its level on average."""
    n, shares = 40, [0.05 * k for k in range(2, 19)]
    covered = 0.0
    for share in shares:
        for k in range(n + 1):
            low, high = wilson(k, n)
            if low <= share <= high:
                covered += math.comb(n, k) * share**k * (1 - share) ** (n - k)
    assert covered / len(shares) == pytest.approx(0.95, abs=0.01)


def test_wilson_at_the_ends():
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(0, 20)[0] == 0.0
    assert wilson(20, 20)[1] == 1.0


@pytest.mark.parametrize("arguments", [(5, 4), (-1, 4), (0, -1), (1, 2, 1.0)])
def test_wilson_refuses_what_is_no_proportion(arguments):
    with pytest.raises(ValueError):
        wilson(*arguments)


def test_mean():
    assert mean([]) is None
    assert mean(value for value in (1, 2, 6)) == 3


def test_moving_average_is_centred_and_as_long_as_its_input():
    assert moving_average([1, 2, 3, 4, 5], 3) == [1.5, 2, 3, 4, 4.5]
    assert moving_average([3, 9], 1) == [3, 9]
    assert moving_average([], 4) == []
    with pytest.raises(ValueError):
        moving_average([1], 0)


def test_quantiles_of_counted_values_are_nearest_ranks():
    found = summary({3: 1, 5: 18, 900: 1})
    assert (found["n"], found["max"], found["mean"]) == (20, 900, (3 + 90 + 900) / 20)
    assert found["quantiles"] == {"5": 3, "25": 5, "50": 5, "75": 5, "95": 5}
    assert summary({7: 1})["quantiles"] == dict.fromkeys(("5", "25", "50", "75", "95"), 7)
    assert summary({}) is None


def test_bins_are_round_and_few():
    assert [bin_width(longest, 60) for longest in (0, 59, 60, 119, 120, 4096, 16384)] == [1, 1, 2, 2, 5, 100, 500]
