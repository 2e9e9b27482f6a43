"""The two modules that both towers are made of. Parameters are float32 masters, cast where they are used.

Legend: D input features, F output features.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float


class Linear(nnx.Module):
    """``x @ kernel + bias`` in the dtype of ``x``.

    Random weights have variance 1 / inputs: a student that starts from them is small, and Qwen2.5's 0.02, meant for
    widths of thousands, would leave its first layers almost silent.
    """

    def __init__(self, inputs: int, outputs: int, *, bias: bool, rngs: nnx.Rngs):
        self.kernel = nnx.Param(inputs**-0.5 * jax.random.normal(rngs.params(), (inputs, outputs)))
        self.bias = nnx.Param(jnp.zeros((outputs,))) if bias else None

    def __call__(self, x: Float[Array, "... D"]) -> Float[Array, "... F"]:
        y = x @ self.kernel[...].astype(x.dtype)
        return y if self.bias is None else y + self.bias[...].astype(x.dtype)


class RMSNorm(nnx.Module):
    """Root mean square norm; statistics in float32."""

    def __init__(self, features: int, eps: float):
        self.scale = nnx.Param(jnp.ones((features,)))
        self.eps = eps

    def __call__(self, x: Float[Array, "... D"]) -> Float[Array, "... D"]:
        wide = x.astype(jnp.float32)
        variance = jnp.mean(jnp.square(wide), axis=-1, keepdims=True)
        return (wide * jax.lax.rsqrt(variance + self.eps)).astype(x.dtype) * self.scale[...].astype(x.dtype)


class SwiGLU(nnx.Module):
    """``down(silu(gate(x)) * up(x))``."""

    def __init__(self, features: int, hidden: int, *, bias: bool, rngs: nnx.Rngs):
        self.gate = Linear(features, hidden, bias=bias, rngs=rngs)
        self.up = Linear(features, hidden, bias=bias, rngs=rngs)
        self.down = Linear(hidden, features, bias=bias, rngs=rngs)

    def __call__(self, x: Float[Array, "... D"]) -> Float[Array, "... D"]:
        return self.down(jax.nn.silu(self.gate(x)) * self.up(x))
