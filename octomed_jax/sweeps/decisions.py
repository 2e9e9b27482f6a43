"""Early stopping in a sweep's folder: what runs measured at the rungs, the log of decisions, and making them again.

``DIR/decisions.jsonl`` holds each decision once, by rung and then in the order of the sweep. It is written whole, so it
has the same bytes wherever a sweep was killed; a last line that is torn all the same is left out and made again.
"""

import dataclasses
import json
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from octomed_jax import storage
from octomed_jax.errors import StopAndLook, UserError
from octomed_jax.sweeps.stopping import Curve, Decision, Rule, decide
from octomed_jax.training import metrics

DEFINITION, RUNS, RECORD, DECISIONS = "sweep.json", "runs", "run.json", "decisions.jsonl"
AVERAGED = 20  # steps whose mean is a rung's training loss, as in the manifest of a run
HELD_OUT = "held_out_loss"


def read_curve(train: storage.PathLike, rule: Rule) -> dict[int, float]:
    """Return what a run measured at the rungs that it has come to; nan: nothing, which counts as the worst.

    The held-out loss is that of the last look up to the rung. The training loss is the mean of the last steps up to it,
    without those that were skipped as not finite.

    Args:
        train: the folder of the run.
        rule: whose metric and rungs.
    """
    entries = metrics.read_metrics(storage.path_of(train) / metrics.METRICS)
    last = entries[-1]["step"] if entries else 0
    return {rung: _measured(entries, rule.metric, rung) for rung in rule.rungs if rung <= last}


def _measured(entries: Sequence[Mapping], metric: str, rung: int) -> float:
    upto = [entry for entry in entries if entry["step"] <= rung]
    if metric == HELD_OUT:
        looks = [entry[HELD_OUT] for entry in upto if HELD_OUT in entry]
        return float(looks[-1]) if looks and looks[-1] is not None else math.nan
    losses = [entry[metric] for entry in upto[-AVERAGED:] if entry.get(metric) is not None]
    return math.fsum(losses) / len(losses) if losses else math.nan


def read_decisions(root: storage.PathLike) -> list[Decision]:
    """Return the decisions that were logged in the folder of a sweep.

    Raises:
        StopAndLook: a line of the log is none of them, or one was made twice.
    """
    path, found = storage.path_of(root) / DECISIONS, list[Decision]()
    for number, line in enumerate(metrics.read_lines(path), 1):
        try:
            found.append(Decision(**json.loads(line)))
        except (ValueError, TypeError) as error:
            raise StopAndLook(f"{path}, line {number} is no decision ({error}); put it back as it was") from error
    if len({(one.point, one.rung) for one in found}) != len(found):
        raise StopAndLook(f"{path} has two decisions on one run at one rung; put it back as it was")
    return found


def add_decisions(
    root: storage.PathLike, rule: Rule, order: Sequence[str], curves: Mapping[str, Curve], gone: Collection[str] = ()
) -> list[Decision]:
    """Make the decisions that can be made now and log the new ones; return all. What was logged stands.

    Arguments as of ``decide``.
    """
    logged = read_decisions(root)
    known = {(one.point, one.rung) for one in logged}
    new = [one for one in decide(rule, order, curves, gone, logged) if (one.point, one.rung) not in known]
    if not new:
        return logged
    places = {point: place for place, point in enumerate(order)}
    every = sorted([*logged, *new], key=lambda one: (one.rung, places.get(one.point, len(places))))
    lines = [storage.canonical_json(dataclasses.asdict(one)) + "\n" for one in every]
    storage.write_text(storage.path_of(root) / DECISIONS, "".join(lines))
    return every


def replay(root: storage.PathLike, trained: Mapping[str, storage.PathLike] | None = None) -> list[str]:
    """Make all decisions of a sweep again, from its definition and metric files alone; return how they differ.

    Where runs are not at their end yet, what cannot be made again is no difference.

    Args:
        root: the sweep's folder.
        trained: id to training folder of runs that have no ``run.json`` yet, as far as they are known.

    Raises:
        UserError: the folder holds no sweep, or one without early stopping.
        StopAndLook: the log is damaged.
    """
    root = storage.path_of(root)
    if not (root / DEFINITION).exists():
        raise UserError(f"{root} holds no sweep ({DEFINITION} is missing); give the folder of `octomed sweep run`")
    definition = storage.read_json(root / DEFINITION)
    if not definition.get("stopping"):
        raise UserError(f"the sweep in {root} stops no run early, so there is nothing to make again")
    rule, order = Rule(**definition["stopping"]), [point["id"] for point in definition["points"]]
    records = {point: _record(root, point) for point in order}
    ended = {point for point, record in records.items() if record}
    folders = {point: _training(root, record) for point, record in records.items() if _trained(record)}
    curves = {point: read_curve(folder, rule) for point, folder in {**(trained or {}), **folders}.items()}
    again = {(one.point, one.rung): one for one in decide(rule, order, curves, ended)}
    logged = {(one.point, one.rung): one for one in read_decisions(root)}
    names = again.keys() | logged.keys() if len(ended) == len(order) else again.keys() & logged.keys()
    places = {point: place for place, point in enumerate(order)}
    return [
        f"{point} at step {rung}: logged: {_words(logged.get((point, rung)))}; made again: "
        f"{_words(again.get((point, rung)))}"
        for point, rung in sorted(names, key=lambda name: (name[1], places.get(name[0], len(places)), name[0]))
        if logged.get((point, rung)) != again.get((point, rung))
    ]


def _record(root: Path, point: str) -> dict:
    path = root / RUNS / point / RECORD
    return storage.read_json(path) if path.exists() else {}


def _trained(record: Mapping) -> bool:
    return bool(record.get("stages", {}).get("train"))


def _training(root: storage.PathLike, record: Mapping) -> storage.PathLike:
    """Return where a run was trained: in the sweep's folder, or where a job has its own, which may be a bucket."""
    folder = record["stages"]["train"]
    return folder if storage.in_bucket(folder) else storage.path_of(root) / folder


def _words(decision: Decision | None) -> str:
    return decision.reason if decision else "no decision"
