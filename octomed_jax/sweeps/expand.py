"""From a config file with ``sweep(add)`` to the points of the sweep, every one of them checked before any starts.

    def sweep(add):                     # or sweep(add, arg), with the text after the colon of FILE.py:arg
        add(**{"traces.per_question": 1})
        add(**{"traces.per_question": 4})

as in big_vision. Each ``add`` is one run of the file's own ``get_config`` with those fields changed.
"""

import dataclasses
import inspect
import re
from collections.abc import Mapping
from typing import Any

from octomed_jax import configuration, storage
from octomed_jax.errors import UserError

# A point's id names folders, bucket objects and (in a later backend) pods: a DNS label with room for what is appended.
ID_LIMIT = 40
HASH_DIGITS = 8
OUTPUT_FIELD = "run"  # where a run writes; no result depends on it


@dataclasses.dataclass(frozen=True)
class Point:
    """One run of a sweep.

    Attributes:
        id: ``r``, a hash of the resolved config, and a readable end; valid as a folder and as a Kubernetes name.
        changes: dotted field to its value, as the sweep gave it.
        overrides: the same as ``a.b=value`` for a command line.
        config: the resolved config as plain data, without ``run``.
    """

    id: str
    changes: Mapping[str, Any]
    overrides: tuple[str, ...]
    config: Mapping[str, Any]
    group: str = ""
    name: str = ""
    config_arg: str | None = None
    file: str = ""

    @property
    def spec(self) -> str:
        """``FILE.py[:arg]``, for ``--config``."""
        return self.file if self.config_arg is None else f"{self.file}:{self.config_arg}"


@dataclasses.dataclass(frozen=True)
class Sweep:
    """A sweep: the config file it comes from (``FILE.py[:arg]``) and its points in the order they were added."""

    spec: str
    points: tuple[Point, ...]


def expand(spec: str) -> Sweep:
    """Read the points of ``FILE.py[:arg]``.

    Raises:
        UserError: no ``sweep`` in the file, an unknown field, a value of the wrong type, two equal points or no points.
    """
    path, arg = configuration.split_spec(spec)
    module = configuration.load_module(path)
    if not hasattr(module, "sweep"):
        if hasattr(module, "get_hyper"):
            raise UserError(f"{path} has get_hyper(hyper), which is not supported yet; write sweep(add) instead")
        raise UserError(f"{path} has no sweep(add); a sweep's config file defines one beside get_config")
    collected: list[dict[str, Any]] = []

    def add(**changes: Any) -> None:
        collected.append(changes)

    parameters = len(inspect.signature(module.sweep).parameters)
    configuration.load(spec)  # its mistakes first, before those of the sweep
    try:
        module.sweep(*(add, arg)[:parameters])
    except ValueError as error:
        raise UserError(f"sweep() of {path}: {error}") from error
    if not collected:
        raise UserError(f"sweep() of {spec} added no points; call add(**{{'field': value}}) at least once")
    points: list[Point] = []
    for number, changes in enumerate(collected):
        try:
            points.append(make_point(spec, changes))
        except UserError as error:
            raise UserError(f"point {number} of {spec}: {error}") from error
    _refuse_equal(points)
    return Sweep(spec, tuple(points))


def make_point(spec: str, changes: Mapping[str, Any]) -> Point:
    """Apply ``changes`` to the config and name the result.

    Raises:
        UserError: an unknown field, a value of the wrong type, or one that a command line cannot carry.
    """
    config = configuration.load(spec)
    for name, value in changes.items():
        if name == OUTPUT_FIELD:
            raise UserError(f"config.{name} is where a run writes, which the sweep chooses; remove it from the point")
        configuration.set_field(config, name, value)
    overrides = tuple(f"{name}={as_text(value)}" for name, value in changes.items())
    resolved = configuration.plain(config)
    # The run gets its fields as text: what it will read must be what was meant.
    if configuration.plain(configuration.load(spec, overrides)) != resolved:
        raise UserError(f"{', '.join(overrides)} would be read back as something else; use numbers, text or tuples")
    resolved.pop(OUTPUT_FIELD, None)
    path, arg = configuration.split_spec(spec)
    return Point(point_id(resolved, changes), dict(changes), overrides, resolved, config_arg=arg, file=str(path))


def as_text(value: Any) -> str:
    """Return ``value`` as an override writes it."""
    return value if isinstance(value, str) else repr(value)


def point_id(resolved: Mapping[str, Any], changes: Mapping[str, Any]) -> str:
    """Return the point's id: equal configs have equal hashes, whatever the order of their fields."""
    words = [f"{name.rpartition('.')[2]}-{as_text(value)}" for name, value in changes.items()]
    readable = re.sub(r"[^a-z0-9]+", "-", "-".join(words).lower()).strip("-") or "base"
    # It begins with a letter, since a Kubernetes service must.
    return f"r{storage.fingerprint(resolved)[:HASH_DIGITS]}-{readable}"[:ID_LIMIT].rstrip("-")


def _refuse_equal(points: list[Point]) -> None:
    seen: dict[str, int] = {}
    for number, point in enumerate(points):
        key = storage.canonical_json(point.config)
        if key in seen:
            what = ", ".join(point.overrides) or "no change"
            raise UserError(f"points {seen[key]} and {number} are the same run ({what}); remove one of them")
        seen[key] = number
    ids = [point.id for point in points]
    clash = next((name for name in ids if ids.count(name) > 1), None)
    assert clash is None, f"two different configs share the id {clash}"
