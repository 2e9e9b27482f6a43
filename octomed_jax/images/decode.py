"""Encoded image files to RGB and back, with every limit checked before pixels are decoded."""

import contextlib
import io
import os
import struct
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps

from octomed_jax.errors import UserError
from octomed_jax.images.gray import stretch

MAX_PIXELS = 178_956_970  # PIL's own limit (1 GiB of RGB plus a third)
MAX_BYTES = 256 * 2**20
FORMATS = ("PNG", "JPEG")
# How files of moving pictures begin: offset and bytes (MP4 and QuickTime, Matroska and WebM, AVI, MPEG).
VIDEO_MARKS = ((4, b"ftyp"), (0, b"\x1a\x45\xdf\xa3"), (8, b"AVI "), (0, b"\x00\x00\x01\xba"), (0, b"\x00\x00\x01\xb3"))
VIDEO = "{} is a video, which this student does not take; extract the frames you mean and give them as images"
# What libraries raise on bytes that are not what they say they are.
BROKEN = (
    ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError, OSError, RuntimeError,
    SyntaxError, TypeError, ValueError, struct.error, zlib.error,
)  # fmt: skip
CORRUPT = "{} is truncated or corrupt ({}); replace it or remove it"
_SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations that swap width and height
_PNG_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_LONGEST_KEY = 80  # bytes of a PNG text's keyword and the zero behind it
PAGES = "{} has several pages; give those you mean as files of their own"


def decode_image(
    data: bytes,
    max_pixels: int = MAX_PIXELS,
    name: str = "image",
    keep_gray: bool = False,
    formats: tuple[str, ...] = FORMATS,
) -> Image.Image:
    """Return an encoded image file as an RGB image, upright and on white.

    16-bit gray is scaled down to 8 bits, a palette is applied, transparency is laid on white, and the EXIF orientation
    is applied. Gray of a TIFF with more than 8 bits is measured more often than drawn, and has no white of its own: it
    is scaled by its 0.5 to 99.5 percentiles.

    Args:
        data: the file.
        max_pixels: most pixels (width times height) that are decoded.
        name: what to call the file in a message.
        keep_gray: return a gray image in mode L, which is resized in less time to the same values.
        formats: what the file may be, as PIL calls it.

    Raises:
        UserError: not a file of these formats, several pages or a video, larger than allowed, truncated or corrupt.
    """
    if any(data[offset : offset + len(mark)] == mark for offset, mark in VIDEO_MARKS):
        raise UserError(VIDEO.format(name))
    with _opened(data, max_pixels, name, formats) as image:
        if getattr(image, "is_animated", False):
            raise UserError(PAGES.format(name) if image.format == "TIFF" else VIDEO.format(name))
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        plain = _plain(image)
        return plain if keep_gray or plain.mode == "RGB" else plain.convert("RGB")


@contextlib.contextmanager
def _opened(data: bytes, max_pixels: int, name: str, formats: tuple[str, ...]) -> Iterator[Image.Image]:
    """Yield an image file whose limits are checked and whose pixels are not decoded yet; explain what the block meets.

    Raises:
        UserError: not a file of these formats, larger than allowed, truncated or corrupt.
    """
    if len(data) > MAX_BYTES:
        raise UserError(f"{name} is a file of {len(data)} bytes, over the limit of {MAX_BYTES}; shrink it first")
    try:
        with warnings.catch_warnings():
            # Our own limit stands in for PIL's warning at half of its limit; of broken metadata nothing is read.
            warnings.simplefilter("ignore")
            with _quiet(data), Image.open(io.BytesIO(data), formats=formats) as image:
                if image.width * image.height > max_pixels:
                    raise UserError(
                        f"{name} has {image.width} x {image.height} pixels, over the limit of {max_pixels}; shrink it"
                    )
                yield image
    except Image.DecompressionBombError as error:
        raise UserError(f"{name} has more pixels than the limit of {max_pixels}; shrink it") from error
    except Image.UnidentifiedImageError as error:
        raise UserError(f"{name} is not a {' or '.join(formats)} file; convert it or remove it") from error
    except BROKEN as error:
        if isinstance(error, UserError):
            raise
        raise UserError(CORRUPT.format(name, error)) from error


@contextlib.contextmanager
def _quiet(data: bytes) -> Iterator[None]:
    """Keep libtiff from writing on stderr what is raised as an error anyway; it asks nobody."""
    if not data.startswith((b"II", b"MM")):
        yield
        return
    with Path(os.devnull).open("wb") as nowhere:
        before = os.dup(2)
        try:
            os.dup2(nowhere.fileno(), 2)
            yield
        finally:
            os.dup2(before, 2)
            os.close(before)


def decode_tiff(data: bytes, max_pixels: int = MAX_PIXELS, name: str = "image") -> Image.Image:
    """Return the first page of a TIFF file as an RGB image: of a whole-slide file, its full resolution.

    Args:
        data: the file.
        max_pixels: most pixels (width times height) that are decoded.
        name: what to call the file in a message.

    Raises:
        UserError: not a TIFF file, larger than allowed, truncated or corrupt.
    """
    with _opened(data, max_pixels, name, ("TIFF",)) as image:
        image.load()
        return _plain(image).convert("RGB")


def _plain(image: Image.Image) -> Image.Image:
    """Return an image in mode L or RGB."""
    if image.mode.startswith("I") or image.mode == "F":  # 16-bit gray; PIL's own conversion would clip it at 255
        if image.format == "TIFF":
            return Image.fromarray(stretch(np.asarray(image)))
        gray = np.asarray(image).astype(np.int64).clip(0, 65535) >> 8
        return Image.fromarray(gray.astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, layer).convert("RGB")
    return image if image.mode in ("L", "RGB") else image.convert("RGB")


def upright_size(data: bytes) -> tuple[int, int]:
    """Return the width and height of what ``decode_image`` makes of a file, without decoding its pixels."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            size = image.size
            if image.format == "PNG":
                if not _png_may_turn(data):
                    return size  # PIL would decode all pixels to see whether anything stands behind them
                image.load()
            turned = image.getexif().get(ExifTags.Base.Orientation) in _SIDEWAYS
    return (size[1], size[0]) if turned else size


def _png_may_turn(data: bytes) -> bool:
    """Return whether a PNG file has a chunk that could say which way is up: EXIF, or a text that holds EXIF or XMP."""
    at = 8
    while (kind := data[at + 4 : at + 8]) and kind != b"IEND":
        key = data[at + 8 : at + 8 + _LONGEST_KEY].lower()
        if kind == b"eXIf" or (kind in _PNG_TEXTS and (b"exif" in key or b"xmp" in key)):
            return True
        at += 12 + int.from_bytes(data[at : at + 4])
    return False


def encode_png(image: Image.Image) -> bytes:
    """Return an image as a PNG file without metadata: the same pixels give the same bytes."""
    bare = Image.frombytes(image.mode, image.size, image.tobytes())
    if image.mode == "P":
        raise ValueError("encode_png takes gray or RGB images, not a palette; convert it first")
    file = io.BytesIO()
    bare.save(file, format="PNG", compress_level=6)
    return file.getvalue()
