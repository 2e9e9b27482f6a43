"""Thinking length against difficulty: ranks against scipy, intervals by simulation, and what each view leaves in."""

import dataclasses
import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata, spearmanr

from octomed_jax.evaluation.calibration import across, calibrate
from octomed_jax.evaluation.rank_correlation import (
    Stratum,
    _moments,
    _rho,
    correlation,
    fisher_interval,
    pooled,
    resampled,
)

# Figure 8 of the paper: mean tokens and accuracy of OctoMed-7B on its 14 benchmarks.
LENGTHS = [1506, 944, 320, 1855, 1453, 1298, 528, 3700, 1725, 297, 308, 357, 348, 317]
ACCURACIES = [42.1, 61.1, 61.1, 36.6, 88.3, 82.3, 72.7, 24.4, 67.1, 80.9, 71.2, 75.4, 55.2, 53.7]


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def stratum(x, y, cluster=None) -> Stratum:
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    return Stratum(x, y, np.arange(len(x)) if cluster is None else np.asarray(cluster))


def with_interval(one: Stratum, rng: "np.random.Generator | None" = None, resamples: int = 2000):
    return correlation(one, resampled(one, rng or random(), resamples))


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 3)), min_size=3, max_size=40))
def test_rho_agrees_with_scipy_however_many_ties(pairs):
    x, y = zip(*pairs, strict=True)
    found = with_interval(stratum(x, y), resamples=20)
    if len(set(x)) == 1 or len(set(y)) == 1:
        assert found.rho is None
        assert (found.bootstrap, found.fisher) == (None, None)
    else:
        assert found.rho == pytest.approx(spearmanr(x, y).statistic, abs=1e-12)


def test_a_bootstrap_sample_is_ranked_again():
    """Each replicate is what scipy gives of the rows written out as often as they were drawn."""
    x, y = random(1).integers(0, 5, 30), random(2).integers(0, 4, 30)
    weights = random(3).multinomial(30, np.full(30, 1 / 30), size=6)
    found = _rho(_moments(stratum(x, y), weights.astype(float)))
    expected = [spearmanr(np.repeat(x, own), np.repeat(y, own)).statistic for own in weights]
    assert found == pytest.approx(expected)


def test_pooled_is_the_correlation_with_the_benchmark_held_fixed():
    """Ranks within each benchmark, centred and scaled by its size, then one Pearson correlation of all of them."""
    rng = random(4)
    strata = [stratum(rng.integers(0, 9, n), rng.integers(0, 5, n)) for n in (12, 30, 55)]
    ranks = [
        np.concatenate([(rankdata(values) - (len(values) + 1) / 2) / len(values) for values in side])
        for side in ([one.x for one in strata], [one.y for one in strata])
    ]
    found = pooled(strata)
    assert found.rho == pytest.approx(np.corrcoef(*ranks)[0, 1])
    assert (found.n, found.fisher) == (97, None)


def test_pooled_is_blind_to_differences_between_benchmarks():
    """Simpson: within both benchmarks longer is easier, across them longer is harder."""
    one = stratum([1, 2, 3, 4], [0.4, 0.3, 0.2, 0.1])
    other = stratum([11, 12, 13, 14], [0.9, 0.8, 0.7, 0.6])
    assert pooled([one, other]).rho == pytest.approx(-1.0)
    assert spearmanr([*one.x, *other.x], [*one.y, *other.y]).statistic > 0


def test_a_benchmark_that_is_always_solved_says_nothing():
    one, solved = stratum(range(20), random(1).random(20)), stratum(range(50), np.zeros(50))
    with_it, alone = pooled([one, solved]), pooled([one])
    assert (with_it.rho, with_it.n) == (pytest.approx(alone.rho), 20)
    assert pooled([solved]).rho is None
    assert pooled([]).rho is None


def test_fishers_interval_by_hand():
    half = 1.959964 * math.sqrt((1 + 0.125) / 97)
    expected = (math.tanh(math.atanh(0.5) - half), math.tanh(math.atanh(0.5) + half))
    assert fisher_interval(0.5, 100) == pytest.approx(expected)
    assert fisher_interval(0.5, 3) is None
    assert fisher_interval(1.0, 50) is None
    low, high = fisher_interval(0.0, 50)
    assert low == pytest.approx(-high)


@pytest.mark.parametrize(("rho", "n"), [(0.0, 40), (0.6, 60)])
def test_both_intervals_cover_the_truth(rho, n):
    """Of normal pairs Spearman's is 6 / pi arcsin(r / 2) (Pearson 1907); 400 samples."""
    truth = 6 / math.pi * math.asin(rho / 2)
    rng, covered, times = random(n), {"bootstrap": 0, "fisher": 0}, 400
    for _ in range(times):
        x = rng.normal(size=n)
        y = rho * x + math.sqrt(1 - rho * rho) * rng.normal(size=n)
        found = with_interval(stratum(x, y), rng, 400)
        for kind in covered:
            low, high = getattr(found, kind)
            covered[kind] += low <= truth <= high
    assert 0.92 <= covered["bootstrap"] / times <= 0.985
    assert 0.92 <= covered["fisher"] / times <= 0.985


def test_questions_of_one_patient_are_no_independent_evidence():
    """Each of 30 patients is there ten times: the interval is that of 30, and Fisher's has no say."""
    x, y = random(5).normal(size=30), random(6).normal(size=30)
    alone = with_interval(stratum(x, y))
    tenfold = with_interval(stratum(np.repeat(x, 10), np.repeat(y, 10), np.repeat(np.arange(30), 10)))
    assert tenfold.rho == pytest.approx(alone.rho)
    assert (tenfold.n, tenfold.clusters, tenfold.fisher) == (300, 30, None)
    assert tenfold.bootstrap == pytest.approx(alone.bootstrap, abs=0.03)
    few = with_interval(stratum(np.repeat(x[:9], 10), np.repeat(y[:9], 10), np.repeat(np.arange(9), 10)))
    assert few.bootstrap is None


def test_across_benchmarks_on_the_papers_figure_8():
    found = across(LENGTHS, ACCURACIES)
    assert found.rho == pytest.approx(-spearmanr(LENGTHS, ACCURACIES).statistic)
    assert found.fisher == pytest.approx(fisher_interval(found.rho, 14))
    # What 14 benchmarks can and cannot say: the interval holds 0.
    assert found.fisher[0] < 0 < found.rho
    assert found.bootstrap is None
    assert across([], []).rho is across([5.0], [0.5]).rho is across([1.0, 2.0], [0.5, 0.2]).rho is None
    with pytest.raises(ValueError, match="3 lengths and 2 accuracies"):
        across([1, 2, 3], [0.1, 0.2])


def test_benchmarks_of_one_accuracy_are_ties_whatever_they_were_added_up_from():
    assert across([5, 3, 4], [0.1 + 0.2, 0.1, 0.3]).rho == across([5, 3, 4], [0.3, 0.1, 0.3]).rho
    assert across([5, 3, 4], [0.3, 0.1, 0.3]).rho == pytest.approx(spearmanr([5, 3, 4], [-0.3, -0.1, -0.3]).statistic)


def test_across_counts_all_orders_of_four():
    """Of the 24 orders of four, scipy's rho and ours agree in each."""
    for order in itertools.permutations([0.2, 0.4, 0.6, 0.8]):
        assert across([1, 2, 3, 4], order).rho == pytest.approx(-spearmanr([1, 2, 3, 4], order).statistic)


def sample(number: int, seed: int, right: bool, length: "int | None", benchmark: str = "medqa", **fields) -> dict:
    return {
        "benchmark": benchmark,
        "id": f"{number:04}",
        "cluster": "",
        "seed": seed,
        "verdict": "correct" if right else "wrong",
        "finish_reason": "stop",
        "thinking_tokens": length,
        "completion_tokens": 5000,
        **fields,
    }


def simulated(seed: int, by_difficulty: float, by_wrong: float, questions: int = 150, seeds: int = 6) -> "list[dict]":
    """Samples whose length grows with the difficulty of the question, and in samples that go wrong."""
    rng, rows = random(seed), []
    for number in range(questions):
        difficulty = rng.random()
        for turn in range(seeds):
            right = bool(rng.random() > difficulty)
            length = 500 + by_difficulty * difficulty + by_wrong * (not right) + rng.normal(0, 100)
            rows.append(sample(number, turn, right, int(length)))
    return rows


def test_a_hand_made_benchmark():
    """Solve rates 1, 1/2, 0 with mean lengths 10, 20, 40."""
    rows = [
        sample(0, 0, True, 10),
        sample(0, 1, True, 10),
        sample(1, 0, True, 15),
        sample(1, 1, False, 25),
        sample(2, 0, False, 40),
        sample(2, 1, False, None, verdict="truncated", finish_reason="length"),
        sample(2, 2, False, 7, error="timeout", finish_reason="error"),
    ]
    found = calibrate(rows).benchmarks["medqa"]
    assert (found.n, found.seeds, found.accuracy) == (3, 2, 0.5)
    assert found.mean_length == pytest.approx((10 + 20 + 40) / 3)
    assert (found.cut_off, found.without_thought) == (1, 0)
    assert found.within.finished.rho == pytest.approx(1.0)
    assert found.within.finished.n == 3


def test_thoughts_that_were_cut_off():
    """Where every hard question is cut off, only the view that counts them sees that they are long."""
    easy = [sample(number, 0, True, 100 + number % 7) for number in range(20)]
    hard = [sample(number, 0, False, None, verdict="truncated", completion_tokens=8192) for number in range(20, 40)]
    found = calibrate(easy + hard).benchmarks["medqa"]
    assert (found.accuracy, found.cut_off, found.mean_length) == (
        0.5,
        20,
        pytest.approx(np.mean([100 + k % 7 for k in range(20)])),
    )
    assert found.within.finished.rho is None  # all that finished are right
    assert found.within.with_cut.rho > 0.8
    silent = calibrate([sample(number, 0, True, None) for number in range(5)])
    assert silent.benchmarks["medqa"].without_thought == 5
    assert silent.benchmarks["medqa"].mean_length is None
    assert silent.across.n == 0


def test_longer_on_harder_questions_is_found():
    found = calibrate(simulated(1, by_difficulty=400, by_wrong=0)).within
    assert found.finished.bootstrap[0] > 0.5
    assert found.apart.bootstrap[0] > 0.5


def test_longer_only_when_wrong_is_no_telling_of_difficulty():
    """Length hangs on the sample's own fate alone: samples of easy and hard questions are alike in it.

    Lengths and difficulty of the same samples go together all the same; of different samples they still do as far as
    one's fate tells the other's (the question's difficulty), and less than where difficulty itself makes length.
    """
    fate, difficulty = (calibrate(simulated(2, *sizes)).within for sizes in ((0, 150), (150, 0)))
    assert fate.finished.rho > difficulty.finished.rho
    assert fate.finished.rho - fate.apart.rho > difficulty.finished.rho - difficulty.apart.rho


def test_lengths_without_a_pattern_are_rarely_called_one():
    """The interval of every view holds 0 in about 95 of 100 cases."""
    times, outside = 150, np.zeros(3)
    for seed in range(times):
        views = calibrate(simulated(seed, 0, 0, questions=60, seeds=4), resamples=400).within
        outside += [
            low > 0 or high < 0
            for low, high in (one.bootstrap for one in (views.finished, views.with_cut, views.apart))
        ]
    assert (outside / times <= 0.05 + 2.6 * math.sqrt(0.05 * 0.95 / times)).all()


def test_it_is_plain_data_and_the_order_of_rows_does_not_matter():
    rows = simulated(3, 200, 0, questions=40) + [sample(k, 0, k % 2 == 0, 50 + k, "apt") for k in range(30)]
    there, back = calibrate(rows), calibrate(rows[::-1])
    assert there == back
    assert list(there.benchmarks) == ["apt", "medqa"]
    assert there.benchmarks["apt"].within.apart.rho is None  # one seed cannot be halved
    plain = json.loads(json.dumps(dataclasses.asdict(there)))
    assert plain["benchmarks"]["medqa"]["within"]["finished"]["rho"] == there.benchmarks["medqa"].within.finished.rho
    alone = calibrate([row for row in rows if row["benchmark"] == "apt"])
    assert alone.benchmarks["apt"] == there.benchmarks["apt"]


def test_what_it_refuses():
    with pytest.raises(ValueError, match="there twice with seed 0"):
        calibrate([sample(0, 0, True, 5), sample(0, 0, True, 5)])
    for length in (-1, math.nan, math.inf, "7", True):
        with pytest.raises(ValueError, match="is no number of tokens"):
            calibrate([sample(0, 0, True, length)])
    nothing = calibrate([])
    assert (nothing.benchmarks, nothing.across.rho, nothing.within.finished.rho) == ({}, None, None)
    failed = calibrate([sample(0, 0, False, 5, error="HTTP 500")])
    assert failed.benchmarks == {}
