"""LLaVA-Med's files in both spellings of their column."""

import json

import pytest
from adapter_helpers import built, picture, refused

DOMAIN = {"chest_xray": False, "mri": True, "histology": False, "gross": False, "ct_scan": False}
ROW = {
    "id": "17506892_F1",
    "image": "17506892_F1.jpg",
    "domain": DOMAIN,
    "conversations": [
        {"from": "human", "value": "<image>\nWhich plane is shown?"},
        {"from": "gpt", "value": "An axial one."},
        {"from": "human", "value": "What do the arrows point to?"},
        {"from": "gpt", "value": "To a lesion."},
    ],
}
MISSPELT = {"id": "2_F3", "image": "2_F3.jpg", "conversatons": ROW["conversations"][:2]}
NAME = "llava_med_instruct_60k_inline_mention.json"


def write(folder, rows, name=NAME):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(rows, indent=2))
    for row in rows:
        (folder / "images").mkdir(exist_ok=True)
        (folder / "images" / f"{row['id']}.jpg").write_bytes(picture(len(row["id"]), "JPEG"))
    return folder


def test_a_question_is_a_pair_of_turns(tmp_path):
    folder = write(tmp_path / "in", [ROW, MISSPELT])
    train, test, manifest = built("llava-med", folder, tmp_path / "out")
    place = "llava-med:instruct_60k_inline_mention:000000"
    assert [question.id for question in train] == [f"{place}0", f"{place}0-1", f"{place}1"]
    assert test == []
    first, second, third = train
    assert (first.question, first.answer) == ("Which plane is shown?", "An axial one.")
    assert (second.question, second.answer) == ("What do the arrows point to?", "To a lesion.")
    assert first.images == second.images == (picture(11, "JPEG"),)
    assert {question.task for question in train} == {"instruction"}
    assert [question.cluster for question in train] == ["17506892", "17506892", "2"]
    assert [question.modality for question in train] == ["MRI", "MRI", ""]
    assert third.licence == "CC-BY-NC-4.0"
    assert manifest.counts["rows"] == 2


@pytest.mark.parametrize(
    ("named", "modality", "region"),
    [
        (["chest_xray"], "X-ray", "chest"),
        (["ct_scan"], "CT", ""),
        (["gross"], "gross pathology", ""),
        (["histology"], "histopathology", ""),
        (["mri", "gross"], "", ""),
        ([], "", ""),
    ],
)
def test_domains(tmp_path, named, modality, region):
    row = ROW | {"domain": {name: name in named for name in DOMAIN}}
    (question, _), _, _ = built("llava-med", write(tmp_path / "in", [row]), tmp_path / "out")
    assert (question.modality, question.body_region) == (modality, region)


def test_other_files_are_read_where_they_are_named(tmp_path):
    folder = write(tmp_path / "in" / "data" / "alignment", [MISSPELT], "llava_med_alignment_500k.json").parents[1]
    (folder / "data" / "images").mkdir()
    (folder / "data" / "images" / "2_F3.jpg").write_bytes(picture(4, "JPEG"))
    (question,), _, _ = built("llava-med", folder, tmp_path / "out", "--split=alignment_500k")
    assert question.id == "llava-med:alignment_500k:0000000"
    assert question.images == (picture(4, "JPEG"),)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"conversations": ROW["conversations"][:1]}, "row 1: conversations of human: a person and a model must speak"),
        ({"image": "other.jpg"}, "row 1: image: no file 'other.jpg'"),
        ({"image": None}, "row 1: names no image"),
        (
            {"conversations": [ROW["conversations"][0] | {"value": "<image><image>x"}, ROW["conversations"][1]]},
            "2 <image>",
        ),
    ],
)
def test_a_row_that_cannot_be_used_is_named(tmp_path, capsys, change, words):
    folder = write(tmp_path / "in", [ROW | change])
    assert words in refused(capsys, "llava-med", folder, tmp_path / "out")
    (folder / NAME).write_text(json.dumps([{"id": "1", "image": "1.jpg"}]))
    words = "is not as llava-med is published (no column 'conversations')"
    assert words in refused(capsys, "llava-med", folder, tmp_path / "out")
