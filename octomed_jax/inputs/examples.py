"""An Example: one tokenised (record, response), with its images as patches.

Legend: L tokens of the example, G patches of an image, K channels (1 if gray, or 3), Q pixels of a patch, E values of
a patch, C places for merged cells in a row, N merged cells of an image, U patches of a merged cell, T frames.
"""

import dataclasses

import numpy as np
from jaxtyping import Float32, Int32, UInt8
from PIL import Image

from octomed_jax.images.patches import PatchSpec, channel_values, cut, patch_values
from octomed_jax.inputs.windows import WindowLayout, window_layout


@dataclasses.dataclass(frozen=True)
class ImagePatches:
    """The patches of one image in processor order, and where they go.

    Pixels are kept as they are until their row is made: as values they take up to 24 times the memory.
    """

    pixels: UInt8[np.ndarray, "G K Q"]
    frames: int
    layout: WindowLayout

    @property
    def patches(self) -> Float32[np.ndarray, "G E"]:
        """The values of the patches."""
        return patch_values(self.pixels, self.frames)

    def place(self, places: Int32[np.ndarray, "N"], values: Float32[np.ndarray, "C U 3 T Q"]) -> None:
        """Write the values of the N merged cells of the image at their ``places`` in ``values``."""
        unit = values.shape[1]
        for channel, here in enumerate(channel_values(self.pixels)):
            values[:, :, channel][places] = here.reshape(len(places), unit, 1, -1)


@dataclasses.dataclass(frozen=True)
class Example:
    """One tokenised (record, response); without a response it is a prompt."""

    token_ids: Int32[np.ndarray, "L"]
    loss_weights: Float32[np.ndarray, "L"]
    position_ids: Int32[np.ndarray, "3 L"]
    images: tuple[ImagePatches, ...]
    image_token_id: int

    @property
    def cells(self) -> int:
        """Merged cells that all images take in a row's window slots."""
        return sum(image.layout.cells for image in self.images)


def image_patches(image: Image.Image, spec: PatchSpec) -> ImagePatches:
    """Return the patches of an RGB or gray image and their layout.

    Raises:
        ValueError: its sides differ too much.
    """
    pixels, (high, wide) = cut(image, spec)
    layout = window_layout((high // spec.merge_size, wide // spec.merge_size), spec)
    return ImagePatches(pixels, spec.temporal_patch_size, layout)
