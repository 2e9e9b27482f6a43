"""The norm and its own gradient, against the derivative of the plain formula."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from octomed_jax.models.ops.rms_norm import rms_norm

EPS = 1e-6


def plain(x: jax.Array, scale: jax.Array) -> jax.Array:
    exact = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    return (exact / jnp.sqrt(jnp.mean(exact**2, axis=-1, keepdims=True) + EPS)).astype(x.dtype) * scale.astype(x.dtype)


@pytest.mark.parametrize("shape", [(16,), (3, 16), (2, 3, 5, 16)])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-14), ("float32", 1e-5), ("bfloat16", 2e-2)])
def test_value_and_gradients_equal_those_of_the_formula(shape, dtype, tolerance):
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        x, upstream = [jnp.asarray(3 * rng.normal(size=shape), dtype) for _ in range(2)]
        scale = jnp.asarray(rng.normal(size=shape[-1:]), jnp.float64 if dtype == "float64" else jnp.float32)
        wanted, pull = jax.vjp(plain, x, scale)
        found, own_pull = jax.vjp(lambda x, scale: rms_norm(x, scale, EPS), x, scale)
        pairs = [(wanted, found), *zip(pull(upstream), own_pull(upstream), strict=True)]
    for expected, got in pairs:
        assert (got.dtype, got.shape) == (expected.dtype, expected.shape)
        expected, got = np.asarray(expected, np.float64), np.asarray(got, np.float64)
        np.testing.assert_allclose(got, expected, atol=tolerance * np.abs(expected).max(), rtol=0)
