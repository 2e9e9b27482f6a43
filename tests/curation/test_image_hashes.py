"""What an image is known by."""

import io

import numpy as np
import pytest
from curation_images import NAMES, real_image
from PIL import Image

from octomed_jax.curation.pictures.image_hashes import PICTURE_BYTES, hash_image, picture_of, pixel_hash
from octomed_jax.errors import UserError
from octomed_jax.images.decode import encode_png
from octomed_jax.storage import sha256_bytes


def saved(image, **options):
    file = io.BytesIO()
    image.save(file, **options)
    return file.getvalue()


@pytest.mark.parametrize("name", NAMES)
def test_other_compression_of_the_same_pixels_has_the_same_pixel_hash(name):
    image = real_image(name)
    files = [encode_png(image), saved(image, format="PNG", compress_level=1), saved(image, format="PNG", optimize=True)]
    hashes = [hash_image(file) for file in files]
    assert len({one.file for one in hashes}) == 3
    assert len({(one.pixels, one.picture) for one in hashes}) == 1
    assert hashes[0].file == sha256_bytes(files[0])
    assert len(hashes[0].picture) == PICTURE_BYTES


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_gray_and_its_rgb_copy_agree(kind):
    gray = real_image("head")
    if kind == "JPEG":  # decoded, then laid down losslessly in both ways
        gray = Image.open(io.BytesIO(saved(gray, format="JPEG", quality=80)))
        gray.load()
    one, other = hash_image(encode_png(gray)), hash_image(encode_png(gray.convert("RGB")))
    assert (one.pixels, one.picture) == (other.pixels, other.picture)
    assert one.file != other.file


def test_a_palette_and_transparency_are_applied_before_hashing():
    colours = Image.fromarray(np.random.default_rng(0).integers(0, 4, (20, 30), dtype=np.uint8), "P")
    colours.putpalette([0, 0, 0, 250, 10, 10, 10, 250, 10, 90, 90, 90])
    assert hash_image(saved(colours, format="PNG")).pixels == pixel_hash(colours.convert("RGB"))


def test_one_pixel_or_another_shape_changes_the_pixel_hash():
    pixels = np.arange(24, dtype=np.uint8).reshape(4, 6)
    other = pixels.copy()
    other[3, 5] += 1
    hashes = [
        pixel_hash(Image.fromarray(array)) for array in (pixels, other, pixels.reshape(6, 4), pixels.reshape(2, 12))
    ]
    assert len(set(hashes)) == 4


def test_colours_are_told_apart_from_gray():
    gray = Image.new("L", (8, 8), 100)
    tinted = gray.convert("RGB")
    tinted.putpixel((0, 0), (100, 100, 101))
    assert pixel_hash(gray) != pixel_hash(tinted)


@pytest.mark.parametrize("shade", [0, 128, 255])
def test_an_image_of_one_shade_has_no_picture(shade):
    assert not picture_of(Image.new("L", (50, 40), shade)).any()
    assert not picture_of(Image.new("RGB", (50, 40), (shade,) * 3)).any()


def test_what_is_no_image_is_named():
    with pytest.raises(UserError, match=r"chest.png is not a PNG or JPEG"):
        hash_image(b"nothing", "chest.png")
    with pytest.raises(UserError, match="over the limit of 100"):
        hash_image(encode_png(real_image("head")), max_pixels=100)
