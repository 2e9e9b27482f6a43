"""Brain Tumor MRI: folders of classes."""

import shutil

from adapter_helpers import build, built, picture, refused

NAMES = {"glioma": "gl", "meningioma": "me", "notumor": "no", "pituitary": "pi"}


def write(folder, each=2):
    for top, short in (("Training", "Tr"), ("Testing", "Te")):
        for name, mark in NAMES.items():
            (folder / top / name).mkdir(parents=True)
            for number in range(each):
                seed = len(list(folder.rglob("*.jpg")))
                path = folder / top / name / f"{short}-{mark}_{number:04d}.jpg"
                path.write_bytes(picture(seed, "JPEG", mode="L"))
    (folder / "Training" / "glioma" / ".DS_Store").write_bytes(b"no image")


def test_folders_are_classes(tmp_path):
    write(tmp_path / "in")
    train, test, manifest = built("brain-tumor-mri", tmp_path / "in", tmp_path / "out")
    answers = ["glioma"] * 2 + ["meningioma"] * 2 + ["no tumor"] * 2 + ["pituitary tumor"] * 2
    assert [question.answer for question in train] == answers == [question.answer for question in test]
    assert train[0].options == ("glioma", "meningioma", "no tumor", "pituitary tumor")
    assert train[0].images[0] == (tmp_path / "in" / "Training" / "glioma" / "Tr-gl_0000.jpg").read_bytes()
    assert (train[0].modality, train[0].body_region, train[0].licence) == ("MRI", "brain", "CC0-1.0")
    assert manifest.counts["published_splits"] == {"test": 8, "train": 8}


def test_another_image_is_another_build(tmp_path):
    write(tmp_path / "in")
    built("brain-tumor-mri", tmp_path / "in", tmp_path / "out")
    glioma = tmp_path / "in" / "Training" / "glioma"
    (glioma / "Tr-gl_0000.jpg").rename(tmp_path / "in" / "Training" / "notumor" / "Tr-no_0009.jpg")
    assert build("brain-tumor-mri", tmp_path / "in", tmp_path / "out") == 2


def test_other_folders_and_broken_images_are_refused(tmp_path, capsys):
    write(tmp_path / "in")
    broken = tmp_path / "in" / "Testing" / "pituitary" / "Te-pi_0001.jpg"
    broken.write_bytes(b"no image")
    line = refused(capsys, "brain-tumor-mri", tmp_path / "in", tmp_path / "out")
    assert "Testing/pituitary/Te-pi_0001.jpg image 1: image is not a PNG or JPEG or TIFF" in line
    (tmp_path / "in" / "Training" / "notumor").rename(tmp_path / "in" / "Training" / "no_tumor")
    line = refused(capsys, "brain-tumor-mri", tmp_path / "in", tmp_path / "out")
    assert "has glioma, meningioma, no_tumor, pituitary; brain-tumor-mri has folders" in line
    shutil.rmtree(tmp_path / "in" / "Training")
    assert "Training is not there" in refused(capsys, "brain-tumor-mri", tmp_path / "in", tmp_path / "out")
