"""What an image is known by: its bytes, its pixels, and what it shows.

What it shows is kept as a *picture* of 576 bytes: the 24 x 24 lowest frequencies of a cosine transform of its gray
values, without their mean, each times its frequency (an image has little of the high ones) and rounded to 8 bits.
``image_match`` compares two pictures, ``image_index`` finds those that may be the same among many. The usual hashes of
64 or 256 bits do not tell medical images apart, see docs/curation-images.md.

Legend: S side of the small gray image that is transformed, C frequencies along one axis.
"""

import dataclasses
import hashlib

import numpy as np
from jaxtyping import Int8
from PIL import Image

from octomed_jax.images.decode import MAX_PIXELS, decode_image
from octomed_jax.storage import sha256_bytes

VERSION = "1"  # of the hashes: others are not to be compared with these
SIDE = 64
FREQUENCIES = 24
PICTURE_BYTES = FREQUENCIES**2
FLAT = 1.0  # gray values of standard deviation below which an image shows nothing that could be compared


@dataclasses.dataclass(frozen=True)
class ImageHashes:
    """What one image is known by.

    Attributes:
        file: SHA-256 of the file, in hexadecimal digits.
        pixels: SHA-256 of its size and its pixels: equal for equal pixels, however they are compressed, and whether
            gray is stored once or three times. Of a JPEG file it is as lasting as the decoder.
        picture: PICTURE_BYTES bytes; all zero where the image is of one shade.
    """

    file: str
    pixels: str
    picture: bytes


def hash_image(data: bytes, name: str = "image", max_pixels: int = MAX_PIXELS) -> ImageHashes:
    """Return what an image file (PNG or JPEG) is known by.

    Args:
        data: the file.
        name: what to call it in a message.
        max_pixels: most pixels that are decoded.

    Raises:
        UserError: as ``decode_image``.
    """
    image = decode_image(data, max_pixels, name, keep_gray=True)
    return ImageHashes(sha256_bytes(data), pixel_hash(image), picture_of(image).tobytes())


def pixel_hash(image: Image.Image) -> str:
    """Return the SHA-256 of size and pixels of a gray or RGB image; RGB of equal channels counts as gray."""
    pixels = np.asarray(image)
    if pixels.ndim == 3 and all(np.array_equal(pixels[..., 0], pixels[..., other]) for other in (1, 2)):
        pixels = pixels[..., 0]
    digest = hashlib.sha256("x".join(map(str, pixels.shape)).encode() + b"\n")
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def picture_of(image: Image.Image) -> Int8[np.ndarray, "C C"]:
    """Return the picture of a gray or RGB image: rows are frequencies downwards, columns those across."""
    small = image.resize((SIDE, SIDE), Image.Resampling.BICUBIC, reducing_gap=3.0)
    gray = np.asarray(small if small.mode == "L" else small.convert("L"), np.float64)
    if gray.std() < FLAT:
        return np.zeros((FREQUENCIES, FREQUENCIES), np.int8)
    values = (_TRANSFORM @ gray @ _TRANSFORM.T) * FREQUENCY
    return np.rint(values * (127.0 / np.abs(values).max())).astype(np.int8)


def cosines(places: np.ndarray) -> np.ndarray:
    """Return the basis (..., C) at places (...) of which 0 is one border of an image and 1 the other."""
    return np.cos(np.pi * places[..., None] * np.arange(FREQUENCIES)) * SCALE


SCALE = np.sqrt(np.where(np.arange(FREQUENCIES) == 0, 1.0, 2.0) / SIDE)
FREQUENCY = np.hypot(*np.mgrid[:FREQUENCIES, :FREQUENCIES])  # 0 for the mean, which is left out
_TRANSFORM = cosines((np.arange(SIDE) + 0.5) / SIDE).T
