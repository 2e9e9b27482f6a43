"""Early stopping: which runs of a sweep go on after a rung, a pure function of what all have measured there.

A rung is a training step at which runs are compared. Nothing here knows when something was measured, so that the same
curves give the same decisions in whatever order the runs came to their rungs, and all can be made again later. A
decision that cannot be made yet is left out, and the run waits at its checkpoint.

median: a run is compared with the median of the runs before it in the order of the sweep that came to the rung. One
that is worse is stopped. With fewer than three before it, it goes on.

halving: synchronous successive halving (Jamieson and Talwalkar, 2016). When all that went on from the rung before have
come, the best 1/factor go on, at least one.
"""

import bisect
import dataclasses
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from octomed_jax.errors import UserError, did_you_mean

MEDIAN, HALVING = "median", "halving"
KINDS = (MEDIAN, HALVING)
METRICS = ("held_out_loss", "loss")
GOALS = ("min", "max")
FEWEST = 3  # runs whose median says something
WORST = math.inf

Curve = Mapping[int, float | None]


@dataclasses.dataclass(frozen=True)
class Rule:
    """A rule of early stopping.

    Attributes:
        kind: ``median`` or ``halving``.
        metric: what is compared.
        goal: whether less (``min``) or more of it (``max``) is better.
        rungs: the steps at which runs are compared, ascending.
        factor: of halving: one of so many goes on.

    Raises:
        UserError: a field that makes no sense.
    """

    kind: str
    metric: str = "loss"
    goal: str = "min"
    rungs: tuple[int, ...] = ()
    factor: int = 3

    def __post_init__(self) -> None:
        object.__setattr__(self, "rungs", tuple(self.rungs))  # a list, where it was read from JSON
        _known("--stopping", self.kind, KINDS)
        _known("--stopping-metric", self.metric, METRICS)
        _known("goal", self.goal, GOALS)
        shown = ",".join(map(str, self.rungs))
        if not self.rungs:
            raise UserError(f"--stopping={self.kind} has no rungs; give the steps at which runs are compared: --rungs")
        if not all(_whole(rung) and rung > 0 for rung in self.rungs):
            raise UserError(f"--rungs={shown} must be steps, whole numbers from 1")
        if any(after <= before for before, after in zip(self.rungs, self.rungs[1:], strict=False)):
            raise UserError(f"--rungs={shown} must ascend; give each step once, the first one first")
        if not _whole(self.factor) or self.factor < 2:
            raise UserError(f"--factor={self.factor} must be a whole number from 2: one run of so many goes on")


@dataclasses.dataclass(frozen=True)
class Decision:
    """What becomes of a run after a rung.

    Attributes:
        point: id of the run.
        rung: the step.
        goes_on: whether it is trained further.
        value: what it measured; None: nothing, or what is not finite, which counts as the worst.
        limit: what it had to be as good as: the median, or the last value of those that go on; None where there is
            none, or where that is not finite.
        compared: how many runs it was compared with (median), or how many came to the rung (halving).
        place: of halving: its place among them, from 1.
        reason: the same in words.
    """

    point: str
    rung: int
    goes_on: bool
    value: float | None
    limit: float | None
    compared: int
    place: int | None
    reason: str


def decide(
    rule: Rule,
    order: Sequence[str],
    curves: Mapping[str, Curve],
    gone: Collection[str] = (),
    made: Iterable[Decision] = (),
) -> list[Decision]:
    """Return all decisions that can be made, by rung and then in the order of the sweep.

    What is known later changes none of them: more of the curves and more that are gone only add decisions.

    Args:
        rule: how runs are compared.
        order: ids of the runs in the order of the sweep, which also breaks ties.
        curves: id to rung to what was measured there; a rung is in it once the run has come there.
        gone: runs that will come no further: they failed, or ended. What they measured before counts all the same.
        made: decisions that stand, whatever the curves say now; a run that failed may have come back after them.
    """
    fixed = {(one.point, one.rung): one for one in made}
    alive, waiting = list(order), set[str]()  # waiting: of these it is not known whether they may go on from here
    lost, decisions = frozenset(gone), list[Decision]()
    make = _by_median if rule.kind == MEDIAN else _by_halving
    for rung in rule.rungs:
        here = {point: curves[point][rung] for point in alive if rung in curves.get(point, {})}
        field = [
            _Entry(point, _key(rule, here.get(point)), point in here and point not in waiting, here.get(point))
            for point in alive
            if point in here or point not in lost  # the others are not to come
        ]
        done = {one.point: one for one in make(rule, rung, field, fixed)}
        decisions += done.values()
        alive = [one.point for one in field if one.point not in done or done[one.point].goes_on]
        waiting = {point for point in alive if point not in done}
    return decisions


@dataclasses.dataclass(frozen=True)
class _Entry:
    """A run at a rung: ``key`` is less where it is better, ``there``: it has come, and was let go on to here."""

    point: str
    key: float
    there: bool
    value: float | None


Fixed = Mapping[tuple[str, int], Decision]
Make = Callable[[Rule, int, Sequence[_Entry], Fixed], list[Decision]]


def _by_median(rule: Rule, rung: int, field: Sequence[_Entry], fixed: Fixed) -> list[Decision]:
    """Compare each with those before it, as far as all of these are there."""
    decisions, before, all_there = [], list[float](), True
    for one in field:
        if not one.there:
            all_there = False
            continue
        if standing := fixed.get((one.point, rung)):
            decisions.append(standing)
        elif all_there:
            decisions.append(_against_median(rule, rung, one, before))
        bisect.insort(before, one.key)
    return decisions


def _against_median(rule: Rule, rung: int, one: _Entry, before: Sequence[float]) -> Decision:
    count, said = len(before), _said(rule, rung, one)
    if count < FEWEST:
        reason = f"{said}; {count} before it came there, and fewer than {FEWEST} say nothing: it goes on"
        return Decision(one.point, rung, True, _finite(one.value), None, count, None, reason)
    # A mean of the two in the middle is not finite where one of them is not: then it is the worst.
    median = (before[(count - 1) // 2] + before[count // 2]) / 2
    goes_on, limit = one.key <= median, _unkeyed(rule, median)
    verdict = "no worse than" if goes_on else "worse than"
    reason = f"{said}, {verdict} the median of the {count} before it, {_number(limit)}: "
    reason += "it goes on" if goes_on else "stopped"
    return Decision(one.point, rung, goes_on, _finite(one.value), limit, count, None, reason)


def _by_halving(rule: Rule, rung: int, field: Sequence[_Entry], fixed: Fixed) -> list[Decision]:
    """Take the best, once all that may still come are there."""
    if not all(one.there for one in field):
        return [fixed[one.point, rung] for one in field if one.there and (one.point, rung) in fixed]
    best = sorted(field, key=lambda one: one.key)  # stable: ties by the order of the sweep
    places = {one.point: place for place, one in enumerate(best, 1)}
    count, kept = len(field), max(1, len(field) // rule.factor)
    limit = _unkeyed(rule, best[kept - 1].key) if best else None
    decisions = []
    for one in field:
        place = places[one.point]
        goes_on = place <= kept
        reason = f"{_said(rule, rung, one)}, place {place} of {count}; the best {kept} go on: "
        reason += "it does" if goes_on else "stopped"
        made = Decision(one.point, rung, goes_on, _finite(one.value), limit, count, place, reason)
        decisions.append(fixed.get((one.point, rung), made))
    return decisions


def _key(rule: Rule, value: float | None) -> float:
    if (finite := _finite(value)) is None:
        return WORST
    return finite if rule.goal == "min" else -finite


def _unkeyed(rule: Rule, key: float) -> float | None:
    return None if key == WORST else key if rule.goal == "min" else -key


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value


def _said(rule: Rule, rung: int, one: _Entry) -> str:
    return f"{rule.metric} {_number(_finite(one.value))} at step {rung}"


def _number(value: float | None) -> str:
    return "not finite or missing, the worst," if value is None else f"{value:.6g}"


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _known(name: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        hint = did_you_mean(str(value), list(known))
        raise UserError(f"{name}={value} is unknown{hint}; one of: {', '.join(known)}")
