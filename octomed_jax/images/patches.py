"""Pixels to patches, equal bit for bit to transformers 4.57.1's Qwen2-VL image processor on its PIL path.

Legend: G patches of one image (grid_height * grid_width), E values of a patch (channels * frames * patch_size**2).
"""

import dataclasses

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

from octomed_jax.images.resize import resize

# CLIP's statistics, which Qwen2-VL kept.
IMAGE_MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
IMAGE_STD = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)


@dataclasses.dataclass(frozen=True)
class PatchSpec:
    """How images become patches; read from a folder's preprocessor_config.json and config.json.

    Attributes:
        patch_size: pixels on a side of a patch.
        merge_size: patches on a side of a merged cell (one token).
        temporal_patch_size: frames of a patch; a still image is repeated.
        window_cells: merged cells on a side of an attention window.
        min_pixels, max_pixels: limits of the resized area.
    """

    patch_size: int = 14
    merge_size: int = 2
    temporal_patch_size: int = 2
    window_cells: int = 4
    min_pixels: int = 56 * 56
    max_pixels: int = 262144

    @property
    def factor(self) -> int:
        """Pixels on a side of a merged cell."""
        return self.patch_size * self.merge_size

    @property
    def slot_cells(self) -> int:
        """Merged cells that a window slot holds."""
        return self.window_cells**2

    @property
    def slot_patches(self) -> int:
        """Patches that a window slot holds."""
        return self.slot_cells * self.merge_size**2

    @property
    def patch_values(self) -> int:
        """Values of one patch."""
        return 3 * self.temporal_patch_size * self.patch_size**2


def normalise(pixels: UInt8[np.ndarray, "height width 3"]) -> Float32[np.ndarray, "height width 3"]:
    """Scale to 0..1 and standardise by channel, in the order of operations of the reference."""
    # The reference multiplies in float64, rounds once to float32, and goes on in float32.
    scaled = (pixels.astype(np.float64) * (1 / 255)).astype(np.float32)
    return (scaled - IMAGE_MEAN) / IMAGE_STD


def to_patches(image: Image.Image, spec: PatchSpec) -> tuple[Float32[np.ndarray, "G E"], tuple[int, int]]:
    """Resize an RGB image and cut it into patches.

    Patches are ordered by merged cell (row of cells, column of cells, row in the cell, column in the cell); inside a
    patch the order is channel, frame, y, x.

    Returns:
        The patches, and the grid (height, width) in patches.
    """
    pixels = np.asarray(resize(image, spec.factor, spec.min_pixels, spec.max_pixels), np.uint8)
    grid = (pixels.shape[0] // spec.patch_size, pixels.shape[1] // spec.patch_size)
    cells_high, cells_wide = grid[0] // spec.merge_size, grid[1] // spec.merge_size
    blocks = normalise(pixels).reshape(
        cells_high, spec.merge_size, spec.patch_size, cells_wide, spec.merge_size, spec.patch_size, 3
    )
    ordered = blocks.transpose(0, 3, 1, 4, 6, 2, 5)  # cell row, cell column, row, column, channel, y, x
    frame = ordered.reshape(grid[0] * grid[1], 3, 1, spec.patch_size**2)
    repeated = np.broadcast_to(frame, (frame.shape[0], 3, spec.temporal_patch_size, spec.patch_size**2))
    return repeated.reshape(frame.shape[0], spec.patch_values), grid
