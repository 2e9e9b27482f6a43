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

from octomed_jax import storage
from octomed_jax.launching.process import last_line, locked, run_local
from octomed_jax.progress import Bar, bar, say
from octomed_jax.sweeps.definition import write_definition
from octomed_jax.sweeps.expand import Point, Sweep

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
    sweep = write_definition(sweep, root)
    codes: dict[str, int] = {}
    with locked(root / ".lock"), bar("sweep", len(sweep.points), "runs") as line:
        for number, point in enumerate(sweep.points):
            name = f"{number + 1}/{len(sweep.points)} {point.id}"
            if is_finished(root, point.id):
                say(f"{name}: done before")
                codes[point.id] = 0
            else:
                say(f"{name}: {', '.join(point.overrides) or 'the config as it is'}")
                codes[point.id] = _run_point(point, root, octomed, line)
            line.advance()
    return codes


def _run_point(point: Point, root: Path, octomed: Sequence[str], line: Bar) -> int:
    log = root / "logs" / f"{point.id}.log"
    status = root / "status" / f"{point.id}.json"
    overrides = [f"--config.{override}" for override in point.overrides]
    command = [*octomed, "demo", f"--config={point.spec}", *overrides, f"--workdir={root / point.id}"]
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
