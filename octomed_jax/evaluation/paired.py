"""Statistics of two models on the same questions: exact tests, an interval, what could have been shown, Holm.

Everything is about cluster sums: d of a question is B's score minus A's (a score is the mean over seeds), and the sum
of a cluster adds up its questions, since those of one image or patient are not independent. Without clusters a question
is one of its own. docs/evaluation-comparison.md says why these and no others.
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import bdtr, betaincinv, ndtr, ndtri, stdtrit

from octomed_jax.evaluation.resampling import DRAWS, LEVEL, kinds_of
from octomed_jax.evaluation.resampling import resampled as resampled_kinds

POWER = 0.8  # with which `smallest_difference` is found
FLIPS = 99_999  # with the data as they are, 100,000
_MOST_WORK = 50_000_000  # cosines of an exact test; above it signs are drawn
_MOST_LATTICE = 1_000_000
_LEAST = 1e-12  # of p; what a transform makes of a smaller one is rounding, 0 too


def mcnemar(only_a: int, only_b: int) -> float:
    """Return the two-sided exact p of McNemar's test: a binomial of 1/2 on questions that one side alone has right.

    Args:
        only_a: questions that A alone answers rightly.
        only_b: the same of B.

    Raises:
        ValueError: a negative number.
    """
    if only_a < 0 or only_b < 0:
        raise ValueError(f"only_a={only_a}, only_b={only_b}: numbers of questions are not negative")
    return min(1.0, 2 * float(bdtr(min(only_a, only_b), only_a + only_b, 0.5)))


def sign_flip(sums: np.ndarray, lattice: int, rng: np.random.Generator) -> tuple[float, bool]:
    """Return the two-sided p of the sign-flip test, and whether it is exact.

    Where A and B are equally good, A's and B's answers to a cluster may be swapped: every cluster sum is as likely with
    the other sign. p is the share of all 2^C signs whose total is at least as far from 0. Where all sums that are not 0
    have one size, this is McNemar's test. The share is counted exactly, through the characteristic function (a product
    of cosines) of the total on a lattice, 1e-12 where it would be less; where that is too large, signs are drawn.

    Args:
        sums: [C] sums of clusters.
        lattice: a whole number that makes all of them whole; 0 where there is none of use.
        rng: draws the signs where they are drawn.
    """
    sizes, counts = _sizes(sums)
    if not len(sizes):
        return 1.0, True
    if len(sizes) == 1:
        return mcnemar(int((sums > 1e-12).sum()), int((sums < -1e-12).sum())), True
    if 0 < lattice <= _MOST_LATTICE:
        units = np.rint(sizes * lattice).astype(np.int64)
        total = int(np.rint(sums * lattice).sum())
        shared = int(np.gcd.reduce(units))
        units, total = units // shared, total // shared
        reach = int((units * counts).sum())
        if len(units) * (2 * reach + 1) <= _MOST_WORK:
            return _exact(units, counts, abs(total), reach), True
    return _drawn([sizes], [counts], abs(float(sums.sum())), rng), False


def sign_flip_of_means(parts: Sequence[np.ndarray], rng: np.random.Generator) -> float:
    """Return the two-sided p of the sign-flip test of several benchmarks' totals together; signs are drawn.

    Args:
        parts: for each benchmark its [C] cluster sums, already weighted: what they add up to is what is tested.
        rng: draws the signs.
    """
    both = [_sizes(part) for part in parts]
    return _drawn([one for one, _ in both], [one for _, one in both], abs(sum(float(p.sum()) for p in parts)), rng)


def _sizes(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the different sizes of the sums that are not 0, and how often each is there."""
    sizes = np.round(np.abs(sums), 12)
    return np.unique(sizes[sizes > 0], return_counts=True)


def _exact(units: np.ndarray, counts: np.ndarray, total: int, reach: int) -> float:
    if total == 0:
        return 1.0
    period = 2 * reach + 1
    places = np.arange(reach + 1)
    transform = np.ones(reach + 1)
    for unit, count in zip(units, counts, strict=True):
        transform *= np.cos(2 * np.pi * (places * unit % period) / period) ** count
    shares = np.fft.irfft(transform, n=period)  # shares[s % period] of the signs give the total s
    if total == reach:  # all in one direction: just the signs as they are, and all turned
        return 2.0 ** (1 - int(counts.sum()))
    return float(min(1.0, max(_LEAST, 2 * shares[total : reach + 1].sum())))


def _drawn(sizes: Sequence[np.ndarray], counts: Sequence[np.ndarray], total: float, rng: np.random.Generator) -> float:
    """Draw signs; the data as they are count as one of the draws, so that p is never too small."""
    totals = np.zeros(FLIPS)
    for own_sizes, own_counts in zip(sizes, counts, strict=True):
        for size, count in zip(own_sizes, own_counts, strict=True):
            totals += size * (2.0 * rng.binomial(count, 0.5, FLIPS) - count)
    far = np.abs(totals) >= total - 1e-9 * max(1.0, total)
    return (1 + int(far.sum())) / (FLIPS + 1)


def resampled(sums: np.ndarray, sizes: np.ndarray, rng: np.random.Generator, resamples: int = DRAWS) -> np.ndarray:
    """Return the mean difference of each bootstrap sample of the clusters.

    Args:
        sums: [C] sums of the differences.
        sizes: [C] numbers of questions.
        rng: what draws.
        resamples: how many.

    Returns:
        [resamples] differences.
    """
    return resampled_kinds(kinds_of(sums, sizes), rng, resamples)


def interval_of_mean(
    drawn: Sequence[np.ndarray], clusters: Sequence[int], level: float = LEVEL
) -> tuple[float, float] | None:
    """Return the expanded percentile interval (Hesterberg 2015) of the mean of some benchmarks' bootstrap replicates.

    A plain percentile interval is as narrow as if the variance were known, and by sqrt((C - 1) / C) too narrow besides;
    its levels are moved outwards by what Student's t asks for, with Welch's degrees of freedom where there are several
    benchmarks. Of many clusters it is the plain one.

    Args:
        drawn: for each benchmark its [resamples] replicates; each counts the same.
        clusters: their numbers of clusters.
        level: coverage.

    Returns:
        The interval; None where nothing varies.
    """
    spread = [(float(own.var()), count) for own, count in zip(drawn, clusters, strict=True) if own.var() > 1e-24]
    if not spread:
        return None
    biased = sum(variance for variance, _ in spread)
    parts = [(variance * count / (count - 1), count - 1) for variance, count in spread]
    variance = sum(part for part, _ in parts)
    freedom = variance**2 / sum(part**2 / own for part, own in parts)
    far = -float(stdtrit(freedom, 0.5 + level / 2)) * math.sqrt(variance / biased)
    tail = float(ndtr(far))
    low, high = np.quantile(np.mean(drawn, axis=0), [tail, 1 - tail])
    return float(low), float(high)


def interval_of_equals(difference: float, clusters: int, level: float = LEVEL) -> tuple[float, float]:
    """Return the interval where all clusters show one and the same difference, of which a bootstrap makes a point.

    With C clusters alike, the share of others is below 1 - (1 - level)^(1/C) (about 3/C at 95 %), and each of them can
    lie anywhere from -1 to 1.
    """
    others = 1 - (1 - level) ** (1 / clusters)
    return difference - others * (difference + 1), difference + others * (1 - difference)


def smallest_difference(sums: np.ndarray, sizes: np.ndarray, level: float, power: float = POWER) -> float | None:
    """Return the smallest true difference that a test of these questions would have found, or None.

    It is what a two-sided test at ``level`` rejects with probability ``power`` when the clusters differ as much as they
    did here: ((z + z') sqrt(sum of squares) + step) / n; an exact test is careful by the step, the finest sum. It is
    never below what that test needs: enough clusters that differ, all one way, to reach ``level`` at all. None:
    not even A always wrong and B always right would do.

    Args:
        sums: [C] cluster sums of the differences.
        sizes: [C] numbers of questions (or what each cluster weighs in a mean of benchmarks).
        level: at which the test rejects, such as 0.05 over the number of tests.
        power: with which it should.
    """
    clusters, questions = len(sums), float(sizes.sum())
    needed = math.ceil(1 - math.log2(level) - 1e-12)  # 2 (1/2)^needed <= level
    if clusters < needed:
        return None
    squares = float((sums**2).sum())
    differ = int((np.abs(sums) > 1e-12).sum())
    one = math.sqrt(squares / differ) if differ else math.sqrt(float((sizes**2).mean()))
    least = float(betaincinv(needed, clusters - needed + 1, power)) * clusters * one / questions
    step = float(np.abs(sums[np.abs(sums) > 1e-12]).min()) if differ else 0.0
    usual = (float(ndtri(1 - level / 2) + ndtri(power)) * math.sqrt(squares) + step) / questions
    found = max(least, usual)
    return found if found <= 1 else None


def holm(values: Sequence[float]) -> list[float]:
    """Return Holm's adjusted p values (1979), in the order given.

    Raises:
        ValueError: one is no probability.
    """
    p = np.asarray(values, dtype=float)
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"p values {list(values)} do not all lie between 0 and 1")
    order = np.argsort(p, kind="stable")
    steps = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    adjusted = np.empty(len(p))
    adjusted[order] = steps
    return adjusted.tolist()
