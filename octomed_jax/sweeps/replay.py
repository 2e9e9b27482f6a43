"""Makes the decisions of early stopping again from the metric files, and compares them with those that were logged."""

from pathlib import Path
from typing import Any

from octomed_jax import storage
from octomed_jax.errors import UserError
from octomed_jax.sweeps.definition import read_definition
from octomed_jax.sweeps.early import DECISIONS, as_line, read_curve, read_decisions
from octomed_jax.sweeps.run import WORKS
from octomed_jax.sweeps.stopping import Rule, decide


def replay(root: Path) -> dict[str, Any]:
    """Return the number of logged decisions, the ``differences`` (a text each) and a ``verdict`` of one line.

    A sweep that goes on may have measured more than it has decided; that is no difference.

    Raises:
        UserError: the folder holds no sweep, or one without early stopping.
    """
    definition = read_definition(root)
    if not definition.get("stopping"):
        raise UserError(
            f"{root} has no early stopping (octomed sweep run --stopping=...), so there is nothing to replay"
        )
    fields = dict(definition["stopping"])
    rule = Rule(**fields | {"rungs": tuple(fields["rungs"])})
    told = storage.read_json(root / "status" / WORKS)
    order = [point["id"] for point in definition["points"]]
    logged = {(one.point, one.rung): as_line(one) for one in read_decisions(root)}
    curves = {point: read_curve(_inside(root, told["train"][point]), rule) for point in order}
    gone = [point for point in order if _has_ended(root, point)]
    found = {(one.point, one.rung): as_line(one) for one in decide(rule, order, curves, gone)}
    differences = [
        f"{point} at step {rung}: logged {line}, now {found.get((point, rung), 'no decision can be made')}"
        for (point, rung), line in logged.items()
        if found.get((point, rung)) != line
    ]
    verdict = f"{len(differences)} are not what the metric files say" if differences else "all are made again as logged"
    return {"output": str(root), "log": str(root / DECISIONS), "logged": len(logged)} | {
        "differences": differences,
        "verdict": verdict,
    }


def _has_ended(root: Path, point: str) -> bool:
    """Return whether a point is at its end without having been stopped: nobody waits for it at a rung."""
    path = root / "runs" / point / "run.json"
    return path.is_file() and storage.read_json(path)["state"] != "stopped"


def _inside(root: Path, folder: str) -> str:
    """Return a folder that is told as seen from the sweep's."""
    return folder if storage.in_bucket(folder) else str(root / folder)
