"""Early stopping: which runs go on after a rung. A pure function of what was measured, never of when."""

import dataclasses
import statistics
from collections.abc import Collection, Mapping, Sequence

LEAST_COMPARED = 3


@dataclasses.dataclass(frozen=True)
class Rule:
    """Median or successive halving over one metric at some steps."""

    kind: str
    metric: str = "loss"
    goal: str = "min"
    rungs: tuple[int, ...] = (100, 200)
    factor: int = 3


@dataclasses.dataclass(frozen=True)
class Decision:
    """Whether a point goes on after a rung, with the values that it was compared with."""

    point: str
    rung: int
    goes_on: bool
    value: float
    compared: Mapping[str, float]


def decide(
    rule: Rule, order: Sequence[str], curves: Mapping[str, Mapping[int, float]], gone: Collection[str]
) -> list[Decision]:
    """Return all decisions that can be made."""
    sign = 1 if rule.goal == "min" else -1
    alive, decisions = list(order), []
    for rung in rule.rungs:
        here = {point: curves[point][rung] for point in alive if rung in curves.get(point, {})}
        made = []
        if rule.kind == "halving":
            if all(point in here or point in gone for point in alive):
                kept = sorted(here, key=lambda point: sign * here[point])[: max(1, len(here) // rule.factor)]
                made = [Decision(point, rung, point in kept, here[point], here) for point in here]
        else:
            before: dict[str, float] = {}
            for point in alive:
                if point in here:
                    middle = statistics.median(before.values()) if len(before) >= LEAST_COMPARED else None
                    good = middle is None or sign * here[point] <= sign * middle
                    made.append(Decision(point, rung, good, here[point], dict(before)))
                    before[point] = here[point]
                elif point not in gone:
                    break
        decisions += made
        alive = (
            [one.point for one in made if one.goes_on]
            if rule.kind == "halving"
            else [point for point in alive if point not in {one.point for one in made if not one.goes_on}]
        )
        if rule.kind == "halving" and not made:
            break
    return decisions
