"""Batched generation with a key/value cache: one compiled prefill and decode loop for each (prompts, tokens) shape.

Legend: B prompts, L prompt tokens (right padded), N new tokens at most, M = L + N cache places, D model, V vocabulary.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from octomed_jax.models.compute import Compute
from octomed_jax.models.qwen2_5_vl.model import DEFAULT, Qwen25VL
from octomed_jax.models.qwen2_5_vl.text import Cache


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How the next token is chosen; temperature 0 is greedy and ignores ``top_p``."""

    temperature: float = 0.0
    top_p: float = 1.0


class Generated(NamedTuple):
    """What came out.

    Attributes:
        tokens: new tokens, the stop token included; 0 after it. [B, N]
        lengths: number of new tokens. [B]
        stopped: False where the budget ran out first. [B]
    """

    tokens: Int[Array, "B N"]
    lengths: Int[Array, "B"]
    stopped: Bool[Array, "B"]


class _Loop(NamedTuple):
    """What one decoding step hands to the next."""

    step: Array
    token_B: Array
    stopped_B: Array
    tokens_BN: Array
    cache: Cache


@functools.partial(jax.jit, static_argnames=("graph", "max_new_tokens", "stop_ids", "sampling", "compute"))
def generate(
    graph: nnx.GraphDef,
    parameters: dict,
    batch: Mapping[str, Array],
    keys_B: Array,
    *,
    max_new_tokens: int,
    stop_ids: tuple[int, ...],
    sampling: Sampling,
    compute: Compute = DEFAULT,
) -> Generated:
    """Continue every prompt of a batch.

    Args:
        graph, parameters: the model.
        batch: rows of one prompt each, right padded (segment_ids 1 on the prompt, 0 after it), or empty rows.
        keys_B: one random key a prompt, so that a prompt's samples do not depend on its neighbours.
        max_new_tokens: the budget.
        stop_ids: generation of a prompt ends with one of these.
        sampling: how tokens are chosen.
        compute: precision and attention back end.
    """
    model: Qwen25VL = nnx.merge(graph, parameters)
    valid_BL = batch["segment_ids"] > 0
    lengths_B = valid_BL.sum(axis=1)
    B, L = valid_BL.shape
    hidden_BLD, prompt_cache = model.hidden(batch, compute)
    last_B = jnp.maximum(lengths_B - 1, 0)
    head_DV = model.head_kernel(compute.dtype)
    first_B1D = jnp.take_along_axis(hidden_BLD, last_B[:, None, None], axis=1)
    token_B = _choose(_logits(first_B1D, head_DV), keys_B, 0, sampling)
    # Positions go on after the largest of the three axes, which images push ahead unequally.
    next_position_B = jnp.take_along_axis(batch["position_ids"].max(axis=1), last_B[:, None], axis=1)[:, 0] + 1
    cache = Cache(*[jnp.pad(part, ((0, 0), (0, 0), (0, max_new_tokens), (0, 0), (0, 0))) for part in prompt_cache])
    prompt_places_BM = jnp.pad(valid_BL, ((0, 0), (0, max_new_tokens)))

    def unfinished(loop: _Loop) -> Array:
        return (loop.step < max_new_tokens) & ~jnp.all(loop.stopped_B)

    def body(loop: _Loop) -> _Loop:
        tokens_BN = loop.tokens_BN.at[:, loop.step].set(jnp.where(loop.stopped_B, 0, loop.token_B))
        stopped_B = loop.stopped_B | jnp.isin(loop.token_B, jnp.array(stop_ids))
        at = L + loop.step
        places_M = jnp.arange(L + max_new_tokens)
        mask_B1M = (prompt_places_BM | ((places_M >= L) & (places_M <= at)))[:, None, :]
        position_B31 = jnp.broadcast_to((next_position_B + loop.step)[:, None, None], (B, 3, 1))
        x_B1D = model.text.embed(loop.token_B[:, None], compute.dtype)
        hidden_B1D, cache = model.text.decode(x_B1D, position_B31, mask_B1M, loop.cache, at)
        token_B = _choose(_logits(hidden_B1D, head_DV), keys_B, loop.step + 1, sampling)
        return _Loop(loop.step + 1, token_B, stopped_B, tokens_BN, cache)

    start = _Loop(jnp.zeros((), jnp.int32), token_B, lengths_B == 0, jnp.zeros((B, max_new_tokens), jnp.int32), cache)
    end = jax.lax.while_loop(unfinished, body, start)
    is_stop_BN = jnp.isin(end.tokens_BN, jnp.array(stop_ids))
    stopped_B = is_stop_BN.any(axis=1)
    new_B = jnp.where(stopped_B, jnp.argmax(is_stop_BN, axis=1) + 1, jnp.where(lengths_B == 0, 0, max_new_tokens))
    return Generated(end.tokens_BN, new_B, stopped_B)


def _logits(hidden_B1D: Float[Array, "B 1 D"], head_DV: Float[Array, "D V"]) -> Float[Array, "B V"]:
    return jnp.einsum("BD,DV->BV", hidden_B1D[:, 0], head_DV, preferred_element_type=jnp.float32)


def _choose(logits_BV: Array, keys_B: Array, step: int | Array, sampling: Sampling) -> Int[Array, "B"]:
    if sampling.temperature == 0:
        return jnp.argmax(logits_BV, axis=-1).astype(jnp.int32)
    scaled_BV = _keep_top_p(logits_BV / sampling.temperature, sampling.top_p)
    step_keys_B = jax.vmap(lambda key: jax.random.fold_in(key, step))(keys_B)
    return jax.vmap(jax.random.categorical)(step_keys_B, scaled_BV).astype(jnp.int32)


def _keep_top_p(logits_BV: Array, top_p: float) -> Array:
    """Drop the tokens outside the smallest set whose probability reaches ``top_p``; the best one always stays."""
    sorted_BV = jnp.sort(logits_BV, axis=-1)[:, ::-1]
    before_BV = jnp.cumsum(jax.nn.softmax(sorted_BV, axis=-1), axis=-1) - jax.nn.softmax(sorted_BV, axis=-1)
    kept_BV = before_BV < top_p
    threshold_B = jnp.min(jnp.where(kept_BV, sorted_BV, jnp.inf), axis=-1)
    return jnp.where(logits_BV >= threshold_B[:, None], logits_BV, -jnp.inf)
