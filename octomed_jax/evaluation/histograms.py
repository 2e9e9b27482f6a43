"""Charts of counts and shares, in the manner of ``charts``: columns, two histograms back to back, pairs of bars."""

from collections.abc import Mapping, Sequence
from typing import Any

from octomed_jax.evaluation.charts import (
    HEAD,
    MIDDLE,
    PER_CENT,
    ROW,
    at,
    dot,
    number,
    percent,
    row_labels,
    svg,
    tag,
    ticks,
    x_axis,
)

MOST_NAME = 30  # characters that fit beside a row


def columns(bars: Sequence[tuple[str, int, str]], label: str, x_title: str, y_title: str) -> str:
    """Return columns side by side.

    Args:
        bars: (name under it, height, CSS class), left to right.
        label: what a screen reader says.
        x_title, y_title: names of the axes.
    """
    marks = ticks(max((height for _, height, _ in bars), default=1))
    top, bottom, width = 30, 230, 1 / max(1, len(bars))
    parts = [tag("text", class_="axis", x=-40, y=12, text=y_title)]
    for mark in marks:
        y = bottom - (bottom - top) * mark / marks[-1]
        parts.append(tag("line", class_="grid", x1=0, x2="100%", y1=y, y2=y))
        parts.append(tag("text", class_="tick", x=-8, y=y + 4, text_anchor="end", text=_compact(mark)))
    for index, (name, height, kind) in enumerate(bars):
        middle = at((index + 0.5) * width)
        if height:
            pixels = (bottom - top) * height / marks[-1]
            place: dict[str, Any] = {
                "x": at((index + 0.12) * width),
                "width": at(0.76 * width),
                "y": bottom - pixels,
                "height": pixels,
            }
            parts.append(tag("rect", tag("title", text=f"{name}: {height:,}"), class_=f"mark {kind}", **place))
        parts.append(tag("text", class_="tick", x=middle, y=bottom + 16, text_anchor="middle", text=name))
    parts.append(tag("text", class_="axis", x="50%", y=bottom + 38, text_anchor="middle", text=x_title))
    return svg(bottom + 46, label, *parts, class_="curve")


def _compact(value: float) -> str:
    """Return a round number so short that it fits left of a chart."""
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if value >= 10 * size or (value >= size and size > 1_000):
            return f"{value / size:g}{letter}"
    return number(value)


def back_to_back(halves: Sequence[tuple[str, str, Sequence[int], float]], width: int, label: str, x_title: str) -> str:
    """Return two histograms on one axis, one upwards and one downwards, each as shares of its own total.

    Args:
        halves: (name, CSS class, counts by bin, median) of the upper and of the lower one, with as many bins.
        width: of a bin, from 0.
        label: what a screen reader says.
        x_title: name and unit of the horizontal axis.
    """
    shares = [[count / (sum(counts) or 1) for count in counts] for _, _, counts, _ in halves]
    marks = ticks(max(max(half) for half in shares), most=3)
    n_bins, reach, zero = len(shares[0]), 120, 150
    bottom = zero + reach
    parts = []
    for sign, (name, _, _, _) in zip((-1, 1), halves, strict=True):
        y = zero - reach - 18 if sign < 0 else bottom + 56
        parts.append(tag("text", class_="axis", x=-40, y=y, text=f"share of the {name}"))
        for mark in marks:
            level = zero + sign * reach * mark / marks[-1]
            parts.append(tag("line", class_="grid", x1=0, x2="100%", y1=level, y2=level))
            parts.append(tag("text", class_="tick", x=-8, y=level + 4, text_anchor="end", text=f"{100 * mark:g} %"))
    end = n_bins * width
    parts += x_axis([(mark / end, number(mark)) for mark in ticks(end) if mark <= end], zero - reach, bottom)
    for sign, (name, kind, counts, median), half in zip((-1, 1), halves, shares, strict=True):
        for index, share in enumerate(half):
            if share:
                pixels = reach * share / marks[-1]
                place: dict[str, Any] = {"x": at(index / n_bins), "width": at(0.9 / n_bins), "height": pixels}
                title = tag("title", text=f"{name}, {index * width:,}–{(index + 1) * width - 1:,}: {counts[index]:,}")
                parts.append(tag("rect", title, class_=f"mark {kind}", y=zero - pixels if sign < 0 else zero, **place))
        if sum(counts):
            parts += _median((median + 0.5) / end, zero + sign * (reach - 8), zero, f"median {number(median)}")
    parts.append(tag("line", class_="zero", x1=0, x2="100%", y1=zero, y2=zero))
    parts.append(tag("text", class_="axis", x="50%", y=bottom + 38, text_anchor="middle", text=x_title))
    return svg(bottom + 64, label, *parts, class_="curve")


def _median(share: float, y: int, zero: int, text: str) -> list[str]:
    side, shift = ("start", 6) if share < 0.6 else ("end", -6)
    return [
        tag("line", class_="median", x1=at(share), x2=at(share), y1=y, y2=zero),
        tag("text", class_="key", x=at(share), dx=shift, y=y + 4, text_anchor=side, text=text),
    ]


def pairs(rows: Sequence[tuple[str, float, float, str]], label: str, kinds: tuple[str, str]) -> str:
    """Return two thin bars a row, for shares that are to be compared.

    Args:
        rows: (name, upper share, lower share, printed value), top to bottom.
        label: what a screen reader says.
        kinds: CSS classes of the upper and the lower bars.
    """
    scale = ticks(max(max(upper, lower) for _, upper, lower, _ in rows))
    bottom = len(rows) * ROW + 8
    parts = x_axis([(mark / scale[-1], f"{100 * mark:g} %") for mark in scale], 6, bottom)
    for index, (name, upper, lower, value) in enumerate(rows):
        y = index * ROW + MIDDLE
        for share, kind, place in ((upper, kinds[0], y - 6), (lower, kinds[1], y + 2)):
            parts.append(tag("rect", class_=f"mark {kind}", x=0, y=place, width=at(share / scale[-1]), height=7))
        parts += row_labels(y, name, value)
    return svg(bottom + 26, label, *parts, class_="rows")


def proportions(groups: Sequence[tuple[str, Sequence[Mapping[str, Any]]]], label: str) -> str:
    """Return shares as bars with their intervals, on an axis from 0 to 100 %.

    Args:
        groups: (heading, rows); a row has ``name``, ``asked``, ``rate`` and ``wilson`` (low, high).
        label: what a screen reader says.
    """
    height = sum(HEAD + ROW * len(rows) for _, rows in groups)
    parts, y = x_axis(PER_CENT, 8, height + 8), 0
    for heading, rows in groups:
        parts.append(tag("text", class_="heading", x=0, y=y + 32, text=heading))
        y += HEAD
        for row in rows:
            middle, (low, high) = y + MIDDLE, row["wilson"]
            parts.append(tag("rect", class_="track", x=0, y=middle - 6, width="100%", height=12))
            parts.append(tag("rect", class_="mark correct", x=0, y=middle - 6, width=at(row["rate"]), height=12))
            parts.append(tag("line", class_="mark span interval", x1=at(low), x2=at(high), y1=middle, y2=middle))
            value = f"{percent(row['rate'])} % [{100 * low:.0f}–{100 * high:.0f}]"
            n = f" (n = {row['asked']:,})"
            parts += row_labels(middle, shortened(row["name"], MOST_NAME - len(n)) + n, value)
            y += ROW
    return svg(height + 34, label, *parts, class_="rows")


def quartiles(rows: Sequence[Mapping[str, Any]], label: str, x_title: str) -> str:
    """Return median and quartiles of right and of other answers, a row a source.

    Args:
        rows: ``name``; ``right`` and ``wrong``, each (lower quartile, median, upper quartile) or None.
        label: what a screen reader says.
        x_title: name and unit of the horizontal axis.
    """
    scale = ticks(max((row[kind][2] for row in rows for kind in ("right", "wrong") if row[kind]), default=1))
    bottom = len(rows) * ROW + 8
    parts = x_axis([(mark / scale[-1], number(mark)) for mark in scale], 6, bottom)
    for index, row in enumerate(rows):
        y = index * ROW + MIDDLE
        for kind, lane in (("wrong", y + 5), ("right", y - 5)):
            if row[kind]:
                low, middle, high = (value / scale[-1] for value in row[kind])
                ends: dict[str, Any] = {"x1": at(low), "x2": at(high), "y1": lane, "y2": lane}
                parts += [tag("line", class_=f"mark span {kind}", **ends), dot(kind, middle, lane)]
        printed = " / ".join(number(row[kind][1]) if row[kind] else "–" for kind in ("right", "wrong"))
        parts += row_labels(y, shortened(row["name"]), printed)
    parts.append(tag("text", class_="axis", x="50%", y=bottom + 36, text_anchor="middle", text=x_title))
    return svg(bottom + 44, label, *parts, class_="rows")


def shortened(name: str, most: int = MOST_NAME) -> str:
    """Return a name that fits beside a row: without its owner (``owner/model``), and cut where it is still long."""
    short = name.rpartition("/")[2] or name
    return short if len(short) <= most else f"{short[: most - 1]}…"


def lengths(counts: Sequence[int], width: int, mean: float, label: str, x_title: str, y_title: str) -> str:
    """Return a histogram with its mean marked; the last bin may hold longer ones too.

    Args:
        counts: by bin, from 0.
        width: of a bin.
        mean: marked where it lies on the axis.
        label: what a screen reader says.
        x_title, y_title: names of the axes.
    """
    marks = ticks(max(counts, default=1))
    top, bottom, end = 30, 230, len(counts) * width
    parts = [tag("text", class_="axis", x=-40, y=12, text=y_title)]
    for mark in marks:
        y = bottom - (bottom - top) * mark / marks[-1]
        parts.append(tag("line", class_="grid", x1=0, x2="100%", y1=y, y2=y))
        parts.append(tag("text", class_="tick", x=-8, y=y + 4, text_anchor="end", text=_compact(mark)))
    parts += x_axis([(mark / end, number(mark)) for mark in ticks(end) if mark <= end], bottom, bottom)
    for index, count in enumerate(counts):
        if count:
            pixels = (bottom - top) * count / marks[-1]
            place: dict[str, Any] = {"x": at(index / len(counts)), "width": at(0.9 / len(counts)), "height": pixels}
            over = "" if index < len(counts) - 1 else " or more"
            title = tag("title", text=f"{index * width:,}–{(index + 1) * width - 1:,}{over}: {count:,}")
            parts.append(tag("rect", title, class_="mark kept", y=bottom - pixels, **place))
    if counts and mean <= end:
        parts += _median((mean + 0.5) / end, top - 8, bottom, f"mean {number(mean)}")
    parts.append(tag("text", class_="axis", x="50%", y=bottom + 38, text_anchor="middle", text=x_title))
    return svg(bottom + 46, label, *parts, class_="curve")
