"""Sizes and resizing, by the rules of transformers 4.57.1's Qwen2-VL image processor (PIL back end).

Older versions (4.49, 4.52) refuse any side below the factor; 4.57 and later accept it and keep a shrunk side at least
one factor long. Only the later rule is implemented.
"""

import math

from PIL import Image

MAX_ASPECT = 200


def smart_resize(height: int, width: int, factor: int, min_pixels: int, max_pixels: int) -> tuple[int, int]:
    """Return the size an image is resized to: multiples of ``factor``, area within the limits, aspect nearly kept.

    Rounds half to even as Python does; down when shrinking to ``max_pixels``, up when growing to ``min_pixels``.

    Args:
        height, width: pixels, both positive.
        factor: patch_size * merge_size (28 for Qwen2.5-VL).
        min_pixels, max_pixels: limits of the area in pixels.

    Raises:
        ValueError: one side is more than 200 times the other.
    """
    if max(height, width) / min(height, width) > MAX_ASPECT:
        raise ValueError(f"an image of {width} x {height} pixels is more than {MAX_ASPECT} times as long as wide")
    new_height = round(height / factor) * factor
    new_width = round(width / factor) * factor
    if new_height * new_width > max_pixels:
        shrink = math.sqrt((height * width) / max_pixels)
        new_height = max(factor, math.floor(height / shrink / factor) * factor)
        new_width = max(factor, math.floor(width / shrink / factor) * factor)
    elif new_height * new_width < min_pixels:
        grow = math.sqrt(min_pixels / (height * width))
        new_height = math.ceil(height * grow / factor) * factor
        new_width = math.ceil(width * grow / factor) * factor
    return new_height, new_width


def resize(image: Image.Image, factor: int, min_pixels: int, max_pixels: int) -> Image.Image:
    """Return an RGB image resized by ``smart_resize`` with PIL's bicubic filter."""
    height, width = smart_resize(image.height, image.width, factor, min_pixels, max_pixels)
    if (height, width) == (image.height, image.width):
        return image
    return image.resize((width, height), Image.Resampling.BICUBIC)
