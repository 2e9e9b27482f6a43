"""The table of a sweep: one line a point, missing and failed ones too."""

import csv
import io
from pathlib import Path
from typing import Any

from octomed_jax import storage
from octomed_jax.sweeps.definition import read_definition


def write_results(root: storage.PathLike) -> None:
    """Write ``results.csv``."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["id", "state", "x", "step", "overall"])
    for point in read_definition(root)["points"]:
        path = Path(root) / "runs" / point["id"] / "run.json"
        record: dict[str, Any] = storage.read_json(path) if path.is_file() else {"state": "missing", "marks": []}
        for mark in record["marks"] or [{}]:
            overall = ""
            if "eval" in mark:
                found = storage.read_json(Path(root) / mark["eval"] / "results.json")["benchmarks"].values()
                overall = repr(sum(one["accuracy"] for one in found) / len(found))
            writer.writerow([point["id"], record["state"], mark.get("x", ""), mark.get("step", ""), overall])
    storage.write_text(Path(root) / "results.csv", text.getvalue())
