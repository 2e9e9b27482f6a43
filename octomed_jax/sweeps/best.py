"""The best of a sweep: by which metric, on which questions, out of how many tries, and how much of it is luck.

The best of many looks better than it is: what was lucky on these questions is picked for it. How much is found by
doing it again: questions are drawn, the best on them is picked, and its value there is held against its value on all.
"""

import dataclasses
from typing import Any

import numpy as np

from octomed_jax.errors import UserError
from octomed_jax.sweeps.results_samples import Table, align, draw
from octomed_jax.sweeps.rows import LOSSES, OVERALL, TEST, Row, Sweep, interval_of, is_better, value_of

DRAWS = 2000
HELD_OUT, TRAINING = "records held out of training", "records trained on"
_SAME = 1e-12


@dataclasses.dataclass(frozen=True)
class Best:
    """The best point and mark.

    Attributes:
        row: which it is.
        metric: by which.
        value, low, high: its metric; no interval of a loss.
        split: what chose: ``test split`` or another one of questions, HELD_OUT or TRAINING.
        tries: out of how many values, those of runs that are done.
        points: of how many runs these are.
        ties: ids (and steps) of all that have just this value, where there are several; the first in the order of the
            sweep is taken.
        bias: by how much the best of so many is expected to look better than it is; None where nothing tells it.
        why_no_bias: what keeps it from being told.
        warning: empty where nothing is wrong with what chose.
    """

    row: Row
    metric: str
    value: float
    low: float | None
    high: float | None
    split: str
    tries: int
    points: int
    ties: tuple[str, ...]
    bias: float | None
    why_no_bias: str
    warning: str

    @property
    def plain(self) -> dict[str, Any]:
        """What best.json holds."""
        fields = dataclasses.asdict(self)
        row = fields.pop("row")
        kept = ("id", "group", "name", "changes", "x", "step", "train", "eval")
        return {**{name: row[name] for name in kept}, **fields}


def find_best(sweep: Sweep, metric: str) -> Best | None:
    """Return the best point of those that are done; None where none has a value. Others are never chosen."""
    rows = [row for row in sweep.rows if row.state == "done" and value_of(row, metric) is not None]
    if not rows:
        return None
    chosen = rows[0]
    for row in rows[1:]:
        if is_better(_value(row, metric), _value(chosen, metric), metric):
            chosen = row
    _, low, high = interval_of(chosen, metric)
    ties = [f"{row.id} at step {row.step}" for row in rows if abs(_value(row, metric) - _value(chosen, metric)) < _SAME]
    bias, why = _bias(rows, metric, sweep)
    split = _split(rows, metric)
    return Best(
        row=chosen,
        metric=metric,
        value=_value(chosen, metric),
        low=low,
        high=high,
        split=split,
        tries=len(rows),
        points=len({row.id for row in rows}),
        ties=tuple(ties) if len(ties) > 1 else (),
        bias=bias,
        why_no_bias=why,
        warning=_warning(split, len(rows)),
    )


def need_best(sweep: Sweep, metric: str) -> Best:
    """Return the best point.

    Raises:
        UserError: there is none.
    """
    best = find_best(sweep, metric)
    if best is None:
        counts = ", ".join(f"{count} {state}" for state, count in sweep.counts.items() if count)
        raise UserError(
            f"nothing of {sweep.root} is done and has a value of {metric!r} yet ({counts}); run it on first"
        )
    return best


def _value(row: Row, metric: str) -> float:
    value = value_of(row, metric)
    assert value is not None
    return value


def _split(rows: list[Row], metric: str) -> str:
    if metric in LOSSES:
        return HELD_OUT if metric == "held_out_loss" else TRAINING
    return ", ".join(f"{split} split" for split in sorted({row.split for row in rows}))


def _warning(split: str, tries: int) -> str:
    if tries > 1 and f"{TEST} split" in split.split(", "):
        return (
            "the test questions chose it, so that its result on them is no measure of it; choose by held_out_loss or a "
            "validation split, or measure it on questions that chose nothing"
        )
    if tries > 1 and split == TRAINING:
        return "the loss on what it was trained on chose it, which says nothing of new questions"
    return ""


def _bias(rows: list[Row], metric: str, sweep: Sweep) -> tuple[float | None, str]:
    if len(rows) == 1:
        return 0.0, ""
    if metric in LOSSES:
        return None, "a loss is kept as one number, without its records"
    names = [metric] if metric != OVERALL else sorted({name for row in rows for name in _ruled(row)})
    tables: dict[str, Table] = {}
    for name in names:
        table = align([sweep.samples[row.eval] for row in rows], name)
        if table is None:
            return None, f"not all runs answered the same questions of {name}"
        tables[name] = table
    return expected_bias(tables), ""


def _ruled(row: Row) -> list[str]:
    return [name for name, one in row.benchmarks.items() if one["accuracy"] is not None]


def expected_bias(tables: dict[str, Table], draws: int = DRAWS) -> float:
    """Return by how much the best of R evaluations is expected to look better than it is.

    Args:
        tables: benchmark to the answers of all R.
        draws: bootstrap samples of the clusters of questions.
    """
    means = draw(tables, draws, "best")
    whole = np.mean([table.scores.mean(axis=1) for table in tables.values()], axis=0)
    picked = means.argmax(axis=1)
    return float((means[np.arange(draws), picked] - whole[picked]).mean())
