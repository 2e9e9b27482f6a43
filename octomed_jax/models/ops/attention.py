"""Attention within segments: one function, several back ends.

Every back end honours segment ids. One that cannot take the shapes it is given says so; none falls back to another.

Legend: B batch, T queries, U keys, L tokens of a row, H query heads, K key/value heads, G query heads of a key/value
head (H // K), M = G * T, D values of a head.
"""

import warnings
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AbstractMesh, AxisType, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Float, Int

from octomed_jax.errors import UserError, did_you_mean
from octomed_jax.models.ops.blockwise import ATTENTION_RESIDUALS, MASKED, blockwise_attention
from octomed_jax.models.ops.precision import wide
from octomed_jax.models.ops.sharding import dividing, each_device, place_of, rows, size_of

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

    On a mesh every device computes its own rows and heads. Where rows lie along "sequence", it computes its own queries
    with the keys and values of the whole row.

    Args:
        q_BLHD, k_BLKD, v_BLKD: rotated queries and keys, and values.
        segments_BL: 1, 2, ... for the examples (or frames) of a row, 0 for padding.
        causal: whether later keys are hidden.
        backend: one of ``BACKENDS``, or a kernel's name with ``_interpreted`` after it.

    Raises:
        UserError: an unknown back end, or row lengths or pieces of rows that it does not take.
    """
    check_backend(backend)
    B, L, H, _ = q_BLHD.shape
    row, sequence, head = rows(B), dividing("sequence", L), dividing("tensor", H)
    kv_head = dividing("tensor", k_BLKD.shape[2]) if head else None
    # The splash kernel has tables of its blocks, which are divided as the queries are.
    tables, tables_spec = _splash_tables(backend, L, H // size_of(*[head] if head else []), sequence, causal)

    def of_device(tables: Any, q: Array, k: Array, v: Array, query_segments: Array, key_segments: Array) -> Array:
        if head and not kv_head:  # more devices than key/value heads: some have the same
            k, v = _own_heads(k, q.shape[2], H), _own_heads(v, q.shape[2], H)
        first = place_of("sequence") * q.shape[1] if sequence else 0
        return _attend(tables, q, k, v, query_segments, key_segments, first, causal, backend)

    # Plans of pods (training/planning/program.py) read from the name what an attention kernel leaves out.
    of_device = jax.named_call(of_device, name="causal_attention" if causal else "full_attention")
    queries = PartitionSpec(row, sequence, head)
    keys = PartitionSpec(row, None, kv_head)
    segments = PartitionSpec(row, sequence), PartitionSpec(row)
    divided = each_device(of_device, tables_spec, queries, keys, keys, *segments, out=queries)
    return divided(tables, q_BLHD, k_BLKD, v_BLKD, segments_BL, segments_BL)


def window_attention(
    q_BPHD: Float[Array, "B P H D"],
    k_BPHD: Float[Array, "B P H D"],
    v_BPHD: Float[Array, "B P H D"],
    windows_BP: Int[Array, "B P"],
    size: int,
) -> Float[Array, "B P H D"]:
    """Self-attention within windows, each of which lies within a slot of ``size`` places; windows of 0 are padding."""
    B, P, H, _ = q_BPHD.shape
    row, head = rows(B), dividing("tensor", H)
    # Slots are never cut.
    sequence = dividing("sequence", P // size)

    def of_device(q: Array, k: Array, v: Array, windows: Array) -> Array:
        shape = (-1, size, *q.shape[2:])
        slots = windows.reshape(-1, size)
        return attention(q.reshape(shape), k.reshape(shape), v.reshape(shape), segment_mask(slots, slots)).reshape(
            q.shape
        )

    places = PartitionSpec(row, sequence, head)
    divided = each_device(of_device, places, places, places, PartitionSpec(row, sequence), out=places)
    return divided(q_BPHD, k_BPHD, v_BPHD, windows_BP)


def _attend(
    tables: Any,
    q: Array,
    k: Array,
    v: Array,
    query_segments: Array,
    key_segments: Array,
    first: Array | int,
    causal: bool,
    backend: str,
) -> Array:
    """Return what one device computes; its queries begin at the place ``first`` of the keys."""
    name, interpret = backend.removesuffix(INTERPRETED), backend.endswith(INTERPRETED)
    if name == "splash":
        return _splash(tables, q, k, v, query_segments, key_segments)
    if name == "triton":
        return _triton(q, k, v, query_segments, causal=causal, interpret=interpret)
    if k.shape[1] > SHORT:
        return blockwise_attention(q, k, v, query_segments, key_segments, first, causal=causal)
    mask = segment_mask(query_segments, key_segments)
    if causal:
        mask &= (first + jnp.arange(q.shape[1]))[:, None] >= jnp.arange(k.shape[1])
    return attention(q, k, v, mask)


def _own_heads(x_BUKD: Array, heads: int, all_heads: int) -> Array:
    """Return the key/value heads of this device's query heads, of which it has ``heads``."""
    kept = max(1, heads * x_BUKD.shape[2] // all_heads)
    first = place_of("tensor") * heads * x_BUKD.shape[2] // all_heads
    return jax.lax.dynamic_slice_in_dim(x_BUKD, first, kept, axis=2)


def check_backend(backend: str) -> None:
    """Refuse an unknown back end.

    Raises:
        UserError: it is unknown.
    """
    if backend not in BACKENDS and backend not in [name + INTERPRETED for name in BACKENDS[1:]]:
        hint = did_you_mean(backend, BACKENDS)
        raise UserError(f"attention {backend!r} is unknown{hint}; one of: {', '.join(BACKENDS)}")


def _splash_tables(backend: str, L: int, heads: int, sequence: str | None, causal: bool) -> tuple[Any, Any]:
    """Return the splash kernel, with tables of the blocks that it looks at, and along which axes these are divided."""
    name, interpret = backend.removesuffix(INTERPRETED), backend.endswith(INTERPRETED)
    pieces = size_of(sequence) if sequence else 1
    if name == "triton" and pieces > 1:
        raise UserError("attention 'triton' does not divide rows; use xla, or a mesh of sequence=1")
    if name != "splash":
        return None, PartitionSpec()
    from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_kernel as kernels
    from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_mask as masks

    block = _block("splash", L // pieces, LANES, 1024)
    # Where nothing is hidden all pieces have the same tables (JAX cannot divide those of a full mask).
    divided = sequence if causal else None
    mask = masks.CausalMask((L, L), shard_count=pieces) if causal else masks.FullMask((L // pieces, L))
    kernel = kernels.make_splash_mha(
        mask=masks.MultiHeadMask([mask] * heads),
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
        q_seq_shards=pieces if divided else 1,
        residual_checkpoint_name=ATTENTION_RESIDUALS,
        interpret=interpret,
    )
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty:
        return kernel, PartitionSpec()
    # Only sizes are asked for, and JAX cannot tell them of a mesh on one axis of which the step is on its own ("data").
    sizes = AbstractMesh(mesh.axis_sizes, mesh.axis_names, (AxisType.Auto,) * len(mesh.axis_names))
    return kernel, kernel.manual_sharding_spec(NamedSharding(sizes, PartitionSpec(None, divided)))


def _splash(kernel: Any, q: Array, k: Array, v: Array, query_segments: Array, key_segments: Array) -> Array:
    from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_kernel as kernels

    D = q.shape[3]
    # Heads of 80 values (the vision tower's) are filled up to whole lanes; zeros add nothing to a score.
    q, k, v = [_heads_first(_widen(x, -D % LANES)) for x in (q * D**-0.5, k, v)]
    segments = kernels.SegmentIds(query_segments, key_segments)
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
