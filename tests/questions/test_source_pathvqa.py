"""PathVQA as the Hub publishes it."""

from adapter_helpers import built, hub_image, picture, refused, write_parquet


def rows(*pairs):
    """Return rows on one image each."""
    return [
        {"image": hub_image(picture(number, "JPEG"), f"{number}.jpg"), "question": question, "answer": answer}
        for number, (question, answer) in enumerate(pairs)
    ]


def test_yes_no_and_open(tmp_path):
    data = tmp_path / "in" / "data"
    asked = rows(("where are liver stem cells located?", "in the canals of hering"), ("is this a biopsy?", "yes"))
    write_parquet(data / "train-00000-of-00001.parquet", asked)
    write_parquet(data / "validation-00000-of-00001.parquet", rows(("what is shown?", "bile duct"))[:1])
    write_parquet(data / "test-00000-of-00001.parquet", rows(("a", "b"), ("c", "d"), ("is it normal?", "No"))[2:])
    train, test, manifest = built("pathvqa", tmp_path / "in", tmp_path / "out")
    assert [(question.task, question.answer) for question in train] == [
        ("short_answer", "in the canals of hering"), ("yes_no", "yes"),
    ]  # fmt: skip
    assert [(question.task, question.answer) for question in test] == [("yes_no", "no")]
    assert manifest.counts["published_splits"] == {"test": 1, "train": 2}
    train, _, _ = built("pathvqa", tmp_path / "in", tmp_path / "more", "--split=validation")
    assert [(question.split, question.answer) for question in train] == [("train", "bile duct")]


def test_a_row_without_an_image_is_refused(tmp_path, capsys):
    asked = rows(("what?", "this"), ("where?", "here"))
    path = write_parquet(tmp_path / "train.parquet", [asked[0], asked[1] | {"image": None}])
    words = refused(capsys, "pathvqa", path, tmp_path / "out")
    assert "row 2: has no image, which every question of pathvqa has" in words
    path = write_parquet(tmp_path / "train.parquet", [asked[0] | {"image": hub_image(b"no image")}])
    assert "row 1: image is not a PNG or JPEG or TIFF" in refused(capsys, "pathvqa", path, tmp_path / "out")
