"""Cross entropy that never holds a full tokens x vocabulary array.

Legend: N tokens, C tokens of a chunk, D model, V vocabulary.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def chunked_cross_entropy(
    hidden_ND: Float[Array, "N D"],
    head_DV: Float[Array, "D V"],
    targets_N: Int[Array, "N"],
    weights_N: Float[Array, "N"],
    chunk: int = 2048,
) -> Float[Array, ""]:
    """Return the weighted sum of token losses, in float32.

    Logits of one chunk at a time exist, forward and backward: each chunk is recomputed for its gradient.
    """
    N = hidden_ND.shape[0]
    chunk = min(chunk, N)
    padding = -N % chunk
    if padding:
        hidden_ND = jnp.pad(hidden_ND, ((0, padding), (0, 0)))
        targets_N, weights_N = jnp.pad(targets_N, (0, padding)), jnp.pad(weights_N, (0, padding))

    @jax.checkpoint
    def chunk_loss(hidden_CD: Array, targets_C: Array, weights_C: Array) -> Array:
        logits_CV = jnp.einsum("CD,DV->CV", hidden_CD, head_DV, preferred_element_type=jnp.float32)
        chosen_C = jnp.take_along_axis(logits_CV, targets_C[:, None], axis=1)[:, 0]
        return jnp.sum((jax.nn.logsumexp(logits_CV, axis=1) - chosen_C) * weights_C)

    def body(total: Array, piece: tuple[Array, Array, Array]) -> tuple[Array, None]:
        return total + chunk_loss(*piece), None

    pieces = (
        hidden_ND.reshape(-1, chunk, hidden_ND.shape[1]),
        targets_N.reshape(-1, chunk),
        weights_N.reshape(-1, chunk),
    )
    return jax.lax.scan(body, jnp.zeros((), jnp.float32), pieces)[0]
