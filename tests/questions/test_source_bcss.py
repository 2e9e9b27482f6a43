"""BCSS-WSSS: tissues in the names of tiles."""

import pytest
from adapter_helpers import built, picture, refused

from octomed_jax.questions.pseudonyms import pseudonym

BASE = "TCGA-A1-A0SK-DX1_xmin45749_ymin25055_MPP-0.2500"


def write(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        (folder / name).write_bytes(picture(number))


@pytest.mark.parametrize("folder", ["training", "train", "BCSS-WSSS/train", "train/img"])
def test_digits_are_tissues(tmp_path, folder):
    other = "TCGA-AO-A0J2-DX1_xmin33561_ymin14515_MPP-0.2500"
    write(
        tmp_path / folder, f"{BASE}+0[1100].png", f"{BASE}+1[0010].png", f"{other}+7[0000].png", f"{other}[1 1 1 1].png"
    )
    train, test, manifest = built("bcss", tmp_path, tmp_path / "out")
    assert [question.answer for question in train] == [
        "tumor;stroma", "lymphocytes", "tumor;stroma;lymphocytes;necrosis"
    ]  # fmt: skip
    assert {question.options for question in train} == {("tumor", "stroma", "lymphocytes", "necrosis")}
    patients = ("TCGA-A1-A0SK", "TCGA-A1-A0SK", "TCGA-AO-A0J2")
    assert [question.cluster for question in train] == [pseudonym("bcss", patient) for patient in patients]
    assert (train[0].task, test) == ("multi_label", [])
    assert manifest.counts["passed_over"] == {"none of the tissues": 1}


@pytest.mark.parametrize("name", [f"{BASE}+0.png", f"{BASE}+0[110].png", f"{BASE}+0[1102].png", "tile[1101].png"])
def test_a_name_without_labels_is_refused(tmp_path, capsys, name):
    write(tmp_path / "train", name)
    line = refused(capsys, "bcss", tmp_path, tmp_path / "out")
    assert f"train/{name} image 1: the name '{name}' does not end in four digits" in line


def test_a_folder_without_tiles_is_refused(tmp_path, capsys):
    write(tmp_path / "val" / "img", f"{BASE}.png")
    assert "has no tiles; bcss has .png files in training or train" in refused(
        capsys, "bcss", tmp_path, tmp_path / "out"
    )
