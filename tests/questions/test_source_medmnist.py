"""MedMNIST in its published form: one .npz file a set."""

import io

import numpy as np
import pytest
from adapter_helpers import build, built, refused
from PIL import Image

from octomed_jax.questions.sources.medmnist import SETS

RGB, GRAY = (28, 28, 3), (28, 28)
GRAY_SETS = ("breastmnist", "octmnist", "pneumoniamnist")


def arrays(shape, classes, rows=(3, 2, 2)):
    """Return the arrays of a set; labels are a column, as published."""
    random = np.random.default_rng(0)
    found = {}
    for split, count in zip(("train", "val", "test"), rows, strict=True):
        found[f"{split}_images"] = random.integers(0, 255, (count, *shape), np.uint8)
        found[f"{split}_labels"] = (np.arange(count, dtype=np.uint8) % classes)[:, None]
    return found


def write(path, **found):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **found)
    return path


@pytest.mark.parametrize("one", SETS, ids=lambda one: one.name)
def test_a_set(tmp_path, one):
    shape = GRAY if one.name in GRAY_SETS else RGB
    found = arrays(shape, len(one.classes.labels))
    write(tmp_path / "in" / f"{one.name}.npz", **found)
    train, test, manifest = built(one.name, tmp_path / "in", tmp_path / "out")
    assert [question.id for question in train] == [f"{one.name}:train:000000{number}" for number in range(3)]
    assert manifest.counts["published_splits"] == {"test": 2, "train": 3}
    for split, questions in (("train", train), ("test", test)):
        for number, question in enumerate(questions):
            assert question.task == "classification"
            assert question.question in one.classes.wordings()
            assert question.options == one.classes.labels
            assert question.answer == one.classes.labels[number % len(one.classes.labels)]
            assert (question.licence, question.modality) == (one.licence, one.modality)
            pixels = np.asarray(Image.open(io.BytesIO(question.images[0])))
            np.testing.assert_array_equal(pixels, found[f"{split}_images"][number])


def test_larger_images_count_and_validation_is_asked_for(tmp_path):
    write(tmp_path / "in" / "bloodmnist.npz", **arrays(RGB, 8))
    write(tmp_path / "in" / "bloodmnist_224.npz", **arrays((224, 224, 3), 8))
    train, test, _ = built("bloodmnist", tmp_path / "in", tmp_path / "out", "--split=train,val")
    assert (len(train), test) == (5, [])
    assert Image.open(io.BytesIO(train[0].images[0])).size == (224, 224)
    assert train[3].id == "bloodmnist:val:0000000"
    small, held, _ = built("bloodmnist", tmp_path / "in" / "bloodmnist.npz", tmp_path / "small")
    assert (len(small), len(held)) == (3, 2)  # the one file holds all splits
    assert Image.open(io.BytesIO(small[0].images[0])).size == (28, 28)


def test_a_limit_reads_the_first_rows(tmp_path):
    write(tmp_path / "octmnist.npz", **arrays(GRAY, 4))
    train, test, _ = built("octmnist", tmp_path, tmp_path / "out", "--limit=1")
    assert (len(train), len(test)) == (1, 1)


def test_another_file_is_another_build(tmp_path, capsys):
    """The file that the rows come from is part of what a finished folder was made of."""
    found = arrays(GRAY, 2)
    write(tmp_path / "breastmnist.npz", **found)
    built("breastmnist", tmp_path, tmp_path / "out")
    assert build("breastmnist", tmp_path, tmp_path / "out") == 0  # the same: nothing to do
    write(tmp_path / "breastmnist.npz", **found | {"train_labels": 1 - found["train_labels"]})
    assert build("breastmnist", tmp_path, tmp_path / "out") == 2
    assert "rows" in capsys.readouterr().err.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"train_labels": np.full((3, 1), 9, np.uint8)}, "bloodmnist.npz train image 1: label '9' is no class from 0"),
        ({"train_labels": np.full((3, 1), -1, np.int64)}, "train image 1: label '-1' is no class from 0 to 7"),
        ({"train_labels": np.zeros((2, 1), np.uint8)}, "has 3 train_images, but 2 train_labels"),
        ({"train_labels": np.zeros((3, 2), np.uint8)}, "train_labels has the rows (2,), not one label an image"),
        ({"train_images": np.zeros((3, *RGB), np.float32)}, "train_images are float32 (28, 28, 3), no gray or RGB"),
        ({"train_images": np.zeros((3, 28, 28, 28), np.uint8)}, "are uint8 (28, 28, 28), no gray or RGB images"),
        ({"train_images": np.array([None] * 3)}, "train_images of"),
    ],
)
def test_what_is_not_as_published_is_refused(tmp_path, capsys, change, words):
    write(tmp_path / "bloodmnist.npz", **arrays(RGB, 8) | change)
    assert words in refused(capsys, "bloodmnist", tmp_path, tmp_path / "out")


def test_a_set_without_its_splits_or_its_file_is_refused(tmp_path, capsys):
    write(tmp_path / "bloodmnist.npz", images=np.zeros((1, *RGB), np.uint8))
    assert "has no array 'train_images'; it has images" in refused(capsys, "bloodmnist", tmp_path, tmp_path / "out")
    line = refused(capsys, "dermamnist", tmp_path, tmp_path / "out")
    assert "it is published as dermamnist_224.npz or dermamnist_128.npz" in line
