"""How a model is computed: precision, attention kernel, and what is kept for the backward pass.

None of these changes what is computed, beyond rounding.
"""

import dataclasses
from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jax.typing import DTypeLike
from jaxtyping import Array

from octomed_jax.models.ops.blockwise import ATTENTION_RESIDUALS

# What a layer computes, by the names under which a policy may keep it.
STREAM, ROTATED, HEADS, HIDDEN = "stream", "rotated", "heads", "hidden"

Policy = Callable[..., bool]
F = TypeVar("F", bound=Callable)

_names = jax.checkpoint_policies
REMAT: dict[str, Policy | None] = {
    # everything is kept
    "none": None,
    # a layer's input is kept, everything else is computed again: least memory, a third more work
    "full": _names.nothing_saveable,
    # also queries, keys, values and what attention returned are kept: attention is not computed again
    "attention": _names.save_only_these_names(STREAM, ROTATED, HEADS, ATTENTION_RESIDUALS),
    # every matrix product is kept: only norms, activations and rotations are computed again
    "matmuls": _names.save_only_these_names(STREAM, ROTATED, HEADS, HIDDEN, ATTENTION_RESIDUALS),
    # as "attention", but the layers' inputs wait in the host's memory
    "offload": _names.save_and_offload_only_these_names(
        names_which_can_be_saved=[ROTATED, HEADS, ATTENTION_RESIDUALS],
        names_which_can_be_offloaded=[STREAM],
        offload_src="device",
        offload_dst="pinned_host",
    ),
}


@dataclasses.dataclass(frozen=True)
class Compute:
    """How a model is computed.

    Attributes:
        dtype: of activations and of weights while they are used; parameters stay as they are.
        attention: back end of attention over whole rows, one of ``ops.attention.BACKENDS``.
        remat: what is kept of each layer for its gradient, one of ``REMAT``.
    """

    dtype: DTypeLike = jnp.float32
    attention: str = "xla"
    remat: str = "none"

    def checkpointed(self, layer: F) -> F:
        """Return the function of one layer, keeping for its gradient what the policy says."""
        policy = REMAT[self.remat]
        return layer if policy is None else jax.checkpoint(layer, policy=policy, prevent_cse=False)


def named(x: Array, name: str) -> Array:
    """Give an array of a layer the name under which a policy may keep it."""
    return checkpoint_name(x, name)
