"""Compares two evaluations question by question, and says in words what may be concluded.

docs/evaluation-comparison.md has the rules.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from octomed_jax.evaluation import paired
from octomed_jax.evaluation.comparison_means import (
    A_BETTER,
    B_BETTER,
    NO_EVIDENCE,
    Compared,
    mean_of,
    means_by_category,
    verdict_of,
)
from octomed_jax.evaluation.paired_samples import Pairs, Side, pair, read_side, without_rule
from octomed_jax.evaluation.paired_settings import check_allowed, check_settings
from octomed_jax.evaluation.resampling import DRAWS, LEVEL, stream_of
from octomed_jax.storage import PathLike

__all__ = ["A_BETTER", "B_BETTER", "NO_EVIDENCE", "compare"]

COMPARE_VERSION = 2


def compare(a: PathLike, b: PathLike, allow: Sequence[str] = (), judge: bool = False) -> dict[str, Any]:
    """Compare two evaluations of the same questions.

    Args:
        a, b: folders of ``octomed eval run``, or files of samples.
        allow: what may differ, by ``paired_settings.ALLOWED_NAMES`` or by the full name of a setting.
        judge: all responses of both are judged again, by the verifier of today.

    Returns:
        What compare.json holds. Differences are B minus A; shares, not per cent.

    Raises:
        UserError: a side cannot be read, or the sides are not comparable; what differs first is named.
    """
    check_allowed(allow)
    left, right = read_side(a, judge), read_side(b, judge)
    differences = check_settings(left.settings, right.settings, allow)
    pairs = pair(left, right, allow)
    found = {name: _compare_one(name, one, len(pairs)) for name, one in pairs.items()}
    for name, adjusted in zip(found, paired.holm([one["p"] for one in found.values()]), strict=True):
        found[name]["p_holm"] = adjusted
        found[name]["verdict"] = verdict_of(found[name]["difference"], adjusted)
    means, twice = means_by_category(pairs, found)
    return {
        "compare_version": COMPARE_VERSION,
        "a": _named(left),
        "b": _named(right),
        "level": LEVEL,
        "resamples": DRAWS,
        "power": paired.POWER,
        "allow": sorted(set(allow)),
        "allowed": {name: list(two) for name, two in differences.allowed.items()},
        "noted": {name: list(two) for name, two in differences.noted.items()},
        "notes": _notes(left, right, pairs) + twice,
        "benchmarks": found,
        "categories": means,
        "overall": _overall(pairs, found),
    }


def _named(side: Side) -> dict[str, Any]:
    questions = sum(len(columns.names) for columns in side.benchmarks.values())
    samples = sum(columns.samples for columns in side.benchmarks.values())
    return {"name": side.name, "questions": questions, "samples": samples, "verdicts": side.verdicts}


def _compare_one(name: str, one: Pairs, family: int) -> dict[str, Any]:
    sums, n = one.sums, len(one.ids)
    p, exact = paired.sign_flip(sums, one.lattice, stream_of(name, 0))
    only_a, only_b = int((one.a > one.b + 1e-12).sum()), int((one.b > one.a + 1e-12).sum())
    return {
        "n": n,
        "clusters": len(sums),
        "seeds": list(one.seeds),
        "failed": list(one.failed),
        "left_out": one.left_out,
        "accuracy": list(one.accuracy),
        "difference": float(sums.sum() / n),
        "interval": list(_interval(one, stream_of(name, 1))),
        "mcnemar": {"only_a": only_a, "only_b": only_b, "p": paired.mcnemar(only_a, only_b)},
        "p": p,
        "p_exact": exact,
        "smallest_difference": paired.smallest_difference(sums, one.sizes, (1 - LEVEL) / family),
    }


def _interval(one: Pairs, rng: np.random.Generator) -> tuple[float, float]:
    sums, sizes = one.sums, one.sizes
    means = sums / sizes
    if np.ptp(means) < 1e-12:
        return paired.interval_of_equals(float(means[0]), len(sums))
    return paired.interval_of_mean([paired.resampled(sums, sizes, rng)], [len(sums)]) or (-1.0, 1.0)


def _overall(pairs: Mapping[str, Pairs], found: Compared) -> dict[str, Any]:
    """Return the comparison of the mean over all benchmarks: one test, beside Holm's families."""
    mean = mean_of(pairs, found)
    return {"benchmarks": len(pairs), **mean, "verdict": verdict_of(mean["difference"], mean["p"])}


def _knows_images(side: Side, pairs: Mapping[str, Pairs]) -> bool:
    return all((benchmark, name) in side.samples.images for benchmark, one in pairs.items() for name in one.ids)


def _notes(a: Side, b: Side, pairs: Mapping[str, Pairs]) -> list[str]:
    notes = []
    for letter, side in (("A", a), ("B", b)):
        if side.settings is None:
            notes.append(f"the settings of {letter} are not known, so they are not compared")
        failed = sum(one.failed["AB".index(letter)] for one in pairs.values())
        if failed:
            notes.append(f"{failed} requests of {letter} failed for good; they count neither as right nor as wrong")
    alike = [name for name, one in pairs.items() if np.ptp(one.sums / one.sizes) < 1e-12]
    if 0 < len(alike) < len(pairs):
        notes.append(f"{', '.join(alike)}: all differences alike; the interval of the mean takes these as exact")
    if left_out := sum(one.left_out for one in pairs.values()):
        notes.append(f"{left_out} questions are left out: all requests of a side failed")
    if a.origin and b.origin and a.origin != b.origin and not (_knows_images(a, pairs) and _knows_images(b, pairs)):
        notes.append("the questions come from two folders: their words are the same, their images are not compared")
    if a.verdicts != b.verdicts:
        notes.append(f"the verdicts of A are {a.verdicts}, those of B {b.verdicts}: not surely by the same rules")
    open_ended = sorted(name for name in a.benchmarks.keys() & b.benchmarks.keys() if without_rule(a, name))
    if open_ended:
        notes.append(f"no rule of right and wrong, and not compared: {', '.join(open_ended)}")
    alone = sorted(a.benchmarks.keys() ^ b.benchmarks.keys())
    if alone:
        notes.append(f"on one side only, and not compared: {', '.join(alone)}")
    if any(max(one.seeds) > 1 for one in pairs.values()):
        notes.append("with several seeds a question's score is its mean over them, on each side")
    return notes
