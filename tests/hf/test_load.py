"""Weights go out and come back bit for bit; a folder that does not fit is refused with names."""

import json

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from octomed_jax.errors import UserError
from octomed_jax.hf.load import SINGLE_NAME, has_weights, load_parameters
from octomed_jax.hf.names import hub_tensors, modern_name
from octomed_jax.models.qwen2_5_vl.config import to_fields
from octomed_jax.models.qwen2_5_vl.model import initial_parameters
from octomed_jax.models.trees import flatten_names
from tests.models.student import config


@pytest.fixture(scope="module")
def parameters():
    return jax.tree.map(np.asarray, initial_parameters(config(), 0))


@pytest.fixture
def folder(tmp_path, parameters):
    flat = flatten_names(parameters)
    tensors = {tensor.name: tensor.from_ours(flat[tensor.ours]) for tensor in hub_tensors(config(), parameters)}
    save_file(tensors, tmp_path / SINGLE_NAME, metadata={"format": "pt"})
    (tmp_path / "config.json").write_text(json.dumps(to_fields(config(), "float32")))
    return tmp_path


def same(ours, theirs):
    ours, theirs = flatten_names(ours), flatten_names(theirs)
    return ours.keys() == theirs.keys() and all(np.array_equal(ours[name], theirs[name]) for name in ours)


def test_both_layouts_come_back_bit_for_bit(folder, parameters):
    assert has_weights(folder)
    assert same(load_parameters(folder)[1], parameters)
    tensors = load_file(folder / SINGLE_NAME)
    save_file({modern_name(name): array for name, array in tensors.items()}, folder / SINGLE_NAME)
    assert same(load_parameters(folder)[1], parameters)


def test_what_does_not_fit_is_named(folder):
    tensors = load_file(folder / SINGLE_NAME)
    del tensors["model.norm.weight"]
    tensors["model.extra"] = np.zeros(3, np.float32)
    tensors["visual.merger.ln_q.weight"] = np.zeros(5, np.float32)
    save_file(tensors, folder / SINGLE_NAME)
    with pytest.raises(UserError) as error:
        load_parameters(folder)
    for part in ("missing model.norm.weight", "unexpected model.extra", "ln_q.weight has shape (5,), not (64,)"):
        assert part in str(error.value)


def test_an_index_that_leads_out_of_the_folder_is_refused(folder):
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "../x.safetensors"}}))
    with pytest.raises(UserError, match="leads out of"):
        load_parameters(folder)
