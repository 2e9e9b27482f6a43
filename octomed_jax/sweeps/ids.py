"""Names of points and of their groups: the same config has the same name, on every machine and in every order."""

import re
from collections.abc import Mapping
from typing import Any

# An id names folders, objects of a bucket and pods: a DNS label (RFC 1123) with room for what is appended.
ID_LIMIT = 40
HASH_DIGITS = 8
SEEDS = ("seed", "train.seed")  # fields in which the runs of a group differ


def point_id(config_hash: str, name: str, changes: Mapping[str, str]) -> str:
    """Return the id of a point.

    Args:
        config_hash: of its resolved config.
        name: what the point is called, or empty.
        changes: dotted field to its value as text; they stand in the id as far as there is room.
    """
    return _label("r", config_hash, [name] if name else [], changes)


def group_id(config_hash: str, changes: Mapping[str, str]) -> str:
    """Return the id of a group; ``config_hash`` and ``changes`` are of what has no seeds."""
    return _label("g", config_hash, [], changes)


def without_seeds(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a resolved config, or changes by dotted field, without the fields in which the runs of a group differ."""
    found = {field: value for field, value in config.items() if field not in SEEDS}
    for field in SEEDS:
        section, dot, leaf = field.partition(".")
        if dot and isinstance(inner := found.get(section), Mapping):
            found[section] = {name: value for name, value in inner.items() if name != leaf}
    return found


def _label(letter: str, config_hash: str, words: list[str], changes: Mapping[str, str]) -> str:
    words = words + [f"{field.rpartition('.')[2]}-{changes[field]}" for field in sorted(changes)]
    readable = re.sub(r"[^a-z0-9]+", "-", "-".join(words).lower()).strip("-") or "base"
    # It begins with a letter, since a Kubernetes service must.
    return f"{letter}{config_hash[:HASH_DIGITS]}-{readable}"[:ID_LIMIT].rstrip("-")
