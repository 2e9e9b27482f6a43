import io

import numpy as np
import pytest
from PIL import Image

from octomed_jax.errors import UserError
from octomed_jax.questions.packages import tiles
from octomed_jax.questions.packages.source import generator


def test_a_tile_shows_more_than_glass_or_the_dark():
    pixels = np.full((100, 100, 3), 250, np.uint8)
    pixels[:, :30], pixels[:, 30:60] = 0, 128
    for index in range(20):
        part = np.asarray(tiles.tile(Image.fromarray(pixels), (20, 40), 28, generator(index)))
        assert part.shape == (28, 28, 3)
        assert ((part > 100) & (part < 150)).mean() > 0.4


def test_an_empty_picture_has_no_tile():
    with pytest.raises(AssertionError, match="no tile"):
        tiles.tile(Image.new("RGB", (50, 50), "white"), (20, 40), 28, generator(0))


@pytest.mark.usefixtures("packages")
def test_tiles_of_a_picture_stand_in_one_split():
    made = tiles.make({"tiles_each": 3, "side_pixels": 56}, 0, 1).questions
    assert made == tiles.make({"tiles_each": 3, "side_pixels": 56}, 0, 2).questions
    splits = {question.cluster: set() for question in made}
    for question in made:
        splits[question.cluster].add(question.split)
        assert Image.open(io.BytesIO(question.images[0])).size == (56, 56)
    assert splits == {"slide": {"train"}, "stained": {"test"}, "fundus": {"train"}, "retina": {"test"}}
    for split in ("train", "test"):
        assert {question.answer for question in made if question.split == split} == {
            "histopathology",
            "fundus photography",
        }
    with pytest.raises(UserError, match="at least 28"):
        tiles.make({"tiles_each": 1, "side_pixels": 20}, 0, 1)


@pytest.mark.usefixtures("packages")
def test_pictures_are_what_they_are_said_to_be():
    pixels = {picture.name: np.asarray(tiles.read_picture(picture)) for picture in tiles.PICTURES}
    assert pixels["slide"].shape == (2967, 2220, 3)
    assert (pixels["slide"].min(-1) > tiles.PAPER).mean() > 0.3  # glass
    red, green, blue = pixels["fundus"][700, 900].astype(int)
    assert red > green > blue
    assert np.ptp(pixels["retina"], axis=-1).max() == 0  # its green channel alone
