"""Window layout: every patch of every image of a row gets a place in a window slot.

The vision tower attends within windows of ``window_cells`` x ``window_cells`` merged cells; windows at the right and
lower edge are smaller. transformers permutes the patches of an image so that each window is contiguous and undoes the
permutation after the merger. Here windows are a batch dimension: a *slot* holds as many patches as a full window, and
smaller windows of the same image share a slot (best fit), told apart by ``window_ids``. The layout is made on the
host once, so the compiled step sees [W, S] arrays only.

Legend: W window slots, S patches of a slot, U patches of a merged cell (merge_size**2), C merged cells of an image.
"""

import dataclasses
import functools

import numpy as np
from jaxtyping import Int32

from octomed_jax.images.patches import PatchSpec


@dataclasses.dataclass(frozen=True)
class WindowLayout:
    """Where the patches of one image go.

    Attributes:
        slots: number of slots used.
        source: patch index in processor order for each place, -1 where empty. [W, S]
        window_ids: 1, 2, ... for the windows that share a slot, 0 where empty. [W, S]
        positions: row and column of each patch in its image, 0 where empty. [W, S, 2]
        cell_place: for each merged cell in row-major order, its place in the flattened slots (slot * S/U + cell). [C]
    """

    slots: int
    source: Int32[np.ndarray, "W S"]
    window_ids: Int32[np.ndarray, "W S"]
    positions: Int32[np.ndarray, "W S 2"]
    cell_place: Int32[np.ndarray, "C"]


def count_slots(grid: tuple[int, int], spec: PatchSpec) -> int:
    """Return how many window slots an image of ``grid`` patches needs."""
    return window_layout(grid, spec).slots


@functools.lru_cache(maxsize=4096)
def window_layout(grid: tuple[int, int], spec: PatchSpec) -> WindowLayout:
    """Lay out an image of ``grid`` (height, width in patches)."""
    cells_high, cells_wide = grid[0] // spec.merge_size, grid[1] // spec.merge_size
    unit, capacity = spec.merge_size**2, spec.window_cells**2
    windows = _windows(cells_high, cells_wide, spec.window_cells)
    places = _fit([len(window) for window in windows], capacity)
    slots = 1 + max(slot for slot, _, _ in places)

    source = np.full((slots, capacity, unit), -1, np.int32)
    window_ids = np.zeros((slots, capacity, unit), np.int32)
    positions = np.zeros((slots, capacity, unit, 2), np.int32)
    cell_place = np.zeros(cells_high * cells_wide, np.int32)
    in_cell = np.stack(np.divmod(np.arange(unit, dtype=np.int32), spec.merge_size), -1)
    for window, (slot, start, number) in zip(windows, places, strict=True):
        here = slice(start, start + len(window))
        source[slot, here] = window[:, None] * unit + np.arange(unit)
        window_ids[slot, here] = number
        corner = np.stack(np.divmod(window, cells_wide), -1) * spec.merge_size
        positions[slot, here] = corner[:, None, :] + in_cell
        cell_place[window] = slot * capacity + np.arange(start, start + len(window))
    shape = (slots, capacity * unit)
    layout = WindowLayout(
        slots, source.reshape(shape), window_ids.reshape(shape), positions.reshape(*shape, 2), cell_place
    )
    for array in (layout.source, layout.window_ids, layout.positions, layout.cell_place):
        array.flags.writeable = False  # the cache hands the same arrays to everyone
    return layout


def _windows(cells_high: int, cells_wide: int, side: int) -> list[Int32[np.ndarray, "cells"]]:
    """Return the merged cells (row-major numbers) of each window, windows in row-major order."""
    cells = np.arange(cells_high * cells_wide, dtype=np.int32).reshape(cells_high, cells_wide)
    return [
        cells[top : top + side, left : left + side].reshape(-1)
        for top in range(0, cells_high, side)
        for left in range(0, cells_wide, side)
    ]


def _fit(sizes: list[int], capacity: int) -> list[tuple[int, int, int]]:
    """Best fit, largest first: return (slot, first cell, number in the slot) for each window."""
    used: list[int] = []
    members: list[int] = []
    places: list[tuple[int, int, int]] = [(0, 0, 0)] * len(sizes)
    for index in sorted(range(len(sizes)), key=lambda i: (-sizes[i], i)):
        fits = [slot for slot, full in enumerate(used) if full + sizes[index] <= capacity]
        if sizes[index] == capacity or not fits:
            used.append(0)
            members.append(0)
            slot = len(used) - 1
        else:
            slot = max(fits, key=lambda s: (used[s], -s))
        members[slot] += 1
        places[index] = (slot, used[slot], members[slot])
        used[slot] += sizes[index]
    return places
