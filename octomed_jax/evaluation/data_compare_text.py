"""A comparison of two corpora as Markdown tables, which is what stands on the terminal."""

from collections.abc import Mapping
from typing import Any

from octomed_jax.evaluation.data_card_markdown import grid, plain
from octomed_jax.evaluation.data_card_rows import COUNT_WORDS, FIELD_WORDS, LENGTH_WORDS, amount
from octomed_jax.evaluation.data_compare import KEY_WORDS, LENGTHS, only_in

MOST_ROWS = 15  # of a table on a terminal; the page and --json have all

Table = Mapping[str, Any]


def write_text(table: Table) -> str:
    """Return a comparison as Markdown."""
    parts = [f"A: {plain(table['a']['name'])}  \nB: {plain(table['b']['name'])}", _numbers(table), _notes(table)]
    parts += [_shares(field, rows) for field, rows in table["shares"].items()]
    return "\n\n".join(part for part in [*parts, _overlap(table["overlap"])] if part)


def _numbers(table: Table) -> str:
    rows = [[words, *(amount(value) for value in table["counts"][name])] for name, words in COUNT_WORDS.items()]
    if "left_out" not in table["lengths"]:
        for name in LENGTHS:
            rows.append([LENGTH_WORDS[name], *(amount(one["mean"]) for one in table["lengths"][name])])
    return grid(["", "A", "B"], rows)


def _notes(table: Table) -> str:
    lengths = table["lengths"]
    return f"Lengths are left out: {lengths['left_out']}." if "left_out" in lengths else lengths["note"]


def _shares(field: str, rows: "list[Table]") -> str:
    body = [[row["name"], *(percent(share) for share in row["share"])] for row in rows[:MOST_ROWS]]
    what = "images" if "instances" not in rows[0] else "training rows"
    parts = [grid([f"{FIELD_WORDS[field]}, share of {what}", "A", "B"], body)]
    if len(rows) > MOST_ROWS:
        parts.append(f"({len(rows) - MOST_ROWS} more)")
    if "instances" in rows[0]:
        for side, names in zip("AB", only_in(rows), strict=True):
            shown = ", ".join(map(plain, names[:MOST_ROWS])) + (", …" if len(names) > MOST_ROWS else "")
            parts += [f"Only in {side}: {shown}."] if names else []
    return "\n\n".join(parts)


def _overlap(overlap: Table) -> str:
    if "left_out" in overlap:
        return f"Overlap is not known: {overlap['left_out']}."
    rows = [
        [words, *(amount(overlap[name][part]) for part in ("both", "only_a", "only_b"))]
        for name, words in KEY_WORDS.items()
    ]
    return grid(["", "in both", "only in A", "only in B"], rows)


def percent(share: float | None) -> str:
    """Return a share with one figure after the point; a dash for what is not known."""
    return "–" if share is None else f"{100 * share:.1f} %"
