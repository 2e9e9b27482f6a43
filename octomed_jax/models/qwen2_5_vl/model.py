"""Qwen2.5-VL: the vision tower's features take the places of image tokens in the language model.

Legend: B rows, L tokens, C merged cells, D model, V vocabulary.
"""

import functools
from collections.abc import Mapping

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from octomed_jax.models.compute import Compute
from octomed_jax.models.layers import Linear
from octomed_jax.models.lora import LoRA
from octomed_jax.models.ops.cross_entropy import chunked_cross_entropy, chunked_token_losses
from octomed_jax.models.ops.precision import wide
from octomed_jax.models.ops.sharding import by_place, by_row, gathered
from octomed_jax.models.qwen2_5_vl.config import Qwen25VLConfig
from octomed_jax.models.qwen2_5_vl.text import Cache, LanguageModel
from octomed_jax.models.qwen2_5_vl.vision import VisionTower

DEFAULT = Compute()


class Qwen25VL(nnx.Module):
    """The student. A batch is what ``inputs.rows.assemble`` returns; without vision arrays it is text only."""

    def __init__(self, config: Qwen25VLConfig, lora: LoRA | None = None, *, rngs: nnx.Rngs):
        self.config = config
        self.text = LanguageModel(config.text, lora, rngs=rngs)
        self.vision = VisionTower(config.vision, rngs=rngs)
        tied = config.text.tie_word_embeddings
        self.head = None if tied else Linear(config.text.hidden_size, config.text.vocab_size, bias=False, rngs=rngs)

    def head_kernel(self, dtype: DTypeLike) -> Float[Array, "D V"]:
        """Return the matrix from hidden states to logits, whole on every device."""
        if self.head is None:
            return gathered(self.text.embedding[...], "text.embedding", dtype).T
        return gathered(self.head.kernel[...], "head.kernel", dtype)

    def embed(self, batch: Mapping[str, Array], compute: Compute) -> Float[Array, "B L D"]:
        """Return token embeddings with image features in their places."""
        x_BLD = self.text.embed(batch["input_ids"], compute.dtype)
        if "patches" not in batch:
            return x_BLD
        features_BCD = self.vision(
            batch["patches"], batch["window_ids"], batch["frame_ids"], batch["patch_positions"], compute
        )
        features_BCD, index_BL = by_row(features_BCD), batch["feature_index"]
        placed_BLD = jnp.take_along_axis(features_BCD, jnp.maximum(index_BL, 0)[..., None], axis=1)
        return by_place(jnp.where(index_BL[..., None] >= 0, placed_BLD, x_BLD))

    def hidden(self, batch: Mapping[str, Array], compute: Compute = DEFAULT) -> tuple[Float[Array, "B L D"], Cache]:
        """Return hidden states after the last norm, and the keys and values of all layers."""
        x_BLD = self.embed(batch, compute)
        return self.text(x_BLD, batch["position_ids"], batch["segment_ids"], compute)

    def logits(self, batch: Mapping[str, Array], compute: Compute = DEFAULT) -> Float[Array, "B L V"]:
        """Return all logits, in float32 at least. For checks and short inputs; training never holds them all."""
        hidden_BLD, _ = self.hidden(batch, compute)
        head_DV = self.head_kernel(compute.dtype)
        return jnp.einsum("BLD,DV->BLV", hidden_BLD, head_DV, preferred_element_type=wide(hidden_BLD))

    def loss_sum(self, batch: Mapping[str, Array], compute: Compute = DEFAULT) -> Float[Array, ""]:
        """Return the sum of token losses over the batch, weighted by ``loss_weights``."""
        hidden_BLD, _ = self.hidden(batch, compute)
        kernel = self.text.embedding[...].T if self.head is None else self.head.kernel[...]
        targets, weights = batch["targets"], batch["loss_weights"]
        return chunked_cross_entropy(hidden_BLD, kernel.astype(compute.dtype), targets, weights, tied=self.head is None)

    def token_losses(self, batch: Mapping[str, Array], compute: Compute = DEFAULT) -> Float[Array, "B L"]:
        """Return minus the log-probability of each place's target."""
        hidden_BLD, _ = self.hidden(batch, compute)
        return chunked_token_losses(hidden_BLD, self.head_kernel(compute.dtype), batch["targets"])


def make_model(config: Qwen25VLConfig, seed: int, lora: LoRA | None = None) -> Qwen25VL:
    """Return a model with random weights, and with adapters that change nothing yet if ``lora`` is given."""
    return Qwen25VL(config, lora, rngs=nnx.Rngs(params=jax.random.key(seed)))


def split_model(config: Qwen25VLConfig, lora: LoRA | None = None) -> tuple[nnx.GraphDef, dict]:
    """Return the module's structure and its abstract parameters, a plain tree of names; nothing is allocated."""
    graph, tree = _structure(config, lora)
    return graph, jax.tree.map(lambda leaf: leaf, tree)


@functools.lru_cache(maxsize=8)  # plans ask for it again and again
def _structure(config: Qwen25VLConfig, lora: LoRA | None) -> tuple[nnx.GraphDef, dict]:
    graph, state = nnx.split(nnx.eval_shape(lambda: make_model(config, 0, lora)))
    return graph, nnx.to_pure_dict(state)


def initial_parameters(config: Qwen25VLConfig, seed: int, lora: LoRA | None = None) -> dict:
    """Return random parameters as a plain tree; call it inside jit to make them where they belong."""
    return nnx.to_pure_dict(nnx.state(make_model(config, seed, lora)))
