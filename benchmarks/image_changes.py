"""What becomes of an image on its way from one data set to another: what must match, and what must not."""

import io
from collections.abc import Callable
from typing import Any

from PIL import Image, ImageEnhance

from octomed_jax.images.decode import encode_png

BICUBIC = Image.Resampling.BICUBIC


def saved(image: Image.Image, **options: Any) -> bytes:
    """Return an image as a file."""
    file = io.BytesIO()
    image.save(file, **options)
    return file.getvalue()


def jpeg(quality: int) -> Callable[[Image.Image], bytes]:
    """Return what compresses an image to JPEG."""
    return lambda image: saved(image, format="JPEG", quality=quality)


def scaled(across: float, down: float | None = None, how: Image.Resampling = BICUBIC) -> Callable[[Image.Image], bytes]:
    """Return what resizes an image."""
    return lambda image: encode_png(_scaled(image, across, across if down is None else down, how))


def _scaled(image: Image.Image, across: float, down: float, how: Image.Resampling = BICUBIC) -> Image.Image:
    return image.resize((max(1, round(image.width * across)), max(1, round(image.height * down))), how)


def toned(gain: float, offset: float = 0.0, gamma: float = 1.0) -> Callable[[Image.Image], bytes]:
    """Return what changes brightness and contrast."""
    table = [min(255, max(0, round(255 * (value / 255) ** gamma * gain + offset))) for value in range(256)]
    return lambda image: encode_png(image.point(table * len(image.getbands())))


def cropped(left: float, top: float, right: float, bottom: float) -> Callable[[Image.Image], bytes]:
    """Return what cuts shares off the four borders."""
    return lambda image: encode_png(_cropped(image, left, top, right, bottom))


def _cropped(image: Image.Image, left: float, top: float, right: float, bottom: float) -> Image.Image:
    width, height = image.size
    box = (round(left * width), round(top * height), width - round(right * width), height - round(bottom * height))
    return image.crop(box)


def _all_at_once(image: Image.Image) -> bytes:
    small = _scaled(_cropped(image, 0.03, 0.02, 0.01, 0.03), 0.6, 0.6)
    return saved(ImageEnhance.Brightness(small).enhance(1.05), format="JPEG", quality=75)


# What must still match, and what must not.
SAME: dict[str, Callable[[Image.Image], bytes]] = {
    "jpeg 50": jpeg(50),
    "jpeg 75": jpeg(75),
    "jpeg 95": jpeg(95),
    "a quarter": scaled(0.25),
    "half": scaled(0.5),
    "half, bilinear": scaled(0.5, how=Image.Resampling.BILINEAR),
    "double": scaled(2.0),
    "squeezed": scaled(1.0, 0.8),
    "brighter": toned(1.1, 8),
    "darker": toned(0.9, -8),
    "gamma 0.85": toned(1.0, gamma=0.85),
    "gamma 1.15": toned(1.0, gamma=1.15),
    "rgb": lambda image: encode_png(image.convert("RGB")),
    "crop 2 %": cropped(0.02, 0.02, 0.02, 0.02),
    "crop 5 %": cropped(0.05, 0.05, 0.05, 0.05),
    "crop 5 % left": cropped(0.05, 0.0, 0.0, 0.0),
    "crop 5 % corner": cropped(0.0, 0.0, 0.05, 0.05),
    "crop uneven": cropped(0.04, 0.01, 0.0, 0.05),
    "all at once": _all_at_once,
}
BEYOND: dict[str, Callable[[Image.Image], bytes]] = {
    "crop 7 %": cropped(0.07, 0.07, 0.07, 0.07),
    "crop 10 %": cropped(0.10, 0.10, 0.10, 0.10),
    "crop 15 %": cropped(0.15, 0.15, 0.15, 0.15),
    "turned by 2": lambda image: encode_png(image.rotate(2, BICUBIC)),
    "turned by 5": lambda image: encode_png(image.rotate(5, BICUBIC)),
    "negative": lambda image: encode_png(image.point([255 - value for value in range(256)] * len(image.getbands()))),
    "padded to a square": lambda image: encode_png(_padded(image)),
}
OTHERWISE: dict[str, Callable[[Image.Image], bytes]] = {
    "mirrored": lambda image: encode_png(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
    "upside down": lambda image: encode_png(image.transpose(Image.Transpose.FLIP_TOP_BOTTOM)),
    "turned by 90": lambda image: encode_png(image.transpose(Image.Transpose.ROTATE_90)),
    "turned by 180": lambda image: encode_png(image.transpose(Image.Transpose.ROTATE_180)),
}


def _padded(image: Image.Image) -> Image.Image:
    side = max(image.size)
    square = Image.new(image.mode, (side, side))
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return square
