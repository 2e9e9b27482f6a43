"""How the next token is chosen: the best one or a sample, and when a thought is made to end.

Legend: B prompts, V vocabulary, K best tokens that are listed, S states of the automaton, F tokens of the closing text.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

CLOSE = "</think>"


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How the next token is chosen; temperature 0 is greedy and ignores ``top_p``."""

    temperature: float = 0.0
    top_p: float = 1.0


class Thought(NamedTuple):
    """A budget for the thought: what has not closed it by then is closed, and the answer begins.

    Attributes:
        budget: new tokens before the closing text is put in, an int32 scalar.
        automaton: state and token -> how much of ``</think>`` has been written, however it was cut into tokens; the
            last state is "closed". [S, V] int8
        closing: ids of the text that is put in. [F]
    """

    budget: Int[Array, ""]
    automaton: Int[Array, "S V"]
    closing: Int[Array, "F"]


class Chosen(NamedTuple):
    """A token of each prompt, beside the most likely ones and their log-probabilities."""

    token_B: Int[Array, "B"]
    ids_BK: Int[Array, "B K"]
    logprobs_BK: Float[Array, "B K"]


def close_automaton(vocabulary: Sequence[str], size: int) -> Int[np.ndarray, "S V"]:
    """Return the transitions that follow ``</think>`` through tokens of a byte-level vocabulary.

    Its only ``<`` stands first, so that a broken match never is the beginning of another one.

    Args:
        vocabulary: the tokens' text, by id; of byte-level tokens only ASCII matters.
        size: of the model's vocabulary, which may be larger than the tokenizer's.
    """
    closed = len(CLOSE)
    automaton = np.zeros((closed + 1, size), np.int8)
    automaton[closed] = closed
    for token, text in enumerate(vocabulary):
        if CLOSE in text:
            automaton[:, token] = closed
            continue
        tail = text[text.rfind("<") :] if "<" in text else ""
        automaton[:closed, token] = len(tail) if tail and CLOSE.startswith(tail) else 0
        for state in range(1, closed):
            rest = CLOSE[state:]
            if text.startswith(rest):
                automaton[state, token] = closed
            elif text and rest.startswith(text):
                automaton[state, token] = state + len(text)
    return automaton


def choose(
    logits_BV: Float[Array, "B V"], keys_B: Array, number: Int[Array, ""], settings: Array, greedy: bool, listed: int
) -> Chosen:
    """Choose the token of each prompt.

    Args:
        logits_BV: of the next place.
        keys_B: a random key a prompt.
        number: of the new token, from 0.
        settings: temperature and top-p. [2]
        greedy: take the best one.
        listed: K.
    """
    logprobs_BK, ids_BK = jax.lax.top_k(jax.nn.log_softmax(logits_BV), listed)
    if greedy:
        token_B = jnp.argmax(logits_BV, axis=-1)
    else:
        scaled_BV = keep_top_p(logits_BV / settings[0], settings[1])
        token_keys_B = jax.vmap(lambda key: jax.random.fold_in(key, number))(keys_B)
        token_B = jax.vmap(jax.random.categorical)(token_keys_B, scaled_BV)
    return Chosen(token_B.astype(jnp.int32), ids_BK.astype(jnp.int32), logprobs_BK)


def keep_top_p(logits_BV: Float[Array, "B V"], top_p: Float[Array, ""]) -> Float[Array, "B V"]:
    """Drop the tokens outside the smallest set whose probability reaches ``top_p``; equally likely ones stay together.

    A token stays if what is more likely than it has less than ``top_p`` together. The least such probability is found
    by bisection over the bits of a float, exactly, where a sort of the vocabulary would take several times as long.
    """
    probabilities_BV = jax.nn.softmax(logits_BV, axis=-1)
    bits_BV = jax.lax.bitcast_convert_type(probabilities_BV, jnp.int32)  # of positive floats, in the same order

    def halve(_: int, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
        low_B, high_B = bounds
        middle_B = low_B + (high_B - low_B) // 2
        above_B = jnp.where(bits_BV > middle_B[:, None], probabilities_BV, 0).sum(axis=-1)
        kept_B = (above_B < top_p) | (top_p >= 1)  # a sum of all may round to 1
        return jnp.where(kept_B, low_B, middle_B), jnp.where(kept_B, middle_B, high_B)

    start = jnp.full(logits_BV.shape[:1], -1), bits_BV.max(axis=-1)
    _, least_B = jax.lax.fori_loop(0, 31, halve, start)
    return jnp.where(bits_BV >= least_B[:, None], logits_BV, -jnp.inf)


def close_thought(
    thought: Thought,
    token_B: Int[Array, "B"],
    number: Int[Array, ""],
    state_B: Int[Array, "B"],
    cut_B: Bool[Array, "B"],
) -> tuple[Int[Array, "B"], Int[Array, "B"], Bool[Array, "B"]]:
    """Return the tokens with the closing text put in where the budget ran out, the new states, and whose was cut.

    Args:
        thought: the budget.
        token_B: what was chosen.
        number: of the new token, from 0.
        state_B: of the automaton before it.
        cut_B: whose thought was cut before it.
    """
    closed = thought.automaton.shape[0] - 1
    place = number - thought.budget
    cut_B = cut_B | ((place == 0) & (state_B != closed))
    inside = (place >= 0) & (place < thought.closing.shape[0])
    token_B = jnp.where(cut_B & inside, thought.closing[jnp.clip(place, 0, thought.closing.shape[0] - 1)], token_B)
    return token_B, thought.automaton[state_B, token_B].astype(jnp.int32), cut_B
