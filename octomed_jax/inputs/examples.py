"""From a question and a response to an Example: token ids, loss weights, positions and images.

Legend: L tokens of the example, G patches of an image, E values of a patch.
"""

import dataclasses
import io

import numpy as np
from jaxtyping import Float32, Int32
from PIL import Image

from octomed_jax.errors import StopAndLook
from octomed_jax.images.decode import decode_image
from octomed_jax.images.patches import PatchSpec, to_patches
from octomed_jax.images.resize import smart_resize
from octomed_jax.inputs.positions import mrope_positions
from octomed_jax.inputs.template import encode_chat
from octomed_jax.inputs.tokenizer import ChatTokenizer
from octomed_jax.inputs.windows import WindowLayout, window_layout
from octomed_jax.prompts import user_text
from octomed_jax.schema import Question

_EXIF_ORIENTATION = 0x0112
_EXIF_SIDEWAYS = (5, 6, 7, 8)


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


@dataclasses.dataclass(frozen=True)
class ExampleSize:
    """What an example will take in a row, known without decoding its images.

    Attributes:
        tokens: with one for each merged cell of its images.
        patches: of its images.
        cells: merged cells that its images reserve in the row's window slots.
    """

    tokens: int
    patches: int
    cells: int


class ExampleBuilder:
    """Renders questions with one tokenizer, one patch spec and one answer format."""

    def __init__(self, tokenizer: ChatTokenizer, spec: PatchSpec, answer_format: str = "boxed"):
        self.tokenizer, self.spec, self.answer_format = tokenizer, spec, answer_format

    def build(self, question: Question, response: str | None) -> Example:
        """Render one example, decoding its images.

        Raises:
            StopAndLook: an image cannot be decoded (it was readable when the question was built).
        """
        images = tuple(self._image(question, number) for number in range(len(question.images)))
        grids = [image.layout.grid for image in images]
        cells = [rows * columns for rows, columns in grids]
        chat = encode_chat(self.tokenizer, user_text(question, self.answer_format), cells, response)
        image_token_id = self.tokenizer.ids["<|image_pad|>"]
        positions = mrope_positions(chat.token_ids, image_token_id, grids)
        return Example(chat.token_ids, chat.loss_weights, positions, images, image_token_id)

    def measure(self, question: Question, response: str | None) -> ExampleSize:
        """Return what ``build`` would give, from the headers of the images."""
        grids = [_cell_grid(data, self.spec) for data in question.images]
        layouts = [window_layout(grid, self.spec) for grid in grids]
        chat = encode_chat(
            self.tokenizer,
            user_text(question, self.answer_format),
            [rows * columns for rows, columns in grids],
            response,
        )
        patches = sum(rows * columns for rows, columns in grids) * self.spec.merge_size**2
        return ExampleSize(len(chat.token_ids), patches, sum(layout.cells for layout in layouts))

    def _image(self, question: Question, number: int) -> ImagePatches:
        try:
            return image_patches(decode_image(question.images[number]), self.spec)
        except ValueError as error:
            raise StopAndLook(f"image {number} of question {question.id}: {error}") from error


def image_patches(image: Image.Image, spec: PatchSpec) -> ImagePatches:
    """Return the patches of an RGB image and their layout.

    Raises:
        ValueError: its sides differ too much.
    """
    patches, (high, wide) = to_patches(image, spec)
    return ImagePatches(patches, window_layout((high // spec.merge_size, wide // spec.merge_size), spec))


def _cell_grid(data: bytes, spec: PatchSpec) -> tuple[int, int]:
    """Return the merged grid (rows, columns) of an encoded image, from its header."""
    with Image.open(io.BytesIO(data)) as image:
        width, height = image.size
        if image.getexif().get(_EXIF_ORIENTATION) in _EXIF_SIDEWAYS:
            width, height = height, width
    height, width = smart_resize(height, width, spec.factor, spec.min_pixels, spec.max_pixels)
    return height // spec.factor, width // spec.factor
