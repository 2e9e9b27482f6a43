"""All pairs of many pictures, beside comparing each with each."""

import numpy as np
import pytest
from curation_images import patient
from hypothesis import given, settings
from hypothesis import strategies as st

from octomed_jax.curation.pictures import image_index
from octomed_jax.curation.pictures.image_hashes import PICTURE_BYTES, picture_of
from octomed_jax.curation.pictures.image_index import ImageIndex, views_of
from octomed_jax.curation.pictures.image_match import LEAST_SCORE, same_image


def random_pictures(rng, count):
    """Pictures as images have them: weak numbers, some strong ones; some are near copies, one is of one shade."""
    pictures = (rng.normal(0, 20, (count, PICTURE_BYTES)) * rng.exponential(1, (count, 1))).clip(-127, 127)
    for copy in range(count // 3):
        source = rng.integers(count)
        pictures[copy] = (pictures[source] + rng.normal(0, rng.uniform(0, 6), PICTURE_BYTES)).clip(-127, 127)
    pictures[rng.integers(count)] = 0
    return pictures.round().astype(np.int8)


def by_each_pair(left, right):
    """Every pair whose views are alike in plain whole numbers, compared one by one."""
    mine, theirs = views_of(left), views_of(right)
    found = set()
    for i in range(len(left)):
        for j in range(len(right)):
            alike = max(
                int((mine[one][i].astype(int) * theirs[other][j]).sum()) for one, other in image_index._COMPARED
            )
            if alike >= image_index.LEAST_PRODUCT and same_image(left[i : i + 1], right[j : j + 1])[0] >= LEAST_SCORE:
                found.add((i, j))
    return found


def pairs_of(pairs):
    return list(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True))


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 40), st.integers(1, 17), st.integers(1, 23))
def test_pairs_are_those_of_comparing_each_with_each(seed, count, others, rows, columns):
    rng = np.random.default_rng(seed)
    pool = random_pictures(rng, count + others)
    left, right = pool[rng.integers(0, len(pool), count)], pool[rng.integers(0, len(pool), others)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(image_index, "_ROWS", rows)
        patch.setattr(image_index, "_COLUMNS", columns)
        found = pairs_of(ImageIndex(right).pairs_with(left))
        within = pairs_of(ImageIndex(pool).pairs_within())
    assert set(found) == by_each_pair(left, right)
    assert found == sorted(set(found))
    assert set(within) == {(i, j) for i, j in by_each_pair(pool, pool) if i < j}


def test_the_work_can_be_divided():
    pool = random_pictures(np.random.default_rng(1), 90)
    index = ImageIndex(pool)
    whole, within = index.pairs_with(pool), index.pairs_within()
    parts = [index.pairs_with(pool[start : start + 13]) for start in range(0, 90, 13)]
    assert np.array_equal(np.concatenate([part.left + 13 * i for i, part in enumerate(parts)]), whole.left)
    assert np.array_equal(np.concatenate([part.score for part in parts]), whole.score)
    parts = [index.pairs_within(start, start + 13) for start in range(0, 90, 13)]
    assert [pair for part in parts for pair in pairs_of(part)] == pairs_of(within)
    assert sum(part.compared for part in parts) == within.compared > 0


def test_planted_copies_are_found_and_look_alikes_are_not():
    images = [patient(seed) for seed in range(60)]
    cut = [image.crop((4, 6, 156, 158)).resize((90, 90)) for image in images[:20]]
    index = ImageIndex(np.stack([picture_of(image).reshape(-1) for image in images]))
    assert len(index.pairs_within().left) == 0
    found = index.pairs_with(np.stack([picture_of(image).reshape(-1) for image in cut]))
    assert pairs_of(found) == [(i, i) for i in range(20)]


def test_pictures_of_one_shade_are_never_alike():
    assert len(ImageIndex(np.zeros((5, PICTURE_BYTES), np.int8)).pairs_within().left) == 0


def test_an_empty_index_finds_nothing():
    none = np.zeros((0, PICTURE_BYTES), np.int8)
    assert pairs_of(ImageIndex(none).pairs_within()) == []
    assert pairs_of(ImageIndex(none).pairs_with(random_pictures(np.random.default_rng(0), 4))) == []


@pytest.mark.parametrize("pictures", [np.zeros((3, 64), np.int8), np.zeros((3, PICTURE_BYTES), np.uint8)])
def test_other_arrays_are_refused(pictures):
    with pytest.raises(ValueError, match="of int8"):
        ImageIndex(pictures)
