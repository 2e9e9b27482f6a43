"""Greedy tokens and log-probabilities against transformers': every case, batched and single, cached and not."""

import functools

import jax
import numpy as np
import pytest
from flax import nnx

from octomed_jax.inputs.rows import assemble
from octomed_jax.models.qwen2_5_vl.generate import generate
from octomed_jax.models.qwen2_5_vl.model import split_model
from octomed_jax.models.qwen2_5_vl.sampling import Sampling
from tests.models.cases import BUCKET, MODELS, PROMPTS
from tests.models.reference import inputs_of, our_parameters, reference, torch
from tests.models.student import SPEC

NEW, LISTED = 6, 4


@functools.cache
def parameters(name):
    return our_parameters(MODELS[name], reference(MODELS[name]))


@functools.cache
def answers(name, count):
    """Return (tokens, ids of the best, their log-probabilities) of every prompt, ``count`` of them at a time."""
    graph, _ = split_model(MODELS[name])
    keys, found, prompts = jax.random.split(jax.random.key(0), count), {}, list(PROMPTS)
    for start in range(0, len(prompts), count):
        chosen = prompts[start : start + count]
        result = generate(
            graph,
            parameters(name),
            assemble([[PROMPTS[case]] for case in chosen], count, BUCKET, SPEC),
            keys,
            max_new_tokens=NEW,
            stop_ids=(MODELS[name].text.vocab_size,),  # no such token: all go on to the end
            sampling=Sampling(),
            top_logprobs=LISTED,
        )
        ids, logprobs = result.best
        found |= {case: (result.tokens[row], ids[row], logprobs[row]) for row, case in enumerate(chosen)}
    return found


@functools.cache
def theirs(name, case, use_cache):
    """Return transformers' greedy tokens and the logits behind them."""
    inputs, model = inputs_of(PROMPTS[case]), reference(MODELS[name])
    model.generation_config.eos_token_id = None
    out = model.generate(
        **inputs,
        max_new_tokens=NEW,
        do_sample=False,
        use_cache=use_cache,
        return_dict_in_generate=True,
        output_logits=True,
        eos_token_id=None,
    )
    return out.sequences[0, inputs["input_ids"].shape[1] :].tolist(), torch.stack(out.logits)[:, 0]


@pytest.mark.parametrize("use_cache", [True, False])
@pytest.mark.parametrize("count", [8, 1])
@pytest.mark.parametrize("case", PROMPTS)
@pytest.mark.parametrize("name", MODELS)
def test_greedy_tokens_and_logprobs(name, case, count, use_cache):
    tokens, ids, logprobs = answers(name, count)[case]
    their_tokens, their_logits = theirs(name, case, use_cache)
    assert tokens.tolist() == their_tokens
    best = torch.log_softmax(their_logits, -1).topk(LISTED)
    assert np.array_equal(ids, best.indices.numpy())
    np.testing.assert_allclose(logprobs, best.values.numpy(), atol=2e-5)


@functools.cache
def forward(name):
    graph, _ = split_model(MODELS[name])
    return jax.jit(lambda tree, rows: nnx.merge(graph, tree).logits(rows))


@pytest.mark.parametrize("case", PROMPTS)
def test_the_cache_changes_nothing(case):
    """Computing everything again for every token, as without a cache, gives the same."""
    name = "untied, as 7B"
    tokens, ids, logprobs = answers(name, 1)[case]
    rows = assemble([[PROMPTS[case]]], 1, BUCKET, SPEC)
    length = len(PROMPTS[case].token_ids)
    for place in range(NEW):
        logits = np.asarray(forward(name)(parameters(name), rows)[0, length - 1])
        assert logits.argmax() == tokens[place]
        all_logprobs = logits - np.logaddexp.reduce(logits)
        np.testing.assert_allclose(logprobs[place], all_logprobs[ids[place]], atol=2e-5)
        rows["input_ids"][0, length] = tokens[place]
        rows["segment_ids"][0, length] = 1
        rows["position_ids"][0, :, length] = rows["position_ids"][0, :, length - 1].max() + 1
        length += 1
