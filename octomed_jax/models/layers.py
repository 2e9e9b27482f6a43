"""The modules that both towers are made of. Parameters are float32 masters, cast where they are used.

Legend: D input features, F output features, R rank of an adapter.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from octomed_jax.models.compute import HIDDEN, named
from octomed_jax.models.lora import LoRA
from octomed_jax.models.ops.rms_norm import rms_norm
from octomed_jax.models.ops.sharding import size_of


class Adapter(nnx.Module):
    """``scale * (x @ a) @ b`` beside a frozen matrix (LoRA, arXiv 2106.09685). It starts as zero."""

    def __init__(self, inputs: int, outputs: int, lora: LoRA, *, rngs: nnx.Rngs):
        bound = inputs**-0.5  # as PEFT: Kaiming uniform with a = sqrt(5)
        self.a = nnx.Param(jax.random.uniform(rngs.params(), (inputs, lora.rank), minval=-bound, maxval=bound))
        self.b = nnx.Param(jnp.zeros((lora.rank, outputs)))
        self.scale = lora.scale

    def __call__(self, x: Float[Array, "... D"]) -> Float[Array, "... F"]:
        return x @ self.a[...].astype(x.dtype) @ self.b[...].astype(x.dtype) * self.scale


class Linear(nnx.Module):
    """``x @ kernel + bias`` in the dtype of ``x``, and an adapter's share where there is one.

    Random weights have variance 1 / inputs: a student that starts from them is small, and Qwen2.5's 0.02, meant for
    widths of thousands, would leave its first layers almost silent.
    """

    def __init__(self, inputs: int, outputs: int, *, bias: bool, rngs: nnx.Rngs, lora: LoRA | None = None):
        self.kernel = nnx.Param(inputs**-0.5 * jax.random.normal(rngs.params(), (inputs, outputs)))
        self.bias = nnx.Param(jnp.zeros((outputs,))) if bias else None
        self.lora = Adapter(inputs, outputs, lora, rngs=rngs) if lora else None

    def __call__(self, x: Float[Array, "... D"]) -> Float[Array, "... F"]:
        # Of two axes: with more, XLA on a CPU copies both operands of the kernel's gradient into other layouts first.
        # Rows that are divided along their tokens cannot be laid end to end.
        flat = x if size_of("sequence") > 1 else x.reshape(-1, x.shape[-1])
        y = flat @ self.kernel[...].astype(x.dtype)
        if self.bias is not None:
            y += self.bias[...].astype(x.dtype)
        if self.lora is not None:
            y += self.lora(flat)
        return y.reshape(*x.shape[:-1], -1)


class RMSNorm(nnx.Module):
    """Root mean square norm; statistics in float32."""

    def __init__(self, features: int, eps: float):
        self.scale = nnx.Param(jnp.ones((features,)))
        self.eps = eps

    def __call__(self, x: Float[Array, "... D"]) -> Float[Array, "... D"]:
        return rms_norm(x, self.scale[...], self.eps)


class SwiGLU(nnx.Module):
    """``down(silu(gate(x)) * up(x))``."""

    def __init__(self, features: int, hidden: int, *, bias: bool, rngs: nnx.Rngs, lora: LoRA | None = None):
        self.gate = Linear(features, hidden, bias=bias, rngs=rngs, lora=adapted(lora, "gate"))
        self.up = Linear(features, hidden, bias=bias, rngs=rngs, lora=adapted(lora, "up"))
        self.down = Linear(hidden, features, bias=bias, rngs=rngs, lora=adapted(lora, "down"))

    def __call__(self, x: Float[Array, "... D"]) -> Float[Array, "... D"]:
        return self.down(jax.nn.silu(named(self.gate(x), HIDDEN)) * named(self.up(x), HIDDEN))


def adapted(lora: LoRA | None, name: str) -> LoRA | None:
    """Return the adapter of the matrix ``name``, if it has one."""
    return lora if lora and name in lora.targets else None
