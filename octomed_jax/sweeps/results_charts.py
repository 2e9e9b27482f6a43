"""Charts of a sweep as SVG text, in the manner of ``evaluation.charts``: parallel coordinates, points, lines over x.

The axes of the parallel coordinates lie one below the other, each as wide as the page, so that they fit a narrow one.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from octomed_jax.evaluation.charts import anchor, at, label_offsets, svg, tag, ticks, x_axis
from octomed_jax.evaluation.results_charts import point

AXIS = 62  # pixels from an axis to the next
FIRST = 30  # from the top to the first
COLOURS = 6  # of lines; the next six are dashed

Line = tuple[int, Sequence[tuple[float, float]]]  # number of its colour, and places (x, y)


def marks_around(low: float, high: float, most: int = 5) -> list[float]:
    """Return round marks of which the first is not above ``low`` and the last not below ``high``."""
    least = 0.02 * max(abs(low), abs(high), 0.5)  # values all but alike: no figures that tell nothing
    if high - low < least:
        floor = 0.0 if low >= 0 else -math.inf
        low, high = max(low - least / 2, floor), high + least / 2
    step = ticks(high - low, most)[1]
    first = math.floor(low / step + 1e-9)
    last = math.ceil(high / step - 1e-9)
    return [round(step * index, 12) for index in range(first, last + 1)]


def place(value: float, marks: Sequence[float]) -> float:
    """Return where a value lies between the first and the last mark, from 0 to 1."""
    return (value - marks[0]) / (marks[-1] - marks[0])


def parallel(axes: Sequence[Mapping[str, Any]], runs: Sequence[Mapping[str, Any]], label: str) -> str:
    """Return one line a run, through its place on every axis.

    Args:
        axes: ``name``, ``ticks`` of (share of the width, text), and ``shares``: of each run its place, None where it
            has none, which breaks its line.
        runs: ``name`` (of the line, for the script of the page) and ``kind``: ``best`` or a state.
        label: what a screen reader says.
    """
    bottom = FIRST + AXIS * (len(axes) - 1)
    heights = [FIRST + AXIS * index for index in range(len(axes))]
    parts = [tag("line", class_="rail", x1=0, x2="100%", y1=y, y2=y) for y in heights]
    order = sorted(range(len(runs)), key=lambda run: runs[run]["kind"] == "best")  # the best above the others
    lines = [_path(axes, run, runs[run]) for run in order]
    box = f"0 0 1000 {bottom + 8}"
    parts.append(tag("svg", *lines, width="100%", height=bottom + 8, viewBox=box, preserveAspectRatio="none"))
    for y, axis in zip(heights, axes, strict=True):
        for share, text in axis["ticks"]:
            parts.append(tag("line", class_="notch", x1=at(share), x2=at(share), y1=y - 4, y2=y + 4))
            parts.append(tag("text", class_="tick", x=at(share), y=y + 18, text_anchor=anchor(share), text=text))
        parts.append(tag("text", class_="name", x=0, y=y + 4, text=axis["name"]))
    return svg(bottom + 30, label, *parts, class_="parallel")


def _path(axes: Sequence[Mapping[str, Any]], run: int, told: Mapping[str, Any]) -> str:
    shares = [axis["shares"][run] for axis in axes]
    text, pen = "", "M"
    for index, share in enumerate(shares):
        if share is None:
            pen = "M"
            continue
        text += f"{pen}{1000 * share:.1f} {FIRST + AXIS * index}"
        pen = "L"
    where = " ".join("-" if share is None else f"{share:.4f}" for share in shares)
    return tag(
        "path",
        tag("title", text=told["name"]),
        class_=f"mark run {told['kind']}",
        d=text or "M0 0",
        data_run=run,
        data_at=where,
        vector_effect="non-scaling-stroke",
    )


def points(
    places: Sequence[tuple[str, float, float, bool]],
    titles: tuple[str, str],
    y_texts: Sequence[tuple[float, str]],
    label: str,
) -> str:
    """Return points of a cost (across, from 0) against a metric (up).

    Args:
        places: (key printed beside the point, cost, metric, whether it is the best).
        titles: name and unit of the axes, across and up.
        y_texts: (value, text) of the marks of the metric, ascending.
        label: what a screen reader says.
    """
    top, bottom = 34, 260
    y_marks = [value for value, _ in y_texts]
    x_marks = ticks(max(cost for _, cost, _, _ in places), 4)
    parts = _y_axis(titles[1], y_texts, top, bottom)
    parts += x_axis([(place(mark, x_marks), f"{mark:,g}") for mark in x_marks], top, bottom)
    parts.append(tag("text", class_="axis", x="50%", y=bottom + 38, text_anchor="middle", text=titles[0]))
    spots = [(place(cost, x_marks), bottom - (bottom - top) * place(value, y_marks)) for _, cost, value, _ in places]
    for (_, _, _, best), (x, y) in zip(places, spots, strict=True):
        parts.append(tag("circle", class_=f"mark dot {'wrong' if best else 'right'}", cx=at(x), cy=y, r=4.5))
    if len(places) <= 40:
        for (key, *_), (x, y), (dx, dy) in zip(places, spots, label_offsets(spots), strict=True):
            parts.append(tag("text", class_="key", x=at(x), y=y + 4, dx=dx, dy=dy, text_anchor="middle", text=key))
    return svg(bottom + 46, label, *parts, class_="curve")


def lines(series: Sequence[Line], titles: tuple[str, str], y_texts: Sequence[tuple[float, str]], label: str) -> str:
    """Return lines over x, which begins at 0.

    Args:
        series: of each line the number of its colour and its places, by x.
        titles: name and unit of the axes, across and up.
        y_texts: (value, text) of the marks of the vertical axis, ascending.
        label: what a screen reader says.
    """
    top, bottom = 34, 280
    y_marks = [value for value, _ in y_texts]
    x_marks = ticks(max(x for _, places in series for x, _ in places))
    parts = _y_axis(titles[1], y_texts, top, bottom)
    parts += x_axis([(place(mark, x_marks), f"{mark:g}") for mark in x_marks], top, bottom)
    parts.append(tag("text", class_="axis", x="50%", y=bottom + 38, text_anchor="middle", text=titles[0]))
    drawn = [
        (number, [(place(x, x_marks), bottom - (bottom - top) * place(y, y_marks)) for x, y in places])
        for number, places in series
    ]
    paths = [
        tag(
            "path",
            class_=f"mark line m m{number % COLOURS}{' dashed' if number >= COLOURS else ''}",
            d="M" + "L".join(f"{1000 * x:.1f} {y:.1f}" for x, y in spots),
            vector_effect="non-scaling-stroke",
        )
        for number, spots in drawn
        if len(spots) > 1
    ]
    box = f"0 0 1000 {bottom + 4}"
    parts.append(tag("svg", *paths, width="100%", height=bottom + 4, viewBox=box, preserveAspectRatio="none"))
    parts += [point(number % COLOURS, x, y) for number, spots in drawn for x, y in spots]
    return svg(bottom + 46, label, *parts, class_="curve")


def _y_axis(title: str, texts: Sequence[tuple[float, str]], top: int, bottom: int) -> list[str]:
    parts = [tag("text", class_="axis", x=-40, y=12, text=title)]
    marks = [value for value, _ in texts]
    for value, text in texts:
        y = bottom - (bottom - top) * place(value, marks)
        parts.append(tag("line", class_="grid", x1=0, x2="100%", y1=y, y2=y))
        parts.append(tag("text", class_="tick", x=-8, y=y + 4, text_anchor="end", text=text))
    return parts
