"""The ``categories`` of results.json: means over the benchmarks of the paper's categories, with their intervals.

A mean is called overall only where every benchmark of the category is there with all of its questions; else it is
partial, and says what is missing.
"""

from collections.abc import Mapping
from typing import Any

from octomed_jax.evaluation.benchmarks import BENCHMARKS, benchmark_of, categories, place_of
from octomed_jax.evaluation.resampling import overall

Figures = Mapping[str, Mapping[str, Any]]


def category_figures(benchmarks: Figures) -> dict[str, dict[str, Any]]:
    """Return the figures of each of the paper's categories that any benchmark is of.

    Args:
        benchmarks: the part of that name of results.json.

    Returns:
        Category to ``overall``, the mean, or None where it is not one of all and whole benchmarks; then it is
        ``partial``, which else is None. ``label`` says in words which; ``bootstrap``: the interval of either;
        ``benchmarks`` that it is a mean over, as the results call them; ``missing`` ones; ``short``, that have too few
        questions; ``left_out``: names of a benchmark that is there under another, which counts once. Where results have
        votes, ``vote`` is the same of these: ``accuracy``, ``bootstrap``, ``of``.
    """
    called, left_out = _each_once(benchmarks)
    scores = {name: float(benchmarks[name]["accuracy"]) for name in called.values()}
    told = categories(scores, {name: int(benchmarks[name]["n"]) for name in scores})
    members = {category: [called[name] for name in one["have"]] for category, one in told.items()}
    means, votes = overall(benchmarks, members), _votes(benchmarks, members)
    return {
        category: {
            "overall": means[category]["accuracy"] if one["overall"] else None,
            "partial": None if one["overall"] else means[category]["accuracy"],
            "label": one["label"],
            "bootstrap": means[category]["bootstrap"],
            "benchmarks": members[category],
            "missing": one["missing"],
            "short": one["short"],
            "left_out": [other for other in left_out if _registered(other) in one["have"]],
            **({"vote": votes[category]} if category in votes else {}),
        }
        for category, one in told.items()
    }


def _registered(called: str) -> str:
    one = benchmark_of(called)
    return one.name if one else ""


def _each_once(benchmarks: Figures) -> tuple[dict[str, str], list[str]]:
    """Return benchmarks of the registry, each with the first of its names that has an accuracy; and further names."""
    there = [name for name, figures in benchmarks.items() if figures["accuracy"] is not None and _registered(name)]
    there.sort(key=lambda name: place_of(name, BENCHMARKS[_registered(name)]))
    called: dict[str, str] = {}
    for name in there:
        called.setdefault(_registered(name), name)
    return called, sorted(set(there) - set(called.values()))


def _votes(benchmarks: Figures, members: Mapping[str, list[str]]) -> dict[str, dict[str, Any]]:
    """Return the same means of majority votes, for categories all of whose benchmarks have one."""
    votes = {name: figures["vote"] for name, figures in benchmarks.items() if figures.get("vote")}
    voted = {
        category: names
        for category, names in members.items()
        if all(votes.get(name, {}).get("accuracy") is not None for name in names)
    }
    means = overall({name: votes[name] for names in voted.values() for name in names}, voted)
    return {
        category: {
            "of": votes[names[0]]["of"],
            "accuracy": means[category]["accuracy"],
            "bootstrap": means[category]["bootstrap"],
        }
        for category, names in voted.items()
    }
