"""Text on real ultrasound pictures, drawn text, and real pictures without any."""

import numpy as np
import pytest
from curation_images import patient, real_image
from PIL import Image, ImageDraw, ImageFont

from octomed_jax.curation.pictures.burned_text import blank_text, find_text

# Lines on the real ultrasound picture, measured by eye: left, top, right, bottom.
LINES = {
    "PHILIPS": (8, 8, 72, 24),
    "11-05-25-142825": (93, 35, 266, 51),
    "Philips Healthcare": (325, 35, 513, 51),
    "5/25/2011": (668, 8, 775, 24),
    "2:56:22 PM": (668, 35, 780, 51),
    "Gen OB": (3, 66, 72, 80),
    "1.06 cm": (240, 86, 305, 101),
    "Gn 60": (10, 203, 62, 217),
}
NAME = "DOE, JANE 12/03/1951"


def covered(line, boxes):
    """Share of a line that boxes cover."""
    mask = np.zeros((2000, 2000), bool)
    for left, top, right, bottom in boxes:
        mask[top:bottom, left:right] = True
    left, top, right, bottom = line
    return mask[top:bottom, left:right].mean()


def with_text(image, size, shade=255, at=(6, 5)):
    """Return pixels with a name drawn on them, and its box."""
    image = image.copy()
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(size)
    draw.text(at, NAME, font=font, fill=shade if image.mode == "L" else (shade,) * 3)
    return np.asarray(image), draw.textbbox(at, NAME, font=font)


def test_lines_on_a_real_ultrasound_picture_are_found():
    pixels = np.asarray(real_image("ultrasound"))
    boxes = find_text(pixels)
    assert {name: covered(line, boxes) > 0.6 for name, line in LINES.items()} == dict.fromkeys(LINES, True)
    blank = blank_text(pixels, boxes)
    assert find_text(blank) == []
    inside = np.zeros(pixels.shape[:2], bool)
    for left, top, right, bottom in boxes:
        inside[top:bottom, left:right] = True
    assert np.array_equal(blank[~inside], pixels[~inside])
    assert inside.mean() < 0.15


@pytest.mark.parametrize("size", [10, 12, 16, 24])
@pytest.mark.parametrize("name", ["head", "liver"])
def test_a_name_drawn_on_the_dark_border_is_found_and_gone_once_blanked(name, size):
    image = real_image(name)
    pixels, line = with_text(image, size)
    boxes = find_text(pixels)
    assert covered(line, boxes) > 0.9
    # Nothing of it is left: where it stood is ground of one shade.
    left, top, right, bottom = line
    left_over = blank_text(pixels, boxes)[top:bottom, left:right].astype(int)
    assert (left_over > 100).mean() < 0.02


def test_dark_text_on_white_is_found():
    page = Image.new("L", (400, 120), 250)
    pixels, line = with_text(page, 14, shade=10, at=(20, 40))
    assert covered(line, find_text(pixels)) > 0.8


@pytest.mark.parametrize("name", ["head", "liver", "spine"])
def test_pictures_without_text_have_none(name):
    assert find_text(np.asarray(real_image(name))) == []


def test_made_pictures_noise_and_flat_ones_have_none():
    assert not any(find_text(np.asarray(patient(seed))) for seed in range(10))
    noise = np.random.default_rng(0).integers(0, 256, (200, 300), dtype=np.uint8)
    assert find_text(noise) == []
    assert find_text(np.zeros((50, 60, 3), np.uint8)) == []
    assert find_text(np.zeros((1, 1), np.uint8)) == []


def test_a_single_letter_and_a_ruler_are_not_text():
    """The side mark of an X-ray stays, as documented; so do ticks and a catheter."""
    image = Image.new("L", (300, 300), 5)
    draw = ImageDraw.Draw(image)
    draw.text((20, 20), "L", font=ImageFont.load_default(24), fill=255)
    for tick in range(0, 300, 20):
        draw.line((tick, 280, tick, 290), fill=255)
    draw.line((60, 0, 240, 299), fill=230, width=3)
    assert find_text(np.asarray(image)) == []


def test_blanking_nothing_changes_nothing():
    pixels = np.asarray(real_image("node"))
    assert np.array_equal(blank_text(pixels, []), pixels)
