"""Positions on three axes, by hand."""

import numpy as np
import pytest

from octomed_jax.inputs.positions import mrope_positions

IMAGE = 9


def test_text_counts_on_all_axes():
    positions = mrope_positions(np.arange(5, dtype=np.int32), IMAGE, [])
    assert (positions == np.arange(5)).all()


def test_an_image_takes_a_grid_and_text_goes_on_after_its_longer_side():
    ids = np.array([1, 2, *[IMAGE] * 6, 3, 4], np.int32)
    positions = mrope_positions(ids, IMAGE, [(2, 3)])
    assert positions.tolist() == [
        [0, 1, 2, 2, 2, 2, 2, 2, 5, 6],
        [0, 1, 2, 2, 2, 3, 3, 3, 5, 6],
        [0, 1, 2, 3, 4, 2, 3, 4, 5, 6],
    ]


def test_two_images_side_by_side():
    ids = np.array([*[IMAGE] * 2, *[IMAGE] * 4, 1], np.int32)
    positions = mrope_positions(ids, IMAGE, [(1, 2), (2, 2)])
    assert positions[0].tolist() == [0, 0, 2, 2, 2, 2, 4]
    assert positions[2].tolist() == [0, 1, 2, 3, 2, 3, 4]


def test_a_wrong_number_of_image_tokens_is_refused():
    with pytest.raises(ValueError, match="3 image tokens"):
        mrope_positions(np.array([IMAGE] * 3, np.int32), IMAGE, [(2, 2)])
