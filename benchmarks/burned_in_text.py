"""Burned-in text on real images: what ``find_text`` finds of it, and where it sees text that is none."""

import io
import time
from typing import Any

import medical_images
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from octomed_jax.curation.pictures.burned_text import Box, find_text

# Lines of three letters or more on real ultrasound pictures, measured by eye (left, top, right, bottom).
LINES: dict[str, tuple[Box, ...]] = {
    "us-node": (
        (19, 25, 168, 39), (19, 41, 88, 55), (19, 57, 70, 70), (19, 73, 80, 86), (19, 89, 60, 102), (277, 41, 356, 55),
        (495, 25, 553, 39), (545, 41, 613, 55), (525, 57, 613, 71), (565, 73, 613, 87), (555, 89, 613, 102),
        (9, 137, 40, 150), (595, 137, 625, 150), (9, 216, 40, 229), (595, 216, 626, 229), (247, 359, 356, 373),
        (396, 454, 613, 468),
    ),
    "us-pelvis": (
        (78, 0, 248, 13), (108, 12, 208, 23), (545, 0, 640, 13), (560, 12, 640, 23), (247, 36, 330, 48),
        (290, 49, 325, 60), (557, 36, 633, 48), (595, 49, 633, 60), (40, 430, 278, 441), (338, 430, 575, 441),
        (20, 453, 102, 466), (546, 453, 630, 466),
    ),
    "us-heart": (
        (24, 7, 57, 22), (5, 28, 72, 43), (600, 28, 630, 42), (598, 47, 628, 62), (605, 142, 627, 154),
        (603, 162, 627, 176), (603, 178, 627, 192), (119, 458, 148, 472), (272, 458, 316, 472), (352, 458, 394, 472),
        (408, 458, 430, 472), (490, 458, 548, 472),
    ),
    "examples_palette": (
        (8, 8, 72, 24), (93, 35, 266, 51), (325, 35, 513, 51), (572, 8, 635, 24), (572, 35, 645, 51),
        (668, 8, 775, 24), (668, 35, 780, 51), (3, 66, 72, 80), (3, 86, 45, 100), (3, 104, 50, 118), (3, 123, 53, 138),
        (124, 86, 215, 101), (240, 86, 305, 101), (10, 183, 58, 197), (10, 203, 62, 217), (10, 221, 52, 235),
        (10, 240, 77, 255),
    ),
}  # fmt: skip
WORDS = (
    "DOE, JANE 12/03/1951",
    "ID: 4711-0815",
    "General Hospital",
    "Rt. breast 2:00",
    "MI 0.9 TIS 0.7",
    "PORTABLE AP SUPINE",
)
WITHOUT = ("MRI", "MR", "CT", "CR", "NM", "histopathology", "fundus photography")  # kinds whose images hold none
SIZES = (8, 10, 12, 16, 24)
COVERED = 0.6  # share of a line under boxes from which it counts as found
EVEN = 6.0  # standard deviation of what a drawn line covers, up to which it stands on even ground


def measure() -> dict[str, Any]:
    """Return the figures."""
    pictures = {one.name: one for one in medical_images.pictures(most_frames=1)}
    figures: dict[str, Any] = {"real lines": {}, "drawn lines": {}}
    for name, lines in LINES.items():
        boxes = find_text(np.asarray(pictures[f"{name}-0"].image))
        figures["real lines"][name] = {
            "lines": len(lines),
            "found": sum(covered(line, boxes) > COVERED for line in lines),
            "boxes": len(boxes),
            "boxes on no line": sum(all(covered(line, [box]) < 0.05 for line in lines) for box in boxes),
        }
    without = [one for one in pictures.values() if one.kind in WITHOUT]
    start = time.process_time()
    seen = {one.name: len(boxes) for one in without if (boxes := find_text(np.asarray(one.image)))}
    seconds = time.process_time() - start
    figures["without text"] = {"images": len(without), "with boxes": len(seen), "boxes": seen}
    figures["images a second"] = round(len(without) / seconds, 1)
    for quality in (None, 75):
        for size in SIZES:
            found: dict[str, list[bool]] = {"even ground": [], "over the picture": []}
            for number, one in enumerate(without):
                drawing = drawn(one.image, number, size, quality)
                if drawing is not None:
                    pixels, line, spread = drawing
                    where = "even ground" if spread < EVEN else "over the picture"
                    found[where].append(bool(covered(line, find_text(pixels)) > COVERED))
            figures["drawn lines"][f"{size} points" + (f", JPEG {quality}" if quality else "")] = {
                where: {"lines": len(hits), "found": round(float(np.mean(hits)), 3)} for where, hits in found.items()
            }
    return figures


def covered(line: Box, boxes: list[Box]) -> float:
    """Return the share of a line under boxes."""
    mask = np.zeros((line[3] - line[1], line[2] - line[0]), bool)
    for left, top, right, bottom in boxes:
        rows = slice(max(0, top - line[1]), max(0, bottom - line[1]))
        mask[rows, max(0, left - line[0]) : max(0, right - line[0])] = True
    return float(mask.mean())


def drawn(image: Image.Image, number: int, size: int, quality: int | None) -> tuple[np.ndarray, Box, float] | None:
    """Return an image with a line in a corner, its box, and how uneven the ground under it was; None: no room."""
    image = image.convert("RGB")
    draw, font, words = ImageDraw.Draw(image), ImageFont.load_default(size), WORDS[number % len(WORDS)]
    left, top, right, bottom = (round(edge) for edge in draw.textbbox((0, 0), words, font=font))
    if right + 8 > image.width or bottom + 8 > image.height:
        return None
    across = 4 if number % 2 else image.width - right - 4
    down = 3 if number % 4 < 2 else image.height - bottom - 4
    line = (across + left, down + top, across + right, down + bottom)
    ground = np.asarray(image.convert("L"))[line[1] : line[3], line[0] : line[2]]
    shade = 255 if ground.mean() < 128 else 0
    draw.text((across, down), words, font=font, fill=(shade,) * 3)
    if quality:
        file = io.BytesIO()
        image.save(file, format="JPEG", quality=quality)
        image = Image.open(file)
    return np.asarray(image), line, float(ground.std())
