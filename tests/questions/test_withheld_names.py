"""Credentialed sources: what is printed and written names no patient, whatever is wrong with their images.

Every source has a sound row and one that cannot be used, with numbers planted wherever the set has its own.
"""

import json
import re
import zipfile

import pytest
import tensorflow_datasets as tfds
from adapter_helpers import build, built, picture, write_lines
from image_helpers import write_file, write_table, write_zip
from tfds_helpers import prepare

from octomed_jax.questions import registry
from octomed_jax.questions.adapter import Adapter, Split
from octomed_jax.questions.sources.chexpert import FINDINGS
from octomed_jax.traces.lake import iterate_questions

GOOD, BAD = "74740041", "74740082"  # a patient each
PLANTED = re.compile("74740")


def mimic(folder):
    reports = {
        GOOD: "FINDINGS:  Clear.\n\nIMPRESSION:  Normal.\n",
        BAD: "FINDINGS:  Wide.\n\nIMPRESSION:  Not normal.\n",
    }
    names = ("dicom_id", "study_id", "subject_id", "split", "ViewPosition")
    rows = [dict(zip(names, (f"d{one}", f"{one}0", one, "train", "PA"), strict=True)) for one in reports]
    write_table(folder / "mimic-cxr-2.0.0-split.csv", rows)
    write_table(folder / "mimic-cxr-2.0.0-metadata.csv", rows)
    for patient, report in reports.items():
        write_file(folder / "files" / "p74" / f"p{patient}" / f"s{patient}0.txt", report.encode())
    write_file(folder / "files" / "p74" / f"p{GOOD}" / f"s{GOOD}0" / f"d{GOOD}.jpg", picture(1, "JPEG"))
    return ["--split=train"]


def chexpert(folder):
    path = "CheXpert-v1.0/train/patient{}/study1/view1_frontal.jpg"
    rows = [
        {"Path": path.format(one), "Frontal/Lateral": "Frontal", **dict.fromkeys(FINDINGS, ""), "Edema": "1.0"}
        for one in (GOOD, BAD)
    ]
    other = rows[0] | {"Path": path.format(BAD).replace("frontal", "lateral")}
    write_table(folder / "train.csv", [*rows, other])
    write_file(folder / "train" / rows[0]["Path"].split("/", 2)[2], picture(1, "JPEG"))
    return ["--split=train"]


def chexpert_tfds(folder):
    features = {
        "name": tfds.features.Text(),
        "image": tfds.features.Image(),
        "label": tfds.features.Sequence(
            tfds.features.ClassLabel(names=["uncertain", "positive", "negative", "unmentioned"])
        ),
        "image_view": tfds.features.ClassLabel(names=["frontal", "lateral"]),
    }
    rows = [
        {
            "name": f"CheXpert-v1.0/train/patient{one}/study1/view1_{view}.jpg",
            "image": picture(seed, "JPEG"),
            "label": ["positive" if finding == "Edema" else "unmentioned" for finding in FINDINGS],
            "image_view": "frontal",
        }
        for seed, (one, view) in enumerate(((GOOD, "frontal"), (BAD, "lateral")))
    ]
    prepare(folder, "chexpert", features, {"train": rows})
    return ["--split=train"]


def rexvqa(folder):
    def row(patient):
        return {
            "study_id": f"p{patient}_s1", "question": f"Is there pneumothorax in image {patient == GOOD}?",
            "options": ["A. Yes", "B. No"], "correct_answer": "B", "correct_answer_explanation": "It is not there.",
            "PatientID": f"GRDN{patient}", "StudyInstanceUid": f"1.2.{patient}",
            "ImagePath": [f"../deid_png/GRDN{patient}/studies/1.2.{patient}/1.png"],
        }  # fmt: skip

    odd = {name: value for name, value in row(BAD).items() if name != "correct_answer"} | {"ImagePath": [{BAD: 1}]}
    rows = {f"q{number}-{BAD}": one for number, one in enumerate([row(GOOD), row(BAD), odd])}
    write_file(folder / "train_vqa_data.json", json.dumps(rows).encode())
    write_file(folder / row(GOOD)["ImagePath"][0][3:], picture(1))
    return ["--split=train"]


def omnimedvqa(folder):
    rows = [
        {
            "question": f"Which {patient == GOOD}?", "gt_answer": "CT", "image_path": f"Images/MIMIC/p{patient}.png",
            "option_A": "CT", "option_B": "MRI", "modality_type": "CT", "question_id": patient,
        }
        for patient in (GOOD, BAD)
    ]  # fmt: skip
    write_file(folder / "QA_information" / "Restricted-access" / "MIMIC.json", json.dumps(rows).encode())
    write_file(folder / rows[0]["image_path"], picture(1))
    return ["--split=restricted"]


SETS = {
    "mimic-cxr": mimic,
    "chexpert": chexpert,
    "chexpert-tfds": chexpert_tfds,
    "rexvqa": rexvqa,
    "omnimedvqa": omnimedvqa,
}


def test_every_credentialed_source_is_tried_here():
    credentialed = {
        adapter.name
        for adapter in registry.ADAPTERS.values()
        if any(adapter.access_of(split) == "credentialed" for split in adapter.splits.values())
    }
    assert set(SETS) == credentialed


def written(folder):
    """Return all that stands in a finished folder but pixels."""
    texts = [path.read_text() for path in folder.iterdir() if path.suffix != ".parquet"]
    for name in ("questions.parquet", "heldout.parquet"):
        texts += [repr({**vars(one), "images": ()}) for one in iterate_questions(folder / name)]
    return "\n".join(texts)


@pytest.mark.parametrize("name", SETS)
def test_no_number_of_a_patient_is_printed_or_written(tmp_path, capfd, name):
    options = SETS[name](tmp_path / "in")
    assert build(name, tmp_path / "in", tmp_path / "out", *options) == 2
    printed = "".join(capfd.readouterr())
    assert "nothing is written" in printed
    assert not PLANTED.search(printed)
    train, test, manifest = built(name, tmp_path / "in", tmp_path / "out", *options, "--most-left-out=1", "--json")
    assert [question.access for question in train + test] == ["credentialed"]
    assert sum(manifest.counts["dropped"][name].values()) >= 1
    assert (tmp_path / "out" / "left_out.jsonl").read_text().count('"reason"') >= 1
    assert not PLANTED.search("".join(capfd.readouterr()))
    assert not PLANTED.search(written(tmp_path / "out"))


LOCKED = Adapter(
    name="locked",
    title="a set with images of patients",
    kind="images",
    home="https://example.org/locked",
    licence="unknown",
    citation="nobody",
    splits={"train": Split(("train.jsonl",))},
    cells=lambda row, _: iter([{"question": row["q"], "answer": "x", "image": row["file"]}]),
    columns=("q", "file"),
    access="credentialed",
    image_folders=("images", ""),
    archives=("*.zip",),
    base_names=True,
)


def broken_zip(folder, seed=0):
    """Write an archive with a flipped byte in it."""
    path = write_zip(folder / "images.zip", {f"images/p{BAD}.png": picture(seed, size=(40, 40))})
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)


def link(folder):
    write_file(folder / ".." / f"p{BAD}.png", picture(2))
    (folder / "images").mkdir()
    (folder / "images" / f"p{BAD}.png").symlink_to(folder / ".." / f"p{BAD}.png")


def loop(folder):
    (folder / "images").mkdir()
    (folder / "images" / f"p{BAD}.png").symlink_to(folder / "images" / f"p{BAD}.png")


def renamed(folder):
    """Write an archive in which a member's two names differ."""
    path = write_zip(folder / "images.zip", {f"images/p{BAD}.png": picture(2)})
    path.write_bytes(path.read_bytes().replace(BAD.encode(), GOOD.encode(), 1))


def locked_member(folder):
    """Write an archive that says that a member has a password."""
    path = write_zip(folder / "images.zip", {f"images/p{BAD}.png": picture(2)})
    data = bytearray(path.read_bytes())
    data[6] |= 1
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("make", "row", "words"),
    [
        (None, {}, "image: no file (name withheld) beside the rows"),
        (None, {"file": f"../p{BAD}.png"}, "image: (name withheld) leads out of the folder of the rows"),
        (None, {"file": f"https://example.org/p{BAD}.png"}, "image is the address (name withheld); download it"),
        (None, {"file": f"p{BAD}" * 99 + ".png"}, "(name withheld)"),
        (None, {"file": f"p{BAD}\0.png"}, "(name withheld)"),
        (link, {}, "image: (name withheld) leads out of the folder of the rows"),
        (loop, {}, "(name withheld)"),
        (broken_zip, {}, "images.zip (BadZipFile); get it again"),
        (renamed, {}, "images.zip (BadZipFile); get it again"),
        (locked_member, {}, "images.zip (it has a password); get it again"),
        (
            lambda folder: write_zip(folder / "a.zip", {f"{n}/p{BAD}.png": picture(n) for n in (1, 2)}),
            {},
            "image: (name withheld) is ambiguous: two files of its base name differ",
        ),
        (lambda folder: write_file(folder / "images" / f"p{BAD}.png", b"no image"), {}, "image is not a PNG or JPEG"),
        (None, {"file": None}, "has no image"),
    ],
)
def test_every_way_in_which_an_image_is_refused(tmp_path, capfd, monkeypatch, make, row, words):
    monkeypatch.setitem(registry.ADAPTERS, "locked", LOCKED)
    folder = tmp_path / "in"
    write_lines(folder / "train.jsonl", [{"q": "What?", "file": f"p{BAD}.png"} | row])
    if make:
        make(folder)
    assert build("locked", folder, tmp_path / "out") == 2
    line = capfd.readouterr().err.strip()
    assert words in line
    assert not PLANTED.search(line)


@pytest.mark.parametrize(
    ("cells", "problem"),
    [
        (lambda row, _: iter([row["none"]]), "KeyError"),
        (lambda row, _: iter([row["q"]]), "no column 'q'"),
        (lambda row, _: iter([{}[row["file"]]]), "KeyError"),
        (lambda row, _: iter([int(row["file"])]), "ValueError"),
    ],
)
def test_a_value_of_a_row_is_in_no_error_of_an_adapter(tmp_path, capfd, monkeypatch, cells, problem):
    adapter = Adapter(**{**vars(LOCKED), "cells": cells})
    monkeypatch.setitem(registry.ADAPTERS, "locked", adapter)
    write_lines(tmp_path / "in" / "train.jsonl", [{"file": f"p{BAD}.png"}])
    assert build("locked", tmp_path / "in", tmp_path / "out") == 2
    line = capfd.readouterr().err.strip()
    assert f"is not as locked is published ({problem}) (nothing is written" in line
    assert not PLANTED.search(line)


def test_questions_of_ones_own_that_are_called_credentialed(tmp_path, capfd):
    row = {"question": "What?", "answer": "x", "image": f"p{BAD}.png"}
    write_lines(tmp_path / "own.jsonl", [row])
    assert build("octomed", tmp_path / "own.jsonl", tmp_path / "out", "--access=credentialed") == 2
    assert "no file (name withheld)" in capfd.readouterr().err
    write_lines(tmp_path / "own.jsonl", [row | {"access": "credentialed"}])
    assert build("octomed", tmp_path / "own.jsonl", tmp_path / "out") == 2
    assert "no file (name withheld)" in capfd.readouterr().err
    write_lines(tmp_path / "own.jsonl", [row])
    assert build("octomed", tmp_path / "own.jsonl", tmp_path / "out") == 2
    assert f"no file 'p{BAD}.png'" in capfd.readouterr().err


def test_a_report_that_the_system_refuses_is_not_named(tmp_path, capfd):
    options = mimic(tmp_path / "in")
    report = tmp_path / "in" / "files" / "p74" / f"p{BAD}" / f"s{BAD}0.txt"
    report.unlink()
    report.symlink_to(report)  # a loop
    assert build("mimic-cxr", tmp_path / "in", tmp_path / "out", *options) == 2
    printed = capfd.readouterr().err
    assert "line 3: has no report that can be read" in printed
    assert not PLANTED.search(printed)


def test_an_archive_of_reports_that_is_damaged_is_not_named(tmp_path, capfd):
    options = mimic(tmp_path / "in")
    report = tmp_path / "in" / "files" / "p74" / f"p{BAD}" / f"s{BAD}0.txt"
    with zipfile.ZipFile(tmp_path / "in" / "mimic-cxr-reports.zip", "w") as archive:
        archive.write(report, report.relative_to(tmp_path / "in").as_posix())
    report.unlink()
    path = tmp_path / "in" / "mimic-cxr-reports.zip"
    path.write_bytes(path.read_bytes().replace(b"Wide", b"Wild"))
    assert build("mimic-cxr", tmp_path / "in", tmp_path / "out", *options) == 2
    assert not PLANTED.search(capfd.readouterr().err)
