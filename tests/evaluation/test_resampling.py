import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from octomed_jax.evaluation.resampling import cluster_table, draw_means, interval, mean_of, overall
from octomed_jax.evaluation.statistics import wilson

RUNS = 2000


def model(generator, clusters=60, seeds=2):
    """Answer questions of a model that is right two times of three, more often on some images than on others."""
    sizes = generator.integers(1, 4, clusters)
    cluster = np.repeat(np.arange(clusters), sizes)
    skill = generator.beta(2, 1, clusters)[cluster]  # mean 2/3
    question = generator.beta(3 * skill, 3 * (1 - skill))
    return generator.binomial(seeds, question) / seeds, cluster


def test_the_table_holds_every_cluster_once():
    rates, clusters = np.array([1, 0.5, 0, 0.5, 1]), np.array([0, 0, 3, 1, 3])
    assert cluster_table(rates, clusters) == [[0.5, 1, 1], [1.0, 2, 1], [1.5, 2, 1]]
    assert mean_of(cluster_table(rates, clusters)) == pytest.approx(0.6)


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9)), min_size=1, max_size=60))
def test_kinds_of_clusters_keep_the_mean(pairs):
    rates, clusters = np.array([pair[0] / 4 for pair in pairs]), np.array([pair[1] for pair in pairs])
    table = cluster_table(rates, clusters)
    assert mean_of(table) == pytest.approx(rates.mean())
    assert sum(row[2] for row in table) == len(set(clusters.tolist()))
    low, high = interval(draw_means(table, "x", draws=300), [table])
    assert 0 <= low <= high <= 1


def test_draws_of_kinds_are_as_draws_of_clusters():
    """The same distribution as drawing every cluster by itself (Kolmogorov and Smirnov see no difference)."""
    generator = np.random.default_rng(1)
    rates, clusters = model(generator, clusters=30)
    chosen = generator.integers(0, 30, (4000, 30))
    sums, sizes = np.bincount(clusters, weights=rates), np.bincount(clusters)
    one_by_one = sums[chosen].sum(axis=1) / sizes[chosen].sum(axis=1)
    means = draw_means(cluster_table(rates, clusters), "x", draws=4000)
    noise = generator.normal(0, 1e-6, (2, 4000))
    assert stats.ks_2samp(one_by_one + noise[0], means + noise[1]).pvalue > 0.01


def test_draws_are_the_same_each_time_and_differ_by_name():
    table = cluster_table(*model(np.random.default_rng(2)))
    assert np.array_equal(draw_means(table, "a"), draw_means(table, "a"))
    assert abs(np.corrcoef(draw_means(table, "a"), draw_means(table, "b"))[0, 1]) < 0.05


def test_draws_in_pieces_are_as_draws_at_once(monkeypatch):
    table = cluster_table(*model(np.random.default_rng(2)))
    monkeypatch.setattr("octomed_jax.evaluation.resampling._AT_ONCE", 50)
    assert len(draw_means(table, "a", draws=101)) == 101
    assert draw_means(table, "a", draws=101).std() > 0


@pytest.mark.parametrize("seed", range(4))
def test_intervals_agree_with_scipy(seed):
    """BCa of a ratio of sums over clusters, with draws of its own: both ends within the noise of the draws."""
    rates, clusters = model(np.random.default_rng(seed), clusters=60)
    data = np.bincount(clusters, weights=rates), np.bincount(clusters).astype(float)
    expected = stats.bootstrap(
        data, lambda x, y, axis=-1: x.sum(axis=axis) / y.sum(axis=axis), paired=True, vectorized=True, method="BCa",
        n_resamples=20_000, batch=2000, rng=np.random.default_rng(seed),
    ).confidence_interval  # fmt: skip
    table = cluster_table(rates, clusters)
    width = expected.high - expected.low
    assert interval(draw_means(table, "x", draws=20_000), [table]) == pytest.approx(expected, abs=0.04 * width)


def test_intervals_over_clusters_cover_the_truth():
    """2,000 runs of a model that is right two times of three, with clusters, several seeds and unequal questions."""
    generator, covered = np.random.default_rng(0), 0
    for run in range(RUNS):
        rates, clusters = model(generator)
        table = cluster_table(rates, clusters)
        low, high = interval(draw_means(table, "x", draws=600, seed=run), [table])
        covered += low <= 2 / 3 <= high
    assert 0.93 <= covered / RUNS <= 0.97


def test_questions_on_one_image_are_not_independent():
    """As if they were, the interval would be far too narrow, and so is Wilson's."""
    generator, covered, runs = np.random.default_rng(1), {"clusters": 0, "questions": 0, "wilson": 0}, 300
    for run in range(runs):
        clusters = np.repeat(np.arange(50), 4)
        rates = generator.binomial(1, generator.beta(0.4, 0.2, 50)[clusters]).astype(float)
        tables = {"clusters": cluster_table(rates, clusters), "questions": cluster_table(rates, np.arange(200))}
        ends = {name: interval(draw_means(table, "x", 600, run), [table]) for name, table in tables.items()}
        for name, (low, high) in {**ends, "wilson": wilson(rates.sum(), 200)}.items():
            covered[name] += low <= 2 / 3 <= high
    assert covered["clusters"] / runs > 0.91
    assert max(covered["questions"], covered["wilson"]) / runs < 0.85


@pytest.mark.parametrize(("n", "truth"), [(60, 0.5), (150, 0.7), (400, 0.93)])
def test_wilson_covers_the_truth_over_questions(n, truth):
    generator = np.random.default_rng(n)
    ends = [wilson(successes, n) for successes in generator.binomial(n, truth, RUNS).tolist()]
    assert 0.93 <= np.mean([low <= truth <= high for low, high in ends]) <= 0.97


def test_wilson_covers_the_truth_with_several_seeds_of_questions_that_are_known_or_not():
    """Seeds of one question mostly agree, as measured models do; n stays the number of questions."""
    generator, n, seeds = np.random.default_rng(3), 200, 5
    known = generator.beta(0.14, 0.06, (RUNS, n))  # mean 0.7, mostly near 0 or 1
    accuracy = generator.binomial(seeds, known).mean(axis=1) / seeds
    ends = [wilson(share * n, n) for share in accuracy.tolist()]
    assert 0.93 <= np.mean([low <= 0.7 <= high for low, high in ends]) <= 0.97


def test_intervals_over_benchmarks_cover_the_truth():
    """The mean over three benchmarks of very different sizes."""
    generator, covered, runs = np.random.default_rng(5), 0, 400
    for run in range(runs):
        tables = [cluster_table(*model(generator, clusters)) for clusters in (30, 60, 120)]
        draws = [draw_means(table, str(i), draws=600, seed=run) for i, table in enumerate(tables)]
        low, high = interval(np.mean(draws, axis=0), tables)
        covered += low <= 2 / 3 <= high
    assert 0.92 <= covered / runs <= 0.98


def figures(accuracy, table):
    return {"accuracy": accuracy, "clusters": table}


def test_overall_is_a_plain_mean_that_names_what_it_lacks():
    benchmarks = {
        "small": figures(0.5, [[0.0, 1, 10], [1.0, 1, 10]]),
        "large": figures(0.9, [[0.0, 1, 100], [1.0, 1, 900]]),
        "failed": figures(None, []),
    }
    found = overall(benchmarks, {"text": ["small", "large", "absent", "failed"], "images": ["absent"]})
    assert found["text"]["accuracy"] == 0.7
    assert (found["text"]["benchmarks"], found["text"]["missing"]) == (["small", "large"], ["absent", "failed"])
    low, high = found["text"]["bootstrap"]
    half = 1.96 * (0.25 / 20 + 0.09 / 1000) ** 0.5 / 2
    assert (low, high) == pytest.approx((0.7 - half, 0.7 + half), abs=0.02)
    assert found["images"] == {"accuracy": None, "bootstrap": None, "benchmarks": [], "missing": ["absent"]}


def test_overall_of_one_benchmark_is_its_own():
    table = cluster_table(*model(np.random.default_rng(7)))
    own = interval(draw_means(table, "a"), [table])
    assert overall({"a": figures(mean_of(table), table)}, {"all": ["a"]})["all"]["bootstrap"] == pytest.approx(own)


def test_where_nothing_can_be_resampled():
    """Wilson's interval takes its place, with as many trials as there are clusters."""
    one, alike = [[3.0, 4, 1]], [[2.0, 2, 9]]
    assert interval(draw_means(one, "x"), [one]) == wilson(0.75, 1)
    assert interval(draw_means(alike, "x"), [alike]) == wilson(9, 9)
    assert interval(draw_means(alike, "x"), [alike, alike]) == pytest.approx(wilson(9, 9))
    varied = [[0.0, 1, 10], [1.0, 1, 10]]
    means = (draw_means(varied, "x") + draw_means(one, "y")) / 2
    assert interval(means, [varied, one]) == (0, 1)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 3)), min_size=2, max_size=4))
def test_ends_are_in_order_with_very_few_and_very_unequal_clusters(clusters):
    rates = np.concatenate([np.full(size, right / 3) for size, right in clusters])
    table = cluster_table(rates, np.repeat(np.arange(len(clusters)), [size for size, _ in clusters]))
    low, high = interval(draw_means(table, "x", draws=200), [table])
    assert 0 <= low <= high <= 1
