"""Greedy generation with the cache against plain re-computation, batched, with images and padding."""

import functools

import jax
import numpy as np
import pytest
from flax import nnx

from octomed_jax.inputs.rows import Bucket, assemble
from octomed_jax.models.qwen2_5_vl import generate as module
from octomed_jax.models.qwen2_5_vl.generate import generate
from octomed_jax.models.qwen2_5_vl.model import initial_parameters, split_model
from octomed_jax.models.qwen2_5_vl.sampling import Sampling
from tests.models.student import SPEC, config, example

NEW = 6
PROMPTS = [
    example("Which plane?", [(112, 140)], seed=1),
    example("none"),
    example("Which one of two?", [(56, 84), (28, 56)]),
]
STOP = (300,)  # no such token: nothing stops early


@functools.cache
def parameters():
    rng = np.random.default_rng(0)
    tree = initial_parameters(config(), 0)
    return jax.tree.map(lambda leaf: leaf + 0.2 * rng.normal(size=leaf.shape).astype(np.float32), tree)


def batch(prompts, count):
    return assemble([[prompt] for prompt in prompts], count, Bucket("prompts", 128, 128), SPEC)


def run(prompts, count=4, stop=STOP, sampling=Sampling(), seed=0):  # noqa: B008
    graph, _ = split_model(config())
    keys = jax.random.split(jax.random.key(seed), count)
    return jax.device_get(
        generate(graph, parameters(), batch(prompts, count), keys, max_new_tokens=NEW, stop_ids=stop, sampling=sampling)
    )


@functools.cache
def forward():
    graph, _ = split_model(config())
    return jax.jit(lambda tree, rows: nnx.merge(graph, tree).logits(rows))


def greedy_without_cache(prompt):
    """Append the best token and compute everything again."""
    rows = batch([prompt], 1)
    length, tokens = len(prompt.token_ids), []
    for _ in range(NEW):
        logits = np.asarray(forward()(parameters(), rows)[0])
        token = int(logits[length - 1].argmax())
        tokens.append(token)
        rows["input_ids"][0, length] = token
        rows["segment_ids"][0, length] = 1
        rows["position_ids"][0, :, length] = rows["position_ids"][0, :, length - 1].max() + 1
        length += 1
    return tokens


def test_cached_batched_greedy_equals_plain_greedy():
    result = run(PROMPTS)
    for row, prompt in enumerate(PROMPTS):
        assert result.tokens[row].tolist() == greedy_without_cache(prompt)
        assert result.lengths[row] == NEW
        assert not result.stopped[row]
    assert result.lengths[3] == 0  # the empty row


def test_generation_ends_at_a_stop_token():
    free = run(PROMPTS)
    stop = int(free.tokens[0, 2])
    first = free.tokens[0].tolist().index(stop)
    result = run(PROMPTS, stop=(stop,))
    assert result.stopped[0]
    assert result.lengths[0] == first + 1
    assert result.tokens[0, : first + 1].tolist() == free.tokens[0, : first + 1].tolist()
    assert not result.tokens[0, first + 1 :].any()


def test_a_sample_depends_on_its_key_only_and_top_p_narrows_it():
    sampling = Sampling(temperature=1.0, top_p=0.95)
    both, again = run(PROMPTS, sampling=sampling), run(PROMPTS, sampling=sampling)
    assert (both.tokens == again.tokens).all()
    assert (run(PROMPTS, sampling=sampling, seed=1).tokens != both.tokens).any()
    assert (run(PROMPTS[:1], sampling=sampling).tokens[0] == both.tokens[0]).all()  # neighbours do not matter
    nearly_greedy = run(PROMPTS, sampling=Sampling(temperature=1.0, top_p=1e-6))
    assert (nearly_greedy.tokens == run(PROMPTS).tokens).all()


def test_an_answer_longer_than_its_cache_goes_on_in_a_larger_one(monkeypatch):
    """With a first cache that is full after a few tokens, and with one that is never full: the same tokens."""
    wide = run(PROMPTS)
    monkeypatch.setattr(module, "FIRST_PLACES", 1)
    monkeypatch.setattr(module, "cache_places", lambda least: -(-least // 3) * 3)  # three places more each time
    assert module.cache_places(129) == 129
    grown = run(PROMPTS)
    assert (grown.tokens == wide.tokens).all()
    assert (grown.lengths == wide.lengths).all()


def test_the_best_tokens_are_those_of_the_whole_distribution():
    graph, _ = split_model(config())
    keys = jax.random.split(jax.random.key(0), 4)
    result = generate(
        graph,
        parameters(),
        batch(PROMPTS, 4),
        keys,
        max_new_tokens=2,
        stop_ids=STOP,
        sampling=Sampling(),
        top_logprobs=300,
    )
    ids, logprobs = result.best
    assert ids.shape == (4, 2, 300)
    assert (np.sort(ids[0, 0]) == np.arange(300)).all()
    assert np.exp(logprobs[0, 0]).sum() == pytest.approx(1, abs=1e-5)
    logits = np.asarray(forward()(parameters(), batch(PROMPTS[:1], 1))[0, len(PROMPTS[0].token_ids) - 1])
    wanted = logits - np.logaddexp.reduce(logits)
    np.testing.assert_allclose(logprobs[0, 0], np.sort(wanted)[::-1], atol=1e-4)


def test_a_stop_token_of_zero_leaves_empty_rows_empty():
    result = run(PROMPTS, stop=(0,))
    assert result.lengths.tolist()[3] == 0
    assert not result.stopped[3]
