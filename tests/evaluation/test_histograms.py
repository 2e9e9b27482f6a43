import xml.etree.ElementTree as ET

import pytest

from octomed_jax.evaluation import histograms


def texts(svg):
    return [element.text for element in ET.fromstring(svg).iter("text")]


def marks(svg, name="rect"):
    return [element for element in ET.fromstring(svg).iter(name) if "mark" in (element.get("class") or "")]


def test_columns_are_in_proportion():
    svg = histograms.columns([("0", 10, "rejected"), ("1", 0, "correct"), ("2", 5, "kept")], "x", "right", "questions")
    drawn = marks(svg)
    assert [element.get("class") for element in drawn] == ["mark rejected", "mark kept"]  # none is drawn as none
    heights = [float(element.get("height")) for element in drawn]
    assert heights[0] == 2 * heights[1]
    assert {"0", "1", "2", "right", "questions"} <= set(texts(svg))
    assert [title.text for title in ET.fromstring(svg).iter("title")] == ["0: 10", "2: 5"]


def test_large_counts_fit_beside_the_axis():
    svg = histograms.columns([("0", 1_800_000, "kept")], "x", "right", "questions")
    assert {"0", "500k", "1M", "1.5M", "2M"} <= set(texts(svg))


def test_histograms_back_to_back_are_shares_of_their_own():
    halves = [("correct", "kept", [30, 10], 4), ("others", "rejected", [1, 3], 12)]
    svg = histograms.back_to_back(halves, 10, "lengths", "tokens")
    drawn = marks(svg)
    heights = [float(element.get("height")) for element in drawn]
    assert heights[0] == heights[3] == pytest.approx(3 * heights[1], abs=0.05)
    zero = float(drawn[2].get("y"))
    assert all(float(element.get("y")) < zero for element in drawn[:2])
    assert float(drawn[3].get("y")) == zero
    assert {"median 4", "median 12", "share of the correct", "share of the others"} <= set(texts(svg))


def test_a_half_without_any_has_no_median():
    svg = histograms.back_to_back([("correct", "kept", [0], 0), ("others", "rejected", [3], 1)], 2, "lengths", "tokens")
    assert "median 1" in texts(svg)
    assert "median 0" not in texts(svg)
    assert len(marks(svg)) == 1


def test_pairs():
    svg = histograms.pairs([("A", 0.2, 0.4, "20 / 40 %"), ("B", 0.1, 0.0, "10 / 0 %")], "letters", ("parsed", "kept"))
    widths = [(element.get("class"), element.get("width")) for element in marks(svg)]
    assert widths == [("mark parsed", "50%"), ("mark kept", "100%"), ("mark parsed", "25%"), ("mark kept", "0%")]
    assert "20 / 40 %" in texts(svg)


def test_proportions_print_their_values():
    row = {"name": "someone/a-model", "asked": 1200, "rate": 0.25, "wilson": [0.2, 0.31]}
    svg = histograms.proportions([("Teachers", [row])], "acceptance")
    assert {"Teachers", "a-model (n = 1,200)", "25 % [20–31]"} <= set(texts(svg))
    (line,) = marks(svg, "line")
    assert (line.get("x1"), line.get("x2")) == ("20%", "31%")


def test_quartiles_leave_out_what_there_is_not():
    svg = histograms.quartiles([{"name": "exam", "right": (10, 20, 30), "wrong": None}], "lengths", "tokens")
    assert "20 / –" in texts(svg)
    assert len(marks(svg, "circle")) == 1
    assert marks(svg) == []


def test_long_names_are_cut():
    assert histograms.shortened("someone/model") == "model"
    assert histograms.shortened("x/") == "x/"
    assert len(histograms.shortened("a" * 90)) == histograms.MOST_NAME
