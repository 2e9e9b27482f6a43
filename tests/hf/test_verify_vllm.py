"""vLLM, the real one, serves a folder of ours and answers as we do; and the comparison of answers by itself."""

import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from octomed_jax.cli.main import main
from octomed_jax.errors import StopAndLook
from octomed_jax.hf.export import export
from octomed_jax.hf.settings import Settings
from octomed_jax.hf.verify_vllm import (
    Answer,
    compare,
    our_answers,
    probe_conversations,
    vllm_answers,
)
from octomed_jax.models.qwen2_5_vl.model import initial_parameters
from tests.hf.folders import make_student, save_run
from tests.teacher.vllm_helpers import VLLM, needs_vllm


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A checkpoint of random weights, with heads of 32: vLLM refuses smaller ones on a CPU."""
    folder = tmp_path_factory.mktemp("run")
    rng, tree = np.random.default_rng(0), initial_parameters(make_student(folder / "side"), 0)
    changed = jax.tree.map(lambda leaf: leaf + 0.1 * rng.normal(size=leaf.shape).astype(np.float32), tree)
    save_run(folder / "train", folder / "side", changed)
    return folder / "train"


@pytest.fixture(scope="module")
def folder(run, tmp_path_factory):
    output = tmp_path_factory.mktemp("model") / "folder"
    export(run, output, Settings())
    return output


@pytest.mark.integration
@pytest.mark.timeout(1200)
@needs_vllm
def test_an_export_passes_every_level(run, tmp_path, capsys):
    pytest.importorskip("torch", reason="the parity extra is not installed (make test PARITY=1)")
    arguments = ["export", f"--checkpoint={run}", f"--output={tmp_path / 'out'}", f"--vllm={VLLM}", "--json"]
    assert main([*arguments, "--verify=structure,roundtrip,transformers,vllm"]) == 0
    figures = json.loads(capsys.readouterr().out)["figures"]
    assert list(figures) == ["structure", "roundtrip", "transformers", "vllm"]
    assert figures["transformers"]["max_logit_diff"] < 1e-4
    assert figures["transformers"]["same_best_token"] == 1
    assert figures["vllm"]["vllm"].endswith("+cpu")
    assert figures["vllm"]["max_logprob_diff"] < 1e-3
    assert figures["vllm"]["prompts"] == 2
    assert figures["vllm"]["tokens"] >= 8
    card = (tmp_path / "out" / "README.md").read_text()
    assert f"vLLM {figures['vllm']['vllm']}: log-probabilities equal to" in card


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
