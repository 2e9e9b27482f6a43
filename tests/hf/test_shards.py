"""Weights in files of a bounded size: the plan, what is written, and what comes back."""

import itertools
import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save_file

from octomed_jax.hf.base import state_dtype
from octomed_jax.hf.names import HubTensor, hub_tensors
from octomed_jax.hf.shards import DTYPES, forget_marks, plan_shards, shards_of_index, write_shards
from octomed_jax.hf.source import load_parameters
from octomed_jax.hf.weights import INDEX_NAME, SINGLE_NAME
from octomed_jax.models.mesh import one_device
from octomed_jax.models.qwen2_5_vl.model import initial_parameters
from octomed_jax.models.trees import flatten_names
from octomed_jax.storage import sha256_file
from tests.hf.folders import save_parameters
from tests.models.student import config, part_reader


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


@pytest.mark.parametrize("name", sorted(DTYPES))
@pytest.mark.parametrize("most", [100_000, 10**9])
def test_what_is_written_comes_back_bit_for_bit(tmp_path, parameters, name, most):
    save_parameters(tmp_path, config(), parameters, name, most)
    size = sum(leaf.size for leaf in jax.tree.leaves(parameters))
    plan = plan_shards(hub_tensors(config(), parameters), DTYPES[name], most)
    assert sorted(path.name for path in tmp_path.glob("*.safetensors")) == [shard.name for shard in plan]
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    assert (tmp_path / INDEX_NAME).exists() == (most < 10**9) == (len(plan) > 1)
    if len(plan) > 1:
        index = json.loads((tmp_path / INDEX_NAME).read_text())
        assert index["metadata"]["total_size"] == size * DTYPES[name].itemsize
        assert set(index["weight_map"]) == {tensor.name for shard in plan for tensor in shard.tensors}
    for shard in plan:
        with safe_open(tmp_path / shard.name, framework="numpy") as file:
            assert file.metadata() == {"format": "pt"}
            assert set(file.keys()) == {tensor.name for tensor in shard.tensors}
    back = flatten_names(load_parameters(tmp_path, one_device())[1])
    for key, leaf in flatten_names(parameters).items():
        assert np.array_equal(leaf.astype(DTYPES[name]), back[key]), key


def test_an_interrupted_write_goes_on_after_its_last_file(tmp_path, parameters):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    save_parameters(whole, config(), parameters, "bfloat16", 100_000)
    cut.mkdir()
    plan, dtype = plan_shards(hub_tensors(config(), parameters), DTYPES["bfloat16"], 100_000), DTYPES["bfloat16"]
    read = part_reader(parameters)
    left = iter(range(len(plan[0].tensors) + 2))  # into the second file

    def interrupted(tensor):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return read(tensor)

    with pytest.raises(KeyboardInterrupt):
        write_shards(cut, plan, dtype, interrupted)
    assert (cut / plan[0].name).read_bytes() == (whole / plan[0].name).read_bytes()
    assert not (cut / plan[1].name).exists()
    again = []
    hashes = write_shards(cut, plan, dtype, lambda tensor: again.append(tensor) or read(tensor))
    assert again == [tensor for shard in plan[1:] for tensor in sorted(shard.tensors, key=lambda tensor: tensor.name)]
    forget_marks(cut)
    for path in whole.iterdir():
        if path.name != "config.json":
            assert path.read_bytes() == (cut / path.name).read_bytes()
            assert hashes[path.name] == sha256_file(path)


@pytest.mark.parametrize("name", sorted(DTYPES))
def test_the_bytes_are_those_of_safetensors_own_writer(tmp_path, parameters, name):
    save_parameters(tmp_path, config(), parameters, name)
    read = part_reader(parameters)
    arrays = {
        tensor.name: tensor.from_ours(read(tensor)).astype(DTYPES[name]) for tensor in hub_tensors(config(), parameters)
    }
    save_file(arrays, tmp_path / "theirs", metadata={"format": "pt"})
    assert (tmp_path / SINGLE_NAME).read_bytes() == (tmp_path / "theirs").read_bytes()


def test_files_are_cut_as_an_index_says(tmp_path, parameters):
    tensors = list(hub_tensors(config(), parameters))
    index = {"weight_map": {tensor.name: f"part-{number % 3}.safetensors" for number, tensor in enumerate(tensors)}}
    (tmp_path / INDEX_NAME).write_text(json.dumps(index))
    planned = shards_of_index(tmp_path / INDEX_NAME, tensors, DTYPES["bfloat16"])
    assert [shard.name for shard in planned] == [f"part-{number}.safetensors" for number in range(3)]
    assert [list(shard.tensors) for shard in planned] == [tensors[number::3] for number in range(3)]
    assert shards_of_index(tmp_path / INDEX_NAME, tensors[1:], DTYPES["bfloat16"]) is None  # other tensors
    assert shards_of_index(tmp_path / "none", tensors, DTYPES["bfloat16"]) is None
    index["weight_map"][tensors[0].name] = "../away.safetensors"
    (tmp_path / INDEX_NAME).write_text(json.dumps(index))
    assert shards_of_index(tmp_path / INDEX_NAME, tensors, DTYPES["bfloat16"]) is None


def test_transformers_reads_the_files(tmp_path, parameters):
    torch = pytest.importorskip("torch", reason="the parity extra is not installed (make test PARITY=1)")
    from transformers import Qwen2_5_VLForConditionalGeneration

    save_parameters(tmp_path, config(), parameters, "bfloat16", 100_000)
    state_dtype(tmp_path / "config.json", "bfloat16")
    model, loading = Qwen2_5_VLForConditionalGeneration.from_pretrained(tmp_path, output_loading_info=True)
    assert not loading["missing_keys"]
    assert not loading["unexpected_keys"]
    assert {part.dtype for part in model.parameters()} == {torch.bfloat16}
    ours = parameters["text"]["embedding"].astype(jnp.bfloat16).astype(np.float32)
    assert np.array_equal(model.get_input_embeddings().weight.detach().float().numpy(), ours)


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
