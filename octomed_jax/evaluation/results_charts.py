"""Charts of several models side by side, in the manner of ``charts``: lanes, a forest plot, lines over k."""

from collections.abc import Mapping, Sequence
from typing import Any

from octomed_jax.evaluation.charts import HEAD, MIDDLE, ROW, at, row_labels, svg, tag, x_axis

LANE = 10  # pixels between the models of a row

Span = tuple[float, float, float]  # low, point and high, as shares of the width


def point(model: int, share: float, y: float) -> str:
    """Return the mark of a model: models that stand next to each other differ in shape, and not in colour alone."""
    if model % 2 == 0:
        return tag("circle", class_=f"mark dot m m{model}", cx=at(share), cy=y, r=5)
    square = tag("rect", class_=f"mark dot m m{model}", x=-4.5, y=-4.5, width=9, height=9, transform="rotate(45)")
    return tag("svg", square, x=at(share), y=y, class_="point")


def lanes(
    groups: Sequence[tuple[str, Sequence[Mapping[str, Any]]]],
    marks: Sequence[tuple[float, str]],
    label: str,
    x_title: str = "",
) -> str:
    """Return points with their ranges, a row a thing and in it a lane a model.

    Args:
        groups: (heading or "", rows); a row has ``name``, ``value`` (printed) and ``spans``, a Span or None a model,
            and may have ``reference``, a share that is marked by a line.
        marks: (share of the width, text) of the axis.
        label: what a screen reader says.
        x_title: name and unit of the axis.
    """
    n_lanes = max((len(row["spans"]) for _, rows in groups for row in rows), default=1)
    row_height = ROW + LANE * (n_lanes - 1)
    height = sum((HEAD if heading else 0) + row_height * len(rows) for heading, rows in groups)
    parts, y = x_axis(marks, 8, height + 8), 0
    for heading, rows in groups:
        if heading:
            parts.append(tag("text", class_="heading", x=0, y=y + 32, text=heading))
            y += HEAD
        for row in rows:
            first = y + MIDDLE
            parts.append(tag("line", class_="rail", x1=0, x2="100%", y1=first, y2=first))
            if (share := row.get("reference")) is not None:
                last = first + LANE * (len(row["spans"]) - 1)
                parts.append(
                    tag("line", class_="mark reference", x1=at(share), x2=at(share), y1=first - 9, y2=last + 9)
                )
            for model, span in enumerate(row["spans"]):
                if span:
                    lane = first + LANE * model
                    ends: dict[str, Any] = {"x1": at(span[0]), "x2": at(span[2]), "y1": lane, "y2": lane}
                    parts.append(tag("line", class_=f"mark span m m{model}", **ends))
            parts += [point(model, span[1], first + LANE * model) for model, span in enumerate(row["spans"]) if span]
            parts += row_labels(first, row["name"], row["value"])
            y += row_height
    if x_title:
        parts.append(tag("text", class_="axis", x="50%", y=height + 44, text_anchor="middle", text=x_title))
    return svg(height + (52 if x_title else 34), label, *parts, class_="rows")


def forest(rows: Sequence[Mapping[str, Any]], marks: Sequence[float], label: str, x_title: str) -> str:
    """Return differences with their intervals around 0.

    Args:
        rows: ``name``, ``value`` (printed), ``low``, ``middle``, ``high`` and ``kind``: ``up``, ``down`` or ``none``,
            which say who is better, or that there is no evidence of it.
        marks: values of the axis, ascending; all of the rows lie between the first and the last.
        label: what a screen reader says.
        x_title: name and unit of the axis.
    """
    first, span = marks[0], marks[-1] - marks[0]
    bottom = len(rows) * ROW + 8
    places = [((mark - first) / span, f"{mark:+g}".replace("-", "−") if mark else "0") for mark in marks]
    parts = x_axis(places, 6, bottom)
    zero = at(-first / span)
    parts.append(tag("line", class_="zero", x1=zero, x2=zero, y1=6, y2=bottom))
    for index, row in enumerate(rows):
        y = index * ROW + MIDDLE
        low, middle, high = ((row[name] - first) / span for name in ("low", "middle", "high"))
        parts.append(tag("line", class_=f"mark span against {row['kind']}", x1=at(low), x2=at(high), y1=y, y2=y))
        parts.append(tag("circle", class_=f"mark dot against {row['kind']}", cx=at(middle), cy=y, r=5))
        parts += row_labels(y, row["name"], row["value"])
    parts.append(tag("text", class_="axis", x="50%", y=bottom + 36, text_anchor="middle", text=x_title))
    return svg(bottom + 44, label, *parts, class_="rows")


def over_k(
    lines: Sequence[tuple[int, str, Sequence[float]]], names: Sequence[str], marks: Sequence[float], label: str
) -> str:
    """Return shares over k as lines; the places of k are evenly apart.

    Args:
        lines: (number of the model, CSS class of the line, a share for each k).
        names: the k, ascending.
        marks: shares of the axis, ascending; all of the lines lie between the first and the last.
        label: what a screen reader says.
    """
    top, bottom = 30, 290
    first, span = marks[0], marks[-1] - marks[0]

    def y_at(share: float) -> float:
        return bottom - (bottom - top) * (share - first) / span

    places = [(index + 0.5) / len(names) for index in range(len(names))]
    parts = [tag("text", class_="axis", x=-40, y=12, text="questions answered rightly")]
    for mark in marks:
        parts.append(tag("line", class_="grid", x1=0, x2="100%", y1=y_at(mark), y2=y_at(mark)))
        text = f"{100 * mark:g} %"
        parts.append(tag("text", class_="tick", x=-8, y=y_at(mark) + 4, text_anchor="end", text=text))
    for place, name in zip(places, names, strict=True):
        parts.append(tag("text", class_="tick", x=at(place), y=bottom + 16, text_anchor="middle", text=name))
    title = "samples a question (k)"
    parts.append(tag("text", class_="axis", x="50%", y=bottom + 38, text_anchor="middle", text=title))
    paths = [
        tag(
            "path",
            class_=f"mark line m m{model} {kind}",
            d="M" + "L".join(f"{1000 * x:.1f} {y_at(share):.1f}" for x, share in zip(places, shares, strict=True)),
            vector_effect="non-scaling-stroke",
        )
        for model, kind, shares in lines
    ]
    box = f"0 0 1000 {bottom + 4}"
    parts.append(tag("svg", *paths, width="100%", height=bottom + 4, viewBox=box, preserveAspectRatio="none"))
    parts += [
        point(model, x, y_at(share)) for model, _, shares in lines for x, share in zip(places, shares, strict=True)
    ]
    return svg(bottom + 46, label, *parts, class_="curve")
