"""APTOS 2019: the tables of the public splits, and the competition's own."""

import pytest
from adapter_helpers import built, picture, refused

GRADES = ("no", "mild nonproliferative", "moderate nonproliferative", "severe nonproliferative", "proliferative")


def write(folder, table, rows, images):
    (folder / images).mkdir(parents=True, exist_ok=True)
    (folder / table).write_text("id_code,diagnosis\n" + "".join(f"{code},{grade}\n" for code, grade in rows))
    for number, (code, _) in enumerate(rows):
        (folder / images / f"{code}.png").write_bytes(picture(hash_of(code) + number))


def hash_of(code):
    return sum(code.encode())


def test_public_splits(tmp_path):
    write(tmp_path, "train_1.csv", [(f"a{grade}", grade) for grade in range(5)], "train_images/train_images")
    write(tmp_path, "valid.csv", [("b0", 2)], "val_images/val_images")
    write(tmp_path, "test.csv", [("c0", 4)], "test_images/test_images")
    train, test, manifest = built("aptos", tmp_path, tmp_path / "out")
    assert [question.id for question in train] == [f"aptos:a{grade}" for grade in range(5)]
    assert [question.answer for question in train] == [f"{grade} diabetic retinopathy" for grade in GRADES]
    assert (test[0].id, test[0].answer) == ("aptos:c0", "proliferative diabetic retinopathy")
    assert train[0].options == tuple(f"{grade} diabetic retinopathy" for grade in GRADES)
    assert (train[0].modality, train[0].body_region) == ("fundus photography", "eyes")
    assert manifest.counts["published_splits"] == {"test": 1, "train": 5}
    train, test, _ = built("aptos", tmp_path, tmp_path / "more", "--split=train,validation")
    assert (len(train), test) == (6, [])


def test_the_competition_keeps_its_test_grades(tmp_path, capsys):
    write(tmp_path, "train.csv", [("a0", 0), ("a1", 3)], "train_images")
    (tmp_path / "test.csv").write_text("id_code\nc0\n")
    train, test, _ = built("aptos-kaggle", tmp_path, tmp_path / "out")
    assert ([question.id for question in train], test) == (["aptos:a0", "aptos:a1"], [])
    line = refused(capsys, "aptos-kaggle", tmp_path, tmp_path / "out2", "--split=test")
    assert "has no gold answers; take train" in line


@pytest.mark.parametrize(
    ("grade", "words"),
    [
        ("5", "diagnosis '5' is no class from 0 to 4"),
        ("", "diagnosis '' is no class"),
        ("-1", "diagnosis '-1' is no class"),
    ],
)
def test_a_grade_beyond_the_scale_is_refused(tmp_path, capsys, grade, words):
    write(tmp_path, "train.csv", [("a0", grade)], "train_images")
    assert f"line 2: {words}" in refused(capsys, "aptos-kaggle", tmp_path, tmp_path / "out")


def test_a_missing_image_is_named(tmp_path, capsys):
    write(tmp_path, "train.csv", [("a0", 1)], "train_images")
    (tmp_path / "train_images" / "a0.png").unlink()
    assert "no file 'a0.png'" in refused(capsys, "aptos-kaggle", tmp_path, tmp_path / "out")
