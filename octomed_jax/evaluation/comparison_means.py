"""The comparison of means over several benchmarks: of all of them, and of each of the paper's categories.

Every benchmark counts the same, as in the paper's overall. What is told of a mean is told of one benchmark in
comparison.py; docs/evaluation-comparison.md has the rules.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from octomed_jax.evaluation import paired
from octomed_jax.evaluation.benchmarks import PAPER, benchmark_of, categories
from octomed_jax.evaluation.paired_samples import Pairs
from octomed_jax.evaluation.resampling import LEVEL, stream_of

A_BETTER, B_BETTER, NO_EVIDENCE = "A is better", "B is better", "no evidence of a difference"

Compared = Mapping[str, Mapping[str, Any]]  # benchmark to its entry in compare.json


def verdict_of(difference: float, p: float) -> str:
    """Return what may be concluded, in words."""
    if p > 1 - LEVEL or difference == 0:
        return NO_EVIDENCE
    return B_BETTER if difference > 0 else A_BETTER


def mean_of(pairs: Mapping[str, Pairs], found: Compared, family: int = 1) -> dict[str, Any]:
    """Return the comparison of the mean over benchmarks; one of one benchmark is its own.

    Args:
        pairs: the questions of each.
        found: what was told of each.
        family: how many such tests are adjusted together.
    """
    level = (1 - LEVEL) / family
    if len(pairs) == 1:
        ((name, one),) = pairs.items()
        own = {key: found[name][key] for key in ("accuracy", "difference", "interval", "p")}
        return {**own, "smallest_difference": paired.smallest_difference(one.sums, one.sizes, level)}
    accuracy = np.mean([found[name]["accuracy"] for name in pairs], axis=0)
    parts = [one.sums / (len(one.ids) * len(pairs)) for one in pairs.values()]
    drawn = [paired.resampled(one.sums, one.sizes, stream_of(name, 1)) for name, one in pairs.items()]
    p = paired.sign_flip_of_means(parts, stream_of("", 2))
    difference = float(sum(part.sum() for part in parts))
    clusters = np.concatenate(parts)
    weights = np.concatenate([one.sizes / (len(one.ids) * len(pairs)) for one in pairs.values()])
    interval = paired.interval_of_mean(drawn, [len(part) for part in parts])
    if interval is None:
        interval = paired.interval_of_equals(difference, len(clusters))
    return {
        "accuracy": accuracy.tolist(),
        "difference": difference,
        "interval": list(interval),
        "p": p,
        "smallest_difference": paired.smallest_difference(clusters, weights, level),
    }


def means_by_category(pairs: Mapping[str, Pairs], found: Compared) -> tuple[dict[str, Any], list[str]]:
    """Return the comparison of the mean of each of the paper's categories that is there, and notes.

    Holm's rule is over these categories. A category of which two names are one benchmark has no mean, which is noted.
    """
    known = {name: one for name in pairs if (one := benchmark_of(name)) and one.category in PAPER}
    times = Counter(one.name for one in known.values())
    notes, members = [], {category: [n for n in known if known[n].category == category] for category in PAPER}
    for category, names in members.items():
        twice = [name for name in names if times[known[name].name] > 1]
        if twice:
            notes.append(f"{' and '.join(twice)} are one benchmark, which counts once: there is no mean of {category}")
    whole = {
        category: names
        for category, names in members.items()
        if names and all(times[known[name].name] == 1 for name in names)
    }
    means = {}
    for category, names in whole.items():
        counts = {name: found[name]["n"] for name in names}
        told = categories({name: found[name]["accuracy"][0] for name in names}, counts)[category]
        figures = mean_of({name: pairs[name] for name in names}, found, len(whole))
        means[category] = {"benchmarks": names, "label": told["label"], "missing": told["missing"], **figures}
    for category, adjusted in zip(means, paired.holm([one["p"] for one in means.values()]), strict=True):
        means[category]["p_holm"] = adjusted
        means[category]["verdict"] = verdict_of(means[category]["difference"], adjusted)
    return means, notes
