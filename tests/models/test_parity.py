"""The student against transformers, number by number, on tiny random weights."""

import functools

import jax
import numpy as np
import pytest
from flax import nnx

from octomed_jax.hf.names import hub_tensors, modern_name
from octomed_jax.images.patches import IMAGE_MEAN, IMAGE_STD
from octomed_jax.inputs.positions import mrope_positions
from octomed_jax.inputs.rows import assemble
from octomed_jax.models.compute import Compute
from octomed_jax.models.qwen2_5_vl.model import split_model
from tests.models.cases import BUCKET, CASES, MODELS, SIZES
from tests.models.reference import inputs_of, loss_of, our_parameters, reference, torch
from tests.models.student import SPEC, hub_reader, image


@functools.cache
def ours(name):
    graph, _ = split_model(MODELS[name])

    # A gradient with logits and vision features as by-products: one compiled shape serves all cases.
    def loss(tree, rows):
        model = nnx.merge(graph, tree)
        vision = [rows[key] for key in ("patches", "window_ids", "frame_ids", "patch_positions")]
        return model.loss_sum(rows), (model.logits(rows), model.vision(*vision, Compute()))

    return our_parameters(MODELS[name], reference(MODELS[name])), jax.jit(jax.value_and_grad(loss, has_aux=True))


def assert_near(ours, theirs):
    """Within 2e-5 of the reference's scale."""
    np.testing.assert_allclose(ours, theirs, atol=2e-5 * np.abs(theirs).max())


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", MODELS)
def test_logits_loss_and_all_gradients(name, case):
    item, model = CASES[case], reference(MODELS[name])
    model.zero_grad()
    their_logits = model(**inputs_of(item)).logits[0]
    their_loss = loss_of(item, their_logits)
    their_loss.backward()
    their_gradients = {key: value.grad.numpy() for key, value in model.named_parameters() if value.grad is not None}

    parameters, step = ours(name)
    (loss, (logits, _)), gradients = step(parameters, assemble([[item]], 1, BUCKET, SPEC))
    assert_near(logits[0, : len(item.token_ids)], their_logits.detach().numpy())
    np.testing.assert_allclose(loss, their_loss.item(), rtol=1e-5)
    read = hub_reader(gradients)
    for tensor in hub_tensors(MODELS[name], gradients):
        mine = read(tensor)
        theirs = their_gradients.get(modern_name(tensor.name), np.zeros_like(mine))
        np.testing.assert_allclose(mine, theirs, atol=1e-4 * max(np.abs(theirs).max(), 1e-3), err_msg=tensor.name)


@pytest.mark.parametrize("case", SIZES)
def test_vision_features(case):
    item, name = CASES[case], "untied, as 7B"
    inputs = inputs_of(item)
    with torch.no_grad():
        features = reference(MODELS[name]).model.visual(inputs["pixel_values"], grid_thw=inputs["image_grid_thw"])
    theirs = getattr(features, "pooler_output", features).numpy()
    parameters, step = ours(name)
    rows = assemble([[item]], 1, BUCKET, SPEC)
    (_, (_, cells)), _ = step(parameters, rows)
    assert_near(np.asarray(cells)[0, rows["feature_index"][0][rows["feature_index"][0] >= 0]], theirs)


@pytest.mark.parametrize(("left", "right"), [(7, 0), (0, 9)])
def test_padding_on_either_side_changes_nothing(left, right):
    """A server pads on the left, a trainer on the right; our rows hold the example alone."""
    item, name = CASES["four images"], "untied, as 7B"
    with torch.no_grad():
        inputs = inputs_of(item, left, right, MODELS[name].pad_token_id)
        theirs = reference(MODELS[name])(**inputs).logits[0, left : left + len(item.token_ids)].numpy()
    parameters, step = ours(name)
    (_, (logits, _)), _ = step(parameters, assemble([[item]], 1, BUCKET, SPEC))
    assert_near(logits[0, : len(item.token_ids)], theirs)


@pytest.mark.parametrize("case", CASES)
def test_positions(case):
    item, model = CASES[case], reference(MODELS["untied, as 7B"])
    inputs = inputs_of(item)
    kinds, mask = inputs["mm_token_type_ids"], inputs["attention_mask"]
    theirs, _ = model.model.get_rope_index(
        inputs["input_ids"], mm_token_type_ids=kinds, image_grid_thw=inputs.get("image_grid_thw"), attention_mask=mask
    )
    grids = [part.layout.grid for part in item.images]
    mine = mrope_positions(item.token_ids, item.image_token_id, grids)
    assert np.array_equal(mine, theirs[:, 0].numpy())
    assert np.array_equal(mine, item.position_ids)


@pytest.mark.parametrize("case", SIZES)
def test_windows(case):
    """The reference lists the merged cells window by window; so do our places, read in the order of windows."""
    from transformers.vision_utils import get_vision_window_index

    item, visual = CASES[case], reference(MODELS["untied, as 7B"]).model.visual
    expected, first = [], 0
    for part in item.images:
        order = np.lexsort((part.layout.offset, part.layout.window))
        expected.append(order + first)
        first += len(order)
    theirs, _ = get_vision_window_index(
        inputs_of(item)["image_grid_thw"], visual.spatial_merge_size, visual.window_size, visual.patch_size
    )
    assert np.concatenate(expected).tolist() == [int(index) for index in theirs]


@pytest.mark.parametrize("case", SIZES)
def test_pixels_and_grids(case):
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    processor = Qwen2VLImageProcessorPil(min_pixels=SPEC.min_pixels, max_pixels=SPEC.max_pixels)
    assert np.array_equal(np.float32(processor.image_mean), IMAGE_MEAN)
    assert np.array_equal(np.float32(processor.image_std), IMAGE_STD)
    images = [image(*size, seed=number) for number, size in enumerate(SIZES[case])]
    theirs = processor(images=images, return_tensors="np")
    item = CASES[case]
    assert np.array_equal(np.concatenate([part.patches for part in item.images]), theirs["pixel_values"])
    mine = [[1, 2 * rows, 2 * columns] for rows, columns in (part.layout.grid for part in item.images)]
    assert theirs["image_grid_thw"].tolist() == mine


def test_names_are_a_bijection():
    for name, tiny in MODELS.items():
        _, abstract = split_model(tiny)
        hub = [modern_name(tensor.name) for tensor in hub_tensors(tiny, abstract)]
        tied = {"lm_head.weight"} if MODELS[name].text.tie_word_embeddings else set()
        assert len(hub) == len(set(hub))
        assert set(hub) == set(reference(tiny).state_dict()) - tied
