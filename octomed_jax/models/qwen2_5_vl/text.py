"""The language model: Qwen2.5 decoder layers with three-axis rotary positions, scanned over a stack.

Source of the numbers: transformers 4.57.1, modeling_qwen2_5_vl.

Legend: B batch, L tokens, M cached tokens, D model, H heads, K kv heads, E values of a head, F angles of a head.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from octomed_jax.models.compute import HEADS, HIDDEN, ROTATED, STREAM, Compute, named
from octomed_jax.models.layers import Linear, RMSNorm, SwiGLU, adapted
from octomed_jax.models.lora import LoRA
from octomed_jax.models.ops.attention import attention, segment_attention
from octomed_jax.models.ops.embedding import looked_up
from octomed_jax.models.ops.rope import cos_sin, mrope_angles, rotate
from octomed_jax.models.ops.sharding import by_heads, by_place, gathered
from octomed_jax.models.qwen2_5_vl.config import TextConfig

LAYERS = "text.layers"  # below which mesh.RULES has their parameters


class Cache(NamedTuple):
    """Keys and values of the tokens so far, of all layers: [layers, B, M, K, E]."""

    keys: Float[Array, "layers B M K E"]
    values: Float[Array, "layers B M K E"]


def _write(whole: Array, part_B1KE: Array, layer: Array, at: Array) -> Array:
    """Write one token's keys or values of one layer; carried through the loops, the cache is updated in place."""
    return jax.lax.dynamic_update_slice(whole, part_B1KE[None].astype(whole.dtype), (layer, 0, at, 0, 0))


class SelfAttention(nnx.Module):
    """Grouped-query attention with rotary positions."""

    def __init__(self, config: TextConfig, lora: LoRA | None, *, rngs: nnx.Rngs):
        width, heads, kv_heads = config.head_dim, config.num_attention_heads, config.num_key_value_heads
        self.q = Linear(config.hidden_size, heads * width, bias=True, rngs=rngs, lora=adapted(lora, "q"))
        self.k = Linear(config.hidden_size, kv_heads * width, bias=True, rngs=rngs, lora=adapted(lora, "k"))
        self.v = Linear(config.hidden_size, kv_heads * width, bias=True, rngs=rngs, lora=adapted(lora, "v"))
        self.o = Linear(heads * width, config.hidden_size, bias=False, rngs=rngs, lora=adapted(lora, "o"))
        self.width = width

    def project(self, x_BLD: Array, cos_BLE: Array, sin_BLE: Array) -> tuple[Array, Array, Array]:
        """Return rotated queries and keys, and values: [B, L, heads, E]."""
        split = (*x_BLD.shape[:2], -1, self.width)
        q_BLHE, k_BLKE = self.q(x_BLD).reshape(split), self.k(x_BLD).reshape(split)
        v_BLKE = self.v(x_BLD).reshape(split)
        return rotate(by_heads(q_BLHE), cos_BLE, sin_BLE), rotate(by_heads(k_BLKE), cos_BLE, sin_BLE), by_heads(v_BLKE)


class DecoderLayer(nnx.Module):
    """Pre-norm attention and SwiGLU, each added to the stream."""

    def __init__(self, config: TextConfig, lora: LoRA | None, *, rngs: nnx.Rngs):
        self.attention_norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.attention = SelfAttention(config, lora, rngs=rngs)
        self.mlp_norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.mlp = SwiGLU(config.hidden_size, config.intermediate_size, bias=False, rngs=rngs, lora=lora)

    def __call__(
        self, x_BLD: Array, cos: Array, sin: Array, segments_BL: Array, compute: Compute
    ) -> tuple[Array, tuple[Array, Array]]:
        """Return the new stream, and the keys and values for a cache."""
        x_BLD = named(x_BLD, STREAM)
        q, k, v = [named(x, ROTATED) for x in self.attention.project(self.attention_norm(x_BLD), cos, sin)]
        heads_BLHE = segment_attention(q, k, v, segments_BL, causal=True, backend=compute.attention)
        return self._finish(x_BLD, named(heads_BLHE, HEADS)), (k, v)

    def decode(
        self, x_B1D: Array, cos: Array, sin: Array, mask_B1M: Array, cache: Cache, layer: Array, at: Array
    ) -> tuple[Array, Cache]:
        """Return the new stream of one token, and the cache with this layer's part of it written at ``at``."""
        q, k, v = self.attention.project(self.attention_norm(x_B1D), cos, sin)
        cache = Cache(_write(cache.keys, k, layer, at), _write(cache.values, v, layer, at))
        return self._finish(x_B1D, attention(q, cache.keys[layer], cache.values[layer], mask_B1M)), cache

    def _finish(self, x: Array, heads: Array) -> Array:
        x = named(x + self.attention.o(heads.reshape(*x.shape[:2], -1)), HIDDEN)
        return x + self.mlp(self.mlp_norm(x))


class LanguageModel(nnx.Module):
    """Token embeddings, the stack of layers, and the last norm. The head is the model's."""

    def __init__(self, config: TextConfig, lora: LoRA | None, *, rngs: nnx.Rngs):
        self.config = config
        self.embedding = nnx.Param(0.02 * jax.random.normal(rngs.params(), (config.vocab_size, config.hidden_size)))
        make = nnx.vmap(lambda keys: DecoderLayer(config, lora, rngs=keys))
        self.layers = nnx.split_rngs(splits=config.num_hidden_layers)(make)(rngs)
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    def embed(self, input_ids_BL: Int[Array, "B L"], dtype: DTypeLike) -> Float[Array, "B L D"]:
        """Return token embeddings."""
        return by_place(looked_up(self.embedding[...], input_ids_BL).astype(dtype))

    def _rotary(self, position_ids_B3L: Array, dtype: DTypeLike) -> tuple[Array, Array]:
        config = self.config
        cos, sin = cos_sin(mrope_angles(position_ids_B3L, config.head_dim, config.rope_theta, config.mrope_section))
        return cos.astype(dtype), sin.astype(dtype)

    def __call__(
        self,
        x_BLD: Float[Array, "B L D"],
        position_ids_B3L: Int[Array, "B 3 L"],
        segments_BL: Int[Array, "B L"],
        compute: Compute,
    ) -> tuple[Float[Array, "B L D"], Cache]:
        """Return hidden states after the last norm, and keys and values of all layers."""
        cos, sin = self._rotary(position_ids_B3L, x_BLD.dtype)
        graph, stack = nnx.split(self.layers)

        def body(x: Array, layer: nnx.State) -> tuple[Array, tuple[Array, Array]]:
            return nnx.merge(graph, gathered(layer, LAYERS, x.dtype))(by_place(x), cos, sin, segments_BL, compute)

        x_BLD, (keys, values) = jax.lax.scan(compute.checkpointed(body), x_BLD, stack)
        return self.norm(x_BLD), Cache(keys, values)

    def decode(
        self, x_B1D: Array, position_ids_B31: Array, mask_B1M: Array, cache: Cache, at: Array
    ) -> tuple[Float[Array, "B 1 D"], Cache]:
        """Return the hidden state of one more token, written into the cache at ``at``."""
        cos, sin = self._rotary(position_ids_B31, x_B1D.dtype)
        graph, stack = nnx.split(self.layers)

        def body(carry: tuple[Array, Cache], layer: tuple[nnx.State, Array]) -> tuple[tuple[Array, Cache], None]:
            weights, number = layer
            return nnx.merge(graph, gathered(weights, LAYERS, x_B1D.dtype)).decode(
                carry[0], cos, sin, mask_B1M, carry[1], number, at
            ), None

        numbers = jnp.arange(self.config.num_hidden_layers)
        (x_B1D, cache), _ = jax.lax.scan(body, (x_B1D, cache), (stack, numbers))
        return self.norm(x_B1D), cache
