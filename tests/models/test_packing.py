"""Nothing crosses an example, an image or a window of a packed row."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from octomed_jax.inputs.rows import Bucket, assemble
from octomed_jax.models.compute import Compute
from octomed_jax.models.qwen2_5_vl.model import initial_parameters, split_model
from tests.models.student import SPEC, example, small_config

BACKENDS = ("xla", "splash_interpreted", "triton_interpreted")  # all that can run here
BUCKET = Bucket("image", 256, 192)
EXAMPLES = [
    example("Which plane is this slice?", [(112, 140)], "axial", seed=1),
    example("no image here", [], "coronal"),
    example("two images", [(56, 84), (140, 56)], "sagittal", seed=5),
]


@functools.cache
def parameters():
    tree = initial_parameters(small_config(), 0)
    rng = np.random.default_rng(0)
    # Biases and norms start at 0 and 1: give them values, so that a forgotten one would show.
    return jax.tree.map(lambda leaf: leaf + 0.1 * rng.normal(size=leaf.shape).astype(np.float32), tree)


@functools.cache
def compiled(attention="xla"):
    graph, _ = split_model(small_config())
    compute = Compute(attention=attention)
    return (
        jax.jit(lambda tree, rows: nnx.merge(graph, tree).logits(rows, compute)),
        jax.jit(jax.value_and_grad(lambda tree, rows: nnx.merge(graph, tree).loss_sum(rows, compute))),
    )


@pytest.mark.parametrize("attention", BACKENDS)
def test_changing_one_example_leaves_the_others_bit_identical(attention):
    def logits(rows):
        return np.asarray(compiled(attention)[0](parameters(), assemble(rows, 1, BUCKET, SPEC))[0])

    base = logits([EXAMPLES])
    changed = logits([[EXAMPLES[0], EXAMPLES[1], example("two images", [(56, 84), (140, 56)], "sagittal", seed=9)]])
    start = sum(len(part.token_ids) for part in EXAMPLES[:2])
    assert (base[:start] == changed[:start]).all()
    assert (base[start:] != changed[start:]).any()
    first = logits([[example("Which plane is this slice?", [(112, 140)], "axial", seed=2), *EXAMPLES[1:]]])
    own, end = len(EXAMPLES[0].token_ids), sum(len(part.token_ids) for part in EXAMPLES)
    assert (base[own:end] == first[own:end]).all()
    assert (base[:own] != first[:own]).any()


@pytest.mark.parametrize("attention", BACKENDS)
def test_packed_loss_and_gradients_equal_those_of_the_examples_alone(attention):
    step = compiled(attention)[1]
    loss, gradients = step(parameters(), assemble([EXAMPLES], 1, BUCKET, SPEC))
    alone = [step(parameters(), assemble([[part]], 1, BUCKET, SPEC)) for part in EXAMPLES]
    np.testing.assert_allclose(loss, sum(value for value, _ in alone), rtol=1e-6)
    summed = jax.tree.map(lambda *parts: sum(parts), *[tree for _, tree in alone])
    for ours, theirs in zip(jax.tree.leaves(gradients), jax.tree.leaves(summed), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-5 * float(jnp.abs(theirs).max()) + 1e-9)


def test_empty_rows_and_padding_give_no_loss_and_finite_gradients():
    loss, gradients = compiled()[1](parameters(), assemble([], 1, BUCKET, SPEC))
    assert float(loss) == 0
    assert all(bool(jnp.isfinite(leaf).all()) and not bool(leaf.any()) for leaf in jax.tree.leaves(gradients))
