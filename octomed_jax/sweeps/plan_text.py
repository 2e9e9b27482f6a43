"""The plan of a sweep for a person: a table with one line a point, then the sums."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from octomed_jax.launching.plan import GIB, amounts

UNKNOWN = "?"
MOST_PROBLEMS = 3
FEW = 10.0  # below it a whole number would say too little


def told(plan: Mapping[str, Any]) -> list[str]:
    """Return the plan as lines."""
    found = [*_table(plan), "", *_stages(plan), *_sums(plan), *_missing(plan)]
    found += [f"replace {name}" for name in plan.get("to_replace", ())]
    problems = plan.get("problems", ())
    found += [f"problem {why}" for why in problems[:MOST_PROBLEMS]]
    return found + (
        [f"        {len(problems) - MOST_PROBLEMS} more; --json has all"] if problems[MOST_PROBLEMS:] else []
    )


def spent(low_and_high: Sequence[float]) -> str:
    """Return hours or money as a person writes them; one number where both are the same."""
    if max(low_and_high) >= FEW:
        return amounts(low_and_high)
    low, high = (f"{one:.2g}" for one in low_and_high)
    return low if low == high else f"{low} to {high}"


def _table(plan: Mapping[str, Any]) -> list[str]:
    points = plan["points"]
    fields = list(dict.fromkeys(field for row in points for field in row["changes"]))
    chips = plan["machines"] is not None
    header = ["id", *fields, "runs", "steps", *(["memory", "chip-hours", "cost"] if chips else []), "folder"]
    lines = [header]
    for row in points:
        cells = [row["id"], *(str(row["changes"].get(field, "")) for field in fields)]
        cells += [_runs(row), UNKNOWN if row["steps"] is None else f"{row['steps']:,}"]
        cells += [_memory(row), *_spent(row)] if chips else []
        lines.append([*cells, row["folder"]])
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]


def _runs(row: Mapping[str, Any]) -> str:
    """Return the stages that this point would run: those that are not there and that no point before it asks for."""
    own = Counter(stage["stage"] for stage in row["stages"] if not stage["there"] and stage["first"] == row["id"])
    return " ".join(f"{stage} x{count}" if count > 1 else stage for stage, count in own.items()) or "nothing"


def _memory(row: Mapping[str, Any]) -> str:
    memory = row["memory"]
    if memory is None:
        return UNKNOWN
    fits = "" if memory["fits"] else " DOES NOT FIT"
    return f"{memory['peak'] / GIB:.2f}/{memory['room'] / GIB:.2f} GiB{fits}"


def _spent(row: Mapping[str, Any]) -> list[str]:
    """Return chip-hours and cost; of a training that another point pays for, or that is there, that."""
    if not row["pays"]:
        training = next((stage for stage in row["stages"] if stage["stage"] == "train"), None)
        return [UNKNOWN if training is None else "there" if training["there"] else "shared", ""]
    return [UNKNOWN if row[name] is None else spent(row[name]) for name in ("chip_hours", "cost")]


def _stages(plan: Mapping[str, Any]) -> list[str]:
    found = []
    for name, count in plan["stages"].items():
        done = f", {count['there']} there" if count["there"] else ""
        found.append(f"stage   {name}: {count['left']} to run{done}; {count['asked']} points ask for it")
    return found


def _sums(plan: Mapping[str, Any]) -> list[str]:
    totals, machines = plan["totals"], plan["machines"]
    found = [f"at once {totals['jobs_at_once']} training(s) (--at-once={plan['at_once']})"]
    if machines is None:
        return found
    found[0] += f": {totals['chips_at_once']:,} chips"
    found.insert(0, f"job     {machines['what']}: {machines['chips']:,} chips for each training")
    found.append(f"plans   {plan['plans']} made; points of the same shape share one")
    least = f"at least, {totals['unknown']} not known: " if totals["unknown"] else ""
    if totals["chip_hours"]:
        found.append(f"time    estimate: {least}{spent(totals['chip_hours'])} chip-hours for what is left")
    prices = plan["prices"]
    if totals["cost"]:
        found.append(f"cost    estimate: {least}{spent(totals['cost'])} {prices['currency']}; {prices['of']}")
    elif prices["per_hour"]:
        hour = f"{spent(prices['per_hour'])} {prices['currency']} an hour of one training"
        found.append(f"cost    not known, as the hours are not; estimate: {hour}; {prices['of']}")
    else:
        found.append(f"cost    not known: {prices['of']}")
    found.append(f"        list prices read on {prices['read']} ({prices['source']}); --prices=FILE for yours")
    return found


def _missing(plan: Mapping[str, Any]) -> list[str]:
    """Return why something is not known, each reason once."""
    rows: Sequence[Mapping[str, Any]] = plan["points"]
    found = []
    for name, what in (("steps_missing", "steps"), ("memory_missing", "memory")):
        for why in dict.fromkeys(row[name] for row in rows if row[name]):
            ids = [row["id"] for row in rows if row[name] == why]
            found.append(f"unknown {what} of {ids[0] if len(ids) == 1 else f'{len(ids)} points'}: {why}")
    return found
