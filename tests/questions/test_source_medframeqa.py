"""MedFrameQA: several frames a question."""

import pytest
from adapter_helpers import built, hub_image, picture, refused, write_parquet

FRAMES = [hub_image(picture(number, "JPEG")) for number in range(3)]
ROW = {
    "question_id": "q1",
    "system": "musculoskeletal system",
    "organ": "Shoulder joint",
    "keyword": "rotator cuff tear",
    "modality": "MRI",
    "video_id": "abc",
    "question": "What do the two images show together?",
    "options": ["Tear", "Fracture", "Bursitis", "Arthritis", "Normal", "Cyst"],
    "image_url": ["a", "b"],
    "correct_answer": "C",
    "reasoning_chain": "The first shows fluid.",
    **{f"image_{number}": None for number in range(1, 6)},
    "image_1": FRAMES[0],
    "image_2": FRAMES[1],
}


def octomed(row, **change):
    """Return a row as OctoMed's copy has it."""
    kept = {name: value for name, value in row.items() if name != "correct_answer" and name[:6] != "image_"}
    return kept | {"image": FRAMES, "image_hash": ["0", "1", "2"], "answer": "Bursitis"} | change


def test_frames_stand_in_their_order(tmp_path):
    rows = [ROW, ROW | {"image_3": FRAMES[2], "modality": "CT", "correct_answer": "F"}]
    write_parquet(tmp_path / "in" / "data" / "test-00000-of-00002.parquet", rows)
    train, test, manifest = built("medframeqa", tmp_path / "in", tmp_path / "out")
    assert not train
    assert [len(question.images) for question in test] == [2, 3]
    assert test[0].images == (picture(0, "JPEG"), picture(1, "JPEG"))
    assert [question.answer for question in test] == ["Bursitis", "Cyst"]
    assert [question.modality for question in test] == ["MRI", "CT"]
    first = test[0]
    assert (first.body_region, first.cluster, first.explanation) == ("shoulder joint", "abc", "The first shows fluid.")
    assert manifest.counts["published_splits"] == {"test": 2}


def test_the_copy_of_octomed_has_a_list_of_images(tmp_path):
    write_parquet(tmp_path / "in" / "data" / "test-00000-of-00002.parquet", [octomed(ROW)])
    _, (question,), _ = built("medframeqa", tmp_path / "in", tmp_path / "out")
    assert (len(question.images), question.answer, question.cluster) == (3, "Bursitis", "abc")


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (
            ROW | {"correct_answer": "G"},
            "row 1: correct_answer is 'G', but the options have the letters A, B, C, D, E, F",
        ),
        (ROW | {"image_2": None}, "row 1: there are 1 images, and its questions are on several"),
        (octomed(ROW, answer="Sprain"), "row 1: answer 'Sprain' is none of the options"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(tmp_path, capsys, row, words):
    write_parquet(tmp_path / "in" / "data" / "test-00000-of-00002.parquet", [row])
    assert words in refused(capsys, "medframeqa", tmp_path / "in", tmp_path / "out")
