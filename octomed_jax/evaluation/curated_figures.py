"""The figures of a report of curated questions: which counts go into which chart, and what a screen reader is told."""

from collections.abc import Mapping, Sequence
from typing import Any

from octomed_jax.curation.evaluation_sets import OWN
from octomed_jax.evaluation import charts
from octomed_jax.evaluation.histograms import shortened

# step -> CSS class of its bars
COLOURS = {"decontaminate": "wrong", "deduplicate": "surplus", "balance": "cut", "difficulty": "unread"}
OTHER_COLOUR = "failed"
MOST_ROWS = 20  # of a figure; report.json has all

Table = Mapping[str, Any]


def draw(table: Table) -> dict[str, str]:
    """Return figure name to its SVG, without those of which there are no numbers.

    Args:
        table: the content of report.json.
    """
    drawn = {"steps": _steps(table)}
    if table["removed"]:
        drawn["removed"] = _removed(table["steps"])
        drawn["sources"] = _sources(table["sources"], [step["step"] for step in table["steps"]])
    if rows := matched_rows(table["matched"]):
        drawn["matched"] = _bars(rows, "rejected", "Questions taken out by the benchmark of the held-out one")
    for field, found in table["filled"].items():
        if found:
            rows = sorted(found.items(), key=lambda item: (-item[1], item[0]))
            drawn[f"filled_{field}"] = _bars(rows, "kept", f"Questions that got a {words(field)}")
    return drawn


def words(name: str) -> str:
    """Return the name of a step, a reason or a field as words."""
    return name.replace("_", " ")


def colour(step: str) -> str:
    """Return the CSS class of a step's bars."""
    return COLOURS.get(step, OTHER_COLOUR)


def matched_rows(matched: Table) -> list[tuple[str, int]]:
    """Return rows of (benchmark, questions taken out), the most first; one of another folder with its set's name."""
    return [(matched_name(row), row["removed"]) for row in matched["benchmarks"]]


def matched_name(row: Table) -> str:
    """Return how a benchmark is called: of one that is not carried on, with its set's name."""
    return row["benchmark"] if row["set"] == OWN else f"{row['set']}: {row['benchmark']}"


def _bars(rows: Sequence[tuple[str, int]], kind: str, label: str) -> str:
    shown = list(rows)
    if len(rows) > MOST_ROWS:
        rest = rows[MOST_ROWS - 1 :]
        shown = [*rows[: MOST_ROWS - 1], (f"{len(rest)} more", sum(count for _, count in rest))]
    bars = [(shortened(name), count, f"{count:,}", kind) for name, count in shown]
    return charts.bars(bars, f"{label}: " + ", ".join(f"{name} {value}" for name, _, value, _ in bars))


def _steps(table: Table) -> str:
    whole = table["before"] or 1
    rows = [("went in", table["before"], f"{table['before']:,}", "asked")]
    for step in table["steps"]:
        value = f"{step['after']:,} · {charts.percent(step['after'] / whole)} %"
        rows.append((f"after {words(step['step'])}", step["after"], value, "kept"))
    return charts.bars(rows, "Questions left: " + ", ".join(f"{name} {value}" for name, _, value, _ in rows))


def _removed(steps: Sequence[Table]) -> str:
    found = [
        (step["step"], words(reason), count)
        for step in steps
        for reason, count in sorted(step["reasons"].items(), key=lambda item: (-item[1], item[0]))
    ]
    bars = [(shortened(reason), count, f"{count:,}", f"piece {colour(step)}") for step, reason, count in found]
    told = ", ".join(f"{step}: {reason} {count:,}" for step, reason, count in found)
    return charts.bars(bars, f"Questions taken out, by step and reason: {told}")


def _sources(sources: Table, steps: Sequence[str]) -> str:
    ranked = sorted(sources.items(), key=lambda item: (item[1]["after"] - item[1]["before"], item[0]))
    rows = []
    for name, row in ranked[:MOST_ROWS]:
        gone = [(colour(step), sum(row["removed"].get(step, {}).values())) for step in steps]
        rows.append((shortened(name), [("kept", row["after"]), *gone], f"{row['after']:,} of {row['before']:,} left"))
    return charts.stacks(rows, "What became of the questions of each source, as shares; as tabled below")
