"""Attention within segments: one function, several back ends.

Every back end honours segment ids. One that cannot take the shapes it is given says so; none falls back to another.

Legend: B batch, T queries, U keys, L tokens of a row, H query heads, K key/value heads, G query heads of a key/value
head (H // K), M = G * T, D values of a head.
"""

import functools
import warnings

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from octomed_jax.errors import UserError, did_you_mean
from octomed_jax.models.ops.blockwise import ATTENTION_RESIDUALS, MASKED, blockwise_attention
from octomed_jax.models.ops.precision import wide
from octomed_jax.models.ops.sharding import each_device

SHORT = 256  # places whose scores the plain back end holds at once
LANES = 128  # what TPU kernels count in
TRITON_BLOCK = 64
# xla: plain, on any device (blockwise.py where rows are long); splash: JAX's TPU kernel; triton: its one for GPUs.
BACKENDS = ("xla", "splash", "triton")
UNITS = {"xla": 1, "splash": LANES, "triton": TRITON_BLOCK}  # row lengths that they take are multiples of these
INTERPRETED = "_interpreted"  # after a kernel's name: Pallas' interpreter, right on any device and slow, for tests


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
    scores_BKMU = jnp.einsum("BKMD,BKUD->BKMU", q_BKMD, k_BKUD, preferred_element_type=wide(k_BKUD))
    scores_BKGTU = scores_BKMU.reshape(B, K, G, T, -1) + jnp.where(mask_BTU, 0.0, MASKED)[:, None, None]
    highest_BKGT1 = jax.lax.stop_gradient(scores_BKGTU.max(axis=-1, keepdims=True))
    weights_BKGTU = jnp.exp(scores_BKGTU - highest_BKGT1)
    sums_BKGT1 = weights_BKGTU.sum(axis=-1, keepdims=True)
    weights_BKMU = weights_BKGTU.astype(v_BUKD.dtype).reshape(B, K, G * T, -1)
    mixed_BKMD = jnp.einsum("BKMU,BKUD->BKMD", weights_BKMU, v_BKUD, preferred_element_type=wide(v_BKUD))
    heads_BKGTD = (mixed_BKMD.reshape(B, K, G, T, D) / sums_BKGT1).astype(v_BUKD.dtype)
    return heads_BKGTD.transpose(0, 3, 1, 2, 4).reshape(B, T, H, D)


def segment_mask(query_segments_BT: Int[Array, "B T"], key_segments_BU: Int[Array, "B U"]) -> Bool[Array, "B T U"]:
    """Return which key each query may attend to: those of its own segment, and never padding (0)."""
    return (query_segments_BT[:, :, None] == key_segments_BU[:, None, :]) & (key_segments_BU[:, None, :] > 0)


def segment_attention(
    q_BLHD: Float[Array, "B L H D"],
    k_BLKD: Float[Array, "B L K D"],
    v_BLKD: Float[Array, "B L K D"],
    segments_BL: Int[Array, "B L"],
    *,
    causal: bool,
    backend: str,
) -> Float[Array, "B L H D"]:
    """Self-attention of packed rows: each place sees its own segment only; segment 0 is padding, its output unused.

    Args:
        q_BLHD, k_BLKD, v_BLKD: rotated queries and keys, and values.
        segments_BL: 1, 2, ... for the examples (or frames) of a row, 0 for padding.
        causal: whether later keys are hidden.
        backend: one of ``BACKENDS``, or a kernel's name with ``_interpreted`` after it.

    Raises:
        UserError: an unknown back end, or row lengths that it does not take.
    """
    check_backend(backend)
    L = q_BLHD.shape[1]
    name, interpret = backend.removesuffix(INTERPRETED), backend.endswith(INTERPRETED)
    if name == "xla":
        if L > SHORT:
            plain = functools.partial(blockwise_attention, causal=causal)
            return each_device(plain)(q_BLHD, k_BLKD, v_BLKD, segments_BL)
        mask_BLL = segment_mask(segments_BL, segments_BL)
        if causal:
            mask_BLL &= jnp.tri(L, dtype=bool)
        return attention(q_BLHD, k_BLKD, v_BLKD, mask_BLL)
    kernel = {"splash": _splash, "triton": _triton}[name]
    return each_device(functools.partial(kernel, causal=causal, interpret=interpret))(
        q_BLHD, k_BLKD, v_BLKD, segments_BL
    )


def check_backend(backend: str) -> None:
    """Refuse an unknown back end.

    Raises:
        UserError: it is unknown.
    """
    if backend not in BACKENDS and backend not in [name + INTERPRETED for name in BACKENDS[1:]]:
        hint = did_you_mean(backend, BACKENDS)
        raise UserError(f"attention {backend!r} is unknown{hint}; one of: {', '.join(BACKENDS)}")


def _splash(q_BLHD: Array, k_BLKD: Array, v_BLKD: Array, segments_BL: Array, *, causal: bool, interpret: bool) -> Array:
    from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_kernel as kernels
    from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_mask as masks

    L, H, D = q_BLHD.shape[1:]
    block = _block("splash", L, LANES, 1024)
    shape = (L, L)
    kernel = kernels.make_splash_mha(
        mask=masks.MultiHeadMask([masks.CausalMask(shape) if causal else masks.FullMask(shape)] * H),
        block_sizes=kernels.BlockSizes(
            block_q=block,
            block_kv=block,
            block_kv_compute=min(block, 512),
            block_q_dkv=block,
            block_kv_dkv=block,
            block_kv_dkv_compute=min(block, 512),
            use_fused_bwd_kernel=True,
        ),
        head_shards=1,
        q_seq_shards=1,
        residual_checkpoint_name=ATTENTION_RESIDUALS,
        interpret=interpret,
    )
    # Heads of 80 values (the vision tower's) are filled up to whole lanes; zeros add nothing to a score.
    q, k, v = [_heads_first(_widen(x, -D % LANES)) for x in (q_BLHD * D**-0.5, k_BLKD, v_BLKD)]
    segments = kernels.SegmentIds(segments_BL, segments_BL)
    return jax.vmap(kernel)(q, k, v, segments)[..., :D].swapaxes(1, 2)


def _triton(q_BLHD: Array, k_BLKD: Array, v_BLKD: Array, segments_BL: Array, *, causal: bool, interpret: bool) -> Array:
    with warnings.catch_warnings():  # jax 0.12 says at import that it will move
        warnings.simplefilter("ignore", DeprecationWarning)
        from jax.experimental.pallas.ops.gpu import attention as kernels

    L, H, D = q_BLHD.shape[1:]
    block = _block("triton", L, TRITON_BLOCK, TRITON_BLOCK)
    sizes = kernels.BlockSizes(block, block, block_q_dkv=32, block_kv_dkv=32, block_q_dq=32, block_kv_dq=32)
    k, v = [jnp.repeat(x, H // x.shape[2], axis=2) for x in (k_BLKD, v_BLKD)]  # the kernel has no shared keys
    scale = D**-0.5
    return kernels.mha(q_BLHD, k, v, segments_BL, sm_scale=scale, causal=causal, block_sizes=sizes, interpret=interpret)


def _block(backend: str, length: int, unit: int, most: int) -> int:
    """Return the largest block of tokens, a power of two, that divides a row."""
    block = most
    while block >= unit:
        if length % block == 0:
            return block
        block //= 2
    raise UserError(f"attention {backend!r} takes rows of a multiple of {unit} places, not {length}")


def _heads_first(x_BLHD: Array) -> Array:
    return x_BLHD.swapaxes(1, 2)


def _widen(x: Array, more: int) -> Array:
    return jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, more))) if more else x
