"""The numbers of a sweep's page: seeds together, what each changed field does, and the groups over the marks."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from scipy.special import stdtrit

from octomed_jax.evaluation.resampling import LEVEL
from octomed_jax.storage import canonical_json
from octomed_jax.sweeps.results_samples import Samples, align, interval_over_questions
from octomed_jax.sweeps.rows import AS_CONFIG, LOSSES, OVERALL, SEED_FIELDS, Row, Sweep, value_of


def t_interval(values: Sequence[float], metric: str, around: float | None = None) -> tuple[float, float] | None:
    """Return Student's 95 % interval of the mean of some runs; None of fewer than two.

    Args:
        values: of the runs.
        metric: what they are; an accuracy lies between 0 and 1, and so do the ends.
        around: another mean to stand in the middle.
    """
    n = len(values)
    if n < 2:
        return None
    middle = math.fsum(values) / n
    variance = math.fsum((value - middle) ** 2 for value in values) / (n - 1)
    half = float(stdtrit(n - 1, 0.5 + LEVEL / 2)) * math.sqrt(variance / n)
    low, high = (middle if around is None else around) - half, (middle if around is None else around) + half
    return (low, high) if metric in LOSSES else (max(low, 0.0), min(high, 1.0))


def questions_interval(rows: Sequence[Row], metric: str, samples: Mapping[str, Samples]) -> tuple[float, float] | None:
    """Return the interval over questions of the mean of some runs; None of a loss, or where questions differ."""
    if metric in LOSSES or not rows or not all(row.eval for row in rows):
        return None
    names = [name for name, one in rows[0].benchmarks.items() if one["accuracy"] is not None]
    names = names if metric == OVERALL else [metric]
    tables = {name: align([samples[row.eval] for row in rows], name) for name in names}
    there = {name: table for name, table in tables.items() if table is not None}
    return interval_over_questions(there) if there and len(there) == len(tables) else None


def groups(sweep: Sweep, metric: str) -> list[dict[str, Any]]:
    """Return the groups of points that differ in their seeds alone, at the last mark of each run, in sweep order.

    Each has ``group``, ``label``, ``points``, ``done``, ``mean``, ``seeds`` (Student's interval over the runs: what
    another seed would give on the same questions) and ``questions`` (bootstrap over the questions: what these very runs
    would have on others); None where there is nothing to tell it by.
    """
    found: dict[str, list[Row]] = {}
    for row in sweep.last:
        found.setdefault(row.group, []).append(row)
    return [_group(name, rows, metric, sweep) for name, rows in found.items()]


def _group(name: str, rows: Sequence[Row], metric: str, sweep: Sweep) -> dict[str, Any]:
    done = [row for row in rows if row.state == "done" and value_of(row, metric) is not None]
    values = _values(done, metric)
    return {
        "group": name,
        "label": sweep.labels[name],
        "points": len(rows),
        "done": len(done),
        "mean": math.fsum(values) / len(values) if values else None,
        "seeds": t_interval(values, metric),
        "questions": questions_interval(done, metric, sweep.samples),
    }


def _values(rows: Sequence[Row], metric: str) -> list[float]:
    return [value for row in rows if (value := value_of(row, metric)) is not None]


def effects(sweep: Sweep, metric: str) -> list[dict[str, Any]]:
    """Return what goes with each value of each changed field, over the runs that are done, at their last marks.

    A field has ``field``, ``balanced`` (every value was run with just the same settings of the other fields, equally
    often) and ``values``: ``value``, ``runs``, ``mean`` and ``interval``. The mean is a plain marginal one: seeds are
    averaged first, and then every setting of the other fields counts once. The interval around it is Student's over the
    runs, whose spread holds what the other fields do too; None where there is one run.
    """
    done = [row for row in sweep.last if row.state == "done" and value_of(row, metric) is not None]
    fields = [field for field in sweep.fields if field not in SEED_FIELDS]
    found = [_effect(field, fields, done, metric) for field in fields]
    return [one for one in found if len(one["values"]) > 1]


def _effect(field: str, fields: Sequence[str], rows: Sequence[Row], metric: str) -> dict[str, Any]:
    by_value: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        rest = canonical_json([row.changes.get(other, AS_CONFIG) for other in fields if other != field])
        key = canonical_json(row.changes.get(field, AS_CONFIG))
        by_value.setdefault(key, {}).setdefault(rest, []).extend(_values([row], metric))
    shown = {canonical_json(row.changes.get(field, AS_CONFIG)): row.changes.get(field, AS_CONFIG) for row in rows}
    designs = [{rest: len(values) for rest, values in cells.items()} for cells in by_value.values()]
    values = [{"value": shown[key], **_marginal(cells, metric)} for key, cells in by_value.items()]
    return {"field": field, "balanced": all(one == designs[0] for one in designs), "values": in_order(values)}


def in_order(values: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return values by size where all are numbers, else as they came."""
    numbers = all(isinstance(one["value"], int | float) for one in values)
    return sorted(values, key=lambda one: one["value"]) if numbers else values


def _marginal(cells: Mapping[str, Sequence[float]], metric: str) -> dict[str, Any]:
    means = [math.fsum(values) / len(values) for values in cells.values()]
    runs = [value for values in cells.values() for value in values]
    middle = math.fsum(means) / len(means)
    return {"runs": len(runs), "mean": middle, "interval": t_interval(runs, metric, middle)}


def curves(sweep: Sweep, metric: str) -> list[dict[str, Any]]:
    """Return the means of each group over x, of runs with more than one mark.

    Each has ``label`` and ``points`` of (x, mean over the seeds that came there, number of these), ascending. Runs that
    failed or were stopped are in it as far as they came; ``ended`` counts them.
    """
    found: dict[str, dict[float, list[float]]] = {}
    ended: dict[str, set[str]] = {}
    for row in sweep.rows:
        value = value_of(row, metric)
        if row.x is not None and value is not None:
            found.setdefault(row.group, {}).setdefault(row.x, []).append(value)
            if row.state != "done":
                ended.setdefault(row.group, set()).add(row.id)
    return [
        {
            "label": sweep.labels[group],
            "points": [(x, math.fsum(values) / len(values), len(values)) for x, values in sorted(places.items())],
            "ended": len(ended.get(group, ())),
        }
        for group, places in found.items()
        if len(places) > 1
    ]
