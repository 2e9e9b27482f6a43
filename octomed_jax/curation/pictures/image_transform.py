"""Images as the student takes them: at most so many pixels, nothing but pixels in the file, text dealt with.

A larger image gets the size that the student's own processor gives it, by the same filter: both sides multiples of 28,
so that the processor leaves it alone later. What needs no change keeps its bytes. What is encoded anew is PNG where the
source was: the student then sees exactly what it would have seen of the larger file. A JPEG stays JPEG, of high quality
and without the halving of colours: as PNG it would often be larger than the file it was made of, for a difference
that is smaller than what its first compression has left.
"""

import dataclasses
import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from octomed_jax.errors import UserError, did_you_mean
from octomed_jax.images.decode import MAX_PIXELS as MOST_DECODED
from octomed_jax.images.decode import decode_image, encode_png
from octomed_jax.images.files import plain_file
from octomed_jax.images.metadata import JPEG
from octomed_jax.images.resize import MAX_ASPECT, resize

if TYPE_CHECKING:
    from octomed_jax.curation.pictures.burned_text import Box

VERSION = "1"  # part of the step's hash: other bytes come out for the same ones, or other text is found
MAX_PIXELS = 262_144  # the paper's
QUALITY = 95
TEXT_POLICIES = ("keep", "blank", "drop")
_FACTOR = 28  # Qwen2.5-VL: patch 14, merged 2 x 2


@dataclasses.dataclass(frozen=True)
class Transformed:
    """An image after the step.

    Attributes:
        data: the file, PNG or JPEG; the same object where nothing was to be done; None where it is to be dropped.
        text: boxes of text that were found, in pixels of the image as it came; empty with the policy ``keep``.
        resized: whether it was too large.
    """

    data: bytes | None
    text: "tuple[Box, ...]" = ()
    resized: bool = False


def transform_image(data: bytes, max_pixels: int = MAX_PIXELS, text: str = "keep", name: str = "image") -> Transformed:
    """Return an image within a limit of pixels, without metadata, upright, and its text dealt with.

    The same bytes give the same bytes, with the same versions of the libraries that decode, resize and encode.

    Args:
        data: an image file of any kind that ``plain_file`` reads.
        max_pixels: most pixels (width times height).
        text: ``keep``: not looked for; ``blank``: painted over; ``drop``: an image with any becomes None. What is found
            is what ``find_text`` finds, which is not all.
        name: what to call the file in a message.

    Raises:
        UserError: an unknown policy; a limit below one patch; a file that cannot be read, or that is more than 200
            times as long as wide.
    """
    check_policy(text)
    if max_pixels < _FACTOR**2:
        raise UserError(f"max_pixels is {max_pixels}; it takes at least {_FACTOR**2}, one cell of the student's")
    plain = plain_file(data, name)
    width, height = _size(plain)
    if max(width, height) > MAX_ASPECT * min(width, height):  # the student takes no such image, small ones neither
        raise UserError(
            f"{name} has {width} x {height} pixels, more than {MAX_ASPECT} times as long as wide; leave it out"
        )
    large = width * height > max_pixels
    if text == "keep" and not large:
        return Transformed(plain)
    image = decode_image(plain, MOST_DECODED, name, keep_gray=True)
    boxes: "tuple[Box, ...]" = ()
    if text != "keep":
        from octomed_jax.curation.pictures.burned_text import blank_text, find_text  # loads SciPy

        pixels = np.asarray(image)
        boxes = tuple(find_text(pixels))
        if boxes and text == "drop":
            return Transformed(None, boxes)
        if boxes:
            image = Image.fromarray(blank_text(pixels, boxes))
    if large:
        image = resize(image, _FACTOR, 1, max_pixels)
    if not large and not boxes:
        return Transformed(plain)
    return Transformed(_encoded(image, plain.startswith(JPEG)), boxes, large)


def check_policy(text: str) -> None:
    """Raise UserError where a policy for burned-in text is not one of TEXT_POLICIES."""
    if text not in TEXT_POLICIES:
        hint = did_you_mean(text, TEXT_POLICIES)
        raise UserError(f"unknown policy {text!r} for burned-in text{hint}; one of {', '.join(TEXT_POLICIES)}")


def _size(data: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as header:
        return header.size


def _encoded(image: Image.Image, as_jpeg: bool) -> bytes:
    if not as_jpeg:
        return encode_png(image)
    file = io.BytesIO()
    image.save(file, format="JPEG", quality=QUALITY, subsampling=0, optimize=False)
    return file.getvalue()
