"""The student against transformers, number by number, on tiny random weights."""

import functools

import jax
import numpy as np
import pytest
from flax import nnx

from octomed_jax.hf.names import hub_tensors, modern_name, parameters_from_hub
from octomed_jax.inputs.rows import Bucket, assemble
from octomed_jax.models.qwen2_5_vl.config import to_fields
from octomed_jax.models.qwen2_5_vl.model import split_model
from octomed_jax.models.trees import flatten_names
from tests.models.student import SPEC, config, example

torch = pytest.importorskip("torch", reason="the parity extra is not installed (make test PARITY=1)")

BUCKET = Bucket("image", 640, 256)
CASES = {
    "one image, sides divisible by the window": example("Which plane?", [(112, 224)], "axial"),
    "sides not divisible": example("Which plane?", [(308, 196)], "axial"),
    "one row of cells": example("Which plane?", [(30, 500)], "coronal"),
    "four images": example("Which?", [(56, 84), (112, 112), (140, 56), (28, 28)], "sagittal"),
    "600 tokens": example("finding of the study " * 42, [(84, 56)], "axial"),
    "text only": example("no image here", [], "coronal"),
}
MODELS = {
    "untied": config(),
    "tied": config(tied=True),
    "five heads over one": config(heads=5, kv_heads=1, fullatt=(0, 3)),
}


@functools.cache
def reference(name):
    """transformers' model with random weights, biases and norms included."""
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    torch.manual_seed(0)
    model = Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(**to_fields(MODELS[name], "float32"))).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model


@functools.cache
def ours(name):
    graph, abstract = split_model(MODELS[name])
    tensors = {key: value.detach().numpy() for key, value in reference(name).state_dict().items()}
    parameters = parameters_from_hub(MODELS[name], abstract, lambda hub: tensors[modern_name(hub)])

    # A gradient with the logits as by-product: one compiled shape serves all cases.
    def loss(tree, rows):
        model = nnx.merge(graph, tree)
        return model.loss_sum(rows), model.logits(rows)

    return parameters, jax.jit(jax.value_and_grad(loss, has_aux=True))


def run_reference(name, case):
    ids = torch.from_numpy(case.token_ids[None].astype(np.int64))
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    inputs["mm_token_type_ids"] = (ids == case.image_token_id).int()
    if case.images:
        grids = [(1, 2 * rows, 2 * columns) for rows, columns in (part.layout.grid for part in case.images)]
        inputs["image_grid_thw"] = torch.tensor(np.array(grids))
        inputs["pixel_values"] = torch.from_numpy(np.concatenate([part.patches for part in case.images]))
    model = reference(name)
    model.zero_grad()
    logits = model(**inputs).logits[0]
    weights = torch.from_numpy(case.loss_weights[1:])
    losses = torch.nn.functional.cross_entropy(logits[:-1], ids[0, 1:], reduction="none")
    total = (losses * weights).sum()
    total.backward()
    gradients = {key: value.grad for key, value in model.named_parameters() if value.grad is not None}
    return logits.detach().numpy(), total.item(), gradients


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", MODELS)
def test_logits_loss_and_all_gradients(name, case):
    item = CASES[case]
    their_logits, their_loss, their_gradients = run_reference(name, item)
    parameters, step = ours(name)
    (loss, logits), gradients = step(parameters, assemble([[item]], 1, BUCKET, SPEC))
    length = len(item.token_ids)
    np.testing.assert_allclose(logits[0, :length], their_logits, atol=2e-5 * np.abs(their_logits).max())
    np.testing.assert_allclose(loss, their_loss, rtol=1e-5)
    flat = flatten_names(gradients)
    for tensor in hub_tensors(MODELS[name], gradients):
        theirs = their_gradients.get(modern_name(tensor.name))
        mine = tensor.from_ours(flat[tensor.ours])
        theirs = np.zeros_like(mine) if theirs is None else theirs.numpy()
        np.testing.assert_allclose(mine, theirs, atol=1e-4 * max(np.abs(theirs).max(), 1e-3), err_msg=tensor.name)


def test_names_are_a_bijection():
    for name in MODELS:
        _, abstract = split_model(MODELS[name])
        hub = [modern_name(tensor.name) for tensor in hub_tensors(MODELS[name], abstract)]
        expected = set(reference(name).state_dict()) - (
            {"lm_head.weight"} if MODELS[name].text.tie_word_embeddings else set()
        )
        assert len(hub) == len(set(hub))
        assert set(hub) == expected
