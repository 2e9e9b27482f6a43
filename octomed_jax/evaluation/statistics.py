"""The few statistics that results are given with: a mean, quantiles, a Wilson interval, a smoothed curve."""

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from statistics import NormalDist
from typing import Any

import numpy as np

QUANTILES = (5, 25, 50, 75, 95)  # per cent


def mean(values: Iterable[float]) -> float | None:
    """Return the arithmetic mean, or None of nothing."""
    items = list(values)
    return sum(items) / len(items) if items else None


def mean_rate(right: np.ndarray, asked: np.ndarray) -> Fraction:
    """Return the mean over questions of the share of their samples that are right, exactly.

    Args:
        right: [N] how many samples of each question are right.
        asked: [N] how many there are of it, at least one.
    """
    return sum((Fraction(int(right[asked == size].sum()), int(size)) for size in np.unique(asked)), Fraction()) / len(
        asked
    )


def wilson(successes: float, n: int, level: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval of a proportion (Wilson 1927, without continuity correction).

    Args:
        successes: how many of ``n`` succeeded; a fraction is allowed (a mean over several seeds, times ``n``).
        n: number of independent trials; of none the interval is (0, 1).
        level: coverage, between 0 and 1.

    Raises:
        ValueError: ``successes`` does not lie in 0..n, or ``level`` not between 0 and 1.
    """
    if n < 0 or not 0 <= successes <= n:
        raise ValueError(f"successes={successes} of n={n} is no proportion")
    if not 0 < level < 1:
        raise ValueError(f"level={level} does not lie between 0 and 1")
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + level / 2)
    share = successes / n
    centre = share + z * z / (2 * n)
    half = z * (share * (1 - share) / n + z * z / (4 * n * n)) ** 0.5
    scale = 1 + z * z / n
    # The ends are exact at none and all; rounding must not push them past 0 and 1.
    low = 0.0 if successes == 0 else max(0.0, (centre - half) / scale)
    high = 1.0 if successes == n else min(1.0, (centre + half) / scale)
    return low, high


def moving_average(values: Sequence[float], window: int) -> list[float]:
    """Return at each place the mean of the ``window`` values around it (of fewer near the ends; an even window is one
    more).

    Raises:
        ValueError: ``window`` is below 1.
    """
    if window < 1:
        raise ValueError(f"window={window} is below 1")
    reach = window // 2
    pieces = (values[max(0, place - reach) : place + reach + 1] for place in range(len(values)))
    return [sum(piece) / len(piece) for piece in pieces]


def summary(counts: Mapping[int, int]) -> dict[str, Any] | None:
    """Return number, mean, quantiles and maximum of values that are given with their counts; None of nothing.

    A quantile is the smallest value that at least so many per cent of all do not exceed.
    """
    n = sum(counts.values())
    if not n:
        return None
    found: dict[str, int] = {}
    value, below, rest = 0, 0, iter(sorted(counts))
    for level in QUANTILES:
        while 100 * below < level * n:
            value = next(rest)
            below += counts[value]
        found[str(level)] = value
    mean_of_all = sum(value * count for value, count in counts.items()) / n
    return {"n": n, "mean": mean_of_all, "quantiles": found, "max": max(counts)}


def bin_width(longest: int, most: int) -> int:
    """Return the smallest of 1, 2, 5, 10, 20, 50 ... with which at most ``most`` bins hold 0 to ``longest``."""
    size = 1
    while True:
        for step in (1, 2, 5):
            if longest // (step * size) < most:
                return step * size
        size *= 10
