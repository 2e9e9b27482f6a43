"""Weights of a folder are read bit for bit, straight to their devices; a folder that does not fit is refused."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from octomed_jax.errors import StopAndLook, UserError
from octomed_jax.hf import names
from octomed_jax.hf.names import hub_tensors, modern_name, transpose
from octomed_jax.hf.source import load_parameters
from octomed_jax.hf.weights import INDEX_NAME, SINGLE_NAME, HubWeights, has_weights
from octomed_jax.models.mesh import make_mesh, one_device, parameter_shardings
from octomed_jax.models.qwen2_5_vl.config import to_fields
from octomed_jax.models.qwen2_5_vl.model import initial_parameters
from octomed_jax.models.trees import flatten_names, is_stack
from tests.hf.folders import save_parameters
from tests.models.student import config


@pytest.fixture(scope="module")
def parameters():
    return jax.tree.map(np.asarray, initial_parameters(config(), 0))


@pytest.fixture
def folder(tmp_path, parameters):
    save_parameters(tmp_path, config(), parameters)
    return tmp_path


def same(ours, theirs):
    ours, theirs = flatten_names(ours), flatten_names(theirs)
    return ours.keys() == theirs.keys() and all(np.array_equal(ours[name], theirs[name]) for name in ours)


def test_both_layouts_come_back_bit_for_bit(folder, parameters):
    assert has_weights(folder)
    assert same(load_parameters(folder, one_device())[1], parameters)
    tensors = load_file(folder / SINGLE_NAME)
    save_file({modern_name(name): array for name, array in tensors.items()}, folder / SINGLE_NAME)
    assert same(load_parameters(folder, one_device())[1], parameters)


@pytest.mark.parametrize("sizes", [{"data": 1, "fsdp": -1}, {"data": 4, "fsdp": 2}, {"data": -1, "fsdp": 1}])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_weights_go_straight_to_their_places_on_a_mesh(folder, parameters, sizes, dtype):
    mesh = make_mesh(sizes)
    placed = flatten_names(load_parameters(folder, mesh, dtype)[1])
    wanted = flatten_names(parameter_shardings(mesh, parameters))
    for name, leaf in flatten_names(parameters).items():
        assert placed[name].sharding.is_equivalent_to(wanted[name], leaf.ndim), name
        assert placed[name].dtype == dtype
        assert np.array_equal(np.asarray(placed[name]), leaf.astype(dtype)), name


def test_a_device_reads_only_its_own_region(folder, monkeypatch):
    """With the rows of a matrix over eight devices, no read is larger than a layer of it, nor overlaps another."""
    mesh, read = make_mesh({"data": 1, "fsdp": -1}), []
    original = HubWeights.read

    def watched(self, name, layer=None, index=...):
        part = original(self, name, layer, index)
        read.append((name, layer, part.size))
        return part

    monkeypatch.setattr(HubWeights, "read", watched)
    shapes = flatten_names(load_parameters(folder, mesh)[1])
    name = "text.layers.mlp.gate.kernel"
    sizes = [size for one, layer, size in read if one == name and layer == 0]
    layer = shapes[name].size // shapes[name].shape[0]
    assert sizes == [layer // 8] * 8
    norm = [size for one, layer, size in read if one == "text.layers.attention_norm.scale" and layer == 0]
    assert len(norm) == 1  # replicated, and read once


def test_what_does_not_fit_is_named(folder):
    tensors = load_file(folder / SINGLE_NAME)
    del tensors["model.norm.weight"]
    tensors["model.extra"] = np.zeros(3, np.float32)
    tensors["visual.merger.ln_q.weight"] = np.zeros(5, np.float32)
    tensors["model.embed_tokens.weight"] = tensors["model.embed_tokens.weight"].astype(np.int32)
    save_file(tensors, folder / SINGLE_NAME)
    with pytest.raises(UserError) as error:
        HubWeights(folder)
    for part in (
        "missing model.norm.weight",
        "unexpected model.extra",
        "ln_q.weight has shape (5,), not (64,)",
        "model.embed_tokens.weight is I32, not one of F32, BF16, F16",
    ):
        assert part in str(error.value)


def test_an_index_that_leads_out_of_the_folder_is_refused(folder, tmp_path_factory):
    for name in ("../x.safetensors", str(tmp_path_factory.mktemp("elsewhere") / "x.safetensors")):
        (folder / INDEX_NAME).write_text(json.dumps({"weight_map": {"a": name}}))
        with pytest.raises(UserError, match="leads out of"):
            HubWeights(folder)


def test_a_link_out_of_the_folder_is_refused(folder, tmp_path_factory):
    away = tmp_path_factory.mktemp("elsewhere") / "x.safetensors"
    (folder / SINGLE_NAME).rename(away)
    (folder / "model-1.safetensors").symlink_to(away)
    (folder / INDEX_NAME).write_text(json.dumps({"weight_map": {"a": "model-1.safetensors"}}))
    with pytest.raises(UserError, match="leads out of"):
        HubWeights(folder)


def test_the_hubs_own_cache_links_to_its_blobs(folder, parameters, tmp_path_factory):
    """A snapshot in the cache of huggingface_hub holds links to ../../blobs, which are part of the same model."""
    cache = tmp_path_factory.mktemp("hub") / "models--owner--name"
    snapshot = cache / "snapshots" / "0123abcd"
    snapshot.mkdir(parents=True)
    (cache / "blobs").mkdir()
    for path in list(folder.iterdir()):
        path.rename(cache / "blobs" / path.name)
        (snapshot / path.name).symlink_to(f"../../blobs/{path.name}")
    names = load_file(snapshot / SINGLE_NAME).keys()
    (snapshot / INDEX_NAME).write_text(json.dumps({"weight_map": dict.fromkeys(names, SINGLE_NAME)}))
    assert same(load_parameters(snapshot, one_device())[1], parameters)


@pytest.mark.parametrize("index", ["[]", '{"weight_map": 3}', '{"weight_map": {"a": 3}}'])
def test_an_index_without_a_map_is_refused(folder, index):
    (folder / INDEX_NAME).write_text(index)
    with pytest.raises(UserError, match="no weight_map"):
        HubWeights(folder)


def test_a_tensor_that_its_file_lacks_is_named(folder):
    names = list(load_file(folder / SINGLE_NAME))
    (folder / "other.safetensors").write_bytes((folder / SINGLE_NAME).read_bytes())
    tensors = load_file(folder / SINGLE_NAME)
    save_file({name: array for name, array in tensors.items() if "norm" not in name}, folder / "other.safetensors")
    (folder / INDEX_NAME).write_text(json.dumps({"weight_map": dict.fromkeys(names, "other.safetensors")}))
    with pytest.raises(UserError, match=r"model\.norm\.weight is not in other\.safetensors"):
        HubWeights(folder)


@pytest.mark.parametrize("damage", [lambda data: data[:100], lambda data: b"\xff" * 8 + data[8:], lambda _: b""])
def test_a_damaged_file_is_named(folder, damage):
    path = folder / SINGLE_NAME
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(StopAndLook, match=r"model\.safetensors is damaged"):
        HubWeights(folder)


def test_a_file_that_is_cut_off_while_it_is_read_is_named(folder):
    weights = HubWeights(folder)
    (folder / SINGLE_NAME).write_bytes((folder / SINGLE_NAME).read_bytes()[:-1000])
    last = weights.tensors[-1]  # its bytes are the last by name too
    with pytest.raises(StopAndLook, match=rf"model\.safetensors ends within {last.name}"):
        weights.read(last.ours, last.layer)


def test_a_region_is_read_as_the_whole_is(folder, parameters):
    weights = HubWeights(folder)
    for name, leaf in flatten_names(parameters).items():
        layer = 1 if is_stack(name) else None
        whole = leaf if layer is None else leaf[layer]
        for index in (tuple(slice(0, size) for size in whole.shape), tuple(slice(1, size - 1) for size in whole.shape)):
            assert np.array_equal(weights.read(name, layer, index), whole[index]), name


@pytest.mark.parametrize("shape", [(1, 1), (3, 500), (129, 257), (300, 2), (513, 1030)])
@pytest.mark.parametrize("dtype", [np.float32, jnp.bfloat16, np.float16])
def test_transposing_in_blocks_is_transposing(shape, dtype):
    matrix = (np.arange(np.prod(shape)) % 251).astype(np.float32).reshape(shape)
    for one in (matrix, matrix.astype(dtype)):
        turned = transpose(one, np.dtype(dtype))
        assert turned.dtype == dtype
        assert np.array_equal(turned, matrix.T.astype(dtype))
        assert turned.flags.c_contiguous


def test_every_tensor_goes_out_as_it_came(parameters, monkeypatch):
    flat = flatten_names(parameters)
    for tensor in hub_tensors(config(), parameters):
        part = flat[tensor.ours] if tensor.layer is None else flat[tensor.ours][tensor.layer]
        there = tensor.from_ours(part)
        assert there.shape == tensor.shape
        assert np.array_equal(tensor.to_ours(there), part)
        for most in (100, 4000, 2**23):
            monkeypatch.setattr(names, "PIECE", most)
            pieces = list(tensor.pieces(part, there.dtype))
            assert np.array_equal(np.concatenate(pieces), there.reshape(-1))
            assert max(piece.nbytes for piece in pieces) <= max(most, part.shape[0] * there.itemsize)


def test_config_is_read_first(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(to_fields(config(), "float32")))
    assert not has_weights(tmp_path)
    with pytest.raises(UserError, match="no safetensors weights"):
        HubWeights(tmp_path)
