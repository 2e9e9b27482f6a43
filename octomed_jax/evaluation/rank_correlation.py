"""Spearman's rank correlation with ties, pooled over strata, with intervals by cluster bootstrap and by Fisher's z.

R replicates, N questions, G groups of equal values.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from scipy.special import ndtri

from octomed_jax.evaluation.paired import LEVEL, interval_of_mean

RESAMPLES = 2_000
FEWEST_CLUSTERS = 10  # below it a bootstrap is no guide
_CELLS = 4_000_000  # of a block of replicates


@dataclasses.dataclass(frozen=True)
class Correlation:
    """A rank correlation.

    Attributes:
        rho: Spearman's; None where a side is constant or there are fewer than three values.
        n: number of pairs.
        clusters: how many of them are independent.
        bootstrap: interval by resampling clusters; None of fewer than FEWEST_CLUSTERS, or where nothing varies.
        fisher: interval by Fisher's z; None of fewer than four pairs, of clusters, and of a rho of 1 or -1.
    """

    rho: float | None
    n: int
    clusters: int
    bootstrap: tuple[float, float] | None
    fisher: tuple[float, float] | None


@dataclasses.dataclass(frozen=True)
class Stratum:
    """Pairs of one benchmark.

    Attributes:
        x, y: [N] values.
        cluster: [N] numbers of their clusters, from 0, none left out.
    """

    x: np.ndarray
    y: np.ndarray
    cluster: np.ndarray


def correlation(stratum: Stratum, rng: np.random.Generator, resamples: int = RESAMPLES) -> Correlation:
    """Return the rank correlation of one stratum."""
    return pooled([stratum], rng, resamples)


def pooled(strata: Sequence[Stratum], rng: np.random.Generator, resamples: int = RESAMPLES) -> Correlation:
    """Return the rank correlation within strata, over all of them: what is left when the stratum is held fixed.

    Values are ranked within their stratum, on 0 to 1, and their products and squares are added up over the strata, so
    that differences between strata add nothing and each weighs as many pairs as it has. Strata in which a side is
    constant say nothing and are left out. Clusters are resampled within their stratum.

    Args:
        strata: the pairs of each.
        rng: what draws.
        resamples: how many bootstrap samples.
    """
    telling = [one for one in strata if len(one.x) > 2 and np.ptp(one.x) > 0 and np.ptp(one.y) > 0]
    n = sum(len(one.x) for one in telling)
    clusters = sum(int(one.cluster.max()) + 1 for one in telling)
    if not telling:
        return Correlation(None, sum(len(one.x) for one in strata), 0, None, None)
    rho = float(_rho(np.sum([_moments(one, np.ones((1, len(one.x)))) for one in telling], axis=0))[0])
    fisher = fisher_interval(rho, n) if len(strata) == 1 and clusters == n else None
    return Correlation(rho, n, clusters, _bootstrap(telling, clusters, rng, resamples), fisher)


def _bootstrap(
    strata: Sequence[Stratum], clusters: int, rng: np.random.Generator, resamples: int
) -> tuple[float, float] | None:
    if clusters < FEWEST_CLUSTERS:
        return None
    replicates = _rho(np.sum([_resampled(one, rng, resamples) for one in strata], axis=0))
    defined = replicates[np.isfinite(replicates)]
    # A sample of one value only has no correlation; where that is common, neither has the interval a meaning.
    if len(defined) < 0.95 * resamples:
        return None
    return interval_of_mean([defined], [clusters])


def _resampled(stratum: Stratum, rng: np.random.Generator, resamples: int) -> np.ndarray:
    """Return [3, resamples] moments of bootstrap samples of the clusters."""
    clusters = int(stratum.cluster.max()) + 1
    parts = []
    block = max(1, _CELLS // len(stratum.x))
    for begin in range(0, resamples, block):
        drawn = rng.multinomial(clusters, np.full(clusters, 1 / clusters), size=min(block, resamples - begin))
        parts.append(_moments(stratum, drawn[:, stratum.cluster].astype(float)))
    return np.concatenate(parts, axis=1)


def _rho(moments: np.ndarray) -> np.ndarray:
    product, square_x, square_y = moments
    size = np.sqrt(square_x * square_y)
    return np.where(size > 1e-12, np.clip(product / np.where(size > 1e-12, size, 1), -1, 1), np.nan)


def _moments(stratum: Stratum, weights_RN: np.ndarray) -> np.ndarray:
    """Return [3, R] sums of products and squares of the centred mid-ranks, where a pair counts as its weight says."""
    x, y = (_mid_ranks(values, weights_RN) - 0.5 for values in (stratum.x, stratum.y))
    return np.stack([(weights_RN * one * two).sum(axis=1) for one, two in ((x, y), (x, x), (y, y))])


def _mid_ranks(values: np.ndarray, weights_RN: np.ndarray) -> np.ndarray:
    """Return [R, N] mid-ranks on 0 to 1 (their weighted mean is 1/2): the weight below, and half of the equals'."""
    _, group = np.unique(values, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    equal_RG = np.add.reduceat(weights_RN[:, order], starts, axis=1)
    through_RG = np.cumsum(equal_RG, axis=1)
    ranks_RG = (through_RG - equal_RG / 2) / through_RG[:, -1:]
    return ranks_RG[:, group]


def fisher_interval(rho: float, n: int, level: float = LEVEL) -> tuple[float, float] | None:
    """Return the interval by Fisher's z, with the variance (1 + rho^2 / 2) / (n - 3) of Bonett and Wright (2000).

    Fisher's own 1 / (n - 3) is for Pearson's correlation, and too small for ranks.
    """
    if n < 4 or abs(rho) > 1 - 1e-9:
        return None
    half = float(ndtri(0.5 + level / 2)) * math.sqrt((1 + rho * rho / 2) / (n - 3))
    return math.tanh(math.atanh(rho) - half), math.tanh(math.atanh(rho) + half)
