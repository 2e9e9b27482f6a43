"""MMLU-Pro: the category health, up to ten options, and a gold in two forms."""

import pytest
from adapter_helpers import built, refused, write_lines, write_parquet

ROW = {
    "question_id": 5990,
    "question": "Which virus is hepatitis E caused by?",
    "options": ["Flavivirus", "Hepadnavirus", "Hepevirus", "Picornavirus"],
    "answer": "C",
    "answer_index": 2,
    "cot_content": "",
    "category": "health",
    "src": "ori_mmlu-virology",
}


def test_only_health_is_asked(tmp_path):
    ten = [f"Option {number}" for number in range(10)]
    rows = [
        ROW | {"category": "law"},
        ROW,
        ROW | {"question": "Of ten?", "options": ten, "answer": "J", "answer_index": 9},
        ROW | {"category": "biology"},
        ROW | {"category": "law", "question": "Other law?"},
    ]
    write_parquet(tmp_path / "in" / "data" / "test-00000-of-00001.parquet", rows)
    write_parquet(tmp_path / "in" / "data" / "validation-00000-of-00001.parquet", [ROW | {"question": "A shot?"}])
    train, test, manifest = built("mmlu-pro-health", tmp_path / "in", tmp_path / "out")
    assert (train, [question.answer for question in test]) == ([], ["Hepevirus", "Option 9"])
    assert [question.id for question in test] == ["mmlu-pro-health:test:0000001", "mmlu-pro-health:test:0000002"]
    assert (len(test[1].options), test[0].task, test[0].licence) == (10, "mcq", "MIT")
    assert manifest.counts["passed_over"] == {"its category is biology": 1, "its category is law": 2}


def test_padding_is_no_option_and_does_not_shift_the_gold(tmp_path):
    options = ["N/A", "Flavivirus", "N/A", "Hepevirus", "N/A"]
    write_lines(tmp_path / "test.jsonl", [ROW | {"options": options, "answer": "D", "answer_index": 3}])
    _, (question,), _ = built("mmlu-pro-health", tmp_path / "test.jsonl", tmp_path / "out")
    assert (question.options, question.answer) == (("Flavivirus", "Hepevirus"), "Hepevirus")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"answer": "D"}, "line 1: answer_index 2 is C, but answer is 'D'"),
        ({"answer_index": 4, "answer": "E"}, "line 1: answer_index 4 is none of its 4 options"),
        ({"answer_index": -1, "answer": "D"}, "line 1: answer_index -1 is none of its 4 options"),
        ({"options": ["a", "b", "N/A"]}, "line 1: answer_index 2 is none of its 3 options"),
        ({"options": ["hepevirus", "b", "Hepevirus"]}, "line 1: options hold the answer 'Hepevirus' more than once"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(tmp_path, capsys, change, words):
    write_lines(tmp_path / "test.jsonl", [ROW | change])
    assert words in refused(capsys, "mmlu-pro-health", tmp_path / "test.jsonl", tmp_path / "out")
