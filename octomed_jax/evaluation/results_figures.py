"""The figures of a report on results: which of its numbers go into which chart, and what a screen reader is told."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from octomed_jax.evaluation import charts
from octomed_jax.evaluation import paper_results as paper
from octomed_jax.evaluation.benchmarks import BENCHMARKS, benchmark_of
from octomed_jax.evaluation.comparison import A_BETTER, B_BETTER
from octomed_jax.evaluation.comparison_text import ALL
from octomed_jax.evaluation.histograms import shortened
from octomed_jax.evaluation.results_charts import forest, lanes, over_k
from octomed_jax.evaluation.results_data import FAILED
from octomed_jax.verification.check import REASONS

MOST_ROWS = 60  # of a figure; the tables have all
MOST_REASONS = 12
LETTERS = "ABCDEF"
PIECES = {
    "correct": "kept",
    "answered": "surplus",
    "wrong": "wrong",
    "unparsed": "unread",
    "truncated": "cut",
    FAILED: FAILED,
}
KINDS = {A_BETTER: "down", B_BETTER: "up"}

Table = Mapping[str, Any]


def draw(table: Table) -> dict[str, str]:
    """Return figure name to its SVG, without those of which there are no numbers."""
    drawn = {"accuracy": _accuracy(table), "failures": _failures(table)}
    for letter, one in _lettered(table["comparisons"]):
        drawn[f"forest-{letter}"] = _forest(table, one["comparison"], letter)
    if any(table["votes"]):
        drawn["votes"] = _votes(table)
    for model, one in enumerate(table["calibration"]):
        if one:
            drawn[f"across-{LETTERS[model]}"] = _across(table, model)
    if any(table["calibration"]):
        drawn["across-paper"] = _paper_across(table["paper_lengths"][paper.STUDENT]["points"])
        drawn["classes"] = _solved(table)
    for letter, reasons in zip(LETTERS, table["reasons"], strict=False):
        if reasons:
            drawn[f"reasons-{letter}"] = _reasons(letter, reasons)
    return drawn


def _lettered(comparisons: Sequence[Table]) -> list[tuple[str, Table]]:
    return [(letter, one) for letter, one in zip(LETTERS[1:], comparisons, strict=False) if one["comparison"]]


def numbers_of(table: Table) -> dict[str, str]:
    """Return benchmark to the number that it has in all figures: the paper's as in its Figure 8, others after them."""
    own = [name for found in table["calibration"] if found for name in found["benchmarks"]]
    keys = {name: str(place) for place, name in enumerate(paper.FIGURE_8, 1)}
    found = {name: keys[one.name] for name in own if (one := benchmark_of(name)) and one.name in keys}
    others = sorted(set(own) - found.keys())
    return {**found, **{name: str(place) for place, name in enumerate(others, len(keys) + 1)}}


def numbered(table: Table, model: int) -> list[dict[str, Any]]:
    """Return the benchmarks of a model that have a length and an accuracy, from the easiest, with their numbers."""
    found, keys = table["calibration"][model], numbers_of(table)
    rows = [
        {"key": keys[name], "name": name, "error": 1 - one["accuracy"], "tokens": one["mean_length"]}
        for name, one in (found["benchmarks"].items() if found else ())
        if one["mean_length"] is not None
    ]
    return sorted(rows, key=lambda row: (row["error"], row["name"]))


def _accuracy(table: Table) -> str:
    left, groups = MOST_ROWS, []
    for category in table["categories"]:
        rows = [_accuracy_row(row) for row in category["rows"] if any(_has(one) for one in row["results"])][:left]
        left -= len(rows)
        if rows:
            groups.append((category["category"].capitalize(), rows))
    names = ", ".join(f"{letter} {model['name']}" for letter, model in zip(LETTERS, table["models"], strict=False))
    label = f"Accuracy with 95 % intervals by benchmark, of {names}; the tables hold the same numbers"
    return lanes(groups, charts.PER_CENT, label)


def _has(figures: Table | None) -> bool:
    return figures is not None and figures["accuracy"] is not None


def _accuracy_row(row: Table) -> dict[str, Any]:
    spans = [
        (one["bootstrap"][0], one["accuracy"], one["bootstrap"][1]) if _has(one) else None for one in row["results"]
    ]
    if len(spans) == 1 and spans[0]:
        value = f"{charts.percent(spans[0][1])} % [{100 * spans[0][0]:.0f}–{100 * spans[0][2]:.0f}]"
    else:
        value = " / ".join("–" if span is None else charts.percent(span[1]) for span in spans) + " %"
    plain_mean = (row["paper"] or {}).get("plain_mean")
    counts = sorted({one["n"] for one in row["results"] if one})
    n = f" (n = {counts[-1]:,})"
    return {"name": shortened(row["title"], 22) + n, "value": value, "spans": spans, "reference": plain_mean}


def _forest(table: Table, comparison: Table, letter: str) -> str:
    order = [row["name"] for category in table["categories"] for row in category["rows"]]
    both = sorted(comparison["benchmarks"], key=order.index)[:MOST_ROWS]
    found = {name: comparison["benchmarks"][name] for name in both}
    for name, mean in comparison.get("categories", {}).items():
        if len(mean["benchmarks"]) > 1:
            found[f"mean: {name}"] = mean
    if len(comparison["benchmarks"]) > 1:
        found[ALL] = comparison["overall"]
    rows = [
        {
            "name": shortened(_title(name)),
            "value": f"{_points(one['difference'])} ({_points(one['interval'][0])} to {_points(one['interval'][1])})",
            "low": 100 * one["interval"][0],
            "middle": 100 * one["difference"],
            "high": 100 * one["interval"][1],
            "kind": KINDS.get(one["verdict"], "none"),
        }
        for name, one in found.items()
    ]
    reach = charts.ticks(max(max(abs(row["low"]), abs(row["high"])) for row in rows))[-1]
    told = "; ".join(f"{name} {one['verdict']}" for name, one in found.items())
    label = f"Difference of {letter} and A in points of accuracy with 95 % intervals, by benchmark: {told}"
    title = f"{letter} minus A, points (left: A is better, right: {letter})"
    return forest(rows, [-reach, -reach / 2, 0, reach / 2, reach], label, title)


def _title(name: str) -> str:
    one = benchmark_of(name)
    return one.title if one else name


def _points(share: float) -> str:
    text = f"{100 * share:+.0f}" if abs(share) > 0.9995 else f"{100 * share:+.1f}"
    return "0" if text in ("+0.0", "-0.0") else text.replace("-", "−")


def _votes(table: Table) -> str:
    held = [(model, one) for model, one in enumerate(table["votes"]) if one]
    names = [k for k in held[0][1]["maj_at"] if all(k in one["maj_at"] for _, one in held)]
    lines = [
        (model, line, [one[kind][k] for k in names])
        for model, one in held
        for kind, line in (("maj_at", ""), ("pass_at", "dashed"))
    ]
    values = [share for *_, shares in lines for share in shares]
    low, high = math.floor(10 * min(values)) / 10, math.ceil(10 * max(values)) / 10
    steps = max(1, round(10 * (high - low)))
    marks = [round(low + (high - low) * step / steps, 10) for step in range(0, steps + 1, 1 if steps <= 6 else 2)]
    marks += [high] if marks[-1] < high else []
    told = []
    for model, one in held:
        shares = ", ".join(f"{k}: {charts.percent(one['maj_at'][k])} %" for k in names)
        told.append(f"vote of {LETTERS[model]} by k {shares}")
    label = f"Accuracy by number of samples a question, as a vote and as at least one right; {'; '.join(told)}"
    return over_k(lines, names, marks, label)


def _across(table: Table, model: int) -> str:
    points = [(row["key"], row["error"], row["tokens"]) for row in numbered(table, model)]
    label = f"Mean thinking length of {LETTERS[model]} against the share answered wrong, a numbered point a benchmark"
    return charts.scatter(points, label, f"mean thinking {table['calibration'][model]['unit']}")


def _paper_across(points: Table) -> str:
    rows = [
        (str(place), 1 - one["accuracy"] / 100, float(one["tokens"])) for place, one in enumerate(points.values(), 1)
    ]
    label = f"The paper's Figure 8: mean response tokens of {paper.STUDENT} against the share answered wrong"
    return charts.scatter(rows, label, "mean response tokens (the paper's)")


def paper_points(table: Table) -> list[dict[str, Any]]:
    """Return the points of Figure 8 with the numbers that the chart prints, and what was measured of the same."""
    rows = []
    for place, (name, one) in enumerate(table["paper_lengths"][paper.STUDENT]["points"].items(), 1):
        measured = []
        for found in table["calibration"]:
            own = [
                figures
                for called, figures in (found["benchmarks"].items() if found else ())
                if (known := benchmark_of(called)) and known.name == name
            ]
            measured.append(own[0] if len(own) == 1 else None)
        other = table["paper_lengths"][paper.OTHER]["points"][name]
        rows.append(
            {"key": str(place), "title": BENCHMARKS[name].title, "student": one, "other": other, "measured": measured}
        )
    return rows


def _solved(table: Table) -> str:
    held = table["calibration"]
    top = max((row["quartiles"][2] for one in held if one for row in one["classes"] if row["quartiles"]), default=1.0)
    scale = charts.ticks(top)
    classes = [row["class"] for row in next(one for one in held if one)["classes"]]
    rows = []
    for place, words in enumerate(classes):
        own = [one["classes"][place] if one else None for one in held]
        counts = " / ".join(f"{row['questions']:,}" if row else "–" for row in own)
        medians = " / ".join(charts.number(row["quartiles"][1]) if row and row["quartiles"] else "–" for row in own)
        spans = [
            tuple(value / scale[-1] for value in row["quartiles"]) if row and row["quartiles"] else None for row in own
        ]
        if any(row and row["questions"] for row in own):
            rows.append({"name": f"{words} (n = {counts})", "value": medians, "spans": spans})
    unit = next(one for one in held if one)["unit"]
    marks = [(mark / scale[-1], charts.number(mark)) for mark in scale]
    told = "; ".join(f"{row['name']}: {row['value']}" for row in rows)
    return lanes(
        [("", rows)], marks, f"Median thinking length by how often a question is solved: {told}", f"thinking {unit}"
    )


def failure_rows(table: Table) -> list[dict[str, Any]]:
    """Return benchmark, letter of the model, and what became of what was asked."""
    several = len(table["models"]) > 1
    names = [row["name"] for category in table["categories"] for row in category["rows"] if row["measured"]]
    return [
        {"name": name, "letter": letter if several else "", "counts": found[name]}
        for name in names
        for letter, found in zip(LETTERS, table["failures"], strict=False)
        if name in found
    ]


def _failures(table: Table) -> str:
    rows = []
    for row in failure_rows(table)[:MOST_ROWS]:
        counts = row["counts"]
        lost = sum(counts.get(kind, 0) for kind in ("unparsed", "truncated", FAILED))
        name = shortened(row["name"], 24) + (f" · {row['letter']}" if row["letter"] else "")
        pieces = [(kind, counts.get(outcome, 0)) for outcome, kind in PIECES.items()]
        rows.append((name, pieces, f"{lost:,} of {sum(counts.values()):,} unread"))
    return charts.stacks(
        rows, "What became of the samples, by benchmark: right, wrong, no answer found, cut off, failed"
    )


def _reasons(letter: str, counts: Mapping[str, int]) -> str:
    rows = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown, rest = rows[:MOST_REASONS], rows[MOST_REASONS:]
    if rest:
        shown = [*shown[:-1], (f"{len(rest) + 1} other reasons", sum(n for _, n in rest) + shown[-1][1])]
    kinds = {"wrong": "rejected", "unparsed": "unread", "truncated": "cut"}
    bars = [
        (
            shortened(name),
            count,
            f"{count:,}",
            FAILED if name == "request_failed" else kinds.get(_verdict(name), FAILED),
        )
        for name, count in shown
    ]
    told = ", ".join(f"{name} {value}" for name, _, value, _ in bars)
    return charts.bars(bars, f"Samples of {letter} that are not right, by reason code: {told}")


def _verdict(reason: str) -> str:
    return REASONS.get(reason, "").partition(":")[0]
