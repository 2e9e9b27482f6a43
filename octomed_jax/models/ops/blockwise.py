"""Attention within segments in plain XLA, block by block, forward and backward (FlashAttention, arXiv 2205.14135).

Scores of one pair of blocks exist at a time. Blocks of keys that share no segment with a block of queries are passed
over, so a row costs what its examples cost, and memory grows with its length, not with its square.

Legend: B batch, T queries, U keys, N blocks, S places of a block, H query heads, K key/value heads, G = H // K,
M = G * S, D values of a head.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Bool, Float, Int

from octomed_jax.models.ops.precision import wide

# Name under which the kernels' residuals may be kept by a policy (models/compute.py).
ATTENTION_RESIDUALS = "attention_residuals"

# Added to, or put in place of, the score of a key that must not be seen; its weight is then exactly zero.
MASKED = -1e30
BLOCK = 64  # small, so that rows of short examples pass over most of their blocks


class Places(NamedTuple):
    """Where the tokens of blocks stand: in which segment, and at which place of their row."""

    segments_NBS: Int[Array, "N B S"]
    places_NS: Int[Array, "N S"]


def blockwise_attention(
    q_BTHD: Float[Array, "B T H D"],
    k_BUKD: Float[Array, "B U K D"],
    v_BUKD: Float[Array, "B U K D"],
    query_segments_BT: Int[Array, "B T"],
    key_segments_BU: Int[Array, "B U"],
    first: Int[Array, ""] | int = 0,
    *,
    causal: bool,
) -> Float[Array, "B T H D"]:
    """Attend within segments; places of segment 0 give zeros.

    Args:
        q_BTHD, k_BUKD, v_BUKD: rotated queries and keys, and values.
        query_segments_BT, key_segments_BU: their segments.
        first: place among the keys at which the queries begin.
        causal: whether later keys are hidden.
    """
    B, T, H, D = q_BTHD.shape
    K = k_BUKD.shape[2]
    queries, keys = _blocks(query_segments_BT), _blocks(key_segments_BU)
    count, _, size = queries.shape
    q = _blocks(q_BTHD * D**-0.5).reshape(count, B, size, K, H // K, D).transpose(0, 1, 3, 4, 2, 5)
    k, v = [_blocks(x).swapaxes(2, 3) for x in (k_BUKD, v_BUKD)]
    own = Places(queries, first + jnp.arange(count * size).reshape(count, size))
    theirs = Places(keys, jnp.arange(keys.shape[0] * keys.shape[2]).reshape(keys.shape[0], -1))
    heads = _attend(q.reshape(count, B, K, -1, D), k, v, own, theirs, causal)
    heads = heads.reshape(count, B, K, H // K, size, D).transpose(1, 0, 4, 2, 3, 5)
    return heads.reshape(B, count * size, H, D)[:, :T]


def _blocks(x: Array) -> Array:
    """Return [B, L, ...] as [N, B, S, ...], filled up with zeros."""
    B, L = x.shape[:2]
    count = -(-L // BLOCK)
    size = -(-L // count)
    padded = jnp.pad(x, ((0, 0), (0, count * size - L)) + ((0, 0),) * (x.ndim - 2))
    return padded.reshape(B, count, size, *x.shape[2:]).swapaxes(0, 1)


def _ranges(queries: Places, keys: Places, causal: bool) -> tuple[Int[Array, "N"], Int[Array, "N"]]:
    """Return the first block of keys that each block of queries must look at, and the one after the last."""

    def bounds(segments_NBS: Array) -> tuple[Array, Array]:
        largest = jnp.iinfo(jnp.int32).max
        return jnp.where(segments_NBS > 0, segments_NBS, largest).min(axis=2), segments_NBS.max(axis=2)

    (low_NB, high_NB), (key_low_NB, key_high_NB) = bounds(queries.segments_NBS), bounds(keys.segments_NBS)
    meet_NNB = (low_NB[:, None] <= key_high_NB[None]) & (key_low_NB[None] <= high_NB[:, None])
    meet_NN = meet_NNB.any(axis=2)
    if causal:
        meet_NN &= queries.places_NS[:, -1:] >= keys.places_NS[None, :, 0]
    first_N = meet_NN.argmax(axis=1)
    return first_N, jnp.where(meet_NN.any(axis=1), meet_NN.shape[1] - meet_NN[:, ::-1].argmax(axis=1), first_N)


def _scores(
    q_BKMD: Array,
    k_BKSD: Array,
    query: tuple[Array, Array],
    key: tuple[Array, Array],
    causal: bool,
) -> tuple[Float[Array, "B K M S"], Bool[Array, "B 1 M S"]]:
    """Return the scores of two blocks, given the segments and places of both, in float32; and which of them count."""
    (query_segments_BS, query_places_S), (key_segments_BS, key_places_S) = query, key
    mask_BSS = (query_segments_BS[:, :, None] == key_segments_BS[:, None]) & (key_segments_BS[:, None] > 0)
    if causal:
        mask_BSS &= query_places_S[:, None] >= key_places_S[None]
    mask_B1MS = jnp.tile(mask_BSS, (1, q_BKMD.shape[2] // len(query_places_S), 1))[:, None]
    scores_BKMS = jnp.einsum("BKMD,BKSD->BKMS", q_BKMD, k_BKSD, preferred_element_type=wide(k_BKSD))
    return jnp.where(mask_B1MS, scores_BKMS, MASKED), mask_B1MS


def _forward(
    q_NBKMD: Array, k_NBKSD: Array, v_NBKSD: Array, queries: Places, keys: Places, causal: bool
) -> tuple[Array, Array]:
    """Return heads, and the logarithm of each query's sum of weights."""

    def query_block(piece: tuple[Array, Places, Array, Array]) -> tuple[Array, Array]:
        q_BKMD, query, first, end = piece

        def key_block(to: Array, carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            highest_BKM, total_BKM, mixed_BKMD = carry
            scores, mask = _scores(q_BKMD, k_NBKSD[to], query, (keys.segments_NBS[to], keys.places_NS[to]), causal)
            now_highest_BKM = jnp.maximum(highest_BKM, scores.max(axis=3))
            weights_BKMS = jnp.where(mask, jnp.exp(scores - now_highest_BKM[..., None]), 0.0)
            shrink_BKM = jnp.exp(highest_BKM - now_highest_BKM)
            part = jnp.einsum(
                "BKMS,BKSD->BKMD",
                weights_BKMS.astype(v_NBKSD.dtype),
                v_NBKSD[to],
                preferred_element_type=wide(v_NBKSD),
            )
            total_BKM = total_BKM * shrink_BKM + weights_BKMS.sum(axis=3)
            return now_highest_BKM, total_BKM, mixed_BKMD * shrink_BKM[..., None] + part

        zeros_BKMD = jnp.zeros(q_BKMD.shape, wide(q_BKMD))
        start = jnp.full_like(zeros_BKMD[..., 0], MASKED), zeros_BKMD[..., 0], zeros_BKMD
        highest_BKM, total_BKM, mixed_BKMD = jax.lax.fori_loop(first, end, key_block, start)
        total_BKM = jnp.where(total_BKM > 0, total_BKM, 1.0)  # padding: zeros, finite
        return (mixed_BKMD / total_BKM[..., None]).astype(q_BKMD.dtype), highest_BKM + jnp.log(total_BKM)

    return jax.lax.map(query_block, (q_NBKMD, queries, *_ranges(queries, keys, causal)))


@functools.partial(jax.custom_vjp, nondiff_argnums=(5,))
def _attend(q_NBKMD: Array, k_NBKSD: Array, v_NBKSD: Array, queries: Places, keys: Places, causal: bool) -> Array:
    return _forward(q_NBKMD, k_NBKSD, v_NBKSD, queries, keys, causal)[0]


def _attend_forward(
    q: Array, k: Array, v: Array, queries: Places, keys: Places, causal: bool
) -> tuple[Array, tuple[Any, ...]]:
    heads, logs = [checkpoint_name(x, ATTENTION_RESIDUALS) for x in _forward(q, k, v, queries, keys, causal)]
    return heads, (q, k, v, queries, keys, heads, logs)


def _attend_backward(
    causal: bool, residuals: tuple[Any, ...], upstream_NBKMD: Array
) -> tuple[Array, Array, Array, None, None]:
    q_NBKMD, k_NBKSD, v_NBKSD, queries, keys, heads_NBKMD, logs_NBKM = residuals
    dots_NBKM = jnp.einsum(
        "NBKMD,NBKMD->NBKM", upstream_NBKMD, heads_NBKMD, preferred_element_type=wide(upstream_NBKMD)
    )
    dtype = k_NBKSD.dtype

    def query_block(carry: tuple[Array, Array], piece: tuple[Any, ...]) -> tuple[tuple[Array, Array], Array]:
        q_BKMD, query, upstream_BKMD, logs_BKM, dots_BKM, first, end = piece

        def key_block(to: Array, sums: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            dq_BKMD, dk_NBKSD, dv_NBKSD = sums
            k_BKSD, v_BKSD = k_NBKSD[to], v_NBKSD[to]
            scores, mask = _scores(q_BKMD, k_BKSD, query, (keys.segments_NBS[to], keys.places_NS[to]), causal)
            weights_BKMS = jnp.where(mask, jnp.exp(scores - logs_BKM[..., None]), 0.0)
            summed = functools.partial(jnp.einsum, preferred_element_type=wide(q_BKMD))
            mixed_BKMS = summed("BKMD,BKSD->BKMS", upstream_BKMD, v_BKSD)
            change_BKMS = (weights_BKMS * (mixed_BKMS - dots_BKM[..., None])).astype(dtype)
            dk_NBKSD = dk_NBKSD.at[to].add(summed("BKMS,BKMD->BKSD", change_BKMS, q_BKMD))
            dv_NBKSD = dv_NBKSD.at[to].add(summed("BKMS,BKMD->BKSD", weights_BKMS.astype(dtype), upstream_BKMD))
            return dq_BKMD + summed("BKMS,BKSD->BKMD", change_BKMS, k_BKSD), dk_NBKSD, dv_NBKSD

        start = jnp.zeros(q_BKMD.shape, wide(q_BKMD)), *carry
        dq_BKMD, *sums = jax.lax.fori_loop(first, end, key_block, start)
        return tuple(sums), dq_BKMD.astype(q_BKMD.dtype)

    pieces = q_NBKMD, queries, upstream_NBKMD, logs_NBKM, dots_NBKM, *_ranges(queries, keys, causal)
    zeros = jnp.zeros(k_NBKSD.shape, wide(k_NBKSD)), jnp.zeros(v_NBKSD.shape, wide(v_NBKSD))
    (dk, dv), dq = jax.lax.scan(query_block, zeros, pieces)
    return dq, dk.astype(dtype), dv.astype(dtype), None, None


_attend.defvjp(_attend_forward, _attend_backward)
