"""How far a sweep is, from its small files alone: no config is loaded and no stage's folder is read."""

import fcntl
import json
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from octomed_jax.errors import StopAndLook
from octomed_jax.launching.process import last_line
from octomed_jax.sweeps.definition import read_definition
from octomed_jax.sweeps.folders import WORKS

PENDING, RUNNING, DONE, FAILED, STOPPED = STATES = ("pending", "running", "done", "failed", "stopped")


def read_status(root: Path) -> dict[str, Any]:
    """Return how far a sweep is.

    Returns:
        ``runs``, one per point in order: its id, state, stage (that runs or failed, or comes next), and where there is
        one exit_code, rung, line (the last of the log) and log; ``counts`` of the states; and ``shared``: the folders
        of stages that several points need, with how many.

    Raises:
        UserError: the folder holds no sweep.
        StopAndLook: a file of it is damaged.
    """
    definition = read_definition(root)
    told = _read(root / "status" / WORKS) or {"works": {}, "points": {}}
    codes = _codes(root)
    held: dict[str, bool] = {}
    runs = []
    for point in definition["points"]:
        record = _read(root / "runs" / point["id"] / "run.json")
        names = told["points"].get(point["id"], [])
        runs.append(
            _of_record(root, record, told) if record else _of_works(root, point["id"], names, told, codes, held)
        )
    counts = Counter(run["state"] for run in runs)
    needed = Counter(key for names in told["points"].values() for key in {told["works"][name]["key"] for name in names})
    return {
        "output": str(root),
        "counts": {state: counts[state] for state in STATES},
        "runs": runs,
        "shared": {key: number for key, number in needed.items() if number > 1},
    }


def status_lines(status: Mapping[str, Any], most: int = 40) -> list[str]:
    """Return a status as lines of text: what runs and what failed first, of the rest at most so many."""
    runs = sorted(status["runs"], key=lambda run: (RUNNING, FAILED, STOPPED, PENDING, DONE).index(run["state"]))
    width = max((len(run["id"]) for run in runs), default=0)
    shown = [run for number, run in enumerate(runs) if number < most or run["state"] == RUNNING]
    lines = [f"{run['id']:<{width}}  {run['state']:<8} {_about(run)}".rstrip() for run in shown]
    if len(runs) > len(shown):
        lines.append(f"and {len(runs) - len(shown)} more, see --json")
    if status["shared"]:
        lines.append("shared: " + ", ".join(f"{key} by {number} runs" for key, number in _first(status["shared"])))
    counts = ", ".join(f"{number} {state}" for state, number in status["counts"].items() if number)
    lines.append(f"{len(runs)} runs: {counts or 'none'}; {status['output']}")
    return lines


def _about(run: Mapping[str, Any]) -> str:
    if run["state"] == RUNNING:
        return f"{run['stage']}: {run['line']}"
    if run["state"] == FAILED:
        return f"in {run['stage']}, exit code {run['exit_code']}: {run['line']} (log: {run['log']})"
    if run["state"] == STOPPED:
        return f"at step {run['rung']}"
    return f"next: {run['stage']}" if run.get("stage") else ""


def _first(shared: Mapping[str, int], most: int = 12) -> list[tuple[str, int]]:
    return sorted(shared.items(), key=lambda pair: (-pair[1], pair[0]))[:most]


def _of_record(root: Path, record: Mapping[str, Any], told: Mapping[str, Any]) -> dict[str, Any]:
    """Return the status of a point that is at its end."""
    run = {name: record[name] for name in ("id", "state", "stage", "exit_code", "rung") if name in record}
    if record["state"] != FAILED:
        return run
    keys = [told["works"][name] for name in told["points"].get(record["id"], [])]
    failed = [work["key"] for work in keys if work["stage"] == record["stage"]]
    codes = {key: _read(root / "status" / f"{key}.json") for key in failed}
    key = next((key for key in failed if (codes[key] or {}).get("exit_code")), failed[0] if failed else "")
    return run | _log(root, key)


def _of_works(
    root: Path,
    point: str,
    names: list[str],
    told: Mapping[str, Any],
    codes: Mapping[str, int],
    held: dict[str, bool],
) -> dict[str, Any]:
    """Return the status of a point for which there is something left to do."""
    left = [told["works"][name] for name in names if codes.get(name) != 0]
    for work in left:
        if held.setdefault(work["key"], _is_held(root / "locks" / work["key"])):
            return {"id": point, "state": RUNNING, "stage": work["stage"], **_log(root, work["key"])}
    return {"id": point, "state": PENDING, **({"stage": left[0]["stage"]} if left else {})}


def _log(root: Path, key: str) -> dict[str, str]:
    log = root / "logs" / f"{key}.log"
    return {"line": last_line(log), "log": str(log)}


def _codes(root: Path) -> dict[str, int]:
    """Return how works ended, by their name."""
    folder = root / "status"
    if not folder.is_dir():
        return {}
    paths = [path for path in folder.glob("*.json") if path.name != WORKS]
    return {path.stem: int(found["exit_code"]) for path in paths if (found := _read(path))}


def _is_held(lock: Path) -> bool:
    """Return whether a process holds a lock; nothing is changed, and who wants it meanwhile tries again."""
    try:
        descriptor = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _read(path: Path) -> Any:
    """Return a JSON file of this machine's disk, None where there is none; there may be thousands."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except json.JSONDecodeError as error:
        raise StopAndLook(
            f"{path} is not valid JSON (line {error.lineno}); remove it and run the sweep again"
        ) from error
