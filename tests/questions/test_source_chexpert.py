"""CheXpert: fourteen labels an image, certain and uncertain ones."""

import pytest
from adapter_helpers import built, picture, refused

from octomed_jax.questions.pseudonyms import pseudonym
from octomed_jax.questions.sources.chexpert import BATCHES, FINDINGS
from octomed_jax.verification.check import check_response

SMALL = "CheXpert-v1.0-small"
HEADER = "Path,Sex,Age,Frontal/Lateral,AP/PA," + ",".join(FINDINGS) + "\n"


def row(path, view="Frontal", **labels):
    values = {name.lower().replace(" ", "_"): "" for name in FINDINGS} | labels
    assert len(values) == len(FINDINGS)
    return f"{path},Female,68,{view},{'AP' if view == 'Frontal' else ''}," + ",".join(values.values()) + "\n"


def write(folder, split, rows, images=None):
    """Write a table and its images, which lie below ``images`` from the patient on."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{split}.csv").write_text(HEADER + "".join(rows))
    for number, line in enumerate(rows):
        path = (images or folder / split) / line.split(",")[0].split("/", 2)[2]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(number + 100 * (split == "valid"), "JPEG", mode="L"))


def train_rows(top=SMALL):
    return [
        row(f"{top}/train/patient00001/study1/view1_frontal.jpg", no_finding="1.0", support_devices="1.0"),
        row(
            f"{top}/train/patient00002/study2/view1_frontal.jpg",
            lung_opacity="1.0", edema="1.0", consolidation="-1.0", pneumothorax="0.0",
        ),
        row(f"{top}/train/patient00002/study1/view2_lateral.jpg", "Lateral", no_finding="1.0"),
        row(f"{top}/train/patient00003/study1/view1_frontal.jpg", pneumonia="-1.0", pneumothorax="0.0"),
    ]  # fmt: skip


def valid_rows(top=SMALL):
    zeros = dict.fromkeys((name.lower().replace(" ", "_") for name in FINDINGS), "0.0")
    return [row(f"{top}/valid/patient64541/study1/view1_frontal.jpg", **zeros | {"cardiomegaly": "1.0"})]


@pytest.mark.parametrize("inside", [True, False])
def test_small_images(tmp_path, inside):
    folder = tmp_path / SMALL
    write(folder, "train", train_rows())
    write(folder, "valid", valid_rows())
    train, test, manifest = built("chexpert", folder if inside else tmp_path, tmp_path / "out")
    questions = {question.id: question for question in train}
    images = (
        "patient00001/study1/view1_frontal",
        "patient00002/study1/view2_lateral",
        "patient00002/study2/view1_frontal",
    )
    ids = [f"chexpert:{pseudonym('chexpert', image)}" for image in images]
    assert sorted(questions) == sorted(ids)
    devices, lateral, several = (questions[name] for name in ids)
    assert (devices.answer, lateral.answer, several.answer) == ("Support Devices", "No Finding", "Lung Opacity;Edema")
    assert devices.options == FINDINGS
    assert several.options == tuple(name for name in FINDINGS if name != "Consolidation")
    assert "lateral chest X-ray" in lateral.question
    assert several.cluster == lateral.cluster == pseudonym("chexpert", "patient00002") != devices.cluster
    assert {question.access for question in (*train, *test)} == {"credentialed"} == {manifest.access}
    assert (test[0].answer, test[0].task, test[0].split) == ("Cardiomegaly", "multi_label", "test")
    assert manifest.counts["passed_over"] == {"no certain finding, and not No Finding": 1}
    for question, response, verdict in (
        (several, "Edema, Lung Opacity", "correct"),
        (several, "Edema", "wrong"),
        (lateral, "No Finding", "correct"),
        (devices, "Support Devices", "correct"),
        (devices, "No Finding", "wrong"),
    ):
        assert check_response(question, f"\\boxed{{{response}}}", "stop").verdict == verdict


def test_batches_of_full_images(tmp_path):
    top = "CheXpert-v1.0"
    write(tmp_path / BATCHES[0], "train", train_rows(top)[:3], tmp_path / BATCHES[2])
    write(tmp_path / BATCHES[0], "valid", valid_rows(top))
    train, test, _ = built("chexpert", tmp_path, tmp_path / "out")
    assert (len(train), len(test)) == (3, 1)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (row(f"{SMALL}/train/patient1/study1/view1_frontal.jpg", edema="2.0"), "Edema '2' is none of 1, 0, -1 and"),
        (
            row(f"{SMALL}/train/patient1/study1/view1_frontal.jpg", no_finding="1.0", edema="1.0"),
            "No Finding is 1, but Edema is too",
        ),
        (row(f"{SMALL}/train/patient1/study1/view1_lateral.jpg", edema="1.0"), "or of another view than"),
        (row("elsewhere/patient1/a.jpg", edema="1.0"), "Path is not as published, or of another view"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(tmp_path, capsys, line, words):
    (tmp_path / "train.csv").write_text(HEADER + line)
    message = refused(capsys, "chexpert", tmp_path, tmp_path / "out", "--split=train")
    assert words in message
    assert "train.csv line 2" in message
    assert "patient1" not in message


def test_a_table_without_a_finding_is_refused(tmp_path, capsys):
    (tmp_path / "train.csv").write_text("Path,Frontal/Lateral,Edema\nCheXpert-v1.0/train/a.jpg,Frontal,1.0\n")
    line = refused(capsys, "chexpert", tmp_path, tmp_path / "out", "--split=train")
    assert "is not as chexpert is published (no column 'No Finding')" in line
