"""Pixels to patches, equal bit for bit to transformers 4.57.1's Qwen2-VL image processor on its PIL path.

Legend: G patches of one image (grid_height * grid_width), E values of a patch (channels * frames * patch_size**2),
K channels that are stored (1 for a gray image, whose three are equal, or 3), Q pixels of a patch (patch_size**2).
"""

import dataclasses
from collections.abc import Iterator

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


def cut(image: Image.Image, spec: PatchSpec) -> tuple[UInt8[np.ndarray, "G K Q"], tuple[int, int]]:
    """Resize an RGB or gray image and cut it into patches.

    Patches are ordered by merged cell (row of cells, column of cells, row in the cell, column in the cell).

    Returns:
        The pixels of the patches, and the grid (height, width) in patches.
    """
    resized = resize(image, spec.factor, spec.min_pixels, spec.max_pixels)
    grid = (resized.height // spec.patch_size, resized.width // spec.patch_size)
    merge, side = spec.merge_size, spec.patch_size
    blocks = (grid[0] // merge, merge, side, grid[1] // merge, merge, side)
    # Channel by channel: NumPy copies whole lines of a patch then, not single pixels.
    channels = [np.asarray(channel, np.uint8).reshape(blocks) for channel in resized.split()]
    ordered = [np.ascontiguousarray(channel.transpose(0, 3, 1, 4, 2, 5)) for channel in channels]
    return np.stack([channel.reshape(grid[0] * grid[1], -1) for channel in ordered], axis=1), grid


def normalise(pixels: UInt8[np.ndarray, "G Q"], channel: int) -> Float32[np.ndarray, "G Q"]:
    """Scale pixels of a channel to 0..1 and standardise them, equal bit for bit to the reference.

    The reference multiplies by 1/255 in float64, rounds to float32, and goes on in float32; for all 256 values, that is
    what dividing by 255 in float32 gives.
    """
    values = pixels.astype(np.float32)
    values /= np.float32(255)
    values -= IMAGE_MEAN[channel]
    values /= IMAGE_STD[channel]
    return values


def channel_values(pixels: UInt8[np.ndarray, "G K Q"]) -> Iterator[Float32[np.ndarray, "G Q"]]:
    """Yield the standardised values of each of the three channels."""
    for channel in range(3):
        yield normalise(pixels[:, channel % pixels.shape[1]], channel)


def patch_values(pixels: UInt8[np.ndarray, "G K Q"], frames: int) -> Float32[np.ndarray, "G E"]:
    """Return the values of cut pixels; a still image is repeated in ``frames``."""
    values = np.empty((len(pixels), 3, frames, pixels.shape[2]), np.float32)
    for channel, here in enumerate(channel_values(pixels)):
        values[:, channel] = here[:, None]
    return values.reshape(len(pixels), -1)
