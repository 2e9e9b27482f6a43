"""The sets that the paper's authors publish, each by the name that a report calls it."""

import pytest
from adapter_helpers import built, hub_image, picture, refused, write_parquet

from octomed_jax.questions.registry import ADAPTERS

OPTIONS = ["A: no retinopathy", "B: mild", "C: severe"]


def row(number, **fields):
    image = hub_image(picture(number), f"{number}.png")
    return {
        "image": image,
        "question": f"Which grade has eye {number}?",
        "options": OPTIONS,
        "answer": "B: mild",
    } | fields


@pytest.mark.parametrize(
    ("source", "benchmark"),
    [
        ("octomed-medqa-5options", "medqa-5options"),
        ("octomed-pmc-vqa", "pmc-vqa"),
        ("octomed-messidor2", "messidor2"),
    ],
)
def test_rows_in_octomed_s_schema(tmp_path, source, benchmark):
    data = tmp_path / "in" / "data"
    write_parquet(data / "train-00000-of-00001.parquet", [row(1, image_hash="x", responses=["<think>a</think>B"])])
    write_parquet(data / "test-00000-of-00001.parquet", [row(2, image_hash="y"), row(3, image_hash="z")])
    train, test, manifest = built(source, tmp_path / "in", tmp_path / "out")
    assert [(one.split, one.benchmark, one.source) for one in (*train, *test)] == [
        ("train", benchmark, source), ("test", benchmark, source), ("test", benchmark, source),
    ]  # fmt: skip
    assert {one.options for one in test} == {("no retinopathy", "mild", "severe")}
    assert {one.answer for one in test} == {"mild"}
    assert manifest.counts["published_splits"] == {"test": 2, "train": 1}


@pytest.mark.parametrize("source", ["octomed-vqa-rad", "octomed-slake"])
def test_rows_with_the_columns_that_they_came_with(tmp_path, capsys, source):
    name = source.removeprefix("octomed-")
    asked = [
        {"image": hub_image(picture(1)), "question": "Is it normal?", "answer": "Yes", "answer_type": "CLOSED"},
        {"image": hub_image(picture(2)), "question": "CT or MRI?", "answer": "CT", "answer_type": "CLOSED "},
        {"image": hub_image(picture(3)), "question": "What organ?", "answer": "Liver", "answer_type": "OPEN"},
    ]
    train_row = [{**asked[0], "image": hub_image(picture(4)), "qid": 7}]
    write_parquet(tmp_path / "in" / "train.parquet", train_row)
    write_parquet(tmp_path / "in" / "test.parquet", asked)
    train, test, _ = built(source, tmp_path / "in", tmp_path / "out")
    assert [(one.benchmark, one.task, one.answer) for one in train] == [(f"{name}-closed", "yes_no", "yes")]
    assert sorted((one.benchmark, one.task, one.answer) for one in test) == [
        (f"{name}-closed", "short_answer", "CT"),
        (f"{name}-closed", "yes_no", "yes"),
        (f"{name}-open", "short_answer", "Liver"),
    ]
    path = write_parquet(tmp_path / "bad" / "test.parquet", [{**asked[0], "answer_type": "other"}])
    write_parquet(tmp_path / "bad" / "train.parquet", train_row)
    assert "answer_type is 'other', neither CLOSED nor OPEN" in refused(capsys, source, path.parent, tmp_path / "no")


def test_what_is_published():
    rows = {name: [split.rows for split in ADAPTERS[name].splits.values()] for name in ADAPTERS if "octomed-" in name}
    assert rows == {
        "octomed-medqa-5options": [10_178, 1_273],
        "octomed-pmc-vqa": [176_948, 2_000],
        "octomed-messidor2": [1_394, 350],
        "octomed-vqa-rad": [3_064, 451],
        "octomed-slake": [5_972, 1_061],
    }
    assert not any(ADAPTERS[name].seen for name in rows)
