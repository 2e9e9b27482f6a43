"""The comparison of two corpora as one page that fetches nothing."""

from collections.abc import Mapping, Sequence
from typing import Any

from octomed_jax import __version__
from octomed_jax.evaluation import charts, histograms
from octomed_jax.evaluation.data_card_rows import COUNT_WORDS, FIELD_WORDS, LENGTH_WORDS, amount
from octomed_jax.evaluation.data_compare import KEY_WORDS, LENGTHS, on_one_axis, only_in
from octomed_jax.evaluation.data_compare_text import percent
from octomed_jax.evaluation.page import render

MOST_ROWS = 20  # of a figure; the tables have all
SIDES = [("k-kept", "A"), ("k-failed", "B")]

Table = Mapping[str, Any]


def write_page(table: Table) -> str:
    """Return the page of a comparison."""
    return render(
        "data_compare.html.jinja",
        "octomed_jax: two corpora",
        draw(table),
        table=table,
        count_words=COUNT_WORDS,
        field_words=FIELD_WORDS,
        length_words=LENGTH_WORDS,
        key_words=KEY_WORDS,
        lengths=LENGTHS,
        sides=SIDES,
        amount=amount,
        share=percent,
        only={field: only_in(rows) for field, rows in table["shares"].items()},
        version=__version__,
    )


def draw(table: Table) -> dict[str, str]:
    """Return figure name to its SVG, without those of which there are no numbers."""
    drawn = {field: _shares(rows, FIELD_WORDS[field]) for field, rows in table["shares"].items() if rows}
    if "left_out" not in table["lengths"] and "histogram" in table["lengths"]["question"][1]:
        drawn |= {f"{name}_lengths": _lengths(table["lengths"][name], name) for name in LENGTHS}
    if "left_out" not in table["overlap"]:
        drawn["overlap"] = _overlap(table["overlap"])
    return drawn


def _shares(rows: Sequence[Table], words: str) -> str:
    shown = []
    for row in rows[:MOST_ROWS]:
        a, b = row["share"]
        value = f"{charts.percent(a)} %" if b is None else f"{charts.percent(a)} / {charts.percent(b)} %"
        shown.append((histograms.shortened(row["name"]), a, b or 0.0, value))
    told = ", ".join(f"{name} {value}" for name, _, _, value in shown)
    return histograms.pairs(shown, f"Shares by {words}, A and B: {told}", ("kept", "failed"))


def _lengths(both: Sequence[Table], name: str) -> str:
    width, counts = on_one_axis(both)
    halves = [
        (f"{name}s of {side}", kind, found, one["median"])
        for side, kind, found, one in zip("AB", ("kept", "failed"), counts, both, strict=True)
    ]
    label = f"Lengths of the {name}s; medians: A {both[0]['median']:,}, B {both[1]['median']:,}"
    return histograms.back_to_back(halves, width, label, "tokens")


def _overlap(overlap: Table) -> str:
    rows = [
        (
            words,
            [("kept", row["only_a"]), ("surplus", row["both"]), ("failed", row["only_b"])],
            f"{row['both']:,} in both",
        )
        for name, words in KEY_WORDS.items()
        for row in [overlap[name]]
    ]
    return charts.stacks(
        rows, "What is in A alone, in both and in B alone: " + ", ".join(f"{n} {v}" for n, _, v in rows)
    )
