import numpy as np
import pytest

from octomed_jax.errors import UserError
from octomed_jax.questions.packages import brain, brain_regions
from octomed_jax.questions.packages.brain_scene import scene

SIZES = {"train": 36, "test": 36, "side_pixels": 56}


@pytest.fixture(scope="module")
def made(packages):  # noqa: ARG001
    return brain_regions.make(SIZES, 0, 1).questions


def test_every_region_is_asked_for_in_both_brains(made):
    for split in ("train", "test"):
        mine = [question for question in made if question.split == split]
        assert {question.answer for question in mine} == set(brain_regions.NAMES)
        assert {question.cluster for question in mine} == {brain.BRAINS[split]}
        assert np.bincount([one.options.index(one.answer) for one in mine]).tolist() == [9, 9, 9, 9]
        assert {question.licence for question in mine} == {brain.LICENCES[split]}


def test_wrong_regions_are_of_the_same_lobe(made):
    by_answer = {question.answer: question for question in made}
    assert set(by_answer["putamen"].options) == {"putamen", "pallidum", "caudate nucleus", "thalamus"}
    frontal = set(by_answer["middle frontal gyrus"].options)
    assert not frontal & {"cuneus", "hippocampus", "thalamus", "angular gyrus", "middle temporal gyrus"}


@pytest.mark.usefixtures("made")
def test_the_places_of_known_regions():
    atlas = scene().atlas
    middle = {
        region: (places @ atlas.affine[:3, :3].T + atlas.affine[:3, 3]).mean(0)
        for region, places in scene().places.items()
    }
    # Millimetres of MNI space: y runs forward, z up.
    assert middle["middle frontal gyrus"][1] > middle["precentral gyrus"][1] > middle["postcentral gyrus"][1]
    assert middle["cuneus"][2] > middle["calcarine fissure and surrounding cortex"][2] > middle["lingual gyrus"][2]
    assert abs(middle["thalamus"] - [0, -18, 8]).max() < 6


def test_regions_need_their_table_and_their_size():
    with pytest.raises(UserError, match="no precentral gyrus"):
        brain_regions.regions_of_label("1 Elsewhere_L 2001\n")
    with pytest.raises(UserError, match="at least 56"):
        brain_regions.make({**SIZES, "side_pixels": 28}, 0, 1)
