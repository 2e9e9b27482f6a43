"""What is kept for the backward pass changes memory, never values."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from octomed_jax.inputs.rows import Bucket, assemble
from octomed_jax.models.compute import REMAT, Compute
from octomed_jax.models.qwen2_5_vl.model import initial_parameters, split_model
from tests.models.student import SPEC, example, small_config

BUCKET = Bucket("image", 256, 64)
EXAMPLES = [example("Which plane?", [(112, 140)], "axial"), example("no image", [], "coronal")]
ROWS = jax.tree.map(jnp.asarray, assemble([EXAMPLES], 1, BUCKET, SPEC))


@functools.cache
def step(compute: Compute):
    graph, _ = split_model(small_config())
    return jax.jit(jax.value_and_grad(lambda tree: nnx.merge(graph, tree).loss_sum(ROWS, compute)))


@functools.cache
def parameters():
    return initial_parameters(small_config(), 0)


@functools.cache
def plain():
    return step(Compute())(parameters())


@pytest.mark.parametrize("remat", [name for name in REMAT if name != "none"])
def test_every_policy_gives_the_same_loss_and_gradients(remat):
    loss, gradients = step(Compute(remat=remat))(parameters())
    np.testing.assert_allclose(loss, plain()[0], rtol=1e-6)
    for mine, other in zip(jax.tree.leaves(gradients), jax.tree.leaves(plain()[1]), strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-5 * float(jnp.abs(other).max()) + 1e-9)


def kept_bytes(remat: str) -> int:
    """Return what the forward pass hands to the backward pass, in bytes."""
    graph, _ = split_model(small_config())
    compute = Compute(remat=remat)

    def forward(tree):
        return jax.vjp(lambda part: nnx.merge(graph, part).loss_sum(ROWS, compute), tree)[1]

    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(jax.eval_shape(forward, parameters())))


def test_policies_keep_less_in_this_order():
    kept = [kept_bytes(name) for name in ("full", "attention", "matmuls", "none")]
    assert kept == sorted(kept)
    assert len(set(kept)) == len(kept)


def test_offloading_keeps_the_streams_in_the_hosts_memory():
    """The CPU has one memory, so the program before lowering is looked at."""
    assert "<host>" in str(jax.make_jaxpr(step(Compute(remat="offload")))(parameters()))
    assert "<host>" not in str(jax.make_jaxpr(step(Compute(remat="attention")))(parameters()))


@pytest.mark.parametrize("attention", ["splash_interpreted", "triton_interpreted"])
def test_every_kernel_gives_the_same_loss_and_gradients(attention):
    loss, gradients = step(Compute(attention=attention))(parameters())
    np.testing.assert_allclose(loss, plain()[0], rtol=1e-5)
    for mine, other in zip(jax.tree.leaves(gradients), jax.tree.leaves(plain()[1]), strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-4 * float(jnp.abs(other).max()) + 1e-9)


def test_bfloat16_compute_keeps_float32_masters():
    loss, gradients = step(Compute(dtype=jnp.bfloat16))(parameters())
    np.testing.assert_allclose(loss, plain()[0], rtol=2e-2)
    assert loss.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(gradients)} == {jnp.dtype("float32")}
