"""From a question and a response to an Example, or to what it will take."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from octomed_jax.errors import StopAndLook
from octomed_jax.images.decode import BROKEN, decode_image, upright_size
from octomed_jax.images.patches import PatchSpec
from octomed_jax.images.resize import smart_resize
from octomed_jax.inputs.examples import Example, ImagePatches, image_patches
from octomed_jax.inputs.positions import mrope_positions
from octomed_jax.inputs.template import encode_chat
from octomed_jax.inputs.tokenizer import ChatTokenizer
from octomed_jax.inputs.windows import WindowLayout, window_layout
from octomed_jax.prompts import user_text
from octomed_jax.schema import Question, Record


@dataclasses.dataclass(frozen=True)
class ExampleSize:
    """What an example will take in a row, known without decoding its images.

    Attributes:
        tokens: with one for each merged cell of its images.
        patches: of its images.
        cells: merged cells that its images reserve in the row's window slots.
        window_pairs, frame_pairs: pairs of patches that see each other within windows and within whole images.
    """

    tokens: int
    patches: int
    cells: int
    window_pairs: int
    frame_pairs: int


class ExampleBuilder:
    """Renders questions with one tokenizer, one patch spec and one answer format."""

    def __init__(self, tokenizer: ChatTokenizer, spec: PatchSpec, answer_format: str = "boxed"):
        self.tokenizer, self.spec, self.answer_format = tokenizer, spec, answer_format

    def build(self, question: Question, response: str | None) -> Example:
        """Render one example, decoding its images.

        Raises:
            StopAndLook: an image cannot be read (it was readable when the question was built).
        """
        images = tuple(self._image(question, number) for number in range(len(question.images)))
        grids = [image.layout.grid for image in images]
        cells = [rows * columns for rows, columns in grids]
        chat = encode_chat(self.tokenizer, user_text(question, self.answer_format), cells, response)
        image_token_id = self.tokenizer.ids["<|image_pad|>"]
        positions = mrope_positions(chat.token_ids, image_token_id, grids)
        return Example(chat.token_ids, chat.loss_weights, positions, images, image_token_id)

    def measure(self, question: Question, response: str | None) -> ExampleSize:
        """Return what ``build`` would give, from the headers of the images. Errors as ``build``."""
        return self._size(question, response, self._layouts(question))

    def measure_record(self, record: Record) -> list[ExampleSize]:
        """Return what each response of a record would give; its images are looked at once. Errors as ``build``."""
        layouts = self._layouts(record.question)
        return [self._size(record.shown(place), text, layouts) for place, text in enumerate(record.responses)]

    def _layouts(self, question: Question) -> list[WindowLayout]:
        return [window_layout(self._cell_grid(question, place), self.spec) for place in range(len(question.images))]

    def _size(self, question: Question, response: str | None, layouts: Sequence[WindowLayout]) -> ExampleSize:
        grids = [layout.grid for layout in layouts]
        chat = encode_chat(
            self.tokenizer,
            user_text(question, self.answer_format),
            [rows * columns for rows, columns in grids],
            response,
        )
        unit = self.spec.merge_size**2
        frames = [rows * columns * unit for rows, columns in grids]
        windows = [np.bincount(layout.window).astype(np.int64) * unit for layout in layouts]
        return ExampleSize(
            tokens=len(chat.token_ids),
            patches=sum(frames),
            cells=sum(layout.cells for layout in layouts),
            window_pairs=sum(int((sizes**2).sum()) for sizes in windows),
            frame_pairs=sum(frame**2 for frame in frames),
        )

    def _image(self, question: Question, number: int) -> ImagePatches:
        try:
            return image_patches(decode_image(question.images[number], keep_gray=True), self.spec)
        except ValueError as error:
            raise StopAndLook(f"image {number} of question {question.id}: {error}") from error

    def _cell_grid(self, question: Question, number: int) -> tuple[int, int]:
        try:
            return _cell_grid(question.images[number], self.spec)
        except BROKEN as error:
            raise StopAndLook(f"image {number} of question {question.id} cannot be read ({error})") from error


def _cell_grid(data: bytes, spec: PatchSpec) -> tuple[int, int]:
    """Return the merged grid (rows, columns) of an encoded image, from its header."""
    width, height = upright_size(data)
    height, width = smart_resize(height, width, spec.factor, spec.min_pixels, spec.max_pixels)
    return height // spec.factor, width // spec.factor
