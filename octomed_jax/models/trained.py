"""Which parameters of a student are trained: groups of its own, or adapters beside frozen matrices."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from octomed_jax.errors import UserError, did_you_mean
from octomed_jax.models.lora import LoRA
from octomed_jax.models.trees import flatten_names, unflatten_names

GROUPS = ("vision", "merger", "text")


@dataclasses.dataclass(frozen=True)
class Trained:
    """What is trained; everything else is frozen.

    Attributes:
        groups: of ``GROUPS``: the vision tower without its merger, the merger, the language model with its head.
        lora: adapters of the language model, which are then trained in its place.

    Raises:
        UserError: an unknown group, nothing to train, or adapters beside a trained language model.
    """

    groups: tuple[str, ...] = GROUPS
    lora: LoRA | None = None

    def __post_init__(self) -> None:
        for group in self.groups:
            if group not in GROUPS:
                raise UserError(f"group {group!r} is unknown{did_you_mean(group, GROUPS)}; one of: {', '.join(GROUPS)}")
        if not self.groups and self.lora is None:
            raise UserError("nothing is trained: name at least one of " + ", ".join(GROUPS) + ", or a lora rank")
        if self.lora and "text" in self.groups:
            raise UserError("LoRA adapts a frozen language model: leave 'text' out of what is trained")

    def has(self, name: str) -> bool:
        """Return whether the parameter of a dotted name is trained."""
        if ".lora." in name:
            return True
        return group_of(name) in self.groups

    def split(self, parameters: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the trained and the frozen parameters, two trees."""
        flat = flatten_names(parameters)
        trained = {name: leaf for name, leaf in flat.items() if self.has(name)}
        frozen = {name: leaf for name, leaf in flat.items() if not self.has(name)}
        return unflatten_names(trained), unflatten_names(frozen)


def group_of(name: str) -> str:
    """Return the group of a parameter."""
    if name.startswith("vision.merger."):
        return "merger"
    return "vision" if name.startswith("vision.") else "text"


def joined(trained: Mapping[str, Any], frozen: Mapping[str, Any]) -> dict[str, Any]:
    """Return the whole tree of two parts."""
    return unflatten_names(flatten_names(trained) | flatten_names(frozen))
