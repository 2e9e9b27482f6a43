"""The figures of a sweep's page, from its numbers."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from octomed_jax.evaluation.results_charts import forest, lanes
from octomed_jax.sweeps import paper as papers
from octomed_jax.sweeps import results_charts as charts
from octomed_jax.sweeps import results_words as words
from octomed_jax.sweeps.best import Best
from octomed_jax.sweeps.results_numbers import in_order
from octomed_jax.sweeps.rows import AS_CONFIG, LOSSES, OVERALL, Sweep, cell, field_text, value_of

COSTS = (
    ("seconds", "train_seconds", "seconds of training"),
    ("trained", "tokens_trained", "tokens trained"),
    ("completion", "completion_tokens", "completion tokens a sample"),
)
MOST_LINES = 2 * charts.COLOURS
MOST_TICKS = 6
MOST_LETTERS = 14  # of a value on an axis
MOST_NAME = 30  # of a row
MOST_AXES = 6  # of benchmarks


def draw(sweep: Sweep, metric: str, best: Best | None, table: Mapping[str, Any]) -> dict[str, str]:
    """Return name to SVG of what there is something to draw of.

    Args:
        sweep: the rows.
        metric: that the page is about.
        best: by it.
        table: ``groups``, ``effects``, ``curves``, and of the paper ``ours`` and ``claims`` (empty without a paper).
    """
    figures = {"parallel": _parallel(sweep, metric, best)}
    if any(one["mean"] is not None for one in table["groups"]):
        figures["seeds"] = _seeds(table["groups"], metric)
    if table["effects"]:
        figures["effects"] = _effects(sweep, table["effects"], metric)
    done = [(place, row) for place, row in enumerate(sweep.last, 1) if row.state == "done"]
    for name, field, title in COSTS:
        spots = [
            (str(place), float(cost), value, best is not None and row.id == best.row.id)
            for place, row in done
            if (cost := getattr(row, field)) is not None and (value := value_of(row, metric)) is not None
        ]
        if spots:
            told = f"{words.metric_name(metric)} against {title}, a point a run"
            marks = _y_texts([value for _, _, value, _ in spots], metric)
            figures[f"cost-{name}"] = charts.points(spots, (title, words.metric_unit(metric)), marks, told)
    if table["curves"]:
        figures["curves"] = _curves(table["curves"], metric)
    if paper := papers.paper_of(sweep):
        figures |= _paper(paper, table)
    return figures


def _y_texts(values: Sequence[float], metric: str) -> list[tuple[float, str]]:
    marks = charts.marks_around(min(values), max(values))
    return [(mark, f"{mark:g}" if metric in LOSSES else f"{100 * mark:g} %") for mark in marks]


def _parallel(sweep: Sweep, metric: str, best: Best | None) -> str:
    rows = sweep.last
    axes = [_field_axis(field, sweep) for field in sweep.fields]
    shown = [name for name in sweep.benchmarks if name != metric][:MOST_AXES]
    for name in shown if metric in (OVERALL, *LOSSES) else [OVERALL]:
        axes.append(_number_axis(name, [value_of(row, name) for row in rows], name))
    axes.append(_number_axis("completion tokens", [row.completion_tokens for row in rows], ""))
    for name in ("held_out_loss", "loss"):
        if name != metric:
            axes.append(_number_axis(words.metric_name(name), [value_of(row, name) for row in rows], name))
    axes.append(_number_axis(words.metric_name(metric), [value_of(row, metric) for row in rows], metric))
    kept = [axis for axis in axes if any(share is not None for share in axis["shares"])]
    runs = [
        {
            "name": f"{place}: {sweep.labels[row.group]} ({row.id}, {row.state})",
            "kind": "best" if best and row.id == best.row.id else row.state,
        }
        for place, row in enumerate(rows, 1)
    ]
    told = f"{len(rows)} runs as lines through {len(kept)} axes: " + ", ".join(axis["name"] for axis in kept)
    return charts.parallel(kept, runs, told)


def _field_axis(field: str, sweep: Sweep) -> dict[str, Any]:
    """Return the axis of a changed field: its values by size, or as they come, evenly apart."""
    names, told = sweep.named_values(field), [field_text(row, field) for row in sweep.last]
    values = {field_text(row, field): {"value": row.changes.get(field, AS_CONFIG)} for row in sweep.last}
    by_size = {id(one): text for text, one in values.items()}
    order = [by_size[id(one)] for one in in_order(list(values.values()))]
    share = {name: 0.5 if len(order) == 1 else place / (len(order) - 1) for place, name in enumerate(order)}
    every = math.ceil(len(order) / MOST_TICKS)
    ticks = [(share[name], _short(names[name])) for place, name in enumerate(order) if place % every == 0]
    return {"name": _short(field.rpartition(".")[2], 26), "ticks": ticks, "shares": [share[one] for one in told]}


def _number_axis(name: str, values: Sequence[float | None], metric: str) -> dict[str, Any]:
    there = [value for value in values if value is not None]
    marks = charts.marks_around(min(there), max(there), 4) if there else [0.0, 1.0]
    per_cent = metric and metric not in LOSSES
    ticks = [(charts.place(mark, marks), f"{100 * mark:g} %" if per_cent else f"{mark:,g}") for mark in marks]
    shares = [None if value is None else charts.place(value, marks) for value in values]
    return {"name": _short(name, 26), "ticks": ticks, "shares": shares}


def _short(text: str, most: int = MOST_LETTERS) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _scale(values: Sequence[float], metric: str) -> tuple[list[float], list[tuple[float, str]]]:
    texts = _y_texts(values, metric)
    marks = [value for value, _ in texts]
    return marks, [(charts.place(value, marks), text) for value, text in texts]


def _span(middle: float, ends: Sequence[float] | None, marks: Sequence[float]) -> tuple[float, float, float]:
    low, high = ends or (middle, middle)
    return charts.place(low, marks), charts.place(middle, marks), charts.place(high, marks)


def _seeds(groups: Sequence[Mapping[str, Any]], metric: str) -> str:
    there = [one for one in groups if one["mean"] is not None]
    ends = [end for one in there for kind in ("seeds", "questions") for end in one[kind] or (one["mean"],)]
    marks, axis = _scale(ends, metric)
    rows = [
        {
            "name": _short(one["label"], MOST_NAME),
            "value": f"{words.value_text(one['mean'], metric)} (n = {one['done']})",
            "spans": [_span(one["mean"], one[kind], marks) if one[kind] else None for kind in ("seeds", "questions")],
        }
        for one in there
    ]
    for row, one in zip(rows, there, strict=True):
        if not any(row["spans"]):
            row["spans"] = [_span(one["mean"], None, marks), None]
    told = f"{words.metric_name(metric)} of {len(rows)} groups of seeds, with its two intervals"
    return lanes([("", rows)], axis, told, words.metric_unit(metric))


def _effects(sweep: Sweep, effects: Sequence[Mapping[str, Any]], metric: str) -> str:
    ends = [end for one in effects for value in one["values"] for end in (*(value["interval"] or ()), value["mean"])]
    marks, axis = _scale(ends, metric)
    groups = [
        (
            f"{one['field']}{'' if one['balanced'] else ' (not balanced)'}",
            [
                {
                    "name": _short(_called(sweep, one["field"], value["value"]), MOST_NAME),
                    "value": f"{words.value_text(value['mean'], metric)} (n = {value['runs']})",
                    "spans": [_span(value["mean"], value["interval"], marks)],
                }
                for value in one["values"]
            ],
        )
        for one in effects
    ]
    told = f"Marginal means of {words.metric_name(metric)} by the value of each changed field"
    return lanes(groups, axis, told, words.metric_unit(metric))


def _called(sweep: Sweep, field: str, value: Any) -> str:
    text = "None" if value is None else cell(value)
    return sweep.named_values(field).get(text, text)


def _curves(curves: Sequence[Mapping[str, Any]], metric: str) -> str:
    shown = curves[:MOST_LINES]
    series = [(place, [(x, value) for x, value, _ in one["points"]]) for place, one in enumerate(shown)]
    values = [value for _, spots in series for _, value in spots]
    told = f"{words.metric_name(metric)} over x of {len(shown)} groups"
    return charts.lines(series, ("x (mark)", words.metric_unit(metric)), _y_texts(values, metric), told)


def paper_rows(paper: Mapping[str, Any]) -> list[str]:
    """Return the rows of the paper's figure, in its order: each has one colour in both panels."""
    return list(dict.fromkeys(str(value["row"]) for value in paper["values"]))


def _paper(paper: Mapping[str, Any], table: Mapping[str, Any]) -> dict[str, str]:
    figures: dict[str, str] = {}
    rows = paper_rows(paper)
    if paper["x"]:
        for number, column in enumerate(paper_columns(paper)):
            values = [one for one in table["ours"] if one["column"] == column]
            for side in ("paper", "ours"):
                spots = {row: _spots(values, row, side) for row in rows}
                series = [(rows.index(row), own) for row, own in spots.items() if own]
                if series:
                    ends = [y for _, own in series for _, y in own]
                    marks = [(mark, f"{mark:g}") for mark in charts.marks_around(min(ends), max(ends))]
                    told = f"{column}, {'the paper' if side == 'paper' else 'this sweep'}: {paper['unit']}"
                    titles = (paper["x"], paper["unit"])
                    figures[f"{side}-{number}"] = charts.lines(series, titles, marks, told)
    if claims := [one for one in table["claims"] if one["result"]["interval"] and one["measure"] == papers.ACCURACY]:
        figures["claims"] = _claims(claims)
    return figures


def paper_columns(paper: Mapping[str, Any]) -> list[str]:
    """Return the columns of the paper's figure, in the order of its values."""
    return list(dict.fromkeys(value["column"] for value in paper["values"]))


def _spots(values: Sequence[Mapping[str, Any]], row: str, side: str) -> list[tuple[float, float]]:
    own = [(one["x"], one[side]) for one in values if str(one["row"]) == row]
    return sorted((x, y) for x, y in own if x is not None and y is not None)


def _claims(claims: Sequence[Mapping[str, Any]]) -> str:
    kinds = {papers.SHOWN: "down", papers.OPPOSITE: "up"}  # blue, orange
    rows = []
    for one in claims:
        result = one["result"]
        low, high = (100 * end for end in result["interval"])
        value = f"{100 * result['difference']:+.1f} {result['verdict']}".replace("-", "−")
        told = {"low": low, "middle": 100 * result["difference"], "high": high}
        kind = kinds.get(result["verdict"], "none")
        rows.append({"name": _short(one["says"], MOST_NAME), "value": value, **told, "kind": kind})
    marks = charts.marks_around(min(0.0, *(row["low"] for row in rows)), max(0.0, *(row["high"] for row in rows)))
    return forest(rows, marks, f"{len(rows)} claims of the paper, measured here", "points of accuracy, more − less")
