"""What the paper found, beside what a sweep found, and its claims put to the test.

Another student, other data and other questions: numbers stand side by side and are never drawn on one scale. A claim
is one of a difference, which is measured on pairs of the same questions; its verdict follows from the interval alone.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from octomed_jax.evaluation import paired
from octomed_jax.evaluation.resampling import stream_of
from octomed_jax.sweeps.results_samples import Table, align
from octomed_jax.sweeps.rows import Row, Sweep

SHOWN, NOT_SHOWN, OPPOSITE, NOT_MEASURED = "shown", "not shown", "the opposite", "not measured"
OVER_BASE = "points over the base"
ACCURACY, TOKENS = "accuracy", "tokens"
FEWEST_ALIKE = 6  # questions that all point one way by chance in less than one of twenty cases
_SAME = 1e-9


def paper_of(sweep: Sweep) -> Mapping[str, Any] | None:
    """Return the paper's figure of a sweep's recipe, its ``columns`` being benchmarks that the sweep can have measured.

    A recipe names two sets of them: the paper's own (``benchmarks``), which a sweep at full scale measures, and those
    that stand in for them in a demo (``columns``).
    """
    paper = sweep.definition.get("paper")
    if not paper:
        return None
    own = paper.get("benchmarks", {})
    full = {name for names in own.values() for name in names} & set(sweep.benchmarks)
    return {**paper, "columns": own if full else paper["columns"]}


def ours(sweep: Sweep, paper: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the values of the paper's figure with ours: ``row``, ``column``, ``x``, ``paper``, ``ours``, ``runs``.

    Ours is the mean, over the runs of that name that are done, of the mean over the column's benchmarks, in per cent;
    over the base where the paper's is. None: there is none. At x = 0 it is the student before training.
    """
    found = []
    for value in paper["values"]:
        names = benchmarks_of(paper, value["column"])
        rows = _rows(sweep, value["row"], value["x"])
        means = [one for row in rows if (one := _mean(row, names, paper["unit"], value["x"])) is not None]
        found.append(
            {
                **{key: value[key] for key in ("row", "column", "x")},
                "paper": value["y"],
                "ours": 100 * math.fsum(means) / len(means) if means else None,
                "runs": len(means),
            }
        )
    return found


def benchmarks_of(paper: Mapping[str, Any], column: str) -> list[str]:
    """Return our benchmarks whose mean stands beside a column of the paper's; none where nothing does."""
    names = paper["columns"].get(column) or ()
    return [names] if isinstance(names, str) else list(names)


def _rows(sweep: Sweep, name: str, x: float | None) -> list[Row]:
    """Return the rows of done runs of that name at x, or at their ends; at 0 any row of them serves."""
    if x is None or x == 0:
        return [row for row in sweep.last if row.state == "done" and row.name == name]
    return [row for row in sweep.rows if row.state == "done" and row.name == name and _is(row.x, x)]


def _is(one: float | None, other: float) -> bool:
    return one is not None and abs(one - other) < _SAME


def _mean(row: Row, names: Sequence[str], unit: str, x: float | None) -> float | None:
    now = {name: one["accuracy"] for name, one in row.benchmarks.items()} if x != 0 else row.baseline
    values = [now.get(name) for name in names]
    if unit == OVER_BASE:
        base = [row.baseline.get(name) for name in names]
        values = [None if a is None or b is None else a - b for a, b in zip(values, base, strict=True)]
    there = [value for value in values if value is not None]
    return math.fsum(there) / len(there) if there and len(there) == len(values) else None


def claims(sweep: Sweep, paper: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the claims with what was found: each as it stands, and with ``result`` of ``measure_claim``."""
    return [{**claim, "result": measure_claim(sweep, paper, claim)} for claim in paper.get("claims", ())]


def measure_claim(sweep: Sweep, paper: Mapping[str, Any], claim: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the sweep says of a claim.

    Returns:
        ``verdict``; ``difference`` (of ``more`` minus ``less``) with its ``interval`` over questions, shares or tokens,
        None where there is none; ``runs`` of either side; ``n`` questions; ``why`` where it is not measured; ``notes``.
    """
    names, x = benchmarks_of(paper, claim["column"]), claim.get("x")
    sides = {side: [row for row in _rows(sweep, claim[side], x) if row.eval] for side in ("more", "less")}
    if not names:
        return _not_measured(f"no benchmark of ours stands for {claim['column']}", sides)
    for side, rows in sides.items():
        if not rows:
            where = "" if x is None else f" at {paper['x']} {x:g}"
            return _not_measured(f"no run of {claim[side]!r} is done{where}", sides)
    rows = sides["more"] + sides["less"]
    what = "tokens" if claim["measure"] == TOKENS else "score"
    tables = {name: align([sweep.samples[row.eval] for row in rows], name, what) for name in names}
    there = {name: table for name, table in tables.items() if table is not None}
    if len(there) < len(tables):
        lacking = ", ".join(sorted(tables.keys() - there.keys()))
        return _not_measured(f"the runs did not answer the same questions of {lacking}", sides)
    found = _compared(there, len(sides["more"]), claim["measure"])
    single = sorted({name for row in rows for name in sweep.samples[row.eval].one_cluster} & there.keys())
    return found | {"notes": [*found["notes"], *([_one_cluster(single)] if single else [])]} | _runs(sides)


def _not_measured(why: str, sides: Mapping[str, Sequence[Row]]) -> dict[str, Any]:
    empty: dict[str, Any] = {"difference": None, "interval": None, "n": 0, "notes": []}
    return {"verdict": NOT_MEASURED, "why": why, **empty, **_runs(sides)}


def _runs(sides: Mapping[str, Sequence[Row]]) -> dict[str, Any]:
    return {"runs": [len(sides["more"]), len(sides["less"])]}


def _compared(tables: Mapping[str, Table], more: int, measure: str) -> dict[str, Any]:
    """Return the difference of the first ``more`` evaluations and the others, with an interval over questions."""
    sums = {name: one.sums[:more].mean(axis=0) - one.sums[more:].mean(axis=0) for name, one in tables.items()}
    difference = math.fsum(float(sums[name].sum()) / one.sizes.sum() for name, one in tables.items()) / len(tables)
    ends, notes = _interval(tables, sums, difference, measure)
    return {
        "verdict": verdict_of(ends),
        "why": "",
        "difference": difference,
        "interval": None if ends is None else list(ends),
        "n": sum(table.scores.shape[1] for table in tables.values()),
        "notes": notes,
    }


def _one_cluster(names: Sequence[str]) -> str:
    return f"{', '.join(names)}: all questions are of one cluster, and the interval says nothing of others"


def _interval(
    tables: Mapping[str, Table], sums: Mapping[str, np.ndarray], difference: float, measure: str
) -> tuple[tuple[float, float] | None, list[str]]:
    drawn = [paired.resampled(sums[name], one.sizes, stream_of(name, 1)) for name, one in tables.items()]
    ends = paired.interval_of_mean(drawn, [len(one.sizes) for one in tables.values()])
    if ends is None and measure == ACCURACY:  # all questions alike: a bootstrap would make a point of it
        ends = paired.interval_of_equals(difference, sum(len(one.sizes) for one in tables.values()))
        return ends, ["all questions show one and the same difference"]
    if ends is None:  # tokens of answers that are all equally long
        questions = sum(len(one.sizes) for one in tables.values())
        if difference and questions >= FEWEST_ALIKE:
            return (difference, difference), [
                f"all questions of a benchmark show one and the same difference, {questions} in all"
            ]
        return None, ["all questions show one and the same difference, of which no interval can be told"]
    alike = [name for name, one in tables.items() if np.ptp(sums[name] / one.sizes) < _SAME]
    return ends, [f"{', '.join(alike)}: all differences alike, taken as exact"] if alike else []


def verdict_of(interval: Sequence[float] | None) -> str:
    """Return what an interval of the difference says of a claim that it is above 0."""
    if interval is None:
        return NOT_SHOWN
    return SHOWN if interval[0] > 0 else OPPOSITE if interval[1] < 0 else NOT_SHOWN
