"""What a sweep would take, before anything is started: stages shared and done, steps, chips, memory, hours, cost.

All of it is plain data; nothing is written. Times and amounts are estimates, and what is not known is None, with why.
"""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from octomed_jax.launching.prices import Prices

TRAIN = "train"
Range = tuple[float, float]  # lowest and highest


@dataclasses.dataclass(frozen=True)
class PlannedStage:
    """A stage of a point.

    Attributes:
        name: of the stage.
        folder: that it writes, or has written.
        there: whether its work is done.
    """

    name: str
    folder: str
    there: bool


@dataclasses.dataclass(frozen=True)
class PlannedPoint:
    """A point as it would be run.

    Attributes:
        id: of the point.
        changes: dotted field to its value.
        stages: in their order, those given from elsewhere included.
        folder: of the run.
    """

    id: str
    changes: Mapping[str, Any]
    stages: tuple[PlannedStage, ...]
    folder: str

    @property
    def training(self) -> PlannedStage | None:
        """The stage that trains; None where there is none."""
        return next((stage for stage in self.stages if stage.name == TRAIN), None)


@dataclasses.dataclass(frozen=True)
class Load:
    """What the training of a point takes.

    Attributes:
        steps: of the optimizer; None: not known yet.
        steps_missing: why.
        hours: of the training, an estimate; None: not known.
        memory: peak and room of a chip in bytes, and whether it fits; None: not known.
        memory_missing: why.
    """

    steps: int | None = None
    steps_missing: str = ""
    hours: Range | None = None
    memory: Mapping[str, Any] | None = None
    memory_missing: str = ""


@dataclasses.dataclass(frozen=True)
class Machines:
    """The machines of one training.

    Attributes:
        what: in words.
        chips: how many.
        per_hour: price of all of them; None: it is not known.
        why: in words what the price is of, or why there is none.
        prices: the table.
    """

    what: str
    chips: int
    per_hour: Range | None
    why: str
    prices: Prices


def plan_sweep(
    points: Sequence[PlannedPoint], loads: Mapping[str, Load], machines: Machines | None, at_once: int, plans: int
) -> dict[str, Any]:
    """Return the plan.

    Args:
        points: in the order of the sweep.
        loads: point id to what its training takes.
        machines: of a training; None: this machine.
        at_once: how much may run at the same time.
        plans: how many trainings were planned for the loads, each for all points of the same shape.
    """
    asked = Counter(stage.folder for point in points for stage in point.stages)
    first: dict[str, str] = {}
    for point in points:
        for stage in point.stages:
            first.setdefault(stage.folder, point.id)
    rows = [_row(point, loads[point.id], machines, asked, first) for point in points]
    return {
        "estimate": True,
        "points": rows,
        "stages": _stages(points),
        "machines": None if machines is None else {"what": machines.what, "chips": machines.chips},
        "prices": None if machines is None else _prices(machines),
        "plans": plans,
        "at_once": at_once,
        "totals": _totals(rows, machines, at_once),
    }


def _row(
    point: PlannedPoint, load: Load, machines: Machines | None, asked: Mapping[str, int], first: Mapping[str, str]
) -> dict[str, Any]:
    chip_hours = cost = None
    if machines and load.hours:
        chip_hours = [machines.chips * hours for hours in load.hours]
        if machines.per_hour:
            cost = [hours * price for hours, price in zip(load.hours, machines.per_hour, strict=True)]
    training = point.training
    return {
        "id": point.id,
        "changes": dict(point.changes),
        "stages": [
            {
                "stage": stage.name,
                "folder": stage.folder,
                "there": stage.there,
                "points": asked[stage.folder],
                "first": first[stage.folder],
            }
            for stage in point.stages
        ],
        "steps": load.steps,
        "steps_missing": load.steps_missing or None,
        "chips": machines.chips if machines else None,
        "hours": list(load.hours) if load.hours else None,
        "chip_hours": chip_hours,
        "cost": cost,
        "memory": None if load.memory is None else dict(load.memory),
        "memory_missing": load.memory_missing or None,
        # Whether this training is still to be paid for, and by this point.
        "pays": training is not None and not training.there and first[training.folder] == point.id,
        "folder": point.folder,
    }


def _stages(points: Sequence[PlannedPoint]) -> dict[str, dict[str, int]]:
    """Return for each stage how many points ask for it, how many of them are different, and of these are done."""
    found: dict[str, dict[str, int]] = {}
    names = dict.fromkeys(stage.name for point in points for stage in point.stages)
    for name in names:
        here = [stage for point in points for stage in point.stages if stage.name == name]
        there = {stage.folder: stage.there for stage in here}
        found[name] = {"asked": len(here), "different": len(there), "there": sum(there.values())}
        found[name]["left"] = found[name]["different"] - found[name]["there"]
    return found


def _prices(machines: Machines) -> dict[str, Any]:
    return {
        "currency": machines.prices.currency,
        "read": machines.prices.read,
        "source": machines.prices.source,
        "per_hour": list(machines.per_hour) if machines.per_hour else None,
        "of": machines.why,
    }


def _totals(rows: Sequence[Mapping[str, Any]], machines: Machines | None, at_once: int) -> dict[str, Any]:
    """Return the sums over the trainings that are left; one that several points share counts once."""
    paying = [row for row in rows if row["pays"]]
    jobs = min(at_once, len(paying))
    return {
        "points": len(rows),
        "trainings_left": len(paying),
        "steps": _sum_known(paying, "steps"),
        "steps_unknown": sum(row["steps"] is None for row in paying),
        "jobs_at_once": jobs,
        "chips_at_once": machines.chips * jobs if machines else None,
        "chip_hours": _sum_ranges(paying, "chip_hours"),
        "cost": _sum_ranges(paying, "cost"),
        "unknown": sum(row["chip_hours"] is None for row in paying) if machines else None,
        "do_not_fit": [row["id"] for row in rows if row["memory"] and not row["memory"]["fits"]],
    }


def _sum_known(rows: Sequence[Mapping[str, Any]], name: str) -> int:
    return sum(row[name] for row in rows if row[name] is not None)


def _sum_ranges(rows: Sequence[Mapping[str, Any]], name: str) -> list[float] | None:
    """Return the sum of what is known; None where nothing is."""
    known = [row[name] for row in rows if row[name] is not None]
    return [sum(low for low, _ in known), sum(high for _, high in known)] if known else None
