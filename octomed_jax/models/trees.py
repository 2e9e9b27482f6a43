"""Parameters as a nested tree of plain dicts, and as dotted names."""

from collections.abc import Mapping
from typing import Any

STACKS = ("text.layers.", "vision.blocks.")


def flatten_names(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a nested tree as dotted names to leaves."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= flatten_names(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def unflatten_names(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Return the nested tree of dotted names."""
    tree: dict[str, Any] = {}
    for name, leaf in flat.items():
        *parents, last = name.split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = leaf
    return tree


def is_stack(name: str) -> bool:
    """Return whether the parameter of a dotted name holds all layers of a tower along its first axis."""
    return name.startswith(STACKS)
