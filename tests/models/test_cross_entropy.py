"""The chunked cross entropy against the plain one, in value and in every gradient."""

import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from octomed_jax.models.mesh import AXES, PARTS, ROW_AXES, make_mesh
from octomed_jax.models.ops.cross_entropy import chunked_cross_entropy

B, L, D, V = 8, 12, 8, 50


def arguments(dtype=np.float32):
    rng = np.random.default_rng(0)
    hidden = jnp.asarray(rng.normal(size=(B, L, D)), dtype)
    head = jnp.asarray(rng.normal(size=(D, V)), dtype)
    targets = rng.integers(0, V, (B, L)).astype(np.int32)
    weights = rng.choice([0.0, 1.0, 0.5], (B, L)).astype(np.float32)
    return hidden, head, targets, weights


def plain(hidden, head, targets, weights):
    logits = jnp.einsum("BLD,DV->BLV", hidden, head, preferred_element_type=jnp.float32)
    losses = -jnp.take_along_axis(jax.nn.log_softmax(logits), targets[..., None], -1)[..., 0]
    return 3 * jnp.sum(losses * weights)


def chunked(hidden, head, targets, weights, chunk, tied=False):
    return 3 * chunked_cross_entropy(hidden, head, targets, weights, chunk=chunk, tied=tied)


@pytest.mark.parametrize("chunk", [1, 7, 13, 1000])
def test_value_and_gradients_equal_the_plain_ones(chunk):
    hidden, head, targets, weights = arguments()
    ours = jax.value_and_grad(chunked, (0, 1, 3))(hidden, head, targets, weights, chunk)
    theirs = jax.value_and_grad(plain, (0, 1, 3))(hidden, head, targets, weights)
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-6)
    for mine, other in zip(ours[1], theirs[1], strict=True):
        np.testing.assert_allclose(mine, other, atol=2e-6 * np.abs(other).max())
    np.testing.assert_allclose(chunked(hidden, head, targets, weights, chunk), theirs[0], rtol=1e-6)  # forward alone


def test_bfloat16_gradients_are_summed_in_float32():
    hidden, head, targets, weights = arguments(jnp.bfloat16)
    ours = jax.grad(chunked, (0, 1))(hidden, head, targets, weights, 4)
    exact = jax.grad(plain, (0, 1))(hidden.astype(jnp.float32), head.astype(jnp.float32), targets, weights)
    for mine, other in zip(ours, exact, strict=True):
        assert mine.dtype == jnp.bfloat16
        np.testing.assert_allclose(mine.astype(np.float32), other, atol=0.02 * np.abs(other).max())


def test_no_array_of_all_tokens_times_the_vocabulary_exists():
    hidden, head, targets, weights = arguments()
    step = jax.value_and_grad(lambda *args: chunked(*args, 8), (0, 1))
    text = jax.jit(step).lower(hidden, head, targets, weights).as_text()
    assert f"8x{V}xf32" in text
    assert f"{B * L}x{V}x" not in text
    assert f"{B}x{L}x{V}x" not in text


def test_a_frozen_head_has_no_gradient_computed():
    hidden, head, targets, weights = arguments()
    trained = str(jax.make_jaxpr(jax.grad(chunked, (0, 1)), static_argnums=4)(hidden, head, targets, weights, 8))
    frozen = str(jax.make_jaxpr(jax.grad(chunked, 0), static_argnums=4)(hidden, head, targets, weights, 8))
    assert trained.count("dot_general") == 3
    assert frozen.count("dot_general") == 2
    np.testing.assert_array_equal(
        jax.grad(chunked, 0)(hidden, head, targets, weights, 8),
        jax.grad(chunked, (0, 1))(hidden, head, targets, weights, 8)[0],
    )


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("sizes", [(2, 4, 1, 1), (2, 2, 2, 1), (1, 1, 4, 2), (1, 2, 1, 4)], ids=str)
def test_on_a_mesh_the_vocabulary_and_its_gradient_stay_where_they_are(sizes, tied):
    hidden, head, targets, weights = arguments()
    mesh = make_mesh(dict(zip(AXES, sizes, strict=True)))
    place = jax.NamedSharding(mesh, jax.P(ROW_AXES, "sequence"))
    # As models/mesh.py lays them: a tied one by features; here 50 entries do not divide, so an untied one lies whole.
    at_rest = jax.NamedSharding(mesh, jax.P(PARTS) if tied else jax.P())
    with jax.set_mesh(mesh):
        step = jax.jit(
            jax.value_and_grad(lambda *args: chunked(*args, 4, tied), (0, 1)),
            in_shardings=(place, at_rest, place, place),
            out_shardings=(None, (place, at_rest if tied else None)),
        )
        value, gradients = step(hidden, head, targets, weights)
        program = step.lower(hidden, head, targets, weights).compile().as_text()
    theirs = jax.value_and_grad(plain, (0, 1))(hidden, head, targets, weights)
    np.testing.assert_allclose(value, theirs[0], rtol=1e-6)
    for mine, other in zip(gradients, theirs[1], strict=True):
        np.testing.assert_allclose(mine, other, atol=2e-6 * np.abs(other).max())
    gathered = [
        math.prod(map(int, shape.split(","))) for shape in re.findall(r"f32\[([\d,]+)\]\S* all-gather", program)
    ]
    assert gathered  # hidden states
    if tied:
        assert max(gathered) < D * V
    # The head's gradient crosses replicas after the loop over chunks, not in it.
    within = [part for part in program.split("\n\n") if "while" not in part and "ENTRY" not in part]
    reduced = [shape for part in within for shape in re.findall(r"f32\[([\d,]+)\]\S* all-reduce", part)]
    assert all(math.prod(map(int, shape.split(","))) <= 16 * 4 for shape in reduced)
