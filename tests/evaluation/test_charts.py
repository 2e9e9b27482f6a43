import math
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octomed_jax.evaluation import charts
from octomed_jax.evaluation.figures import fates


def texts(svg):
    return [element.text for element in ET.fromstring(svg).iter("text")]


@given(st.floats(1e-6, 1e9))
def test_ticks_are_even_round_and_reach_the_top(top):
    marks = charts.ticks(top)
    assert marks[0] == 0
    assert marks[-1] >= top * (1 - 1e-9) or top < 1e-5
    assert 2 <= len(marks) <= 7


def test_ticks_of_nothing():
    assert charts.ticks(0) == [0.0, 1.0]
    assert charts.ticks(6.4) == [0, 2, 4, 6, 8]


def test_percent_keeps_none_and_all_for_exactly_these():
    assert [charts.percent(x) for x in (0, 0.001, 0.5, 0.999, 1)] == ["0", "<1", "50", ">99", "100"]


def test_numbers():
    assert [charts.number(x) for x in (19600, 0.28714, 1234.5, 3.0)] == ["19,600", "0.287", "1,234", "3"]


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=30))
def test_any_name_is_escaped(name):
    # XML 1.0 leaves out a few non-characters that HTML shows as they are
    name = name.replace("\ufffe", "").replace("\uffff", "")
    assert name in [text or "" for text in texts(charts.bars([(name, 1, "1", "kept")], name))]


def test_bars_are_in_proportion():
    root = ET.fromstring(charts.bars([("a", 10, "10", "kept"), ("b", 5, "5", "kept")], "two bars"))
    widths = [element.get("width") for element in root.iter("rect") if "mark" in element.get("class")]
    assert widths == ["100%", "50%"]
    assert root.get("aria-label") == "two bars"


def test_stacks_fill_the_width():
    root = ET.fromstring(charts.stacks([("a", [("kept", 1), ("wrong", 3), ("failed", 0)], "1 of 4")], "stack"))
    pieces = [(element.get("x"), element.get("width")) for element in root.iter("rect")]
    assert pieces == [("0%", "25%"), ("25%", "75%")]


def test_curve_breaks_at_what_is_not_finite():
    svg = charts.curve([4.0, math.nan, 2.0, 1.0], [4.0, 3.0, 2.0, 1.0], [1, 2, 3, 4], "loss", "loss")
    raw, smooth = (element.get("d") for element in ET.fromstring(svg).iter("path"))
    assert (raw.count("M"), raw.count("L")) == (2, 1)
    assert (smooth.count("M"), smooth.count("L")) == (1, 3)
    assert "nan" not in svg


def test_curve_of_one_step():
    assert "<path" in charts.curve([4.0], [4.0], [1], "loss", "loss")


def test_intervals_print_their_values():
    row = {"name": "plane", "n": 200, "baseline": 0.36, "before": 0.0, "before_low": 0.0, "before_high": 0.02}
    row |= {"after": 0.99, "after_low": 0.96, "after_high": 1.0}
    svg = charts.intervals([("Another brain", [row])], "accuracy")
    assert {"Another brain", "plane (n = 200)", "0 → 99 % [96–100]"} <= set(texts(svg))
    dots = [element.get("cx") for element in ET.fromstring(svg).iter("circle")]
    assert dots == ["0%", "99%"]


def test_lengths_leave_out_what_there_is_not():
    svg = charts.lengths([{"key": "1", "name": "plane", "error": 0.0, "right": 12.0, "wrong": None}], "lengths")
    assert "12 / –" in texts(svg)
    assert "wrong" not in [element.get("class").split()[-1] for element in ET.fromstring(svg).iter("rect")]


@pytest.mark.parametrize("places", [[(1.0, 100.0)] * 8, [(0.5, 40.0), (0.51, 42.0), (0.52, 44.0)]])
def test_labels_of_close_points_do_not_cover_each_other(places):
    offsets = charts.label_offsets(places)
    spots = [(share * 300 + dx, y + dy) for (share, y), (dx, dy) in zip(places, offsets, strict=True)]
    for index, (x, y) in enumerate(spots):
        assert all(max(abs(x - a), abs(y - b)) >= 12 for a, b in spots[:index])


@pytest.mark.parametrize(
    "counts",
    [
        {"asked": 9, "answered": 8, "parsed": 6, "correct": 4, "kept": 3},
        {"asked": 9, "answered": 8, "parsed": 2, "correct": 1, "published": 5, "kept": 6},
    ],
)
def test_the_fates_of_attempts_add_up(counts):
    found = dict(fates(counts))
    assert sum(found.values()) == counts["asked"]
    assert min(found.values()) >= 0
    assert found["failed"] == 1
