"""From a config file with a sweep (see ``styles``) to its points, every one of them checked before any starts.

Each point is one run of the file's own ``get_config`` with some fields changed. The file is read once, and
``get_config`` is called once for each argument that the points give it.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from ml_collections import ConfigDict

from octomed_jax import configuration, storage
from octomed_jax.errors import UserError
from octomed_jax.sweeps.base import Base, as_text, plain_value
from octomed_jax.sweeps.ids import group_id, point_id, without_seeds
from octomed_jax.sweeps.styles import read_changes

CONFIG_ARG = "config_arg"  # the key under which big_vision's points carry the text after the colon
OUTPUT_FIELD = "run"  # where a run writes; no result depends on it
NAME_FIELD = "name"  # what a run is called; no result depends on it
PREFIXES = ("config.", "cfg.")  # before a field's name, as get_hyper and kauldron write it
MOST_NAMED = 10  # of equal points in one message


@dataclasses.dataclass(frozen=True)
class Point:
    """One run of a sweep.

    Attributes:
        id: ``r``, a hash of ``config`` and a readable end; valid as a folder, in a bucket and as a Kubernetes name.
        group: the same of the config without its seeds, with ``g``; runs that differ in the seed alone share it.
        name: what the point sets as ``config.name``, such as the row of a table; empty where it sets none.
        changes: dotted field to its value, in the type of that field.
        overrides: the same as ``a.b=value`` for a command line.
        config_arg: the text after the colon of the config file, None where there is none.
        config: the resolved config as plain data, without ``run`` and ``name``.
        file: path of the config file.
        config_hash: of ``config``; equal points have equal ones.
    """

    id: str
    group: str
    name: str
    changes: Mapping[str, Any]
    overrides: tuple[str, ...]
    config_arg: str | None
    config: Mapping[str, Any]
    file: str = ""
    config_hash: str = ""

    def __post_init__(self) -> None:
        if not self.config_hash:
            object.__setattr__(self, "config_hash", storage.fingerprint(self.config))

    @property
    def spec(self) -> str:
        """``FILE.py[:arg]``, for ``--config``."""
        return self.file if self.config_arg is None else f"{self.file}:{self.config_arg}"


@dataclasses.dataclass(frozen=True)
class Sweep:
    """A sweep.

    Attributes:
        spec: the config file that it comes from, ``FILE.py[:arg]``.
        points: in the order in which the file makes them.
        names: the chosen ones of the file's named sweeps.
        bases: the config under the points, by the argument: plain data without ``run`` and ``name``.
        metric, paper: the file's ``METRIC`` and ``PAPER`` as plain data; None where it has none.
    """

    spec: str
    points: tuple[Point, ...]
    names: tuple[str, ...] = ()
    bases: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    metric: str | None = None
    paper: Any = None


def expand(spec: str, names: Sequence[str] = ()) -> Sweep:
    """Read the points of ``FILE.py[:arg]``.

    Args:
        spec: the config file.
        names: of its named sweeps (``sweep_NAME``), whose points are combined; none: its one sweep.

    Raises:
        UserError: no sweep in the file or two, an unknown field, a value of the wrong type, equal points or no points.
    """
    path, arg = configuration.split_spec(spec)
    module = configuration.load_module(path)
    collected = read_changes(module, arg, names)
    if not collected:
        raise UserError(f"the sweep of {spec} has no points; it must make at least one")
    bases: dict[str | None, Base] = {}
    points: list[Point] = []
    groups: dict[str, str] = {}
    for number, changes in enumerate(collected):
        own = changes.pop(CONFIG_ARG, arg)
        if own is not None and not isinstance(own, str):
            raise UserError(f"point {number} of {spec}: config_arg={own!r} must be the text after the colon")
        if own not in bases:
            bases[own] = Base(module, own)
        try:
            points.append(_point(bases[own], changes, None if own == arg else own, groups))
        except UserError as error:
            raise UserError(f"point {number} of {spec}: {error}") from error
    _refuse_equal(spec, points)
    _refuse_shared_ids(spec, points)
    plain_bases = {own or "": _without(base.tree, OUTPUT_FIELD, NAME_FIELD) for own, base in bases.items()}
    metric = _constant(module, "METRIC")
    if metric is not None and not isinstance(metric, str):
        raise UserError(f"METRIC={metric!r} of {path} must be the name of a metric")
    return Sweep(spec, tuple(points), tuple(names), plain_bases, metric, _constant(module, "PAPER"))


def _point(base: Base, written: Mapping[str, Any], own_arg: str | None, groups: dict[str, str]) -> Point:
    """Return the point of ``base`` with the changes as the file wrote them; ``own_arg``: not the sweep's own."""
    fields = _fields(base, written)
    if OUTPUT_FIELD in fields:
        raise UserError(f"config.{OUTPUT_FIELD} is where a run writes, which the sweep chooses; remove it")
    changes, overrides, tree = base.change(fields)
    resolved = _without(tree, OUTPUT_FIELD, NAME_FIELD)
    name = str(changes.get(NAME_FIELD, ""))
    readable = {field: as_text(value) for field, value in changes.items() if field != NAME_FIELD}
    for word in (own_arg or "").split(","):  # a variant, or what big_vision packs as field=value
        field, equals, value = word.partition("=")
        if field and field not in readable:
            readable[field] = value if equals else ""
    config_hash, group_hash = base.hash_of(resolved), base.hash_of(without_seeds(resolved))
    # The readable end of a group is that of its first point.
    group = groups.setdefault(group_hash, group_id(group_hash, without_seeds(readable)))
    own_id = point_id(config_hash, name, readable)
    return Point(own_id, group, name, changes, overrides, base.arg, resolved, base.file, config_hash)


def _fields(base: Base, written: Mapping[str, Any]) -> dict[str, Any]:
    """Return the changes by dotted name without a prefix, groups taken apart, as plain values."""
    fields: dict[str, Any] = {}
    for name, value in written.items():
        if not isinstance(name, str):
            raise UserError(f"{name!r} is no name of a field")
        for prefix in PREFIXES:
            if name.startswith(prefix) and prefix[:-1] not in base.config:
                name = name.removeprefix(prefix)
        fields.update(_leaves(base.config, name, plain_value(name, value)))
    packed = dict(word.partition("=")[::2] for word in (base.arg or "").split(","))
    # big_vision's `arg(**kw)` gives its words a second time, as fields; a config need not have them as fields too.
    return {
        name: value
        for name, value in fields.items()
        if not (name in packed and packed[name] == str(value) and name not in base.config)
    }


def _leaves(config: ConfigDict, name: str, value: Any) -> dict[str, Any]:
    """Return a value by its field, or those of a mapping for a group of fields by theirs."""
    node: Any = config
    for part in name.split("."):
        node = node[part] if isinstance(node, ConfigDict) and part in node else None
    if not (isinstance(node, ConfigDict) and isinstance(value, dict) and value):
        return {name: value}
    inner = (_leaves(config, f"{name}.{part}", one) for part, one in value.items())
    return {field: leaf for leaves in inner for field, leaf in leaves.items()}


def _refuse_equal(spec: str, points: Sequence[Point]) -> None:
    """Refuse points that are the same run, all of them at once."""
    numbers: dict[str, list[int]] = {}
    for number, point in enumerate(points):
        numbers.setdefault(point.config_hash, []).append(number)
    equal = [same for same in numbers.values() if len(same) > 1]
    if not equal:
        return
    named = [
        f"{' and '.join(map(str, same))} ({', '.join(points[same[0]].overrides) or 'no change'})"
        for same in equal[:MOST_NAMED]
    ]
    more = f", and {len(equal) - MOST_NAMED} more" if len(equal) > MOST_NAMED else ""
    what = "the same run" if len(equal) == 1 else "each the same run"
    raise UserError(f"points {', '.join(named)}{more} of {spec} are {what}; `name` and `run` make no other one")


def _refuse_shared_ids(spec: str, points: Sequence[Point]) -> None:
    """Refuse the rare case that two runs share the digits and the words of their names."""
    seen: dict[str, int] = {}
    for number, point in enumerate(points):
        if (first := seen.setdefault(point.id, number)) != number:
            raise UserError(f"points {first} and {number} of {spec} share the id {point.id}; give one of them a `name`")


def _constant(module: ModuleType, name: str) -> Any:
    """Return a constant of a config file as the plain data that JSON gives back."""
    value = getattr(module, name, None)
    try:
        return json.loads(storage.canonical_json(configuration.plain(value)))
    except (TypeError, ValueError) as error:
        raise UserError(f"{name} of {module.__file__} must be plain data: {error}") from error


def _without(tree: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in tree.items() if name not in names}
