"""Early stopping in a sweep's folder: what decisions rest on, read from the runs, and the log of those that were made.

``DIR/decisions.jsonl`` holds each decision once, by rung and then in the order of the sweep. It is a function of the
metric files alone, so it has the same bytes whenever and wherever the sweep was killed.
"""

import dataclasses
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from octomed_jax import storage
from octomed_jax.errors import UserError
from octomed_jax.sweeps.stages import field
from octomed_jax.sweeps.stopping import Decision, Rule, decide
from octomed_jax.training.metrics import read_metrics

DECISIONS = "decisions.jsonl"
METRICS = "metrics.jsonl"
HELD_OUT = "held_out_loss"
Curve = dict[int, float]


def check_rule(rule: Rule, configs: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse a rule whose rungs the runs never come to, or at which they do not measure what it looks at.

    Args:
        rule: the rule.
        configs: point id to its config.

    Raises:
        UserError: so.
    """
    for point, config in configs.items():
        steps, every = field(config, "train.steps"), field(config, "held_out.every")
        if "train" not in config.get("stages", ()):
            raise UserError(f"--stopping: {point} trains nothing (config.stages); leave early stopping out")
        if steps and max(rule.rungs) >= steps:
            raise UserError(f"--rungs={max(rule.rungs)}: {point} ends at step {steps}; a rung lies before the end")
        measured = every and field(config, "held_out.records")
        if rule.metric == HELD_OUT and (not measured or any(rung % every for rung in rule.rungs)):
            raise UserError(
                f"--stopping-metric={HELD_OUT}: {point} does not measure it at all rungs; set held_out.records, and "
                f"held_out.every (now {every}) to a divisor of {', '.join(map(str, rule.rungs))}"
            )


def read_curve(folder: storage.PathLike, rule: Rule) -> Curve:
    """Return what a training measured at the rungs that it has come to."""
    path = storage.path_of(folder) / METRICS
    if not path.exists():
        return {}
    return {
        entry["step"]: float(entry[rule.metric])
        for entry in read_metrics(path)
        if entry["step"] in rule.rungs and entry.get(rule.metric) is not None
    }


def read_decisions(root: Path) -> list[Decision]:
    """Return the decisions that were made."""
    path = root / DECISIONS
    lines = path.read_text().splitlines() if path.is_file() else []
    return [Decision(**json.loads(line)) for line in lines]


def add_decisions(
    root: Path, rule: Rule, order: Sequence[str], curves: Mapping[str, Curve], gone: Collection[str]
) -> list[Decision]:
    """Make the decisions that can be made now and log the new ones; return all. What was decided stays."""
    logged = read_decisions(root)
    known = {(one.point, one.rung) for one in logged}
    found = [one for one in decide(rule, order, curves, gone) if (one.point, one.rung) not in known]
    if not found:
        return logged
    number = {point: place for place, point in enumerate(order)}
    every = sorted([*logged, *found], key=lambda one: (one.rung, number[one.point]))
    storage.write_text(root / DECISIONS, "".join(f"{as_line(one)}\n" for one in every))
    return every


def as_line(decision: Decision) -> str:
    """Return a decision as it is logged."""
    return storage.canonical_json(dataclasses.asdict(decision))
