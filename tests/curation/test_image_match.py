"""Which changes of an image still match, and what must not."""

import io

import numpy as np
import pytest
from curation_images import NAMES, patient, real_image
from PIL import Image

from benchmarks.image_changes import OTHERWISE, SAME
from octomed_jax.curation.pictures.image_hashes import PICTURE_BYTES, hash_image, picture_of
from octomed_jax.curation.pictures.image_match import LEAST_SCORE, same_image
from octomed_jax.images.decode import decode_image


def picture(image):
    return picture_of(image).reshape(-1)


def scores(left, right):
    return same_image(np.stack(left), np.stack(right))


@pytest.mark.parametrize("change", SAME)
def test_a_changed_copy_matches_either_way_round(change):
    images = [real_image(name) for name in NAMES] + [patient(seed) for seed in range(4)]
    before = [picture(image) for image in images]
    after = [np.frombuffer(hash_image(SAME[change](image)).picture, np.int8) for image in images]
    assert scores(before, after).min() >= LEAST_SCORE
    assert scores(after, before).min() >= LEAST_SCORE


@pytest.mark.parametrize("change", OTHERWISE)
def test_a_mirrored_or_turned_copy_does_not_match(change):
    images = [real_image(name) for name in NAMES] + [patient(seed) for seed in range(4)]
    after = [picture(decode_image(OTHERWISE[change](image))) for image in images]
    assert scores([picture(image) for image in images], after).max() < LEAST_SCORE


def test_different_patients_do_not_match():
    pictures = [picture(real_image(name)) for name in NAMES] + [picture(patient(seed)) for seed in range(20)]
    left, right = np.triu_indices(len(pictures), 1)
    found = scores([pictures[i] for i in left], [pictures[i] for i in right])
    assert found.max() < LEAST_SCORE - 0.02


def test_a_score_depends_on_its_own_pair_only():
    pictures = np.stack([picture(patient(seed)) for seed in range(600)][:40] * 15)
    shifted = np.roll(pictures, 7, axis=0)
    together = same_image(pictures, shifted)
    alone = np.concatenate([same_image(pictures[i : i + 1], shifted[i : i + 1]) for i in range(40)])
    assert np.array_equal(together[:40], alone)


def test_an_image_of_one_shade_matches_nothing():
    flat = picture(Image.new("L", (40, 40), 90))
    assert scores([flat, flat], [flat, picture(patient(0))]).max() < LEAST_SCORE


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match="both take"):
        same_image(np.zeros((2, 64), np.int8), np.zeros((2, 64), np.int8))
    assert same_image(np.zeros((0, PICTURE_BYTES), np.int8), np.zeros((0, PICTURE_BYTES), np.int8)).shape == (0,)


def test_a_copy_with_a_drawn_arrow_does_not_match_a_blank_one():
    """What is drawn over a tenth of an image is another image to this check."""
    image = real_image("liver").convert("RGB")
    drawn = image.copy()
    drawn.paste((255, 255, 255), (180, 60, 300, 160))
    file = io.BytesIO()
    drawn.save(file, format="PNG")
    assert scores([picture(image)], [np.frombuffer(hash_image(file.getvalue()).picture, np.int8)])[0] < LEAST_SCORE
