"""The NEJM image challenge: the table without images, and OctoMed's copy with them."""

import datetime
import json

import pytest
from adapter_helpers import built, hub_image, picture, refused, write_parquet
from image_helpers import write_file, write_zip

from octomed_jax.questions.sources.nejm import MONTHS, day

ROW = {
    "image_id": 1,
    "date": "apr-01-2010",
    "question": "This 4-year-old boy presented with a 3-day history of rash. What is the diagnosis?",
    "relevant_context": "yes",
    "option_A": "Erythema infectiosum",
    "option_B": "Hand, foot, and mouth disease",
    "option_C": "Kawasaki disease",
    "option_D": "Measles",
    "option_E": "Pityriasis rosea",
    "option_A_votes": "12%",
    "option_most_voted": "A",
    "correct_answer": "B",
    "brier_score": 0.037,
}
OPTIONS = tuple(ROW[f"option_{letter}"] for letter in "ABCDE")


def write_rows(folder, *rows):
    """Write the table."""
    write_file(folder / "image_challenge_dataset_20231223.json", json.dumps(rows).encode())


@pytest.mark.parametrize("form", ["zip", "folder"])
def test_the_table_with_images_of_ones_own(tmp_path, form):
    folder, images = tmp_path / "in", {"IC20100401.jpg": picture(1, "JPEG"), "IC20211230.jpg": picture(2, "JPEG")}
    if form == "zip":
        write_zip(folder / "images.zip", {f"images/{name}": data for name, data in images.items()})
    for name, data in images.items() if form == "folder" else ():
        write_file(folder / "images" / name, data)
    write_rows(folder, ROW, ROW | {"date": "dec-30-2021", "correct_answer": "E"})
    train, test, _ = built("nejm-image-challenge", folder, tmp_path / "out")
    assert not train
    assert [(question.options, question.answer) for question in test] == [(OPTIONS, OPTIONS[1]), (OPTIONS, OPTIONS[4])]
    assert [question.images for question in test] == [(data,) for data in images.values()]
    assert test[0].licence == "unknown"


@pytest.mark.parametrize("answer", ["B", "B. Hand, foot, and mouth disease", "Hand, foot, and mouth disease"])
def test_the_copy_of_octomed(tmp_path, answer):
    row = {
        "image": hub_image(picture(1, "JPEG")), "image_hash": "00", "question": ROW["question"], "answer": answer,
        "options": [f"{letter}. {text}" for letter, text in zip("ABCDE", OPTIONS, strict=True)],
    }  # fmt: skip
    write_parquet(tmp_path / "in" / "data" / "test-00000-of-00001.parquet", [row])
    _, (question,), _ = built("nejm-image-challenge", tmp_path / "in", tmp_path / "out")
    assert (question.options, question.answer, question.images) == (OPTIONS, OPTIONS[1], (picture(1, "JPEG"),))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"correct_answer": "F"}, "row 1: correct_answer is 'F', but the options have the letters A, B, C, D, E"),
        ({"date": "2010-04-01"}, "row 1: is not as nejm-image-challenge is published"),
        ({"date": "apr-02-2010"}, "row 1: image: no file 'IC20100402.jpg' beside the rows"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(tmp_path, capsys, change, words):
    write_file(tmp_path / "in" / "images" / "IC20100401.jpg", picture(1, "JPEG"))
    write_rows(tmp_path / "in", ROW | change)
    assert words in refused(capsys, "nejm-image-challenge", tmp_path / "in", tmp_path / "out")


def test_days():
    for number, month in enumerate(MONTHS, 1):
        assert day(f"{month}-09-2019") == datetime.date(2019, number, 9)
    for text in ("apr-31-2010", "Apr-01-2010", "apr-01", "", "apr-01-2010-1"):
        with pytest.raises(ValueError, match=r".+"):
            day(text)
