"""Compares two evaluations question by question, and says in words what may be concluded.

docs/evaluation-comparison.md has the rules.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from octomed_jax.evaluation import paired
from octomed_jax.evaluation.paired_samples import Pairs, Side, pair, read_side
from octomed_jax.evaluation.paired_settings import check_allowed, check_settings
from octomed_jax.evaluation.resampling import DRAWS, LEVEL, stream_of
from octomed_jax.storage import PathLike

A_BETTER, B_BETTER, NO_EVIDENCE = "A is better", "B is better", "no evidence of a difference"
COMPARE_VERSION = 1


def compare(a: PathLike, b: PathLike, allow: Sequence[str] = ()) -> dict[str, Any]:
    """Compare two evaluations of the same questions.

    Args:
        a, b: folders of ``octomed eval run``, or files of samples.
        allow: what may differ, by ``paired_settings.ALLOWED_NAMES`` or by the full name of a setting.

    Returns:
        What compare.json holds. Differences are B minus A; shares, not per cent.

    Raises:
        UserError: a side cannot be read, or the sides are not comparable; what differs first is named.
    """
    check_allowed(allow)
    left, right = read_side(a), read_side(b)
    differences = check_settings(left.settings, right.settings, allow)
    pairs = pair(left, right, allow)
    found = {name: _compare_one(name, one, len(pairs)) for name, one in pairs.items()}
    for name, adjusted in zip(found, paired.holm([one["p"] for one in found.values()]), strict=True):
        found[name]["p_holm"] = adjusted
        found[name]["verdict"] = _verdict(found[name]["difference"], adjusted)
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
        "notes": _notes(left, right, pairs),
        "benchmarks": found,
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
        "accuracy": [float(one.a.mean()), float(one.b.mean())],
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


def _verdict(difference: float, p: float) -> str:
    if p > 1 - LEVEL or difference == 0:
        return NO_EVIDENCE
    return B_BETTER if difference > 0 else A_BETTER


def _overall(pairs: Mapping[str, Pairs], found: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the comparison of the mean over benchmarks, each counting the same; one test, beside Holm's family."""
    accuracy = np.mean([one["accuracy"] for one in found.values()], axis=0)
    if len(pairs) == 1:
        (only,) = found.values()
        same = {key: only[key] for key in ("accuracy", "difference", "interval", "p", "smallest_difference", "verdict")}
        return {"benchmarks": 1, **same}
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
        "benchmarks": len(pairs),
        "accuracy": accuracy.tolist(),
        "difference": difference,
        "interval": list(interval),
        "p": p,
        "smallest_difference": paired.smallest_difference(clusters, weights, 1 - LEVEL),
        "verdict": _verdict(difference, p),
    }


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
    if a.origin and b.origin and a.origin != b.origin:
        notes.append("the questions come from two folders: their words are the same, their images are not compared")
    if a.verdicts != b.verdicts:
        notes.append(f"the verdicts of A are {a.verdicts}, those of B {b.verdicts}: not surely by the same rules")
    alone = sorted((a.benchmarks.keys() | b.benchmarks.keys()) - pairs.keys())
    if alone:
        notes.append(f"on one side only, and not compared: {', '.join(alone)}")
    if any(max(one.seeds) > 1 for one in pairs.values()):
        notes.append("with several seeds a question's score is its mean over them, on each side")
    return notes
