"""An Example: one tokenised (record, response), with its images as patches.

Legend: L tokens of the example, G patches of an image, E values of a patch.
"""

import dataclasses

import numpy as np
from jaxtyping import Float32, Int32
from PIL import Image

from octomed_jax.images.patches import PatchSpec, to_patches
from octomed_jax.inputs.windows import WindowLayout, window_layout


@dataclasses.dataclass(frozen=True)
class ImagePatches:
    """The patches of one image in processor order, and where they go."""

    patches: Float32[np.ndarray, "G E"]
    layout: WindowLayout


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
    """Return the patches of an RGB image and their layout.

    Raises:
        ValueError: its sides differ too much.
    """
    patches, (high, wide) = to_patches(image, spec)
    return ImagePatches(patches, window_layout((high // spec.merge_size, wide // spec.merge_size), spec))
