"""Window layout: every merged cell of every image of a row gets a place in a window slot.

The vision tower attends within windows of ``window_cells`` x ``window_cells`` merged cells; windows at the right and
lower edge are smaller. transformers permutes the patches of an image so that each window is contiguous and undoes the
permutation after the merger. Here windows are a batch dimension: a *slot* holds a full window, and smaller windows,
also of different images, share slots, told apart by ``window_ids``.

A window of c cells reserves the next power of two of them, an image the sum of its windows, filled up to whole slots
(or, within one slot, to a power of two). Laid end to end, largest first, nothing straddles a slot, so what a row's
images need is the plain sum of what each reserves: the plan can add where it would otherwise have to pack, and little
is lost (benchmarks/row_fill.py). The places of an image lie side by side, so attention over it can pass over the rest.

Legend: N windows of an image, C merged cells of an image, U patches of a merged cell (merge_size**2).
"""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int32

from octomed_jax.images.patches import PatchSpec


@dataclasses.dataclass(frozen=True)
class WindowLayout:
    """How the merged cells of one image, in row-major order, fall into windows.

    Attributes:
        grid: rows and columns of merged cells.
        reserved: cells reserved for each window. [N]
        cells: cells that the image takes in a row's slots.
        window: the window of each merged cell. [C]
        offset: the place of each merged cell in its window. [C]
        positions: row and column of each patch of each merged cell, in patches. [C, U, 2]
    """

    grid: tuple[int, int]
    reserved: Int32[np.ndarray, "N"]
    cells: int
    window: Int32[np.ndarray, "C"]
    offset: Int32[np.ndarray, "C"]
    positions: Int32[np.ndarray, "C U 2"]


@functools.lru_cache(maxsize=4096)
def window_layout(grid: tuple[int, int], spec: PatchSpec) -> WindowLayout:
    """Lay out an image of ``grid`` (rows, columns of merged cells)."""
    side = spec.window_cells
    row, column = np.divmod(np.arange(grid[0] * grid[1], dtype=np.int32), grid[1])
    windows_wide = -(-grid[1] // side)
    window = row // side * windows_wide + column // side
    width = np.minimum(side, grid[1] - column // side * side)  # of the window that the cell lies in
    reserved = np.array([reserved_cells(int(size), spec.slot_cells) for size in np.bincount(window)], np.int32)
    whole = int(reserved.sum())
    slots = -(-whole // spec.slot_cells)
    in_cell = np.stack(np.divmod(np.arange(spec.merge_size**2, dtype=np.int32), spec.merge_size), -1)
    layout = WindowLayout(
        grid,
        reserved,
        reserved_cells(whole, spec.slot_cells) if slots == 1 else slots * spec.slot_cells,
        window.astype(np.int32),
        (row % side * width + column % side).astype(np.int32),
        (np.stack([row, column], -1)[:, None] * spec.merge_size + in_cell).astype(np.int32),
    )
    for array in (layout.reserved, layout.window, layout.offset, layout.positions):
        array.flags.writeable = False  # the cache hands the same arrays to everyone
    return layout


def reserved_cells(size: int, slot_cells: int) -> int:
    """Return how many cells ``size`` of them take in a slot: a power of two, or the slot where that is no divisor."""
    power = 1 << (size - 1).bit_length()
    return power if slot_cells % power == 0 else slot_cells


def place_cells(layouts: Sequence[WindowLayout]) -> list[Int32[np.ndarray, "C"]]:
    """Return the place in the row's slots (slot * slot_cells + cell) of each merged cell of each image."""
    images = _end_to_end(np.array([layout.cells for layout in layouts], np.int32))
    return [
        first + _end_to_end(layout.reserved)[layout.window] + layout.offset
        for first, layout in zip(images, layouts, strict=True)
    ]


def _end_to_end(sizes: Int32[np.ndarray, "N"]) -> Int32[np.ndarray, "N"]:
    """Return where each of ``sizes`` begins when they are laid end to end, largest first."""
    order = np.argsort(-sizes, kind="stable")
    starts = np.empty_like(sizes)
    starts[order] = np.cumsum(sizes[order]) - sizes[order]
    return starts
