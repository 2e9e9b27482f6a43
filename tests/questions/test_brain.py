import io

import numpy as np
import pytest
from PIL import Image

from octomed_jax.errors import UserError
from octomed_jax.questions.packages import brain
from octomed_jax.questions.packages import brain_slices as slices
from octomed_jax.questions.packages.brain_scene import Scene, start
from octomed_jax.questions.packages.source import generator


@pytest.fixture(scope="module")
def volumes(packages):  # noqa: ARG001
    brains, atlas, table = brain.load_volumes()
    lobes = brain.lobe_of_label(table)
    start(Scene(brains, atlas, lobes, brain.places_by_lobe(atlas, lobes)))
    return brains, atlas, table


def middles(atlas) -> dict[int, np.ndarray]:
    """Label to the middle of its region in mm."""
    voxels = np.argwhere(atlas.array)
    labels = atlas.array[tuple(voxels.T)].astype(int)
    sums = np.stack([np.bincount(labels, axis) for axis in voxels.T], axis=-1) / np.bincount(labels)[:, None].clip(1)
    return dict(enumerate(sums @ atlas.affine[:3, :3].T + atlas.affine[:3, 3]))


def test_atlas_knows_left_from_right_and_front_from_back(volumes):
    _, atlas, table = volumes
    middle = middles(atlas)
    numbers = {line.split()[1]: int(line.split()[0]) for line in table.splitlines() if line.strip()}
    for name, number in numbers.items():
        if name.endswith(("_L", "_R")):
            assert (middle[number][0] < 0) == name.endswith("_L"), name
    assert middle[numbers["Frontal_Mid_L"]][1] > middle[numbers["Occipital_Mid_L"]][1]
    assert middle[numbers["Parietal_Sup_L"]][2] > middle[numbers["Cerebelum_8_L"]][2]


@pytest.mark.parametrize("split", ["train", "test"])
def test_both_brains_lie_where_the_atlas_is(volumes, split):
    brains, atlas, _ = volumes
    # Most labelled voxels show tissue (some lie in the fluid of a fold); shifted by 30 mm many do not.
    volume = brains[split][0]
    points = np.argwhere(atlas.array > 0)[::997] @ atlas.affine[:3, :3].T + atlas.affine[:3, 3]
    index = np.rint(volume.voxels(points)).astype(int)
    tissue = volume.array > 0.3 * np.percentile(volume.array[::4, ::4, ::4], 99)
    assert tissue[tuple(index.T)].mean() > 0.85
    assert tissue[tuple((index + [0, 30, 0]).clip(0, np.array(tissue.shape) - 1).T)].mean() < 0.75


@pytest.mark.parametrize("plane", ["axial", "coronal"])
def test_slices_follow_the_radiological_convention(volumes, plane):
    brains, _, _ = volumes
    shown = slices.cut(brains["test"][0], plane, slices.CENTER, 112, generator(0), strength=0.0)
    assert (np.diff(shown.points[..., 0], axis=1) < 0).all(), "columns must run from the patient's right to the left"
    down = shown.points[..., 1 if plane == "axial" else 2]
    assert (np.diff(down, axis=0) < 0).all(), "rows must run backwards or downwards"


def test_sagittal_slices_look_to_the_left(volumes):
    brains, _, _ = volumes
    shown = slices.cut(brains["test"][0], "sagittal", slices.CENTER, 112, generator(0), strength=0.0)
    assert (np.diff(shown.points[..., 1], axis=1) < 0).all()


def ring_of(question) -> tuple[float, float]:
    pixels = np.asarray(Image.open(io.BytesIO(question.images[0])).convert("RGB")).astype(int)
    red = (pixels[..., 0] > 240) & (pixels[..., 1] < 60) & (pixels[..., 2] < 60)
    rows, columns = np.nonzero(red)
    return rows.mean(), columns.mean()


@pytest.mark.usefixtures("volumes")
def test_the_ring_lies_on_the_side_that_the_answer_says():
    for index in range(12):
        question = brain.render(("test", "side", index, 112, 0))
        # The held-out brain is shifted by up to 2.5 mm only, and the ring keeps 12 mm from the midline.
        right_of_image = ring_of(question)[1] > 55.5
        assert right_of_image == (question.answer == "left")


@pytest.mark.usefixtures("volumes")
def test_questions_are_the_same_each_time_and_differ_from_each_other():
    jobs = [(split, name, index, 112, 3) for split in ("train", "test") for name in brain.LABELS for index in range(4)]
    first = [brain.render(job) for job in jobs]
    assert first == [brain.render(job) for job in reversed(jobs)][::-1]
    assert len({question.image_hashes for question in first}) == len(jobs)
    for question in first:
        image = Image.open(io.BytesIO(question.images[0]))
        assert image.size == (112, 112)
        assert np.asarray(image.convert("L")).std() > 15
        assert question.answer in question.options
        assert question.answer in question.explanation
        assert question.cluster == {"train": "colin27", "test": "icbm152"}[question.split]


def test_labels_outside_the_atlas_are_zero(volumes):
    _, atlas, _ = volumes
    points = np.array([[500.0, 0, 0], [0, 0, -500], [0, -70, -30]])
    labels = slices.labels_under(atlas, points)
    assert labels[:2].tolist() == [0, 0]
    assert labels[2] > 0


def test_aal_table():
    table = "1 Precentral_L 2001\n29 Insula_L 3001\n55 Fusiform_L 5401\n71 Caudate_L 7001\n\n"
    assert brain.lobe_of_label(table) == {1: "frontal", 71: "deep nuclei"}
    with pytest.raises(UserError, match="odd line"):
        brain.lobe_of_label("1 Precentral_L\n")


def test_slices_too_small_are_refused():
    with pytest.raises(UserError, match="side_pixels"):
        brain.make({"plane": 1, "side": 1, "lobe": 1, "test_each": 1, "side_pixels": 20}, 0, 1)
