"""Every attention back end against plain softmax, one segment at a time, in value and gradient; and no leaks."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from octomed_jax.errors import UserError
from octomed_jax.models.ops.attention import segment_attention

KERNELS = ("xla", "splash_interpreted", "triton_interpreted")
L = 384  # two blocks of queries, three of splash, six of triton
SEGMENTS = np.repeat([1, 2, 3, 0], [100, 137, 90, 57])[None].astype(np.int32)


def inputs(heads: int, kv_heads: int, width: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(1, L, count, width)).astype(np.float32) for count in (heads, kv_heads, kv_heads)]


def by_hand(q, k, v, causal):
    """Softmax of each segment alone, each head alone."""
    out = jnp.zeros_like(q)
    for segment in range(1, SEGMENTS.max() + 1):
        here = np.flatnonzero(SEGMENTS[0] == segment)
        hidden = np.triu(np.ones((len(here), len(here)), bool), 1) & causal
        for head in range(q.shape[2]):
            kv_head = head * k.shape[2] // q.shape[2]
            scores = q[0, here, head] @ k[0, here, kv_head].T / np.sqrt(q.shape[-1])
            weights = jax.nn.softmax(jnp.where(hidden, -jnp.inf, scores))
            out = out.at[0, here, head].set(weights @ v[0, here, kv_head])
    return out


@functools.cache
def compiled(backend, causal):
    """Value and all gradients; padding gets no weight, as in training."""

    def loss(function, q, k, v, seed_out):
        out = function(q, k, v) * (SEGMENTS > 0)[..., None, None]
        return jnp.sum(out * seed_out), out

    if backend == "by hand":
        function = functools.partial(by_hand, causal=causal)
    else:
        function = functools.partial(segment_attention, segments_BL=SEGMENTS, causal=causal, backend=backend)
    return jax.jit(jax.value_and_grad(functools.partial(loss, function), argnums=(0, 1, 2), has_aux=True))


@pytest.mark.parametrize(("heads", "kv_heads", "width"), [(4, 2, 32), (5, 1, 16), (2, 2, 80)])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("backend", KERNELS)
def test_value_and_gradients_equal_softmax_of_each_segment(backend, causal, heads, kv_heads, width):
    arrays = inputs(heads, kv_heads, width)
    weights = np.random.default_rng(1).normal(size=arrays[0].shape).astype(np.float32)
    (_, ours), our_gradients = compiled(backend, causal)(*arrays, weights)
    (_, theirs), their_gradients = compiled("by hand", causal)(*arrays, weights)
    np.testing.assert_allclose(ours, theirs, atol=3e-6)
    for mine, other in zip(our_gradients, their_gradients, strict=True):
        np.testing.assert_allclose(mine, other, atol=3e-5 * np.abs(other).max())


@pytest.mark.parametrize("backend", KERNELS)
def test_a_change_in_one_segment_leaves_the_others_bit_identical(backend):
    step = compiled(backend, True)
    arrays = inputs(4, 2, 32)
    weights = np.ones_like(arrays[0])
    (_, base), _ = step(*arrays, weights)
    for segment in (1, 2, 3, 0):
        changed = [np.where((segment == SEGMENTS)[..., None, None], array * 7 + 3, array) for array in arrays]
        (_, out), _ = step(*changed, weights)
        others = (SEGMENTS[0] != segment) & (SEGMENTS[0] > 0)
        assert np.array_equal(np.asarray(out)[0, others], np.asarray(base)[0, others])
        if segment:
            assert not np.array_equal(np.asarray(out), np.asarray(base))


def test_bfloat16_is_near_float32():
    arrays = inputs(4, 2, 32)
    exact = segment_attention(*arrays, SEGMENTS, causal=True, backend="xla")
    for backend in KERNELS:
        rough = segment_attention(
            *[jnp.asarray(array, jnp.bfloat16) for array in arrays], SEGMENTS, causal=True, backend=backend
        )
        assert rough.dtype == jnp.bfloat16
        difference = np.abs(np.asarray(rough, np.float32) - np.asarray(exact))[0, SEGMENTS[0] > 0]
        assert difference.max() < 0.04


@pytest.mark.parametrize("backend", ["xla", "splash_interpreted"])
def test_each_device_computes_its_own_rows(backend):
    mesh = jax.make_mesh((2, 4), ("data", "fsdp"), axis_types=(jax.sharding.AxisType.Auto,) * 2)
    arrays = [np.concatenate([part] * 8) for part in inputs(4, 2, 32)]
    segments = np.concatenate([SEGMENTS] * 8)
    alone = segment_attention(*[part[:1] for part in arrays], SEGMENTS, causal=True, backend=backend)
    with jax.set_mesh(mesh):
        rows = jax.P(("data", "fsdp"))
        function = jax.jit(
            functools.partial(segment_attention, causal=True, backend=backend),
            in_shardings=rows,
            out_shardings=rows,
        )
        spread = function(*arrays, segments)
    for row in np.asarray(spread):
        assert np.array_equal(row[SEGMENTS[0] > 0], np.asarray(alone)[0, SEGMENTS[0] > 0])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(("heads", "kv_heads", "width", "causal"), [(28, 4, 128, True), (16, 16, 80, False)])
@pytest.mark.parametrize(("backend", "platform"), [("splash", "tpu"), ("triton", "cuda")])
def test_kernels_lower_for_their_own_device(backend, platform, heads, kv_heads, width, causal, dtype):
    """Forward and backward, at the widths of 7B's text and vision tower; the device itself is not needed for that."""
    shapes = [jax.ShapeDtypeStruct((2, 512, count, width), dtype) for count in (heads, kv_heads, kv_heads)]
    segments = jax.ShapeDtypeStruct((2, 512), jnp.int32)

    def total(q, k, v, segments):
        out = segment_attention(q, k, v, segments, causal=causal, backend=backend)
        return jnp.sum(out.astype(jnp.float32) ** 2)

    step = jax.jit(jax.value_and_grad(total, argnums=(0, 1, 2)))
    program = step.trace(*shapes, segments).lower(lowering_platforms=(platform,)).as_text()
    kernel = {"splash": "tpu_custom_call", "triton": "__gpu$xla.gpu.triton"}[backend]
    assert program.count(kernel) >= 2


def test_what_a_back_end_cannot_do_it_refuses():
    arrays = [part[:, :100] for part in inputs(4, 2, 32)]
    for backend, unit in (("splash", 128), ("triton", 64)):
        with pytest.raises(UserError, match=f"'{backend}' takes rows of a multiple of {unit} places, not 100"):
            segment_attention(*arrays, SEGMENTS[:, :100], causal=True, backend=backend)
    with pytest.raises(UserError, match="did you mean 'splash'"):
        segment_attention(*arrays, SEGMENTS[:, :100], causal=True, backend="splesh")
