"""The window layout against a literal transcription of what the reference does (permute, cut, merge, undo)."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octomed_jax.images.patches import PatchSpec
from octomed_jax.inputs.windows import window_layout

SPEC = PatchSpec(window_cells=4)


def reference_windows(cells_high: int, cells_wide: int, side: int) -> list[set[int]]:
    """Windows as transformers makes them: pad the grid with -100 by ``side - n % side``, cut, drop the padding."""
    index = np.full((cells_high + side - cells_high % side, cells_wide + side - cells_wide % side), -100)
    index[:cells_high, :cells_wide] = np.arange(cells_high * cells_wide).reshape(cells_high, cells_wide)
    high, wide = index.shape[0] // side, index.shape[1] // side
    cut = index.reshape(high, side, wide, side).transpose(0, 2, 1, 3).reshape(high * wide, side * side)
    return [set(window[window >= 0].tolist()) for window in cut if (window >= 0).any()]


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([2, 4]))
@settings(max_examples=60, deadline=None)
def test_every_window_is_the_references_and_every_patch_has_one_place(high, wide, side):
    spec = PatchSpec(window_cells=side)
    layout = window_layout((high * 2, wide * 2), spec)
    used = layout.source >= 0
    assert sorted(layout.source[used].tolist()) == list(range(high * wide * 4))
    assert (used == (layout.window_ids > 0)).all()
    ours = []
    for slot in range(layout.slots):
        for number in range(1, int(layout.window_ids[slot].max()) + 1):
            patches = layout.source[slot][layout.window_ids[slot] == number]
            ours.append(frozenset((patches // 4).tolist()))
    assert set(ours) == {frozenset(window) for window in reference_windows(high, wide, side)}
    assert len(ours) == len(set(ours))


@given(st.integers(1, 30), st.integers(1, 30))
@settings(max_examples=40, deadline=None)
def test_positions_and_cell_places_follow_the_patches(high, wide):
    layout = window_layout((high * 2, wide * 2), SPEC)
    cells = layout.source.reshape(-1, 4)[layout.cell_place]
    assert (cells == np.arange(high * wide * 4).reshape(-1, 4)).all()  # cell c holds patches 4c .. 4c + 3, in order
    flat, positions = layout.source.reshape(-1), layout.positions.reshape(-1, 2)
    patch = flat[flat >= 0]
    row = patch // 4 // wide * 2 + patch % 4 // 2
    column = patch // 4 % wide * 2 + patch % 2
    assert (positions[flat >= 0] == np.stack([row, column], -1)).all()


@pytest.mark.parametrize(("grid", "slots"), [((8, 8), 1), ((2, 2), 1), ((36, 36), 21), ((16, 16), 4), ((2, 36), 2)])
def test_small_windows_share_slots(grid, slots):
    assert window_layout(grid, SPEC).slots == slots


def test_a_512_pixel_image_wastes_few_places():
    layout = window_layout((36, 36), SPEC)
    assert (layout.source >= 0).mean() > 0.96
