"""Runs the points of a sweep on this machine, one after the other; finished ones are never run again.

DIR/sweep.json        the definition: config file, and per point id, changes and hash of the config
DIR/ID/               the run of a point, as ``octomed demo --workdir`` makes it
DIR/status/ID.json    how its last run ended
DIR/logs/ID.log       what it printed
DIR/results.csv, .md  the table
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from octomed_jax import storage
from octomed_jax.errors import UserError
from octomed_jax.launching.process import last_line, locked, run_local
from octomed_jax.os_errors import explain_os_error
from octomed_jax.progress import Bar, bar, say
from octomed_jax.sweeps.expand import Point, Sweep

DEFINITION = "sweep.json"
# The octomed of the very environment that runs the sweep.
OCTOMED = (sys.executable, "-m", "octomed_jax.cli.main")


def run_sweep(sweep: Sweep, output: storage.PathLike, octomed: Sequence[str] = OCTOMED) -> dict[str, int]:
    """Run what is not finished in ``output``; return point id to exit code, in the order of the sweep.

    A failed point does not stop the others. Killed at any time, the same call goes on.

    Args:
        sweep: the points.
        output: folder of the sweep.
        octomed: the command to run, for tests.

    Raises:
        UserError: ``output`` holds another sweep, or something else.
        TryAgain: another process still works in ``output``.
    """
    root = Path(output)
    write_definition(sweep, root)
    codes: dict[str, int] = {}
    with locked(root / ".lock"), bar("sweep", len(sweep.points), "runs") as line:
        for number, point in enumerate(sweep.points):
            name = f"{number + 1}/{len(sweep.points)} {point.id}"
            if is_finished(root, point.id):
                say(f"{name}: done before")
                codes[point.id] = 0
            else:
                say(f"{name}: {', '.join(point.overrides) or 'the config as it is'}")
                codes[point.id] = _run_point(sweep, point, root, octomed, line)
            line.advance()
    return codes


def _run_point(sweep: Sweep, point: Point, root: Path, octomed: Sequence[str], line: Bar) -> int:
    log = root / "logs" / f"{point.id}.log"
    status = root / "status" / f"{point.id}.json"
    overrides = [f"--config.{override}" for override in point.overrides]
    command = [*octomed, "demo", f"--config={sweep.spec}", *overrides, f"--workdir={root / point.id}"]
    lock = root / "locks" / point.id  # held by the run itself, which outlives a killed sweep
    code = run_local(command, log, lock=lock, on_line=line.note)
    if code == 0 and not (root / point.id / "summary.json").is_file():
        say(f"  {point.id} ended without a summary.json; counted as failed")
        code = 1
    storage.write_json(status, {"id": point.id, "exit_code": code})
    if code != 0:
        say(f"  failed with exit code {code}: {last_line(log)} (whole log: {log})")
    return code


def is_finished(root: Path, point_id: str) -> bool:
    """Return whether a point ended well and left its summary."""
    return exit_code(root, point_id) == 0 and (root / point_id / "summary.json").is_file()


def exit_code(root: Path, point_id: str) -> int | None:
    """Return how the last run of a point ended, None if it has not ended yet."""
    path = root / "status" / f"{point_id}.json"
    return int(storage.read_json(path)["exit_code"]) if path.is_file() else None


def definition(sweep: Sweep) -> dict[str, Any]:
    """Return what ``sweep.json`` holds; equal sweeps give equal data."""
    # Only the file's name: the folder it lies in may differ between two machines.
    path, colon, arg = sweep.spec.partition(":")
    points = [
        {"id": point.id, "changes": dict(point.changes), "config_hash": storage.fingerprint(point.config)}
        for point in sweep.points
    ]
    return {"format_version": 1, "config": f"{Path(path).name}{colon}{arg}", "points": points}


def write_definition(sweep: Sweep, root: Path) -> None:
    """Write ``sweep.json``, or check that the one that lies there says the same.

    Raises:
        UserError: the folder holds another sweep, with the difference; or it holds something else.
    """
    path = root / DEFINITION
    # By way of text, so that tuples compare equal to the lists that JSON has.
    new = storage.canonical_json(definition(sweep))
    if path.is_file():
        old = storage.read_json(path)
        if storage.canonical_json(old) != new:
            raise UserError(f"{root} holds another sweep ({_difference(old, sweep)}); choose another --output")
        return
    if root.is_file() or (root.is_dir() and any(not entry.name.startswith(".") for entry in root.iterdir())):
        raise UserError(f"{root} is not empty and holds no sweep; choose another --output")
    try:
        storage.write_json(path, definition(sweep))
    except OSError as error:
        raise explain_os_error(error, path) from error


def read_definition(root: storage.PathLike) -> dict[str, Any]:
    """Return ``sweep.json`` of a sweep's folder.

    Raises:
        UserError: the folder holds no sweep, or one of another version.
    """
    path = Path(root) / DEFINITION
    if not path.is_file():
        raise UserError(f"{root} holds no sweep ({DEFINITION} is missing); `octomed sweep run` makes one")
    found = storage.read_json(path)
    if not isinstance(found, dict) or found.get("format_version") != 1:
        raise UserError(f"{path} is of another version; run the sweep again in a new folder")
    return found


def _difference(old: dict[str, Any], sweep: Sweep) -> str:
    """Say in a few words what changed."""
    before = {point["id"]: point for point in old.get("points", [])}
    now = {point.id: point for point in sweep.points}
    added = [", ".join(point.overrides) or name for name, point in now.items() if name not in before]
    gone = [
        ", ".join(f"{field}={value}" for field, value in point["changes"].items()) or name
        for name, point in before.items()
        if name not in now
    ]
    if set(added) & set(gone):
        return "the config under its points changed"
    parts = [f"new: {text}" for text in added[:2]] + [f"gone: {text}" for text in gone[:2]]
    more = len(added) + len(gone) - len(parts)
    if not parts:
        return "the config file or the order of its points changed"
    return "; ".join(parts) + (f"; and {more} more" if more > 0 else "")
