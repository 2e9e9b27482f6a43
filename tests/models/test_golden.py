"""The student against arrays that transformers 4.57.1 computed (tests/golden/make_student.py); no torch here."""

import functools

import jax
import numpy as np
import pytest
from flax import nnx

from octomed_jax.hf.names import hub_tensors
from octomed_jax.inputs.rows import Bucket, assemble
from octomed_jax.models.compute import Compute
from octomed_jax.models.qwen2_5_vl.model import split_model
from tests.models.golden import CASES, CONFIG, FILE, case, weights
from tests.models.student import SPEC, hub_reader, tree_of_hub

BUCKET = Bucket("image", 192, 160)


@functools.cache
def golden():
    with np.load(FILE, allow_pickle=False) as arrays:
        return dict(arrays)


@functools.cache
def step():
    graph, abstract = split_model(CONFIG)
    shapes = {tensor.name: tensor.shape for tensor in hub_tensors(CONFIG, abstract)}
    parameters = tree_of_hub(CONFIG, lambda name: weights(name, shapes[name]))

    def loss(tree, rows):
        model = nnx.merge(graph, tree)
        vision = [rows[key] for key in ("patches", "window_ids", "frame_ids", "patch_positions")]
        return model.loss_sum(rows), (model.logits(rows), model.vision(*vision, Compute()))

    return parameters, jax.jit(jax.value_and_grad(loss, has_aux=True))


@pytest.mark.parametrize("name", CASES)
def test_positions_and_windows(name):
    item = case(name)
    assert np.array_equal(item.position_ids, golden()[f"{name}/positions"])
    first, order = 0, []
    for image in item.images:
        order += (np.lexsort((image.layout.offset, image.layout.window)) + first).tolist()
        first += len(image.layout.window)
    if item.images:
        assert order == golden()[f"{name}/windows"].tolist()


@pytest.mark.parametrize("name", CASES)
def test_features_logits_loss_and_gradients(name):
    item = case(name)
    parameters, compiled = step()
    rows = assemble([[item]], 1, BUCKET, SPEC)
    (loss, (logits, cells)), gradients = compiled(parameters, rows)
    if item.images:
        features = np.asarray(cells)[0, rows["feature_index"][0][rows["feature_index"][0] >= 0]]
        theirs = golden()[f"{name}/vision_features"]
        np.testing.assert_allclose(features, theirs, atol=2e-5 * np.abs(theirs).max())
    theirs = golden()[f"{name}/logits"]
    length = len(item.token_ids)
    np.testing.assert_allclose(logits[0, length - 12 : length], theirs, atol=2e-5 * np.abs(theirs).max())
    np.testing.assert_allclose(loss, golden()[f"{name}/loss"], rtol=1e-5)
    read = hub_reader(gradients)
    for tensor in hub_tensors(CONFIG, gradients):
        mine = read(tensor).ravel()
        stored = golden().get(f"{name}/gradients/{tensor.name}")
        if stored is None:
            assert not mine.any(), tensor.name
            continue
        some = mine[:: max(1, mine.size // (len(stored) - 1))][: len(stored) - 1]
        bound = 1e-4 * max(float(stored[-1]) / np.sqrt(mine.size), float(np.abs(stored[:-1]).max()), 1e-3)
        np.testing.assert_allclose(some, stored[:-1], atol=bound, err_msg=tensor.name)
        np.testing.assert_allclose(np.linalg.norm(mine), stored[-1], rtol=1e-4, atol=1e-6, err_msg=tensor.name)
