"""Pixels against transformers' own image processor (its PIL back end needs no torch), bit for bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from octomed_jax.images.patches import IMAGE_MEAN, IMAGE_STD, PatchSpec, cut, normalise, patch_values
from octomed_jax.images.resize import smart_resize

image_processing = pytest.importorskip("transformers.models.qwen2_vl.image_processing_pil_qwen2_vl")


def to_patches(image, spec):
    pixels, grid = cut(image, spec)
    return patch_values(pixels, spec.temporal_patch_size), grid


@pytest.mark.parametrize("size", [(112, 112), (300, 200), (30, 500), (28, 28), (600, 900), (17, 41)])
def test_pixels_and_grid_are_bit_identical(size):
    image = Image.fromarray(np.random.default_rng(size).integers(0, 256, (*size, 3), np.uint8))
    spec = PatchSpec(min_pixels=784, max_pixels=262144)
    processor = image_processing.Qwen2VLImageProcessorPil(min_pixels=784, max_pixels=262144)
    expected = processor(images=[image], return_tensors="np")
    patches, grid = to_patches(image, spec)
    assert expected["image_grid_thw"][0].tolist() == [1, *grid]
    assert np.array_equal(patches, expected["pixel_values"])


@pytest.mark.parametrize("size", [(112, 112), (300, 200), (28, 56)])
def test_a_gray_image_gives_what_its_colours_would(size):
    gray = Image.fromarray(np.random.default_rng(size).integers(0, 256, size, np.uint8))
    spec = PatchSpec(min_pixels=784, max_pixels=50176)
    (patches, grid), (expected, expected_grid) = to_patches(gray, spec), to_patches(gray.convert("RGB"), spec)
    assert grid == expected_grid
    assert np.array_equal(patches, expected)


def test_every_value_is_scaled_as_the_reference_does():
    values = np.arange(256, dtype=np.uint8)
    for channel in range(3):
        scaled = (values * (1 / 255)).astype(np.float32)  # in float64, rounded once
        expected = (scaled - IMAGE_MEAN[channel]) / IMAGE_STD[channel]
        assert np.array_equal(normalise(values[None], channel)[0], expected)


@given(st.integers(1, 3000), st.integers(1, 3000))
@settings(max_examples=300)
def test_smart_resize_equals_the_reference(height, width):
    theirs = getattr(image_processing, "smart_resize", None)
    if theirs is None:
        from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize as theirs
    if max(height, width) / min(height, width) > 200:
        with pytest.raises(ValueError, match="200 times"):
            smart_resize(height, width, 28, 3136, 262144)
        return
    try:
        expected = theirs(height, width, 28, 3136, 262144)
    except ZeroDivisionError:
        return  # the reference divides by zero where a side rounds to nothing
    if min(expected) > 0:
        assert smart_resize(height, width, 28, 3136, 262144) == tuple(expected)
