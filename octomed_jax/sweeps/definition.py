"""``DIR/sweep.json``: which runs a sweep is made of. It is written once; only ``--extend`` adds points to it.

The ids of points follow from their configs, so a run is the same run wherever the file lies and however often the sweep
is started. What a folder holds already is never taken for another sweep: a changed file is refused with what changed.
"""

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from octomed_jax import storage
from octomed_jax.configuration import split_spec
from octomed_jax.errors import StopAndLook, UserError
from octomed_jax.manifests import changes as tree_changes
from octomed_jax.os_errors import explain_os_error
from octomed_jax.sweeps.base import as_text
from octomed_jax.sweeps.expand import Point, Sweep

DEFINITION = "sweep.json"
FORMAT_VERSION = 2
# What a sweep writes beside it: a folder of these alone is one whose definition was taken away, and may have it again.
OURS = {"stages", "runs", "status", "logs", "locks", "decisions.jsonl", "results.csv", "results.md", "results.html"}
ID = re.compile(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?")
KINDS = {"format_version": int, "config": str, "bases": dict}
TEXTS = ("id", "group", "name", "config_hash")  # fields of a point
MOST_NAMED = 3  # differences of one kind in a message
LONGEST = 60  # letters of a value in a message


def definition(sweep: Sweep, stopping: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return what ``sweep.json`` holds, as plain data; equal sweeps give equal data.

    Args:
        sweep: the points.
        stopping: the rule of early stopping as plain data, None where there is none.
    """
    path, arg = split_spec(sweep.spec)
    found = {
        "format_version": FORMAT_VERSION,
        # Only the file's name: the folder it lies in may differ between two machines.
        "config": path.name if arg is None else f"{path.name}:{arg}",
        "points": [_entry(point) for point in sweep.points],
        "bases": dict(sweep.bases),
        "metric": sweep.metric,
        "paper": sweep.paper,
        "stopping": None if stopping is None else dict(stopping),
        "steps": _steps(sweep.points),
    }
    return dict(json.loads(json.dumps(found)))


def write_definition(
    sweep: Sweep, root: storage.PathLike, stopping: Mapping[str, Any] | None = None, extend: bool = False
) -> Sweep:
    """Write ``sweep.json``, or check that the one that lies there says the same; return the sweep as it stands there.

    Its points have the order and the groups of the definition.

    Args:
        sweep: the points.
        root: folder of the sweep.
        stopping: the rule of early stopping, as for ``definition``.
        extend: new points are added after those that are there, with the file's METRIC and PAPER.

    Raises:
        UserError: the folder holds another sweep, with the difference; or it holds something else.
        StopAndLook: its ``sweep.json`` is damaged.
    """
    root = Path(root)
    new = definition(sweep, stopping)
    if not (root / DEFINITION).exists():
        _refuse_other_folder(root)
        _write(root, new)
        return sweep
    old = read_definition(root)
    if told := differences(old, new, extend):
        more = not extend and not differences(old, new, True)
        cure = "--extend adds what is new, or choose another --output" if more else "choose another --output"
        raise UserError(f"{root} holds another sweep ({'; '.join(told)}); {cure}")
    if extend and (merged := extended(old, new)) != old:
        _write(root, merged)
        old = merged
    points = {point.id: point for point in sweep.points}
    ordered = (dataclasses.replace(points[entry["id"]], group=entry["group"]) for entry in old["points"])
    return dataclasses.replace(sweep, points=tuple(ordered))


def read_definition(root: storage.PathLike) -> dict[str, Any]:
    """Return ``sweep.json`` of a sweep's folder.

    Raises:
        UserError: the folder holds no sweep, or one of another version.
        StopAndLook: the file is damaged.
    """
    path = Path(root) / DEFINITION
    if not path.is_file():
        raise UserError(f"{root} holds no sweep ({DEFINITION} is missing); `octomed sweep run` makes one")
    cure = "remove that file and give the `octomed sweep run` that made it again: finished runs stay"
    try:
        found = storage.read_json(path)
    except (StopAndLook, UnicodeDecodeError) as error:
        raise StopAndLook(f"{path} is damaged (no JSON); {cure}") from error
    version = found.get("format_version") if isinstance(found, dict) else None
    if isinstance(version, int) and version != FORMAT_VERSION:
        raise UserError(
            f"{path} has format version {version}, this program reads {FORMAT_VERSION}; run the sweep in a new folder"
        )
    if problem := _problem(found):
        raise StopAndLook(f"{path} is damaged ({problem}); {cure}")
    return dict(found)


def extended(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Return a definition with the points of a new one after its own, which stay as they are."""
    own = {entry["id"] for entry in old["points"]}
    # A group is called after its first point; its digits say that it is the same one.
    groups = {_digits(entry["group"]): entry["group"] for entry in old["points"]}
    added = [
        {**entry, "group": groups.setdefault(_digits(entry["group"]), entry["group"])}
        for entry in new["points"]
        if entry["id"] not in own
    ]
    return {**new, "points": [*old["points"], *added], "bases": {**new["bases"], **old["bases"]}}


def differences(old: Mapping[str, Any], new: Mapping[str, Any], extend: bool = False) -> list[str]:
    """Say in a few words each what changed from one definition to another; nothing if nothing did.

    Another order of the points is no change: that of the first definition counts.

    Args:
        old: what lies there.
        new: what is asked for.
        extend: new points and another METRIC or PAPER are no difference.
    """
    fields = ("config", "stopping") if extend else ("config", "stopping", "metric", "paper")
    told = [f"{field}: {_short(old[field])} -> {_short(new[field])}" for field in fields if old[field] != new[field]]
    before, after = ({entry["id"]: entry for entry in one["points"]} for one in (old, new))
    gone = [entry for name, entry in before.items() if name not in after]
    fresh = [entry for name, entry in after.items() if name not in before]
    under = _under(old, new) if gone else []
    told += _some([f"under the points {text}" for text in under])
    changed = []
    for place, (was, now) in enumerate(zip(old["points"], new["points"], strict=False)):
        if was in gone and now in fresh and (text := _changed(was, now, bool(under))) is not None:
            gone.remove(was)
            fresh.remove(now)
            changed += [f"point {place} {text}"] if text else []
    told += _some(changed) + _some([f"gone: {_told(entry)}" for entry in gone])
    if extend and fresh and (old["stopping"] or {}).get("kind") == "halving":
        told.append("halving compares all points, so that none can be added")
    return told if extend else told + _some([f"new: {_told(entry)}" for entry in fresh])


def _under(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return what changed in the configs that the points change."""
    arguments = [arg for arg in old["bases"] if arg in new["bases"]]
    return list(dict.fromkeys(text for arg in arguments for text in tree_changes(old["bases"][arg], new["bases"][arg])))


def _changed(was: Mapping[str, Any], now: Mapping[str, Any], explained: bool) -> str | None:
    """Return what changed of a point, empty if it was said already; None: it is another point."""
    if was["config_hash"] == now["config_hash"]:
        return f"is called {now['id']} instead of {was['id']}"
    if was["changes"].keys() != now["changes"].keys() or was["config_arg"] != now["config_arg"]:
        return None
    fields = [name for name in was["changes"] if was["changes"][name] != now["changes"][name]]
    if not fields:
        return "" if explained else f"({was['id']}) has other fields than those that it sets"
    parts = [f"{name}: {_short(was['changes'][name])} -> {_short(now['changes'][name])}" for name in fields]
    return f"({was['id']}) {', '.join(parts)}"


def _told(entry: Mapping[str, Any]) -> str:
    changed = ", ".join(f"{field}={as_text(value)}" for field, value in entry["changes"].items())
    return changed or str(entry["id"])


def _some(texts: Sequence[str]) -> list[str]:
    more = len(texts) - MOST_NAMED
    return [*texts[:MOST_NAMED], *([f"and {more} more"] if more > 0 else [])]


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else storage.canonical_json(value)
    return "none" if value is None else text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def _digits(name: str) -> str:
    return name.partition("-")[0]


def _steps(points: Sequence[Point]) -> int | None:
    """Return the most training steps of a point, None where a point's steps follow from its data."""
    steps = []
    for point in points:
        train = point.config.get("train")
        count = train.get("steps") if isinstance(train, Mapping) else None
        if not isinstance(count, int) or count < 1:
            return None
        steps.append(count)
    return max(steps)


def _problem(found: Any) -> str:
    """Say what is wrong with the contents of a definition; empty: nothing."""
    if not isinstance(found, dict) or not isinstance(found.get("points"), list) or not found["points"]:
        return "it has no points"
    for field, kind in KINDS.items():
        if not isinstance(found.get(field), kind):
            return f"{field} is missing or no {kind.__name__}"
    seen = set()
    for number, point in enumerate(found["points"]):
        if not isinstance(point, dict) or not all(isinstance(point.get(field), str) for field in TEXTS):
            return f"point {number} lacks one of {', '.join(TEXTS)}"
        if not isinstance(point.get("changes"), dict) or not isinstance(point.get("config_arg", 0), str | None):
            return f"point {number} lacks its changes or its config_arg"
        if not (ID.fullmatch(point["id"]) and ID.fullmatch(point["group"])) or point["id"] in seen:
            return f"point {number} has the id {point['id']!r} and the group {point['group']!r}"
        seen.add(point["id"])
    return ""


def _refuse_other_folder(root: Path) -> None:
    names = {entry.name for entry in root.iterdir() if not entry.name.startswith(".")} if root.is_dir() else set()
    if root.is_file() or names - OURS:
        raise UserError(f"{root} is not empty and holds no sweep; choose another --output")


def _write(root: Path, found: Mapping[str, Any]) -> None:
    try:
        storage.write_json(root / DEFINITION, found)
    except OSError as error:
        raise explain_os_error(error, root / DEFINITION) from error


def _entry(point: Point) -> dict[str, Any]:
    return {
        "id": point.id,
        "group": point.group,
        "name": point.name,
        "changes": dict(point.changes),
        "config_arg": point.config_arg,
        "config_hash": point.config_hash,
    }
