"""Sets of tensorflow-datasets, prepared here as tiny sets of the same names, features and files."""

import json

import numpy as np
import pytest
import tensorflow_datasets as tfds
from adapter_helpers import build, built, picture, refused
from tfds_helpers import prepare

from octomed_jax.questions.pseudonyms import pseudonym
from octomed_jax.questions.sources.chexpert import FINDINGS

F = tfds.features
LABEL_TWO, LABEL_FIVE = F.ClassLabel(num_classes=2), F.ClassLabel(num_classes=5)
PATCHES = ["BACKGROUND", "BENIGN_CALCIFICATION", "BENIGN_MASS", "MALIGNANT_CALCIFICATION", "MALIGNANT_MASS"]
TEXTURES = ["tumor", "stroma", "complex", "lympho", "debris", "mucosa", "adipose", "empty"]
CHEXPERT = ["uncertain", "positive", "negative", "unmentioned"]


def images(count, first=0, **options):
    return [picture(first + number, **options) for number in range(count)]


def pcam(folder, count=2):
    features = {"id": F.Text(), "image": F.Image(shape=(8, 8, 3), encoding_format="png"), "label": LABEL_TWO}
    splits = {
        split: [
            {"id": f"{split}_{number}", "image": image, "label": number % 2}
            for number, image in enumerate(images(count, first))
        ]
        for split, first in (("train", 0), ("validation", 10), ("test", 20))
    }
    return prepare(folder, "patch_camelyon", features, splits), splits


def test_patch_camelyon(tmp_path):
    version, splits = pcam(tmp_path / "data")
    for source in (tmp_path / "data", version):  # the data folder, or the version in it
        train, test, manifest = built("patch-camelyon", source, tmp_path / f"out-{source.name}")
        assert {question.images[0] for question in train} == {row["image"] for row in splits["train"]}
        assert {question.images[0] for question in test} == {row["image"] for row in splits["test"]}
        gold = {row["image"]: row["label"] for row in splits["train"]}
        for question in train:
            assert question.answer == question.options[gold[question.images[0]]]
        assert manifest.counts["published_splits"] == {"test": 2, "train": 2}
    assert train[0].options == ("no metastatic tissue in the centre", "metastatic tissue in the centre")


@pytest.mark.parametrize(
    ("source", "name", "names", "third"),
    [
        ("malaria", "malaria", ["parasitized", "uninfected"], "parasitized"),
        ("colorectal-histology", "colorectal_histology", TEXTURES, "complex stroma"),
    ],
)
def test_sets_with_names_and_one_split(tmp_path, source, name, names, third):
    features = {"image": F.Image(shape=(None, None, 3)), "label": F.ClassLabel(names=names), "filename": F.Text()}
    rows = [
        {"image": image, "label": number % len(names), "filename": f"{number}.tif"}
        for number, image in enumerate(images(3))
    ]
    prepare(tmp_path, name, features, {"train": rows})
    train, test, _ = built(source, tmp_path, tmp_path / "out")
    answers = {question.images[0]: question.answer for question in train}
    assert answers[rows[2]["image"]] == third
    assert test == []


def test_eyes(tmp_path):
    features = {"name": F.Text(), "image": F.Image(), "label": LABEL_FIVE}
    rows = [
        {"name": name, "image": image, "label": grade}
        for name, image, grade in zip(("4_left", "4_right", "13_left"), images(3, kind="JPEG"), (0, 3, 4), strict=True)
    ]
    test_rows = [{"name": "1_left", "image": picture(9, "JPEG"), "label": 2}]
    prepare(tmp_path, "diabetic_retinopathy_detection", features, {"train": rows, "test": test_rows}, "btgraham-300")
    train, test, _ = built("eyepacs", tmp_path, tmp_path / "out")
    golds = ("4_left", "no", "4"), ("4_right", "severe nonproliferative", "4"), ("13_left", "proliferative", "13")
    assert {question.id: (question.answer.split(" diabetic")[0], question.cluster) for question in train} == {
        f"eyepacs:{pseudonym('eyepacs', name)}": (answer, pseudonym("eyepacs", patient))
        for name, answer, patient in golds
    }
    assert test[0].answer == "moderate nonproliferative diabetic retinopathy"


def test_patches_of_mammograms(tmp_path, capsys):
    image = F.Image(shape=(None, None, 1), encoding_format="jpeg")
    features = {"id": F.Text(), "image": image, "label": F.ClassLabel(names=PATCHES)}
    rows = [
        {"id": f"1.3.6.{study}/1.3.{study}/abnorm_1/patch_{study}", "image": data, "label": 3 + study}
        for study, data in enumerate(images(2, kind="JPEG", mode="L"))
    ]
    name = "curated_breast_imaging_ddsm"
    splits = {"train": rows, "test": [{"id": "1.9/2/background_0", "image": picture(7, "JPEG", mode="L"), "label": 0}]}
    prepare(tmp_path / "a", name, features, splits, "patches")
    train, test, _ = built("cbis-ddsm", tmp_path / "a", tmp_path / "out")
    assert {question.cluster: question.answer for question in train} == {
        pseudonym("cbis-ddsm", "1.3.6.0"): "malignant calcification",
        pseudonym("cbis-ddsm", "1.3.6.1"): "malignant mass",
    }
    assert test[0].answer == "background"
    whole = {"id": F.Text(), "image": image, "patient": F.Text()}
    prepare(
        tmp_path / "b", name, whole, {"train": [{"id": "1", "image": picture(8, mode="L"), "patient": "P"}]}, "calc"
    )
    line = refused(capsys, "cbis-ddsm", tmp_path / "b", tmp_path / "out2", "--split=train")
    assert "not curated_breast_imaging_ddsm; give its config patches" in line


def test_chexpert(tmp_path):
    features = {
        "name": F.Text(),
        "image": F.Image(),
        "label": F.Sequence(F.ClassLabel(names=CHEXPERT)),
        "image_view": F.ClassLabel(names=["frontal", "lateral"]),
    }
    labels = ["unmentioned"] * len(FINDINGS)
    labels[FINDINGS.index("Edema")], labels[FINDINGS.index("Fracture")] = "positive", "uncertain"
    row = {
        "name": "CheXpert-v1.0-small/train/patient00001/study1/view1_frontal.jpg",
        "image": picture(0, "JPEG", mode="RGB"),
        "label": labels,
        "image_view": "frontal",
    }
    held = row | {"name": row["name"].replace("train/patient0", "valid/patient6"), "image": picture(1, "JPEG")}
    prepare(tmp_path, "chexpert", features, {"train": [row], "validation": [held]})
    (question,), (other,), manifest = built("chexpert-tfds", tmp_path, tmp_path / "out")
    assert (question.answer, question.cluster) == ("Edema", pseudonym("chexpert", "patient00001"))
    assert question.options == tuple(name for name in FINDINGS if name != "Fracture")
    assert (other.split, manifest.access) == ("test", "credentialed")


def test_a_folder_that_is_not_as_prepared_is_refused(tmp_path, capsys):
    def line(folder):
        return refused(capsys, "patch-camelyon", folder, tmp_path / "out")

    version, _ = pcam(tmp_path / "a")
    other = refused(capsys, "malaria", tmp_path / "a", tmp_path / "out")
    assert "has no files of the split train of malaria" in other
    features = json.loads((version / "features.json").read_text())
    features["featuresDict"]["features"]["image"]["pythonClassName"] = "antigravity.Image"
    (version / "features.json").write_text(json.dumps(features))
    assert "names the class 'antigravity.Image', which is not of tensorflow-datasets" in line(tmp_path / "a")
    (version / "features.json").write_text("{")
    assert "features.json is no JSON" in line(tmp_path / "a")
    pcam(tmp_path / "b")
    (tmp_path / "b" / "copy").mkdir()
    (tmp_path / "b" / "patch_camelyon" / "3.0.0").rename(tmp_path / "b" / "copy" / "3.0.0")
    pcam(tmp_path / "b")
    assert "patch_camelyon is there 2 times" in line(tmp_path / "b")


def test_other_classes_and_other_formats_are_refused(tmp_path, capsys):
    features = {"image": F.Image(), "label": F.ClassLabel(names=["uninfected", "parasitized"])}
    prepare(tmp_path / "a", "malaria", features, {"train": [{"image": picture(), "label": 0}]})
    line = refused(capsys, "malaria", tmp_path / "a", tmp_path / "out")
    assert "has the classes uninfected, parasitized; malaria is not as it was" in line
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "malaria-train.tfrecord-00000-of-00001").write_bytes(b"record")
    line = refused(capsys, "malaria", tmp_path / "b", tmp_path / "out")
    assert "is TFRecord, which needs TensorFlow; prepare it again with --file_format=array_record" in line


def test_a_damaged_file_stops_the_build(tmp_path, capsys):
    version, _ = pcam(tmp_path / "a", count=40)
    (path,) = version.glob("*-train.array_record*")
    whole = path.read_bytes()
    noise = np.random.default_rng(0).bytes(2000)
    for damaged in (whole[:1000] + noise + whole[3000:], whole[: len(whole) // 2], noise):
        path.write_bytes(damaged)
        assert build("patch-camelyon", tmp_path / "a", tmp_path / "out", "--split=train") == 43
        assert "is damaged" in capsys.readouterr().err
