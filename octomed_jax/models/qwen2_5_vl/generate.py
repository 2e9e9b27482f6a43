"""Batched generation with a key/value cache.

Two programs: one reads the prompts, one writes tokens until the cache is full or all prompts have ended. Their shapes
are a few buckets (prompts, prompt lengths, images; cache places): nothing else compiles again, whatever is asked for.
The cache grows from one bucket to the next, so that short answers do not pay for a long budget.

Legend: B prompts, L prompt tokens (right padded), N new tokens, M cache places, D model, V vocabulary, K best tokens
that are listed.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.experimental import multihost_utils
from jaxtyping import Array, Bool, Float, Int

from octomed_jax.models.compute import Compute
from octomed_jax.models.ops.sharding import by_row
from octomed_jax.models.qwen2_5_vl.model import DEFAULT, Qwen25VL
from octomed_jax.models.qwen2_5_vl.sampling import Chosen, Sampling, Thought, choose, close_thought
from octomed_jax.models.qwen2_5_vl.text import Cache

LISTED = (0, 1, 5, 20, 100, 1000)  # K is one of these, or the vocabulary
FIRST_PLACES = 256  # of the smallest cache


class Generated(NamedTuple):
    """What came out.

    Attributes:
        tokens: new tokens, the stop token included; 0 after it. [B, N]
        lengths: number of new tokens. [B]
        stopped: False where the budget ran out first. [B]
        cut: True where a thought was closed because its budget ran out. [B]
        best: the most likely tokens at each place, and their log-probabilities before temperature and top-p. [B, N, K]
    """

    tokens: Int[np.ndarray, "B N"]
    lengths: Int[np.ndarray, "B"]
    stopped: Bool[np.ndarray, "B"]
    cut: Bool[np.ndarray, "B"]
    best: tuple[Int[np.ndarray, "B N K"], Float[np.ndarray, "B N K"]]


class _State(NamedTuple):
    """What one token hands to the next."""

    number: Array  # of new tokens so far
    first: Array  # the cache's place of the first of them
    position_B: Array  # rotary position of the first of them
    visible_BM: Array  # places of the cache that hold the prompt
    stopped_B: Array
    thought_B: Array  # state of the automaton
    cut_B: Array
    written: Chosen  # with an axis of M places after the first
    cache: Cache


class _Asked(NamedTuple):
    """What may change from call to call without compiling again."""

    keys_B: Array
    settings: Array  # temperature and top-p
    limit: Array  # new tokens at most
    thought: Thought | None


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
    thought: Thought | None = None,
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
        thought: a budget for the thought.
    """
    vocabulary = parameters["text"]["embedding"].shape[0]
    listed = next((size for size in (*LISTED, vocabulary) if top_logprobs <= size <= vocabulary), vocabulary)
    settings = jnp.array([sampling.temperature, sampling.top_p], jnp.float32)
    asked = _Asked(keys_B, settings, jnp.int32(max_new_tokens), thought)
    fixed = {"stop_ids": stop_ids, "greedy": sampling.temperature == 0, "listed": listed}
    length = batch["segment_ids"].shape[1]
    places = cache_places(length + 1)
    state = _read(graph, parameters, batch, asked, places=places, compute=compute, **fixed)
    while True:
        state = _write(graph, parameters, state, asked, dtype=jnp.dtype(compute.dtype), **fixed)
        if state.number >= max_new_tokens or bool(jnp.all(state.stopped_B)):
            break
        state = _widened(state, cache_places(state.visible_BM.shape[1] + 1))
    return _result(state, length, max_new_tokens, top_logprobs, stop_ids)


def compile_programs(
    graph: nnx.GraphDef,
    parameters: dict,
    batch: Mapping[str, Any],
    *,
    max_new_tokens: int,
    stop_ids: tuple[int, ...],
    sampling: Sampling,
    compute: Compute,
    compiled: Callable[[str, jax.stages.Lowered], jax.stages.Compiled],
) -> None:
    """Compile what ``generate`` runs, for arrays that need not exist (``jax.ShapeDtypeStruct`` with shardings).

    These are ``read``; ``grow``, to the largest cache, where it grows at all; and ``write``, with that cache.

    Args:
        graph, parameters, batch, max_new_tokens, stop_ids, sampling, compute: as of ``generate``.
        compiled: is handed the name of each and what is to be compiled, and returns it compiled.
    """
    count, length = batch["segment_ids"].shape
    keys_B = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), count))
    settings = jax.ShapeDtypeStruct((2,), jnp.float32)
    asked = _Asked(keys_B, settings, jax.ShapeDtypeStruct((), jnp.int32), None)
    fixed = {"stop_ids": stop_ids, "greedy": sampling.temperature == 0, "listed": 0}
    first, last = cache_places(length + 1), cache_places(length + max_new_tokens)

    def result(name: str, lowered: jax.stages.Lowered) -> _State:
        """Return what a program returns, with the shardings that the compiler chose."""
        layout = compiled(name, lowered).output_shardings
        return jax.tree.map(
            lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
            lowered.out_info,
            layout,
        )

    state = result("read", _read.lower(graph, parameters, batch, asked, places=first, compute=compute, **fixed))
    if last > first:
        before = jax.eval_shape(functools.partial(_widened, places=last // 2), state)
        state = jax.tree.map(lambda leaf, own: own.update(shape=leaf.shape), before, state)
        state = result("grow", _widened.lower(state, places=last))
    compiled("write", _write.lower(graph, parameters, state, asked, dtype=jnp.dtype(compute.dtype), **fixed))


def cache_places(least: int) -> int:
    """Return the smallest cache that holds so many places."""
    return max(FIRST_PLACES, 1 << (least - 1).bit_length())


@functools.partial(jax.jit, static_argnames=("graph", "places", "stop_ids", "greedy", "listed", "compute"))
def _read(
    graph: nnx.GraphDef,
    parameters: dict,
    batch: Mapping[str, Array],
    asked: _Asked,
    *,
    places: int,
    stop_ids: tuple[int, ...],
    greedy: bool,
    listed: int,
    compute: Compute,
) -> _State:
    """Read the prompts and choose their first new token."""
    model: Qwen25VL = nnx.merge(graph, parameters)
    valid_BL = batch["segment_ids"] > 0
    lengths_B = valid_BL.sum(axis=1)
    B, L = valid_BL.shape
    hidden_BLD, prompt_cache = model.hidden(batch, compute)
    last_B = jnp.maximum(lengths_B - 1, 0)
    hidden_B1D = jnp.take_along_axis(hidden_BLD, last_B[:, None, None], axis=1)
    more = places - L
    cache = Cache(*[jnp.pad(part, ((0, 0), (0, 0), (0, more), (0, 0), (0, 0))) for part in prompt_cache])
    # Positions go on after the largest of the three axes, which images push ahead unequally.
    last_position_B = jnp.take_along_axis(batch["position_ids"].max(axis=1), last_B[:, None], axis=1)[:, 0]
    state = _State(
        number=jnp.int32(0),
        first=jnp.int32(L),
        position_B=last_position_B + 1,
        visible_BM=jnp.pad(valid_BL, ((0, 0), (0, more))),
        stopped_B=lengths_B == 0,
        thought_B=jnp.zeros(B, jnp.int32),
        cut_B=jnp.zeros(B, bool),
        written=Chosen(
            jnp.zeros((B, places), jnp.int32),
            jnp.zeros((B, places, listed), jnp.int32),
            jnp.zeros((B, places, listed), jnp.float32),
        ),
        cache=cache,
    )
    logits_BV = _logits(hidden_B1D, model.head_kernel(compute.dtype))
    return _chosen(state, logits_BV, asked, stop_ids, greedy, listed)


@functools.partial(jax.jit, static_argnames=("graph", "stop_ids", "greedy", "listed", "dtype"), donate_argnames="state")
def _write(
    graph: nnx.GraphDef,
    parameters: dict,
    state: _State,
    asked: _Asked,
    *,
    stop_ids: tuple[int, ...],
    greedy: bool,
    listed: int,
    dtype: jnp.dtype,
) -> _State:
    """Write tokens until the cache is full, all prompts have ended, or the budget is spent."""
    model: Qwen25VL = nnx.merge(graph, parameters)
    head_DV = model.head_kernel(dtype)
    places = state.visible_BM.shape[1]

    def unfinished(state: _State) -> Array:
        room = (state.number < asked.limit) & (state.first + state.number < places)
        return room & ~jnp.all(state.stopped_B)

    def body(state: _State) -> _State:
        at = state.first + state.number - 1  # of the token that was chosen last
        token_B = jax.lax.dynamic_index_in_dim(state.written.token_B, at, axis=1, keepdims=False)
        place_M = jnp.arange(places)
        mask_B1M = (state.visible_BM | ((place_M >= state.first) & (place_M <= at)))[:, None, :]
        position_B31 = jnp.broadcast_to((state.position_B + state.number - 1)[:, None, None], (len(token_B), 3, 1))
        x_B1D = by_row(model.text.embed(token_B[:, None], dtype))
        hidden_B1D, cache = model.text.decode(x_B1D, position_B31, mask_B1M, state.cache, at)
        return _chosen(state._replace(cache=cache), _logits(hidden_B1D, head_DV), asked, stop_ids, greedy, listed)

    return jax.lax.while_loop(unfinished, body, state)


@functools.partial(jax.jit, static_argnames="places")
def _widened(state: _State, places: int) -> _State:
    """Return the state with a cache of so many places."""
    more = places - state.visible_BM.shape[1]
    written = [jnp.pad(part, ((0, 0), (0, more)) + ((0, 0),) * (part.ndim - 2)) for part in state.written]
    cache = [jnp.pad(part, ((0, 0), (0, 0), (0, more), (0, 0), (0, 0))) for part in state.cache]
    visible_BM = jnp.pad(state.visible_BM, ((0, 0), (0, more)))
    return state._replace(visible_BM=visible_BM, written=Chosen(*written), cache=Cache(*cache))


def _chosen(
    state: _State, logits_BV: Array, asked: _Asked, stop_ids: tuple[int, ...], greedy: bool, listed: int
) -> _State:
    """Choose the next token of every prompt and write it down."""
    chosen = choose(logits_BV, asked.keys_B, state.number, asked.settings, greedy, listed)
    token_B, thought_B, cut_B = chosen.token_B, state.thought_B, state.cut_B
    if asked.thought is not None:
        token_B, thought_B, cut_B = close_thought(asked.thought, token_B, state.number, thought_B, cut_B)
        cut_B = jnp.where(state.stopped_B, state.cut_B, cut_B)
    chosen = chosen._replace(token_B=jnp.where(state.stopped_B, 0, token_B))
    at = state.first + state.number
    written = jax.tree.map(lambda whole, part: whole.at[:, at].set(part), state.written, chosen)
    stopped_B = state.stopped_B | jnp.isin(token_B, jnp.array(stop_ids))
    return state._replace(
        number=state.number + 1, stopped_B=stopped_B, thought_B=thought_B, cut_B=cut_B, written=written
    )


def _result(state: _State, first: int, budget: int, listed: int, stop_ids: tuple[int, ...]) -> Generated:
    """Return the new tokens as host arrays, padded to the budget."""
    number, visible_BM, cut_B, written = _to_host((state.number, state.visible_BM, state.cut_B, state.written))
    tokens_BN, *best = [part[:, first : first + budget] for part in written]
    short = budget - tokens_BN.shape[1]
    tokens_BN, *best = [np.pad(part, [(0, 0), (0, short)] + [(0, 0)] * (part.ndim - 2)) for part in (tokens_BN, *best)]
    is_stop_BN = np.isin(tokens_BN, stop_ids) & (np.arange(budget) < number)
    empty_B = ~visible_BM.any(axis=1)
    ended_B = is_stop_BN.any(axis=1) & ~empty_B
    lengths_B = np.where(ended_B, is_stop_BN.argmax(axis=1) + 1, np.where(empty_B, 0, budget))
    ids_BNK, logprobs_BNK = [part[..., :listed] for part in best]
    return Generated(tokens_BN, lengths_B, ended_B, cut_B, (ids_BNK, logprobs_BNK))


def _to_host(tree: Any) -> Any:
    """Return whole arrays on the host, on every process of a job."""
    if jax.process_count() == 1:
        return jax.device_get(tree)
    return multihost_utils.process_allgather(tree, tiled=True)


def _logits(hidden_B1D: Float[Array, "B 1 D"], head_DV: Float[Array, "D V"]) -> Float[Array, "B V"]:
    return jnp.einsum("BD,DV->BV", hidden_B1D[:, 0], head_DV, preferred_element_type=jnp.float32)
