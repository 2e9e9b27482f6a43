"""Choosing a token: top-p against a sort, and the automaton that follows a closing tag against plain search."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from octomed_jax.models.qwen2_5_vl.sampling import CLOSE, Thought, close_automaton, close_thought, keep_top_p

PIECES = [
    "<",
    "</",
    "think",
    ">",
    "/think",
    "</th",
    "ink>",
    "</think>",
    ">\n\n",
    "<<",
    "x</",
    "thi",
    "n",
    "k",
    "a>",
    "t",
]


def kept_by_sorting(logits, top_p):
    """The smallest set of the most likely tokens whose probability reaches ``top_p``, ties together."""
    probabilities = np.exp(logits - logits.max())
    probabilities /= probabilities.sum()
    return np.array([probabilities[probabilities > one].sum() < top_p for one in probabilities])


@pytest.mark.parametrize("top_p", [1e-6, 0.1, 0.5, 0.9, 0.95, 0.999, 1.0])
@pytest.mark.parametrize("scale", [0.01, 1.0, 30.0])
def test_top_p_keeps_what_a_sort_keeps(top_p, scale):
    logits = (scale * np.random.default_rng(0).normal(size=(4, 1000))).astype(np.float32)
    kept = np.isfinite(np.asarray(jax.jit(keep_top_p)(logits, top_p)))
    for row in range(4):
        wanted = np.ones(1000, bool) if top_p == 1 else kept_by_sorting(logits[row].astype(np.float64), top_p)
        # Sums in another order may decide the one token at the edge otherwise.
        assert abs(int(kept[row].sum()) - int(wanted.sum())) <= 1
        assert (kept[row] != wanted).sum() <= 1
        assert kept[row, logits[row].argmax()]


def test_equally_likely_tokens_stay_together():
    logits = jnp.array([[2.0, 2.0, 1.0, 1.0, 1.0, -5.0]])
    kept = np.isfinite(np.asarray(keep_top_p(logits, jnp.float32(0.7))))
    assert kept[0].tolist() == [True, True, True, True, True, False]
    assert np.isfinite(np.asarray(keep_top_p(logits, jnp.float32(1e-9))))[0].tolist() == [True, True] + [False] * 4


@given(st.lists(st.sampled_from(range(len(PIECES))), max_size=12))
def test_the_automaton_finds_the_tag_however_it_is_cut(tokens):
    automaton, state, text = close_automaton(PIECES, len(PIECES) + 3), 0, ""
    for token in tokens:
        state, text = int(automaton[state, token]), text + PIECES[token]
        assert (state == len(CLOSE)) == (CLOSE in text)
        if CLOSE not in text:
            assert state == max(size for size in range(len(CLOSE)) if text.endswith(CLOSE[:size]))


def test_tokens_beyond_the_tokenizer_break_a_tag():
    automaton = close_automaton(PIECES, len(PIECES) + 3)
    assert automaton[:-1, len(PIECES) :].max() == 0
    assert (automaton[-1] == len(CLOSE)).all()


def test_a_thought_is_cut_only_where_it_is_open():
    automaton = jnp.asarray(close_automaton(PIECES, len(PIECES)))
    thought = Thought(jnp.int32(2), automaton, jnp.array([1, 2, 3]))  # "</", "think", ">"
    chosen = np.array([[4, 7, 1], [5, 5, 2], [5, 5, 3], [5, 5, 5], [5, 5, 5], [5, 5, 5]])  # tokens of three prompts
    state, cut, written = jnp.zeros(3, jnp.int32), jnp.zeros(3, bool), []
    for number, tokens in enumerate(chosen):
        token, state, cut = close_thought(thought, jnp.asarray(tokens), jnp.int32(number), state, cut)
        written.append(token.tolist())
    by_prompt = [list(tokens) for tokens in zip(*written, strict=True)]
    assert by_prompt[0] == [4, 5, 1, 2, 3, 5]  # closed by us
    assert by_prompt[1] == [7, 5, 5, 5, 5, 5]  # had closed by itself
    assert by_prompt[2] == [1, 2, 1, 2, 3, 5]  # in the middle of closing: once more, whole
    assert cut.tolist() == [True, False, True]
    assert state.tolist() == [len(CLOSE)] * 3
