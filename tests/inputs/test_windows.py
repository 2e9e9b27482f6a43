"""The window layout against a literal transcription of what the reference does (permute, cut, merge, undo)."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octomed_jax.images.patches import PatchSpec
from octomed_jax.inputs.windows import place_cells, reserved_cells, window_layout

SPEC = PatchSpec(window_cells=4)
sides = st.integers(1, 40)


def reference_windows(cells_high: int, cells_wide: int, side: int) -> list[list[int]]:
    """Windows as transformers makes them: pad the grid with -100 by ``side - n % side``, cut, drop the padding."""
    index = np.full((cells_high + side - cells_high % side, cells_wide + side - cells_wide % side), -100)
    index[:cells_high, :cells_wide] = np.arange(cells_high * cells_wide).reshape(cells_high, cells_wide)
    high, wide = index.shape[0] // side, index.shape[1] // side
    cut = index.reshape(high, side, wide, side).transpose(0, 2, 1, 3).reshape(high * wide, side * side)
    return [window[window >= 0].tolist() for window in cut if (window >= 0).any()]


@given(sides, sides, st.sampled_from([2, 3, 4]))
@settings(max_examples=80)
def test_windows_and_the_order_in_them_are_the_references(high, wide, side):
    layout = window_layout((high, wide), PatchSpec(window_cells=side))
    ours = [np.flatnonzero(layout.window == number) for number in range(len(layout.reserved))]
    assert [cells[np.argsort(layout.offset[cells])].tolist() for cells in ours] == reference_windows(high, wide, side)


@given(st.lists(st.tuples(sides, sides), min_size=1, max_size=5), st.sampled_from([2, 3, 4]))
@settings(max_examples=80)
def test_cells_have_their_own_places_and_windows_their_own_slots(grids, side):
    layouts = [window_layout(grid, PatchSpec(window_cells=side)) for grid in grids]
    places = place_cells(layouts)
    room = sum(layout.cells for layout in layouts)  # the plan reserves the sum
    taken = np.concatenate(places)
    assert len(set(taken.tolist())) == len(taken) == sum(high * wide for high, wide in grids)
    assert taken.min() >= 0
    assert taken.max() < room
    for layout, place in zip(layouts, places, strict=True):
        for number in range(len(layout.reserved)):
            slots = place[layout.window == number] // side**2
            assert len(set(slots.tolist())) == 1  # no window straddles two slots
    spans = sorted((int(place.min()), int(place.max())) for place in places)
    assert all(first[1] < second[0] for first, second in itertools.pairwise(spans))  # images lie side by side


@given(st.integers(1, 30), st.integers(1, 30))
@settings(max_examples=40)
def test_positions_follow_the_processors_order(high, wide):
    positions = window_layout((high, wide), SPEC).positions.reshape(-1, 2)
    patch = np.arange(high * wide * 4)
    row = patch // 4 // wide * 2 + patch % 4 // 2
    column = patch // 4 % wide * 2 + patch % 2
    assert (positions == np.stack([row, column], -1)).all()


@pytest.mark.parametrize(
    ("grid", "cells"), [((4, 4), 16), ((1, 1), 1), ((18, 18), 336), ((8, 8), 64), ((1, 18), 32), ((1, 5), 8)]
)
def test_what_small_windows_reserve(grid, cells):
    assert window_layout(grid, SPEC).cells == cells


@pytest.mark.parametrize(("size", "slot", "reserved"), [(3, 16, 4), (9, 16, 16), (16, 16, 16), (2, 9, 9), (1, 9, 1)])
def test_reserved_cells_are_a_power_of_two_or_a_slot(size, slot, reserved):
    assert reserved_cells(size, slot) == reserved
