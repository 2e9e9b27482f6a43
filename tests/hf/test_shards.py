"""Weights in files of a bounded size: the plan, what is written, and what comes back."""

import itertools
import json
import math
from collections import namedtuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open

from octomed_jax.errors import UserError
from octomed_jax.hf import shards as module
from octomed_jax.hf.export import state_dtype
from octomed_jax.hf.load import INDEX_NAME, SINGLE_NAME, load_parameters
from octomed_jax.hf.names import HubTensor, hub_tensors
from octomed_jax.hf.shards import DTYPES, plan_shards, write_shards
from octomed_jax.models.qwen2_5_vl.config import to_fields
from octomed_jax.models.qwen2_5_vl.model import initial_parameters
from octomed_jax.models.trees import flatten_names
from tests.models.student import config


@given(st.lists(st.integers(1, 50), min_size=1, max_size=30), st.integers(1, 400), st.sampled_from(sorted(DTYPES)))
def test_the_plan_holds_every_tensor_once_in_order(sizes, most, name):
    dtype = DTYPES[name]
    tensors = [HubTensor(f"t{number}", "x", None, (size,)) for number, size in enumerate(sizes)]
    plan = plan_shards(tensors, dtype, most)
    assert [tensor for shard in plan for tensor in shard.tensors] == tensors
    for number, shard in enumerate(plan, 1):
        assert shard.size == dtype.itemsize * sum(math.prod(tensor.shape) for tensor in shard.tensors)
        assert shard.size <= most or len(shard.tensors) == 1
        assert shard.name == (SINGLE_NAME if len(plan) == 1 else f"model-{number:05}-of-{len(plan):05}.safetensors")
    for before, after in itertools.pairwise(plan):  # no file could have taken the next tensor too
        assert before.size + dtype.itemsize * after.tensors[0].shape[0] > most


@pytest.fixture(scope="module")
def parameters():
    return jax.tree.map(np.asarray, initial_parameters(config(), 0))


def written(folder, parameters, name, most):
    flat = flatten_names(parameters)
    (folder / "config.json").write_text(json.dumps(to_fields(config(), "float32")))
    plan = plan_shards(hub_tensors(config(), parameters), DTYPES[name], most)
    return plan, write_shards(folder, plan, DTYPES[name], lambda tensor: tensor.from_ours(flat[tensor.ours]))


@pytest.mark.parametrize("name", sorted(DTYPES))
@pytest.mark.parametrize("most", [100_000, 10**9])
def test_what_is_written_comes_back_bit_for_bit(tmp_path, parameters, name, most):
    plan, counts = written(tmp_path, parameters, name, most)
    size = sum(leaf.size for leaf in jax.tree.leaves(parameters))
    assert counts["parameters"] == size
    assert counts["files"] == len(plan) == len(list(tmp_path.glob("*.safetensors")))
    assert (tmp_path / INDEX_NAME).exists() == (most < 10**9) == (len(plan) > 1)
    if len(plan) > 1:
        index = json.loads((tmp_path / INDEX_NAME).read_text())
        assert index["metadata"]["total_size"] == size * DTYPES[name].itemsize
        assert set(index["weight_map"]) == {tensor.name for shard in plan for tensor in shard.tensors}
    for shard in plan:
        with safe_open(tmp_path / shard.name, framework="numpy") as file:
            assert file.metadata() == {"format": "pt"}
            assert set(file.keys()) == {tensor.name for tensor in shard.tensors}
    back = flatten_names(load_parameters(tmp_path)[1])
    for key, leaf in flatten_names(parameters).items():
        assert np.array_equal(leaf.astype(DTYPES[name]), back[key]), key


def test_import_then_export_gives_the_same_bytes(tmp_path, parameters):
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    written(first, parameters, "bfloat16", 100_000)
    written(second, load_parameters(first)[1], "bfloat16", 100_000)
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes()


def test_transformers_reads_the_files(tmp_path, parameters):
    torch = pytest.importorskip("torch", reason="the parity extra is not installed (make test PARITY=1)")
    from transformers import Qwen2_5_VLForConditionalGeneration

    written(tmp_path, parameters, "bfloat16", 100_000)
    state_dtype(tmp_path / "config.json", "bfloat16")
    model, loading = Qwen2_5_VLForConditionalGeneration.from_pretrained(tmp_path, output_loading_info=True)
    assert not loading["missing_keys"]
    assert not loading["unexpected_keys"]
    assert {part.dtype for part in model.parameters()} == {torch.bfloat16}
    ours = parameters["text"]["embedding"].astype(jnp.bfloat16).astype(np.float32)
    assert np.array_equal(model.get_input_embeddings().weight.detach().float().numpy(), ours)


def test_a_full_disk_is_refused_before_anything_is_written(tmp_path, parameters, monkeypatch):
    """The free space is made up: a fault that a test cannot have for real."""
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: usage(10**12, 10**12, 1000))
    with pytest.raises(UserError, match=r"has 0\.0 GB free"):
        written(tmp_path, parameters, "float32", 10**9)
    assert not list(tmp_path.glob("*.safetensors"))


def test_only_the_dtype_of_a_config_is_touched(tmp_path):
    path = tmp_path / "config.json"
    odd = '{"b": 1,   "torch_dtype": "bfloat16", "text_config": {"dtype": "bfloat16", "a": 2}, "vision_config": {}}'
    path.write_text(odd)
    state_dtype(path, "bfloat16")
    assert path.read_text() == odd
    state_dtype(path, "float32")
    changed = json.loads(odd) | {"torch_dtype": "float32", "text_config": {"dtype": "float32", "a": 2}}
    assert json.loads(path.read_text()) == changed
    assert list(json.loads(path.read_text())) == list(changed)
    path.write_text('{"vision_config": {}}')
    state_dtype(path, "float32")
    assert json.loads(path.read_text()) == {"vision_config": {}, "torch_dtype": "float32"}
