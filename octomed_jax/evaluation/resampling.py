"""Bootstrap intervals by cluster: questions on one image or patient stand and fall together.

Clusters are drawn with replacement, as many as there are, each with all of its questions (Davison and Hinkley 1997,
section 3.8). Clusters of one kind (as many questions, as many right) are exchangeable, so that a draw is how often each
kind comes: a multinomial over kinds, which are few, gives exactly the same as drawing a million clusters.
"""

import math
import zlib
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np

from octomed_jax.evaluation.statistics import wilson

DRAWS = 10_000
SEED = 0
LEVEL = 0.95  # of intervals
METHOD = "BCa by cluster"
_AT_ONCE = 4_000_000  # numbers of a multinomial that are in memory together
_SAME = 1e-12  # two means that differ by less are one
_NORMAL = NormalDist()

# One row a kind of cluster: the sum of its questions' accuracies, its questions, and how many clusters are so.
Table = list[list[float]]


def cluster_table(rates: np.ndarray, clusters: np.ndarray) -> Table:
    """Return the kinds of clusters of questions.

    Args:
        rates: the accuracy at each question, over its samples.
        clusters: the number of its cluster.
    """
    sizes = np.bincount(clusters)
    return kinds_of(np.bincount(clusters, weights=rates)[sizes > 0], sizes[sizes > 0])


def kinds_of(sums: np.ndarray, sizes: np.ndarray) -> Table:
    """Return the kinds of clusters that are given by their sums and their numbers of questions."""
    pairs = np.stack([np.round(sums, 12), sizes], axis=1)
    kinds, counts = np.unique(pairs, axis=0, return_counts=True)
    return [[float(total), int(size), int(count)] for (total, size), count in zip(kinds, counts, strict=True)]


def mean_of(table: Table) -> float:
    """Return the accuracy over questions."""
    return sum(total * count for total, _, count in table) / sum(size * count for _, size, count in table)


def draw_means(table: Table, stream: str, draws: int = DRAWS, seed: int = SEED) -> np.ndarray:
    """Return the accuracies of ``draws`` resamples.

    Args:
        table: of ``cluster_table``.
        stream: a name, such as the benchmark's: draws of another name are independent of these.
        draws: how many.
        seed: with it and the name, they are always the same.
    """
    return resampled(table, stream_of(stream, seed), draws)


def stream_of(name: str, use: int) -> np.random.Generator:
    """Return draws that depend on a name, such as the benchmark's, and their use: not on what else is drawn."""
    return np.random.default_rng([use, zlib.crc32(name.encode("utf-8", "surrogatepass"))])


def resampled(table: Table, generator: np.random.Generator, draws: int = DRAWS) -> np.ndarray:
    """Return the mean over questions of each of ``draws`` resamples of the clusters."""
    totals, sizes, counts = np.array(table, np.float64).T
    clusters = int(counts.sum())
    means, step = np.empty(draws), max(1, _AT_ONCE // len(table))
    for start in range(0, draws, step):
        chosen = generator.multinomial(clusters, counts / clusters, size=min(step, draws - start))
        means[start : start + step] = (chosen @ totals) / (chosen @ sizes)
    return means


def interval(means: np.ndarray, tables: Sequence[Table], level: float = LEVEL) -> tuple[float, float]:
    """Return the bias-corrected and accelerated interval (Efron 1987) of the mean over ``tables`` of their accuracies.

    Args:
        means: what the resamples gave for that mean.
        tables: one for a benchmark, several for the mean over several, each of at least one cluster.
        level: coverage.

    Returns:
        Low and high. Where resampling changes nothing (a single cluster, or all of them alike: all right), these are
        the ends of Wilson's interval with the number of clusters as n, which is right for clusters that are all or
        nothing, and wide for others; of several benchmarks, their means. Among others that vary, a benchmark with a
        single cluster tells nothing of itself: 0 to 1.
    """
    if np.ptp(means) < _SAME:
        ends = [_wilson_of(table, level) for table in tables]
        return sum(low for low, _ in ends) / len(ends), sum(high for _, high in ends) / len(ends)
    if any(sum(count for *_, count in table) < 2 for table in tables):
        return 0.0, 1.0
    point = sum(map(mean_of, tables)) / len(tables)
    same = np.abs(means - point) < _SAME
    below = float(np.mean((means < point) & ~same) + np.mean(same) / 2)
    edge = 0.5 / len(means)
    bias, bend = _NORMAL.inv_cdf(min(max(below, edge), 1 - edge)), _acceleration(tables)
    shares = []
    for share in ((1 - level) / 2, (1 + level) / 2):
        z = bias + _NORMAL.inv_cdf(share)
        shares.append(_NORMAL.cdf(bias + z / max(1 - bend * z, _SAME)))  # below that, the quantile is the last one
    low, high = np.quantile(means, shares)
    return float(low), float(high)


def _wilson_of(table: Table, level: float) -> tuple[float, float]:
    clusters = int(sum(count for *_, count in table))
    return wilson(min(mean_of(table) * clusters, clusters), clusters, level)


def _acceleration(tables: Sequence[Table]) -> float:
    """Return the acceleration from the jackknife over clusters, of several independent samples together."""
    cubes = squares = 0.0
    for table in tables:
        totals, sizes, counts = np.array(table, np.float64).T
        n = counts.sum()
        without = ((totals * counts).sum() - totals) / ((sizes * counts).sum() - sizes)
        pull = (n - 1) * ((without * counts).sum() / n - without) / n
        cubes += float((counts * pull**3).sum())
        squares += float((counts * pull**2).sum())
    return cubes / (6 * squares**1.5) if squares else 0.0


def overall(benchmarks: Mapping[str, Mapping[str, Any]], categories: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return the plain mean over the benchmarks of each category, with an interval.

    Benchmarks are independent of each other: a draw for the mean is the mean of one draw for each of them.

    Args:
        benchmarks: the part of that name of results.json, which holds what is needed to resample.
        categories: category to its benchmarks.

    Returns:
        Category to ``accuracy``, ``bootstrap``, the ``benchmarks`` that it is a mean over, and those that are
        ``missing``: not in the results, or without an accuracy. Nothing measured: accuracy and interval are None.
    """
    found = {}
    for category, names in categories.items():
        measured = [name for name in names if benchmarks.get(name, {}).get("accuracy") is not None]
        figures: dict[str, Any] = {"accuracy": None, "bootstrap": None}
        if measured:
            tables = [benchmarks[name]["clusters"] for name in measured]
            means = np.mean([draw_means(table, name) for table, name in zip(tables, measured, strict=True)], axis=0)
            accuracy = math.fsum(benchmarks[name]["accuracy"] for name in measured) / len(measured)
            figures = {"accuracy": accuracy, "bootstrap": list(interval(means, tables))}
        missing = [name for name in names if name not in measured]
        found[category] = {**figures, "benchmarks": measured, "missing": missing}
    return found
