"""Charts as SVG text, drawn by a few functions of our own.

Every chart is one ``<svg>`` without a viewBox: x is in per cent of its width, y in pixels, so that it fills a wide and
a narrow page alike and its lettering keeps its size. Colours and the place of row labels come from ``report.css``: on
a wide page labels stand left and values right of the track, on a narrow one both stand above it.
"""

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

ROW = 40  # pixels a row
MIDDLE = 27  # pixels from the top of a row to its mark; a narrow page has the labels above the mark
HEAD = 44  # pixels a group heading
PER_CENT = [(share, f"{round(100 * share)} %") for share in (0.0, 0.25, 0.5, 0.75, 1.0)]


def tag(name: str, *children: str, text: str = "", **attributes: Any) -> str:
    """Return one element; ``text`` and attribute values are escaped, ``children`` are markup already.

    An attribute that is None is left out; ``class_`` and ``text_anchor`` become ``class`` and ``text-anchor``.
    """
    pairs = (
        f' {key.rstrip("_").replace("_", "-")}="{escape(_short(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{name}{''.join(pairs)}>{escape(text)}{''.join(children)}</{name}>"


def _short(value: Any) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def at(share: float) -> str:
    """Return a share of the width (0..1) as an SVG length."""
    return f"{_short(100.0 * share)}%"


def svg(height: int, label: str, *children: str, class_: str = "") -> str:
    """Return the chart: the element that a figure holds."""
    return tag("svg", *children, class_=class_ or None, role="img", aria_label=label, width="100%", height=height)


def percent(share: float) -> str:
    """Return a share as whole per cent, without a sign; all and none are kept for exactly these."""
    rounded = round(100 * share)
    if rounded == 100 and share < 1:
        return ">99"
    if rounded == 0 and share > 0:
        return "<1"
    return str(rounded)


def number(value: float) -> str:
    """Return a number for reading: thousands apart, small ones with three figures."""
    if isinstance(value, int) or value == int(value):
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def ticks(top: float, most: int = 5) -> list[float]:
    """Return round marks from 0 up to the first that is not below ``top``, at most about ``most`` steps."""
    if not top > 0:
        return [0.0, 1.0]
    rough = top / most
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= rough * (1 - 1e-9))
    return [round(step * index, 10) for index in range(math.ceil(top / step - 1e-9) + 1)]


def x_axis(marks: Sequence[tuple[float, str]], top: int, bottom: int) -> list[str]:
    """Return vertical gridlines with their lettering under them; ``marks`` are (share of the width, text)."""
    parts = []
    for share, text in marks:
        parts.append(tag("line", class_="grid", x1=at(share), x2=at(share), y1=top, y2=bottom))
        parts.append(tag("text", class_="tick", x=at(share), y=bottom + 16, text_anchor=anchor(share), text=text))
    return parts


def row_labels(y: int, name: str, value: str) -> list[str]:
    """Return the name of a row and its printed value."""
    return [
        tag("text", class_="name", x=0, y=y + 4, text=name),
        tag("text", class_="value", x="100%", y=y + 4, text=value),
    ]


def bars(rows: Sequence[tuple[str, float, str, str]], label: str) -> str:
    """Return horizontal bars.

    Args:
        rows: (name, length, printed value, CSS class of the bar), top to bottom; the longest fills the width.
        label: what a screen reader says.
    """
    longest = max((length for _, length, _, _ in rows), default=0) or 1
    parts = []
    for index, (name, length, value, kind) in enumerate(rows):
        y = index * ROW + MIDDLE
        parts.append(tag("rect", class_="track", x=0, y=y - 6, width="100%", height=12))
        parts.append(tag("rect", class_=f"mark {kind}", x=0, y=y - 6, width=at(length / longest), height=12))
        parts += row_labels(y, name, value)
    return svg(len(rows) * ROW + 8, label, *parts, class_="rows")


def stacks(rows: Sequence[tuple[str, Sequence[tuple[str, float]], str]], label: str) -> str:
    """Return bars of the whole width, each cut into parts.

    Args:
        rows: (name, parts, printed value), where a part is (CSS class, amount).
        label: what a screen reader says.
    """
    parts = []
    for index, (name, pieces, value) in enumerate(rows):
        y, start = index * ROW + MIDDLE, 0.0
        total = sum(amount for _, amount in pieces) or 1
        for kind, amount in pieces:
            if amount:
                share = amount / total
                parts.append(tag("rect", class_=f"mark piece {kind}", x=at(start), y=y - 7, width=at(share), height=14))
                start += share
        parts += row_labels(y, name, value)
    bottom = len(rows) * ROW + 2
    axis = [tag("text", class_="tick", x=at(s), y=bottom + 16, text_anchor=anchor(s), text=t) for s, t in PER_CENT]
    return svg(bottom + 26, label, *parts, *axis, class_="rows")


def anchor(share: float) -> str:
    """Return how a text at a share of the width is to be aligned, so that it stays within it."""
    return "start" if share <= 0 else "end" if share >= 1 else "middle"


def curve(values: Sequence[float], smooth: Sequence[float], steps: Sequence[int], label: str, y_title: str) -> str:
    """Return a line over the optimizer steps, thin for each value and thick for the smoothed one.

    Args:
        values, smooth: one figure a step; a value that is not finite breaks the line.
        steps: the step numbers, ascending.
        label: what a screen reader says.
        y_title: name and unit of the vertical axis.
    """
    finite = [value for value in values if math.isfinite(value)]
    y_marks = ticks(max(finite, default=1.0))
    top, bottom, span = 30, 310, max(steps[-1] - steps[0], 1)

    def y_at(value: float) -> float:
        return bottom - (bottom - top) * value / y_marks[-1]

    def path(series: Sequence[float]) -> str:
        points, pen = [], "M"
        for step, value in zip(steps, series, strict=True):
            if math.isfinite(value):
                points.append(f"{pen}{_short(1000.0 * (step - steps[0]) / span)} {_short(y_at(value))}")
                pen = "L"
            else:
                pen = "M"
        return "".join(points)

    parts = [tag("text", class_="axis", x=-40, y=12, text=y_title)]
    for mark in y_marks:
        parts.append(tag("line", class_="grid", x1=0, x2="100%", y1=y_at(mark), y2=y_at(mark)))
        parts.append(tag("text", class_="tick", x=-8, y=y_at(mark) + 4, text_anchor="end", text=f"{mark:g}"))
    x_marks = [mark for mark in ticks(steps[-1]) if steps[0] <= mark <= steps[-1]]
    parts += x_axis([((mark - steps[0]) / span, number(mark)) for mark in x_marks], top, bottom)
    parts.append(tag("text", class_="axis", x="50%", y=bottom + 38, text_anchor="middle", text="optimizer step"))
    lines = [
        tag("path", class_=f"mark line {kind}", d=path(series), vector_effect="non-scaling-stroke")
        for kind, series in (("raw", values), ("smooth", smooth))
    ]
    parts.append(
        tag(
            "svg", *lines, width="100%", height=bottom + 4, viewBox=f"0 0 1000 {bottom + 4}", preserveAspectRatio="none"
        )
    )
    if math.isfinite(smooth[-1]):
        parts.append(
            tag(
                "text",
                class_="callout",
                x="100%",
                y=y_at(smooth[-1]) - 10,
                text_anchor="end",
                text=f"average {number(smooth[-1])}",
            )
        )
    return svg(bottom + 46, label, *parts, class_="curve")


def intervals(groups: Sequence[tuple[str, Sequence[Mapping[str, Any]]]], label: str) -> str:
    """Return accuracy before and after with their intervals, a row a benchmark, on an axis from 0 to 100 %.

    Args:
        groups: (heading, rows); a row has ``name``, ``n``, ``baseline``, ``before``, ``before_low``, ``before_high``,
            ``after``, ``after_low``, ``after_high`` (shares).
        label: what a screen reader says.
    """
    rows_height = sum(HEAD + ROW * len(rows) for _, rows in groups)
    parts, y = x_axis(PER_CENT, 8, rows_height + 8), 0
    for heading, rows in groups:
        parts.append(tag("text", class_="heading", x=0, y=y + 32, text=heading))
        y += HEAD
        for row in rows:
            middle = y + MIDDLE
            parts.append(tag("line", class_="rail", x1=0, x2="100%", y1=middle, y2=middle))
            base, lanes = at(row["baseline"]), (("before", middle - 4, 4), ("after", middle + 4, 5))
            for kind, lane, _ in lanes:
                low, high = at(row[f"{kind}_low"]), at(row[f"{kind}_high"])
                parts.append(tag("line", class_=f"mark span {kind}", x1=low, x2=high, y1=lane, y2=lane))
            parts.append(tag("line", class_="mark baseline", x1=base, x2=base, y1=middle - 10, y2=middle + 11))
            for kind, lane, radius in lanes:
                parts.append(tag("circle", class_=f"mark dot {kind}", cx=at(row[kind]), cy=lane, r=radius))
            span = f"[{100 * row['after_low']:.0f}–{100 * row['after_high']:.0f}]"
            value = f"{percent(row['before'])} → {percent(row['after'])} % {span}"
            parts += row_labels(middle, f"{row['name']} (n = {row['n']:,})", value)
            y += ROW
    return svg(rows_height + 34, label, *parts, class_="rows")


def dot(kind: str, share: float, y: int) -> str:
    """Return a mark for ``right`` or ``wrong``: they differ in shape, and not in colour alone."""
    if kind == "right":
        return tag("circle", class_="mark dot right", cx=at(share), cy=y, r=5)
    square = tag("rect", class_="mark dot wrong", x=-4.5, y=-4.5, width=9, height=9, transform="rotate(45)")
    return tag("svg", square, x=at(share), y=y, class_="point")


def lengths(rows: Sequence[Mapping[str, Any]], label: str) -> str:
    """Return mean thinking tokens of right and wrong answers, a row a benchmark.

    Args:
        rows: ``name``, ``error`` (share), ``right`` and ``wrong`` (tokens, or None where there is no such answer).
        label: what a screen reader says.
    """
    top = max((row[kind] or 0 for row in rows for kind in ("right", "wrong")), default=0)
    scale = ticks(top)
    bottom = len(rows) * ROW + 8
    parts = x_axis([(mark / scale[-1], f"{mark:g}") for mark in scale], 6, bottom)
    for index, row in enumerate(rows):
        y = index * ROW + MIDDLE
        shown = {kind: row[kind] for kind in ("right", "wrong") if row[kind] is not None}
        parts.append(tag("line", class_="rail", x1=0, x2="100%", y1=y, y2=y))
        if len(shown) == 2:
            ends = [at(value / scale[-1]) for value in shown.values()]
            parts.append(tag("line", class_="mark link", x1=ends[0], x2=ends[1], y1=y, y2=y))
        for kind, value in sorted(shown.items(), reverse=True):
            parts.append(dot(kind, value / scale[-1], y))
        printed = " / ".join("–" if row[kind] is None else f"{row[kind]:.0f}" for kind in ("right", "wrong"))
        parts += row_labels(y, f"{row['key']}  {row['name']} · {percent(row['error'])} % wrong", printed)
    parts.append(tag("text", class_="axis", x="50%", y=bottom + 36, text_anchor="middle", text="mean thinking tokens"))
    return svg(bottom + 44, label, *parts, class_="rows")


def scatter(points: Sequence[tuple[str, float, float]], label: str, y_title: str) -> str:
    """Return numbered points of error rate (0..1, across) against mean thinking tokens (up).

    Args:
        points: (key printed beside the point, error rate, tokens).
        label: what a screen reader says.
        y_title: name and unit of the vertical axis.
    """
    y_marks = ticks(max((tokens for _, _, tokens in points), default=1.0))
    top, bottom = 34, 300
    parts = [tag("text", class_="axis", x=-40, y=12, text=y_title)]
    for mark in y_marks:
        y = bottom - (bottom - top) * mark / y_marks[-1]
        parts.append(tag("line", class_="grid", x1=0, x2="100%", y1=y, y2=y))
        parts.append(tag("text", class_="tick", x=-8, y=y + 4, text_anchor="end", text=f"{mark:g}"))
    parts += x_axis(PER_CENT, top, bottom)
    title = "questions answered wrong (difficulty)"
    parts.append(tag("text", class_="axis", x="50%", y=bottom + 38, text_anchor="middle", text=title))
    if not points:
        parts.append(tag("text", class_="tick", x="50%", y=160, text_anchor="middle", text="no thought was finished"))
    places = [(error, bottom - (bottom - top) * tokens / y_marks[-1]) for _, error, tokens in points]
    for (key, _, _), (error, y), (dx, dy) in zip(points, places, label_offsets(places), strict=True):
        parts.append(tag("circle", class_="mark dot right", cx=at(error), cy=y, r=4.5))
        parts.append(tag("text", class_="key", x=at(error), y=y + 4, dx=dx, dy=dy, text_anchor="middle", text=key))
    return svg(bottom + 46, label, *parts, class_="curve")


def label_offsets(places: Sequence[tuple[float, float]], width: float = 300.0) -> list[tuple[float, float]]:
    """Return for each point a place beside it, in pixels, that covers no other point or label.

    ``width`` is that of the narrowest page: what is apart there is apart on every wider one.
    """
    taken = [(share * width, y, 11.0) for share, y in places]
    offsets = []
    for share, y in places:
        x = share * width
        around = [
            (ring * math.cos(math.radians(angle)), -ring * math.sin(math.radians(angle)))
            for ring in (13.0, 24.0, 35.0, 46.0, 57.0)
            for angle in (0, 180, 90, 270, 45, 135, 315, 225)
        ]
        free = next(
            (
                (dx, dy)
                for dx, dy in around
                if -12 <= x + dx <= width + 12
                and all(max(abs(x + dx - a), abs(y + dy - b)) >= size for a, b, size in taken if (a, b) != (x, y))
            ),
            around[0],
        )
        taken.append((x + free[0], y + free[1], 13.0))
        offsets.append(free)
    return offsets
