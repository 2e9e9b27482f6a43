"""Attention within segments.

Legend: B batch, T queries, U keys, H query heads, K key/value heads, G query heads of a key/value head (H // K),
M = G * T, D values of a head.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

# Added to the score of a key that must not be seen; its weight is then exactly zero.
MASKED = -1e30


def attention(
    q_BTHD: Float[Array, "B T H D"],
    k_BUKD: Float[Array, "B U K D"],
    v_BUKD: Float[Array, "B U K D"],
    mask_BTU: Bool[Array, "B T U"],
) -> Float[Array, "B T H D"]:
    """Softmax attention in plain XLA; scores and sums in float32.

    The sum that normalises is divided out of the values, not of the weights: one pass less over [T, U] forward and
    backward. Heads that share keys are queries of one matrix product. A query that may attend to nothing (padding) gets
    the mean of all values, finite and unused.
    """
    B, T, H, D = q_BTHD.shape
    K = k_BUKD.shape[2]
    G = H // K
    q_BKMD = (q_BTHD * D**-0.5).reshape(B, T, K, G, D).transpose(0, 2, 3, 1, 4).reshape(B, K, G * T, D)
    k_BKUD, v_BKUD = k_BUKD.transpose(0, 2, 1, 3), v_BUKD.transpose(0, 2, 1, 3)
    scores_BKMU = jnp.einsum("BKMD,BKUD->BKMU", q_BKMD, k_BKUD, preferred_element_type=jnp.float32)
    scores_BKGTU = scores_BKMU.reshape(B, K, G, T, -1) + jnp.where(mask_BTU, 0.0, MASKED)[:, None, None]
    highest_BKGT1 = jax.lax.stop_gradient(scores_BKGTU.max(axis=-1, keepdims=True))
    weights_BKGTU = jnp.exp(scores_BKGTU - highest_BKGT1)
    sums_BKGT1 = weights_BKGTU.sum(axis=-1, keepdims=True)
    weights_BKMU = weights_BKGTU.astype(v_BUKD.dtype).reshape(B, K, G * T, -1)
    mixed_BKMD = jnp.einsum("BKMU,BKUD->BKMD", weights_BKMU, v_BKUD, preferred_element_type=jnp.float32)
    heads_BKGTD = (mixed_BKMD.reshape(B, K, G, T, D) / sums_BKGT1).astype(v_BUKD.dtype)
    return heads_BKGTD.transpose(0, 3, 1, 2, 4).reshape(B, T, H, D)


def segment_mask(
    query_segments_BT: Float[Array, "B T"], key_segments_BU: Float[Array, "B U"], causal: bool
) -> Bool[Array, "B T U"]:
    """Return which key each query may attend to: the same segment, not padding (0), and not later if causal."""
    mask_BTU = (query_segments_BT[:, :, None] == key_segments_BU[:, None, :]) & (key_segments_BU[:, None, :] > 0)
    if causal:
        T, U = mask_BTU.shape[1:]
        mask_BTU &= jnp.arange(T)[:, None] >= jnp.arange(U)[None, :]
    return mask_BTU
