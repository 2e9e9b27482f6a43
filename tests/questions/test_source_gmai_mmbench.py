"""GMAI-MMBench: a table with images in base64."""

import base64

import pytest
from adapter_helpers import built, picture, refused
from image_helpers import write_table

ROW = {
    "index": "0",
    "image": base64.b64encode(picture(1, "JPEG")).decode(),
    "question": "Which cell is shown?",
    "A": "Neutrophil",
    "B": "Monocyte",
    "C": "Platelet",
    "D": "Basophil",
    "E": "",
    "answer": "D",
    "category": "blood cell recognition",
    "l2-category": "disease diagnosis",
    "split": "VAL",
}


def test_images_stand_in_the_table(tmp_path, capsys):
    rows = [ROW, ROW | {"image": base64.b64encode(picture(2)).decode(), "E": "Blast", "answer": "E"}]
    write_table(tmp_path / "in" / "GMAI_mm_bench_VAL.tsv", rows, "\t")
    hidden = {name: value for name, value in ROW.items() if name != "answer"}
    write_table(tmp_path / "in" / "GMAI_mm_bench_TEST_part_1.tsv", [hidden], "\t")
    train, test, manifest = built("gmai-mmbench", tmp_path / "in", tmp_path / "out")
    assert not train
    assert manifest.counts["published_splits"] == {"validation": 2}
    assert [(len(question.options), question.answer) for question in test] == [(4, "Basophil"), (5, "Blast")]
    assert [question.images for question in test] == [(picture(1, "JPEG"),), (picture(2),)]
    line = refused(capsys, "gmai-mmbench", tmp_path / "in", tmp_path / "more", "--split=test")
    assert line == "the split test of gmai-mmbench has no gold answers; take validation"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"answer": "E"}, "line 2: answer is 'E', but the options have the letters A, B, C, D"),
        ({"answer": ""}, "line 2: answer is '', but the options have the letters"),
        ({"image": "17"}, "line 2: image is broken base64"),
        ({"image": ""}, "line 2: image is not a PNG or JPEG or TIFF"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(tmp_path, capsys, change, words):
    write_table(tmp_path / "in" / "GMAI-MMBench_VAL.tsv", [ROW | change], "\t")
    assert words in refused(capsys, "gmai-mmbench", tmp_path / "in", tmp_path / "out")
