"""Low-rank adapters of the language model: what they are, and how they are merged.

Legend: D inputs, F outputs, R rank.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

from octomed_jax.errors import UserError, did_you_mean

TARGETS = ("q", "k", "v", "o", "gate", "up", "down")


@dataclasses.dataclass(frozen=True)
class LoRA:
    """Adapters beside matrices of the decoder layers.

    Attributes:
        rank: R, inner width.
        alpha: the adapter's output is scaled by alpha / rank.
        targets: names of matrices, of ``TARGETS``.

    Raises:
        UserError: no rank, or an unknown target.
    """

    rank: int
    alpha: float
    targets: tuple[str, ...] = TARGETS

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise UserError(f"lora.rank {self.rank} is not positive")
        if not self.targets:
            raise UserError("lora.targets is empty; name at least one of " + ", ".join(TARGETS))
        for target in self.targets:
            if target not in TARGETS:
                hint = did_you_mean(target, TARGETS)
                raise UserError(f"lora target {target!r} is unknown{hint}; one of: {', '.join(TARGETS)}")

    @property
    def scale(self) -> float:
        """Factor of the adapters' output."""
        return self.alpha / self.rank


def merge_lora(parameters: Mapping[str, Any], lora: LoRA) -> dict[str, Any]:
    """Return the parameters of the same model without adapters: ``kernel + scale * a @ b``, in float32.

    Args:
        parameters: a tree whose adapted matrices hold ``lora`` beside ``kernel``; stacks of layers have a first axis.
        lora: how they were made.
    """
    merged: dict[str, Any] = {}
    for name, part in parameters.items():
        if not isinstance(part, Mapping):
            merged[name] = part
        elif name != "lora":
            merged[name] = merge_lora(part, lora)
    if "lora" in parameters:
        adapter, kernel = parameters["lora"], parameters["kernel"]
        change = jnp.matmul(adapter["a"], adapter["b"], preferred_element_type=jnp.float32) * lora.scale
        merged["kernel"] = kernel.astype(jnp.float32) + change
    return merged
