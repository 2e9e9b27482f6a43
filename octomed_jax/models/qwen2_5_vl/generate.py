"""Batched generation with a key/value cache: one compiled prefill and decode loop for each (prompts, tokens) shape.

Legend: B prompts, L prompt tokens (right padded), N new tokens at most, M = L + N cache places, D model, V vocabulary,
K best tokens that are listed.
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
        best: the most likely tokens at each place, and their log-probabilities before temperature and top-p. [B, N, K]
    """

    tokens: Int[Array, "B N"]
    lengths: Int[Array, "B"]
    stopped: Bool[Array, "B"]
    best: tuple[Int[Array, "B N K"], Float[Array, "B N K"]]


class _Chosen(NamedTuple):
    """A token of each prompt, beside the best ones."""

    token_B: Array
    ids_BK: Array
    logprobs_BK: Array


class _Loop(NamedTuple):
    """What one decoding step hands to the next."""

    step: Array
    chosen: _Chosen
    stopped_B: Array
    written: _Chosen  # the same arrays with an axis of N new tokens after the first
    cache: Cache


@functools.partial(
    jax.jit, static_argnames=("graph", "max_new_tokens", "stop_ids", "sampling", "compute", "top_logprobs")
)
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
    top_logprobs: int = 0,
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
        top_logprobs: K, how many of the best tokens are listed at each place.
    """
    model: Qwen25VL = nnx.merge(graph, parameters)
    valid_BL = batch["segment_ids"] > 0
    lengths_B = valid_BL.sum(axis=1)
    B, L = valid_BL.shape
    hidden_BLD, prompt_cache = model.hidden(batch, compute)
    last_B = jnp.maximum(lengths_B - 1, 0)
    head_DV = model.head_kernel(compute.dtype)
    first_B1D = jnp.take_along_axis(hidden_BLD, last_B[:, None, None], axis=1)
    chosen = _choose(_logits(first_B1D, head_DV), keys_B, 0, sampling, top_logprobs)
    # Positions go on after the largest of the three axes, which images push ahead unequally.
    next_position_B = jnp.take_along_axis(batch["position_ids"].max(axis=1), last_B[:, None], axis=1)[:, 0] + 1
    cache = Cache(*[jnp.pad(part, ((0, 0), (0, 0), (0, max_new_tokens), (0, 0), (0, 0))) for part in prompt_cache])
    prompt_places_BM = jnp.pad(valid_BL, ((0, 0), (0, max_new_tokens)))

    def unfinished(loop: _Loop) -> Array:
        return (loop.step < max_new_tokens) & ~jnp.all(loop.stopped_B)

    def body(loop: _Loop) -> _Loop:
        now = loop.chosen._replace(token_B=jnp.where(loop.stopped_B, 0, loop.chosen.token_B))
        written = jax.tree.map(lambda whole, part: whole.at[:, loop.step].set(part), loop.written, now)
        stopped_B = loop.stopped_B | jnp.isin(loop.chosen.token_B, jnp.array(stop_ids))
        at = L + loop.step
        places_M = jnp.arange(L + max_new_tokens)
        mask_B1M = (prompt_places_BM | ((places_M >= L) & (places_M <= at)))[:, None, :]
        position_B31 = jnp.broadcast_to((next_position_B + loop.step)[:, None, None], (B, 3, 1))
        x_B1D = model.text.embed(loop.chosen.token_B[:, None], compute.dtype)
        hidden_B1D, cache = model.text.decode(x_B1D, position_B31, mask_B1M, loop.cache, at)
        chosen = _choose(_logits(hidden_B1D, head_DV), keys_B, loop.step + 1, sampling, top_logprobs)
        return _Loop(loop.step + 1, chosen, stopped_B, written, cache)

    empty = jax.tree.map(lambda part: jnp.zeros((B, max_new_tokens, *part.shape[1:]), part.dtype), chosen)
    start = _Loop(jnp.zeros((), jnp.int32), chosen, lengths_B == 0, empty, cache)
    end = jax.lax.while_loop(unfinished, body, start)
    tokens_BN, *best = end.written
    is_stop_BN = jnp.isin(tokens_BN, jnp.array(stop_ids))
    stopped_B = is_stop_BN.any(axis=1)
    new_B = jnp.where(stopped_B, jnp.argmax(is_stop_BN, axis=1) + 1, jnp.where(lengths_B == 0, 0, max_new_tokens))
    return Generated(tokens_BN, new_B, stopped_B, (best[0], best[1]))


def _logits(hidden_B1D: Float[Array, "B 1 D"], head_DV: Float[Array, "D V"]) -> Float[Array, "B V"]:
    return jnp.einsum("BD,DV->BV", hidden_B1D[:, 0], head_DV, preferred_element_type=jnp.float32)


def _choose(logits_BV: Array, keys_B: Array, step: int | Array, sampling: Sampling, top_logprobs: int) -> _Chosen:
    best = jax.lax.top_k(jax.nn.log_softmax(logits_BV), top_logprobs)
    if sampling.temperature == 0:
        token_B = jnp.argmax(logits_BV, axis=-1)
    else:
        scaled_BV = _keep_top_p(logits_BV / sampling.temperature, sampling.top_p)
        step_keys_B = jax.vmap(lambda key: jax.random.fold_in(key, step))(keys_B)
        token_B = jax.vmap(jax.random.categorical)(step_keys_B, scaled_BV)
    return _Chosen(token_B.astype(jnp.int32), best[1], best[0])


def _keep_top_p(logits_BV: Array, top_p: float) -> Array:
    """Drop the tokens outside the smallest set whose probability reaches ``top_p``; the best one always stays."""
    sorted_BV = jnp.sort(logits_BV, axis=-1)[:, ::-1]
    before_BV = jnp.cumsum(jax.nn.softmax(sorted_BV, axis=-1), axis=-1) - jax.nn.softmax(sorted_BV, axis=-1)
    kept_BV = before_BV < top_p
    threshold_B = jnp.min(jnp.where(kept_BV, sorted_BV, jnp.inf), axis=-1)
    return jnp.where(logits_BV >= threshold_B[:, None], logits_BV, -jnp.inf)
