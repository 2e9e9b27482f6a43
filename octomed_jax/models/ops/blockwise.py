"""Attention within segments in plain XLA, block by block, forward and backward (FlashAttention, arXiv 2205.14135).

Scores of one pair of blocks exist at a time. Blocks of keys that share no segment with a block of queries are passed
over, so a row costs what its examples cost, and memory grows with its length, not with its square.

Legend: B batch, N blocks, S places of a block, H query heads, K key/value heads, G = H // K, M = G * S, D values of a
head.
"""

import functools

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


def blockwise_attention(
    q_BLHD: Float[Array, "B L H D"],
    k_BLKD: Float[Array, "B L K D"],
    v_BLKD: Float[Array, "B L K D"],
    segments_BL: Int[Array, "B L"],
    causal: bool,
) -> Float[Array, "B L H D"]:
    """Attend within segments; places of segment 0 give zeros."""
    B, L, H, D = q_BLHD.shape
    K = k_BLKD.shape[2]
    count = -(-L // BLOCK)
    size = -(-L // count)

    def blocks(x: Array) -> Array:
        """[B, L, ...] -> [N, B, S, ...]"""
        padded = jnp.pad(x, ((0, 0), (0, count * size - L)) + ((0, 0),) * (x.ndim - 2))
        return padded.reshape(B, count, size, *x.shape[2:]).swapaxes(0, 1)

    q = blocks(q_BLHD * D**-0.5).reshape(count, B, size, K, H // K, D).transpose(0, 1, 3, 4, 2, 5)
    k, v = [blocks(x).swapaxes(2, 3) for x in (k_BLKD, v_BLKD)]
    heads = _attend(q.reshape(count, B, K, -1, D), k, v, blocks(segments_BL), causal)
    heads = heads.reshape(count, B, K, H // K, size, D).transpose(1, 0, 4, 2, 3, 5)
    return heads.reshape(B, count * size, H, D)[:, :L]


def _ranges(segments_NBS: Array, causal: bool) -> tuple[Int[Array, "N"], Int[Array, "N"]]:
    """Return the first block of keys that each block of queries must look at, and the one after the last."""
    count = segments_NBS.shape[0]
    lowest_NB = jnp.where(segments_NBS > 0, segments_NBS, jnp.iinfo(jnp.int32).max).min(axis=2)
    highest_NB = segments_NBS.max(axis=2)
    meet_NNB = (lowest_NB[:, None] <= highest_NB[None]) & (lowest_NB[None] <= highest_NB[:, None])
    meet_NN = meet_NNB.any(axis=2)
    if causal:
        meet_NN &= jnp.tri(count, dtype=bool)
    first_N = meet_NN.argmax(axis=1)
    return first_N, jnp.where(meet_NN.any(axis=1), count - meet_NN[:, ::-1].argmax(axis=1), first_N)


def _scores(
    q_BKMD: Array, k_BKSD: Array, query_segments_BS: Array, key_segments_BS: Array, at: Array, to: Array, causal: bool
) -> tuple[Float[Array, "B K M S"], Bool[Array, "B 1 M S"]]:
    """Return the scores of blocks ``at`` and ``to`` in float32, and which of them count."""
    size = k_BKSD.shape[2]
    mask_BSS = (query_segments_BS[:, :, None] == key_segments_BS[:, None]) & (key_segments_BS[:, None] > 0)
    if causal:
        place_S = jnp.arange(size)
        mask_BSS &= (at * size + place_S)[:, None] >= (to * size + place_S)[None]
    mask_B1MS = jnp.tile(mask_BSS, (1, q_BKMD.shape[2] // size, 1))[:, None]
    scores_BKMS = jnp.einsum("BKMD,BKSD->BKMS", q_BKMD, k_BKSD, preferred_element_type=wide(k_BKSD))
    return jnp.where(mask_B1MS, scores_BKMS, MASKED), mask_B1MS


def _forward(q_NBKMD: Array, k_NBKSD: Array, v_NBKSD: Array, segments_NBS: Array, causal: bool) -> tuple[Array, Array]:
    """Return heads, and the logarithm of each query's sum of weights."""

    def query_block(piece: tuple[Array, Array, Array, Array, Array]) -> tuple[Array, Array]:
        q_BKMD, segments_BS, at, first, end = piece

        def key_block(to: Array, carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            highest_BKM, total_BKM, mixed_BKMD = carry
            scores, mask = _scores(q_BKMD, k_NBKSD[to], segments_BS, segments_NBS[to], at, to, causal)
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

    first_N, end_N = _ranges(segments_NBS, causal)
    pieces = q_NBKMD, segments_NBS, jnp.arange(len(q_NBKMD)), first_N, end_N
    return jax.lax.map(query_block, pieces)


@functools.partial(jax.custom_vjp, nondiff_argnums=(4,))
def _attend(q_NBKMD: Array, k_NBKSD: Array, v_NBKSD: Array, segments_NBS: Array, causal: bool) -> Array:
    return _forward(q_NBKMD, k_NBKSD, v_NBKSD, segments_NBS, causal)[0]


def _attend_forward(q: Array, k: Array, v: Array, segments: Array, causal: bool) -> tuple[Array, tuple[Array, ...]]:
    heads, logs = [checkpoint_name(x, ATTENTION_RESIDUALS) for x in _forward(q, k, v, segments, causal)]
    return heads, (q, k, v, segments, heads, logs)


def _attend_backward(
    causal: bool, residuals: tuple[Array, ...], upstream_NBKMD: Array
) -> tuple[Array, Array, Array, None]:
    q_NBKMD, k_NBKSD, v_NBKSD, segments_NBS, heads_NBKMD, logs_NBKM = residuals
    dots_NBKM = jnp.einsum(
        "NBKMD,NBKMD->NBKM", upstream_NBKMD, heads_NBKMD, preferred_element_type=wide(upstream_NBKMD)
    )
    dtype = k_NBKSD.dtype

    def query_block(carry: tuple[Array, Array], piece: tuple[Array, ...]) -> tuple[tuple[Array, Array], Array]:
        q_BKMD, segments_BS, upstream_BKMD, logs_BKM, dots_BKM, at, first, end = piece

        def key_block(to: Array, sums: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            dq_BKMD, dk_NBKSD, dv_NBKSD = sums
            k_BKSD, v_BKSD = k_NBKSD[to], v_NBKSD[to]
            scores, mask = _scores(q_BKMD, k_BKSD, segments_BS, segments_NBS[to], at, to, causal)
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

    first_N, end_N = _ranges(segments_NBS, causal)
    numbers_N = jnp.arange(len(q_NBKMD))
    pieces = q_NBKMD, segments_NBS, upstream_NBKMD, logs_NBKM, dots_NBKM, numbers_N, first_N, end_N
    zeros = jnp.zeros(k_NBKSD.shape, wide(k_NBKSD)), jnp.zeros(v_NBKSD.shape, wide(v_NBKSD))
    (dk, dv), dq = jax.lax.scan(query_block, zeros, pieces)
    return dq, dk.astype(dtype), dv.astype(dtype), None


_attend.defvjp(_attend_forward, _attend_backward)
