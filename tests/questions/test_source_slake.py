"""SLAKE as the Hub and its authors publish it."""

import json

import pytest
from adapter_helpers import built, picture, refused
from image_helpers import write_file, write_zip

ROW = {
    "img_id": 1,
    "img_name": "xmlab1/source.jpg",
    "question": "What modality is used to take this image?",
    "answer": "MRI",
    "q_lang": "en",
    "location": "Abdomen",
    "modality": "MRI",
    "answer_type": "OPEN",
    "base_type": "vqa",
    "content_type": "Modality",
    "triple": ["vhead", "_", "_"],
    "qid": 0,
}
CLOSED = {"question": "Does the picture contain liver?", "answer": "Yes", "answer_type": "CLOSED"}
CHINESE = {"question": "图中包含肝脏吗?", "answer": "包含", "q_lang": "zh"}


def write_rows(path, rows):
    """Write a JSON list."""
    write_file(path, json.dumps(rows, ensure_ascii=False).encode())


@pytest.mark.parametrize("form", ["zip", "unpacked", "authors"])
def test_english_questions_are_asked(tmp_path, form):
    folder = tmp_path / "in"
    names = [f"xmlab{number}/source.jpg" for number in (1, 2, 3)]
    images = {name: picture(number, "JPEG") for number, name in enumerate(names)}
    above = folder / "Slake1.0" if form == "authors" else folder
    if form == "zip":
        write_zip(folder / "imgs.zip", {f"imgs/{name}": data for name, data in images.items()})
    for name, data in images.items() if form != "zip" else ():
        write_file(above / "imgs" / name, data)
    write_rows(above / "train.json", [ROW, ROW | CLOSED, ROW | CHINESE])
    write_rows(above / ("validate.json" if form == "authors" else "validation.json"), [ROW | {"img_name": names[1]}])
    chest = {"img_name": names[2], "location": "Chest_heart", "modality": "X-Ray"}
    write_rows(
        above / "test.json", [ROW | chest, ROW | chest | CHINESE, ROW | {"img_name": names[2], "location": "Lung"}]
    )
    train, test, manifest = built("slake", folder, tmp_path / "out")
    assert manifest.counts["published_splits"] == {"test": 3, "train": 3}
    assert manifest.counts["passed_over"] == {"in Chinese": 2}
    assert [(question.task, question.answer, question.benchmark) for question in train] == [
        ("short_answer", "MRI", "slake-open"), ("yes_no", "yes", "slake-closed"),
    ]  # fmt: skip
    assert (train[0].modality, train[0].body_region, train[0].cluster) == ("MRI", "abdomen", "xmlab1")
    assert [(question.modality, question.body_region) for question in test] == [("X-ray", "chest"), ("MRI", "chest")]
    assert train[0].images == (picture(0, "JPEG"),)
    train, test, _ = built("slake", folder, tmp_path / "more", "--split=train,validation")
    assert (len(train), len(test)) == (3, 0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"q_lang": "fr"}, "row 1: q_lang is 'fr', neither en nor zh"),
        ({"answer_type": ""}, "row 1: answer_type is '', neither CLOSED nor OPEN"),
        ({"answer": ""}, "row 1: has no answer"),
        ({"img_name": "xmlab9/source.jpg"}, "row 1: image: no file 'xmlab9/source.jpg' beside the rows"),
        ({"img_name": "../../../secret.jpg"}, "'../../../secret.jpg' leads out of the folder of the rows"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(tmp_path, capsys, change, words):
    write_file(tmp_path / "in" / "imgs" / ROW["img_name"], picture(1, "JPEG"))
    write_rows(tmp_path / "in" / "test.json", [ROW | change])
    assert words in refused(capsys, "slake", tmp_path / "in", tmp_path / "out", "--split=test")
