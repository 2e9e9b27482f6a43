"""Spearman's rank correlation with ties, pooled over strata, with intervals by cluster bootstrap and by Fisher's z.

R replicates, N questions, G groups of equal values.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from scipy.special import ndtri

from octomed_jax.evaluation.paired import interval_of_mean
from octomed_jax.evaluation.resampling import LEVEL

RESAMPLES = 2_000
FEWEST_CLUSTERS = 10  # below it a bootstrap is no guide
_CELLS = 500_000  # of a block of replicates


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


def correlation(stratum: Stratum, drawn: np.ndarray | None = None) -> Correlation:
    """Return the rank correlation of one stratum; with what `resampled` drew of it, also its bootstrap interval."""
    return pooled([stratum], None if drawn is None else [drawn])


def pooled(strata: Sequence[Stratum], drawn: Sequence[np.ndarray] | None = None) -> Correlation:
    """Return the rank correlation within strata, over all of them: what is left when the stratum is held fixed.

    Values are ranked within their stratum, on 0 to 1, and their products and squares are added up over the strata, so
    that differences between strata add nothing and each weighs as many pairs as it has. Strata in which a side is
    constant say nothing and are left out. Clusters are resampled within their stratum.

    Args:
        strata: the pairs of each.
        drawn: of each, what `resampled` drew; without it there is no bootstrap interval.
    """
    telling = [place for place, one in enumerate(strata) if _tells(one)]
    n = sum(len(strata[place].x) for place in telling)
    clusters = sum(_clusters(strata[place]) for place in telling)
    if not telling:
        return Correlation(None, sum(len(one.x) for one in strata), 0, None, None)
    ones = [_moments(strata[place], np.ones((1, len(strata[place].x)))) for place in telling]
    rho = float(_rho(np.sum(ones, axis=0))[0])
    bootstrap = None
    if drawn is not None and clusters >= FEWEST_CLUSTERS:
        bootstrap = _interval(_rho(np.sum([drawn[place] for place in telling], axis=0)), clusters)
    return Correlation(
        rho, n, clusters, bootstrap, fisher_interval(rho, n) if len(strata) == 1 and clusters == n else None
    )


def _tells(stratum: Stratum) -> bool:
    return len(stratum.x) > 2 and np.ptp(stratum.x) > 0 and np.ptp(stratum.y) > 0


def _clusters(stratum: Stratum) -> int:
    return int(stratum.cluster.max()) + 1


def _interval(replicates: np.ndarray, clusters: int) -> tuple[float, float] | None:
    defined = replicates[np.isfinite(replicates)]
    # A sample of one value only has no correlation; where that is common, neither has the interval a meaning.
    if len(defined) < 0.95 * len(replicates):
        return None
    return interval_of_mean([defined], [clusters])


def resampled(stratum: Stratum, rng: np.random.Generator, resamples: int = RESAMPLES) -> np.ndarray:
    """Return [3, resamples] sums of products and squares of bootstrap samples of the clusters, each ranked again."""
    if not _tells(stratum):
        return np.zeros((3, resamples))
    clusters, parts = _clusters(stratum), []
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
    (x_RN, square_x), (y_RN, square_y) = (_mid_ranks(values, weights_RN) for values in (stratum.x, stratum.y))
    return np.stack([np.einsum("rn,rn,rn->r", weights_RN, x_RN, y_RN), square_x, square_y])


def _mid_ranks(values: np.ndarray, weights_RN: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return [R, N] mid-ranks between -1/2 and 1/2, and [R] the sum of their squares.

    A mid-rank is the weight below and half of the equals', as a share of all: its weighted mean is 1/2, taken off here.
    """
    _, group = np.unique(values, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    equal_RG = np.add.reduceat(weights_RN[:, order], starts, axis=1)
    through_RG = np.cumsum(equal_RG, axis=1)
    ranks_RG = (through_RG - equal_RG / 2) / through_RG[:, -1:] - 0.5
    return ranks_RG[:, group], np.einsum("rg,rg,rg->r", equal_RG, ranks_RG, ranks_RG)


def fisher_interval(rho: float, n: int, level: float = LEVEL) -> tuple[float, float] | None:
    """Return the interval by Fisher's z, with the variance (1 + rho^2 / 2) / (n - 3) of Bonett and Wright (2000).

    Fisher's own 1 / (n - 3) is for Pearson's correlation, and too small for ranks.
    """
    if n < 4 or abs(rho) > 1 - 1e-9:
        return None
    half = float(ndtri(0.5 + level / 2)) * math.sqrt((1 + rho * rho / 2) / (n - 3))
    return math.tanh(math.atanh(rho) - half), math.tanh(math.atanh(rho) + half)
