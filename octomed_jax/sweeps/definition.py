"""``DIR/sweep.json``: which runs a sweep is made of."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from octomed_jax import storage
from octomed_jax.errors import UserError
from octomed_jax.os_errors import explain_os_error
from octomed_jax.sweeps.expand import Sweep

DEFINITION = "sweep.json"


def definition(sweep: Sweep, stopping: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return what ``sweep.json`` holds; equal sweeps give equal data."""
    # Only the file's name: the folder it lies in may differ between two machines.
    path, colon, arg = sweep.spec.partition(":")
    points = [
        {
            "id": point.id,
            "group": point.group,
            "name": point.name,
            "changes": dict(point.changes),
            "config_hash": storage.fingerprint(point.config),
        }
        for point in sweep.points
    ]
    rule = None if stopping is None else dict(stopping)
    return {"format_version": 1, "config": f"{Path(path).name}{colon}{arg}", "points": points, "stopping": rule}


def write_definition(
    sweep: Sweep, root: storage.PathLike, stopping: Mapping[str, Any] | None = None, extend: bool = False
) -> Sweep:
    """Write ``sweep.json``, or check that the one that lies there says the same; return the sweep as it stands there.

    Raises:
        UserError: the folder holds another sweep, or it holds something else.
    """
    path = Path(root) / DEFINITION
    if path.is_file():
        same = storage.canonical_json(storage.read_json(path)) == storage.canonical_json(definition(sweep, stopping))
        if not same and not extend:
            raise UserError(f"{root} holds another sweep; choose another --output")
        return sweep
    folder = path.parent
    if folder.is_file() or (folder.is_dir() and any(not entry.name.startswith(".") for entry in folder.iterdir())):
        raise UserError(f"{root} is not empty and holds no sweep; choose another --output")
    try:
        storage.write_json(path, definition(sweep, stopping))
    except OSError as error:
        raise explain_os_error(error, path) from error
    return sweep


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
