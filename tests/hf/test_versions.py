"""One exported folder means the same to the oldest transformers that we name, the newest, and us."""

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import jax
import numpy as np
import pytest
from flax import nnx
from PIL import Image

import octomed_jax
from configs.demo import get_config
from octomed_jax.hf.export import state_dtype
from octomed_jax.hf.names import hub_tensors
from octomed_jax.hf.shards import DTYPES, plan_shards, write_shards
from octomed_jax.hf.student import write_student
from octomed_jax.inputs.buckets import prompt_bucket
from octomed_jax.inputs.rows import assemble
from octomed_jax.models.qwen2_5_vl.model import split_model
from tests.models.golden import weights
from tests.tiny import tiny_config

pytestmark = pytest.mark.integration

OLDEST = "4.57.1"
ENVIRONMENT = ".venv-transformers-4.57"  # of the Makefile
CASES = {"untied": (False, "float32"), "tied": (True, "float32"), "bfloat16": (False, "bfloat16")}
ROPE_THETA, RMS_NORM_EPS = 5e4, 1e-5  # no version's defaults

PIXELS = np.random.default_rng(0)
PICTURES = [Image.fromarray(PIXELS.integers(0, 256, (*size, 3), np.uint8)) for size in ((140, 84), (56, 112))]
LONG = " ".join(f"finding {number} of the study" for number in range(40))  # short prompts hide mistakes of positions
PROMPTS = {
    "text": [{"role": "user", "content": LONG}],
    "images": [
        {"role": "user", "content": [{"type": "image", "image": PICTURES[0]}, {"type": "text", "text": LONG}]},
        {"role": "assistant", "content": "axial"},
        {"role": "user", "content": [{"type": "text", "text": "And this?"}, {"type": "image", "image": PICTURES[1]}]},
    ],
}


def write_folder(folder: Path, tied: bool, dtype: str) -> None:
    """Write a tiny student as an export does; every tensor is random, so that a forgotten one shows."""
    config = tiny_config()
    config.student.text.update(tie_word_embeddings=tied, rope_theta=ROPE_THETA, rms_norm_eps=RMS_NORM_EPS)
    model = write_student(folder, config.student, ["Which plane is this? axial coronal"] * 3, config.shard)
    state_dtype(folder / "config.json", dtype)
    plan = plan_shards(hub_tensors(model, split_model(model)[1]), DTYPES[dtype], 200_000)
    assert len(plan) > 1
    write_shards(folder, plan, DTYPES[dtype], lambda tensor: tensor.to_ours(weights(tensor.name, tensor.shape)))


def our_logits(model, example):
    spec = model._spec
    rows = assemble([[example]], 1, prompt_bucket(len(example.token_ids), example.cells, spec), spec)
    graph, compute = model._graph, model._compute
    logits = jax.jit(lambda tree, batch: nnx.merge(graph, tree).logits(batch, compute))(model._parameters, rows)
    return np.asarray(logits[0, : len(example.token_ids)])


def their_inputs(example):
    ids = example.token_ids[None].astype(np.int64)
    inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    if example.images:
        inputs["pixel_values"] = np.concatenate([image.patches for image in example.images])
        grids = [image.layout.grid for image in example.images]
        inputs["image_grid_thw"] = np.array([(1, 2 * rows, 2 * columns) for rows, columns in grids])
    return inputs


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    """The folders, their prompts as transformers wants them, and our logits."""
    pytest.importorskip("torch", reason="the parity extra is not installed (make test PARITY=1)")
    path, ours = tmp_path_factory.mktemp("cases"), {}
    for name, (tied, dtype) in CASES.items():
        write_folder(path / name / "model", tied, dtype)
        if dtype == "float32":
            model = octomed_jax.load(path / name / "model")
            examples = {prompt: model._prompt(messages, ".", prompt) for prompt, messages in PROMPTS.items()}
            assert [len(example.images) for example in examples.values()] == [0, 2]
            ours[name] = {prompt: our_logits(model, example) for prompt, example in examples.items()}
            arrays = {
                f"{prompt}/{key}": array
                for prompt, example in examples.items()
                for key, array in their_inputs(example).items()
            }
            np.savez(path / name / "inputs.npz", **arrays)
    return path, ours


@pytest.mark.parametrize("version", [OLDEST, metadata.version("transformers")])
def test_keys_logits_and_config_are_the_same(version, cases, root):
    python = root / ENVIRONMENT / "bin" / "python" if version == OLDEST else Path(sys.executable)
    if not python.exists():
        pytest.skip(f"{ENVIRONMENT} is not there (make test-integration PARITY=1)")
    path, ours = cases
    script = root / "tests" / "hf" / "read_folders.py"
    result = subprocess.run(
        [python, script, path], env={**os.environ, "HF_HUB_OFFLINE": "1"}, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    for name, (tied, dtype) in CASES.items():
        assert json.loads((path / name / "loaded.json").read_text()) == {
            "transformers": version,
            "keys": {"missing": [], "unexpected": [], "mismatched": []},
            "tie_word_embeddings": tied,
            "one_matrix": tied,
            "rope_theta": ROPE_THETA,
            "mrope_section": list(get_config("tiny").student.text.mrope_section),
            "rms_norm_eps": RMS_NORM_EPS,
            "dtypes": [f"torch.{dtype}"],
        }
    for name, prompts in ours.items():
        with np.load(path / name / "logits.npz") as theirs:
            for prompt, logits in prompts.items():
                # Absolute, for what matters is one logit against another. They reach 4, float32 rounds them by 1e-5
                # over a thousand tokens, and the smallest slip, an rms_norm_eps of 1e-6, moves them by 6e-3.
                np.testing.assert_allclose(theirs[prompt], logits, rtol=0, atol=1e-4)
