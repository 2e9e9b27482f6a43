"""Attention within segments.

Legend: B batch, T queries, U keys, H query heads, K key/value heads, G query heads of a key/value head (H // K), D values of a head.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def attention(
    q_BTHD: Float[Array, "B T H D"],
    k_BUKD: Float[Array, "B U K D"],
    v_BUKD: Float[Array, "B U K D"],
    mask_BTU: Bool[Array, "B T U"],
) -> Float[Array, "B T H D"]:
    """Softmax attention in plain XLA; scores in float32.

    A query that may attend to nothing (padding) gets the mean of all values, finite and unused.
    """
    B, T, H, D = q_BTHD.shape
    K = k_BUKD.shape[2]
    q_BTKGD = q_BTHD.reshape(B, T, K, H // K, D)
    scores_BKGTU = jnp.einsum("BTKGD,BUKD->BKGTU", q_BTKGD, k_BUKD, preferred_element_type=jnp.float32)
    scores_BKGTU = jnp.where(mask_BTU[:, None, None], scores_BKGTU * D**-0.5, jnp.finfo(jnp.float32).min)
    weights_BKGTU = jax.nn.softmax(scores_BKGTU, axis=-1).astype(v_BUKD.dtype)
    return jnp.einsum("BKGTU,BUKD->BTKGD", weights_BKGTU, v_BUKD).reshape(B, T, H, D)


def segment_mask(
    query_segments_BT: Float[Array, "B T"], key_segments_BU: Float[Array, "B U"], causal: bool
) -> Bool[Array, "B T U"]:
    """Return which key each query may attend to: the same segment, not padding (0), and not later if causal."""
    mask_BTU = (query_segments_BT[:, :, None] == key_segments_BU[:, None, :]) & (key_segments_BU[:, None, :] > 0)
    if causal:
        T, U = mask_BTU.shape[1:]
        mask_BTU &= jnp.arange(T)[:, None] >= jnp.arange(U)[None, :]
    return mask_BTU
