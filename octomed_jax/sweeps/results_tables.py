"""The rows of a sweep as CSV and as Markdown."""

import csv
import io
from collections.abc import Sequence
from typing import Any

from octomed_jax.sweeps import results_words as words
from octomed_jax.sweeps.best import Best
from octomed_jax.sweeps.rows import OVERALL, Row, Sweep, cell, field_text

PARTS = ("n", "correct", "accuracy", "low", "high")
# The seconds come last: they are the one column that differs between two machines that did the same.
FIGURES = ("completion_tokens", "loss", "held_out_loss", "tokens_trained", "train_seconds")


def csv_table(sweep: Sweep) -> str:
    """Return the rows as CSV, one number a cell, in full precision; what is not there is an empty cell."""
    header = ["id", "group", "name", "state", "reason", *sweep.fields, "x", "step"]
    header += [f"{name}_{part}" for name in sweep.benchmarks for part in PARTS]
    header += [f"{OVERALL}_{part}" for part in PARTS[2:]] + list(FIGURES)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for row in sweep.rows:
        cells: list[Any] = [row.id, row.group, row.name, row.state, row.reason]
        cells += [field_text(row, field) if field in row.changes else None for field in sweep.fields]
        cells += [row.x, row.step]
        cells += [row.benchmarks.get(name, {}).get(part) for name in sweep.benchmarks for part in PARTS]
        cells += [(row.overall or {}).get(part) for part in PARTS[2:]]
        cells += [getattr(row, name) for name in FIGURES]
        writer.writerow([cell(value) for value in cells])
    return text.getvalue()


def markdown_text(sweep: Sweep, best: Best | None, claims: Sequence[dict[str, Any]]) -> str:
    """Return counts, the best, claims and the table as Markdown, with columns of even width: it is also printed."""
    parts = [f"{len(sweep.last)} points: {words.counts_text(sweep)}."]
    parts.append("\n".join(words.best_lines(best, sweep.labels)))
    if claims:
        rows = [[one["says"], one["result"]["verdict"], words.claim_text(one), words.runs_text(one)] for one in claims]
        head = ["the paper's claim", "here", "difference [95 % over questions]", "runs"]
        parts.append(_table([head, *rows]))
    parts.append(_table([_head(sweep), *(_cells(sweep, row) for row in sweep.rows)]))
    if sweep.benchmarks:
        parts.append(words.intervals_text(sweep))
    return "\n\n".join(parts) + "\n"


def _head(sweep: Sweep) -> list[str]:
    return ["point", "name", *sweep.fields, "x", "state", OVERALL, *sweep.benchmarks, "tokens", "loss", "held-out loss"]


def _cells(sweep: Sweep, row: Row) -> list[str]:
    cells = [row.id, row.name, *(field_text(row, field) for field in sweep.fields), words.mark_text(row)]
    cells += [row.state if not row.reason else f"{row.state}: {row.reason}", words.with_span(row.overall)]
    cells += [words.with_span(row.benchmarks.get(name)) for name in sweep.benchmarks]
    figures = (row.completion_tokens, row.loss, row.held_out_loss)
    return cells + ["" if value is None else f"{value:.4g}" for value in figures]


def _table(lines: Sequence[Sequence[str]]) -> str:
    table = [[cell.translate(words.UNSAFE) for cell in line] for line in lines]
    widths = [max(len(line[column]) for line in table) for column in range(len(table[0]))]
    text = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in table
    ]
    text.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
    return "\n".join(text)
