"""The table of a sweep: one line a point, missing and failed ones too, as CSV, Markdown and text."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from octomed_jax import places, storage
from octomed_jax.errors import StopAndLook
from octomed_jax.sweeps.base import as_text
from octomed_jax.sweeps.definition import read_definition
from octomed_jax.sweeps.run import exit_code

COUNTS = ("accepted", "train_steps", "loss_last")


def collect(root: storage.PathLike) -> list[dict[str, Any]]:
    """Return one row a point: ``point``, ``state``, ``changes``, COUNTS, and ``eval`` by benchmark.

    Raises:
        UserError: the folder holds no sweep.
        StopAndLook: a finished run's summary is damaged.
    """
    rows = []
    for point in read_definition(root)["points"]:
        folder = places.inside(root, point["id"])
        code = exit_code(Path(root), point["id"])
        summary = _summary(folder / "summary.json") if code == 0 else {}
        state = {None: "started" if folder.exists() else "missing", 0: "done"}.get(code, f"failed ({code})")
        if code == 0 and not summary:
            state = "missing"
        rows.append(
            {
                "point": point["id"],
                "state": state,
                "changes": point["changes"],
                **{name: summary.get(name) for name in COUNTS},
                "eval": summary.get("eval", {}),
            }
        )
    return rows


def _summary(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        return {}
    summary = storage.read_json(path)
    if not isinstance(summary, dict) or not isinstance(summary.get("eval", {}), dict):
        raise StopAndLook(f"{path} is no summary of a run; remove that folder and run the sweep again")
    return summary


def write_results(root: storage.PathLike) -> tuple[list[dict[str, Any]], str]:
    """Write ``results.csv`` and ``results.md``; return the rows and the text of the table."""
    rows = collect(root)
    storage.write_text(Path(root) / "results.csv", csv_table(rows))
    markdown = markdown_table(rows)
    storage.write_text(Path(root) / "results.md", markdown)
    return rows, markdown


def csv_table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as CSV, one number a cell; what is not there is an empty cell."""
    fields, benchmarks = _fields(rows), _benchmarks(rows)
    header = ["point", "state", *fields, *COUNTS]
    header += [f"{name}_{part}" for name in benchmarks for part in ("after", "after_low", "after_high")]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        cells = [row["point"], row["state"], *(_cell(row["changes"].get(field)) for field in fields)]
        cells += [_cell(row[name]) for name in COUNTS]
        for name in benchmarks:
            result = row["eval"].get(name, {})
            cells += [_cell(result.get(part)) for part in ("after", "after_low", "after_high")]
        writer.writerow(cells)
    return text.getvalue()


def markdown_table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as a Markdown table with columns of even width, which is also what is printed."""
    fields, benchmarks = _fields(rows), _benchmarks(rows)
    table = [["point", *fields, "state", *COUNTS, *benchmarks]]
    for row in rows:
        cells = [row["point"], *(_cell(row["changes"].get(field)) for field in fields), row["state"]]
        cells += [_short(row[name]) for name in COUNTS]
        cells += [_interval(row["eval"].get(name, {})) for name in benchmarks]
        table.append([cell.replace("|", "\\|") for cell in cells])
    widths = [max(len(line[column]) for line in table) for column in range(len(table[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in table
    ]
    lines.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
    note = "Accuracy after training in %, with its 95 % Wilson interval.\n\n" if benchmarks else ""
    return note + "\n".join(lines) + "\n"


def _fields(rows: list[dict[str, Any]]) -> list[str]:
    """Return the changed fields in the order in which the points first name them."""
    return list(dict.fromkeys(field for row in rows for field in row["changes"]))


def _benchmarks(rows: list[dict[str, Any]]) -> list[str]:
    return sorted({name for row in rows for name in row["eval"]})


def _cell(value: Any) -> str:
    return "" if value is None else as_text(value)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else _cell(value)


def _interval(result: Mapping[str, Any]) -> str:
    values = [result.get(part) for part in ("after", "after_low", "after_high")]
    if any(not isinstance(value, (int, float)) for value in values):
        return ""
    after, low, high = (100 * float(value) for value in values if value is not None)
    return f"{after:.1f} [{low:.1f}, {high:.1f}]"
