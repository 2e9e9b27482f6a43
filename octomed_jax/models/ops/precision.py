"""Where the reference computes in float32 whatever the model's dtype, so do we; float64, of a check, stays float64."""

import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array


def wide(x: Array) -> DTypeLike:
    """Return the dtype of sums, statistics and scores of ``x``: float32, or its own where that is wider."""
    return jnp.promote_types(x.dtype, jnp.float32)
