"""The statistics of paired questions against scipy, against all possibilities counted out, and in simulations."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, bootstrap, norm, permutation_test, t

from octomed_jax.evaluation import paired


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemar_agrees_with_scipy(only_a, only_b):
    expected = binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
    assert paired.mcnemar(only_a, only_b) == pytest.approx(expected, rel=1e-9)


def test_mcnemar_by_hand():
    assert paired.mcnemar(0, 5) == 2 / 32  # not even 5 of 5 are evidence
    assert paired.mcnemar(0, 6) == 2 / 64
    assert paired.mcnemar(1, 9) == pytest.approx(2 * 11 / 1024)
    assert paired.mcnemar(0, 0) == paired.mcnemar(7, 7) == 1.0
    with pytest.raises(ValueError, match="only_a=-1"):
        paired.mcnemar(-1, 3)


def counted_out(units: "list[int]") -> float:
    """Go through all signs."""
    totals = [
        sum(s * u for s, u in zip(signs, units, strict=True)) for signs in itertools.product((1, -1), repeat=len(units))
    ]
    return sum(abs(total) >= abs(sum(units)) for total in totals) / len(totals)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-6, 6), min_size=1, max_size=10), st.sampled_from([1, 3, 5]))
def test_the_exact_test_counts_all_signs(units, lattice):
    p, exact = paired.sign_flip(np.array(units) / lattice, lattice, random())
    assert exact
    assert p == pytest.approx(counted_out(units), abs=1e-12)


def test_drawn_signs_come_near_the_exact_p_and_are_never_too_small():
    sums = np.array([3, -1, 2, 2, 5, -4, 1, 1, 3]) / 5
    exact, _ = paired.sign_flip(sums, 5, random())
    drawn, was_exact = paired.sign_flip(sums, 0, random())
    assert not was_exact
    assert drawn == pytest.approx(exact, abs=0.006)  # four standard errors of 99,999 draws
    overall = paired.sign_flip_of_means([sums[:4] / 7, sums[4:] / 7], random())
    assert overall == pytest.approx(exact, abs=0.006)
    assert paired.sign_flip_of_means([np.ones(60)], random()) == 1 / (paired.FLIPS + 1)


def test_the_exact_test_agrees_with_scipy_on_many_questions():
    sums = np.round(random(5).normal(0.05, 0.4, 200) * 5) / 5
    expected = permutation_test((sums,), np.mean, permutation_type="samples", n_resamples=20_000, rng=random(1)).pvalue
    assert paired.sign_flip(sums, 5, random())[0] == pytest.approx(expected, abs=0.02)


def test_with_one_sample_a_question_the_exact_test_is_mcnemars():
    d = np.array([1.0] * 31 + [-1.0] * 12 + [0.0] * 200)
    p, exact = paired.sign_flip(d, 1, random())
    assert exact
    assert p == pytest.approx(binomtest(12, 43).pvalue)
    assert paired.sign_flip(np.zeros(9), 1, random()) == (1.0, True)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_is_the_closed_test_of_bonferroni(values):
    """Holm's adjusted p is the largest of Bonferroni's over all sets of hypotheses that hold it."""
    adjusted = paired.holm(values)
    for place in range(len(values)):
        others = [k for k in range(len(values)) if k != place]
        sets = ((place, *rest) for size in range(len(values)) for rest in itertools.combinations(others, size))
        expected = max(min(1.0, len(one) * min(values[k] for k in one)) for one in sets)
        assert adjusted[place] == pytest.approx(expected)


def test_holm_by_hand_and_its_refusals():
    assert paired.holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert paired.holm([]) == []
    for wrong in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match="between 0 and 1"):
            paired.holm([0.5, wrong])


def test_the_bootstrap_of_two_clusters_by_hand():
    """Sums 1 of one question and 0 of three: the samples are (1, 1), (1, 2), (2, 2) with 1/4, 1/2, 1/4."""
    drawn = paired.resampled(np.array([1.0, 0.0]), np.array([1, 3]), random(), 20_000)
    assert sorted(set(drawn.tolist())) == [0.0, 0.25, 1.0]
    shares = [(drawn == value).mean() for value in (1.0, 0.25, 0.0)]
    assert shares == pytest.approx([0.25, 0.5, 0.25], abs=0.015)


def test_the_bootstrap_has_the_error_that_theory_gives():
    d = random(3).choice([-1.0, 0.0, 1.0], 500, p=[0.1, 0.7, 0.2])
    drawn = paired.resampled(d, np.ones(500), random())
    assert drawn.mean() == pytest.approx(d.mean(), abs=0.002)
    assert drawn.std() == pytest.approx(d.std() / math.sqrt(500), rel=0.03)
    low, high = paired.interval_of_mean([drawn], [500])
    assert (high - low) / 2 == pytest.approx(1.96 * d.std() / math.sqrt(500), rel=0.05)


@pytest.mark.parametrize("seed", range(3))
def test_the_paired_bootstrap_agrees_with_scipy(seed):
    """Clusters of several questions: percentiles of scipy's own draws at the levels that Student's t asks for."""
    rng, clusters = random(seed), 80
    sizes = rng.integers(1, 5, clusters)
    sums = np.array(
        [rng.choice([-1.0, -0.5, 0.0, 0.5, 1.0], size, p=[0.1, 0.1, 0.4, 0.2, 0.2]).sum() for size in sizes]
    )
    far = t.ppf(0.975, clusters - 1) * math.sqrt(clusters / (clusters - 1))
    expected = bootstrap(
        (sums, sizes.astype(float)), lambda x, y, axis=-1: x.sum(axis=axis) / y.sum(axis=axis), paired=True,
        vectorized=True, method="percentile", n_resamples=20_000, batch=2000, confidence_level=1 - 2 * norm.sf(far),
        rng=random(seed + 100),
    ).confidence_interval  # fmt: skip
    found = paired.interval_of_mean([paired.resampled(sums, sizes, rng, 20_000)], [clusters])
    assert found == pytest.approx(expected, abs=0.04 * (expected.high - expected.low))


def test_the_exact_p_is_never_below_what_the_signs_allow():
    """All in one direction, in two sizes: just the signs that are there and all turned. No p is 0."""
    for each in (1, 20, 200):
        one_way = np.array([1.0] * each + [0.6] * each)
        assert paired.sign_flip(one_way, 5, random()) == (2.0 ** (1 - 2 * each), True)
    assert paired.sign_flip(np.append(one_way, -0.6), 5, random()) == (1e-12, True)


def test_two_benchmarks_have_the_interval_of_their_mean():
    rng = random(8)
    one, other = rng.normal(0.0, 0.01, 10_000), rng.normal(0.1, 0.03, 10_000)
    low, high = paired.interval_of_mean([one, other], [1000, 1000])
    assert (low + high) / 2 == pytest.approx(0.05, abs=0.001)
    assert (high - low) / 2 == pytest.approx(1.96 * math.hypot(0.01, 0.03) / 2, rel=0.05)
    assert paired.interval_of_mean([np.zeros(5), np.ones(5)], [4, 4]) is None


@pytest.mark.parametrize(("clusters", "each"), [(20, 1), (40, 4), (150, 1)])
def test_intervals_cover_the_truth(clusters, each):
    """Questions of a cluster share a part of their difference; the true difference is 0.1."""
    rng, covered, times = random(clusters), 0, 600
    for _ in range(times):
        shared = np.repeat(rng.choice([-0.2, 0.2], clusters), each)
        d = rng.random(clusters * each) < 0.2 + shared
        minus = rng.random(clusters * each) < 0.1
        difference = d.astype(float) - minus
        sums = difference.reshape(clusters, each).sum(1)
        sizes = np.full(clusters, each)
        drawn = paired.resampled(sums, sizes, rng, 1000)
        low, high = paired.interval_of_mean([drawn], [clusters]) or paired.interval_of_equals(sums[0] / each, clusters)
        covered += low <= 0.1 <= high
    assert 0.93 <= covered / times <= 0.98


def test_where_nothing_differs_the_interval_is_no_point():
    low, high = paired.interval_of_equals(0.0, 100)
    assert (low, high) == pytest.approx((-0.0295, 0.0295), abs=1e-4)  # the rule of three
    assert paired.interval_of_equals(1.0, 10) == pytest.approx((1 - 2 * (1 - 0.05**0.1), 1.0))
    # 100 questions of which 3 % differ: alike in 1 - 0.97^100 of all cases at most 5 %.
    assert 0.97**100 < 0.05 < (1 - high) ** 100 + 1e-9


def test_the_smallest_difference_is_found_with_the_power_it_says():
    """Simulated on 300 questions, a quarter of which differ: the test rejects in about 80 of 100 cases."""
    n, differ, rng = 300, 0.25, random(4)
    nothing = np.array([1.0, -1.0] * 37 + [0.0] * (n - 74))
    least = paired.smallest_difference(nothing, np.ones(n), 0.05)
    assert least == pytest.approx(((1.96 + 0.8416) * math.sqrt(74) + 1) / n, rel=1e-3)
    found = 0
    for _ in range(1500):
        d = rng.choice([1.0, -1.0, 0.0], n, p=[(differ + least) / 2, (differ - least) / 2, 1 - differ])
        found += paired.mcnemar(int((d < 0).sum()), int((d > 0).sum())) <= 0.05
    assert found / 1500 == pytest.approx(0.8, abs=0.03)


def test_few_questions_can_show_little():
    assert paired.smallest_difference(np.zeros(5), np.ones(5), 0.05) is None  # 2 / 2^5 > 0.05
    least = paired.smallest_difference(np.zeros(50), np.ones(50), 0.05)
    # With so many that differ, six or more do in 80 of 100 cases: exactly what the test needs.
    power = sum(math.comb(50, k) * least**k * (1 - least) ** (50 - k) for k in range(6, 51))
    assert power == pytest.approx(0.8)
    assert paired.smallest_difference(np.zeros(6), np.ones(6), 0.05 / 14) is None


@pytest.mark.parametrize(("seeds", "size"), [(1, 1), (5, 1), (5, 3)])
def test_equal_models_are_told_apart_in_one_of_twenty_cases_at_most(seeds, size):
    """Both models solve a question with the same chance, which differs between questions; clusters are alike."""
    rng, times, clusters, rejected = random(seeds * size), 2000, 60, 0
    for _ in range(times):
        chance = np.repeat(rng.beta(1.0, 1.0, clusters), size)
        a, b = (rng.binomial(seeds, chance) for _ in range(2))
        sums = ((b - a) / seeds).reshape(clusters, size).sum(1)
        rejected += paired.sign_flip(sums, seeds, rng)[0] <= 0.05
    limit = 0.05 + 2.6 * math.sqrt(0.05 * 0.95 / times)
    assert rejected / times <= limit
    # Not so careful that it is of no use; one binomial of few questions has coarse steps.
    assert rejected / times >= (0.015 if seeds == 1 else 0.03)


def test_equal_accuracy_on_different_questions_is_no_difference_either():
    """A is right where B is wrong and the other way round; swapping answers is not what makes them equal here."""
    rng, times, rejected = random(9), 2000, 0
    for _ in range(times):
        easy_for_a = rng.random(80) < 0.5
        a = rng.binomial(5, np.where(easy_for_a, 0.9, 0.4))
        b = rng.binomial(5, np.where(easy_for_a, 0.4, 0.9))
        rejected += paired.sign_flip((b - a) / 5, 5, rng)[0] <= 0.05
    assert rejected / times <= 0.05 + 2.6 * math.sqrt(0.05 * 0.95 / times)


def test_holm_holds_the_family():
    """Of 14 benchmarks without a difference any is called different in one of twenty cases at most."""
    rng, times, wrong = random(2), 800, 0
    for _ in range(times):
        values = [paired.mcnemar(*rng.multinomial(100, [0.15, 0.15, 0.7])[:2].tolist()) for _ in range(14)]
        wrong += min(paired.holm(values)) <= 0.05
    assert wrong / times <= 0.05 + 2.6 * math.sqrt(0.05 * 0.95 / times)


def test_ten_thousand_questions_with_ten_seeds_take_no_time():
    rng = random(6)
    a, b = (rng.binomial(10, 0.6, 10_000) for _ in range(2))
    p, exact = paired.sign_flip((b - a) / 10, 10, rng)
    z = (b - a).sum() / math.sqrt(((b - a) ** 2).sum())
    assert exact
    assert p == pytest.approx(math.erfc(abs(z) / math.sqrt(2)), abs=0.01)
