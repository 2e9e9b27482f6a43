"""II-Medical-Reasoning-SFT in its published columns."""

import pytest
from adapter_helpers import built, refused, write_lines, write_parquet

from octomed_jax.questions.sources import ii_medical

ASKED = "Which drug?\n\nA. Ampicillin\nB. Nitrofurantoin"
TRACE = "<think>\nPregnant, so B.\n</think>\n\nNitrofurantoin is safe.\n\n\\boxed{B}"


def row(asked=ASKED, trace=TRACE, more=()):
    turns = [("user", asked), ("assistant", trace), *more]
    return {
        "model": "Qwen3-235B-A22B",
        "question": None,
        "problem": asked,
        "messages": [{"content": content, "role": role} for role, content in turns],
    }


def build(tmp_path, *rows):
    write_parquet(tmp_path / "in" / "data" / "train-00000-of-00001.parquet", list(rows))
    return built("ii-medical", tmp_path / "in", tmp_path / "out")


def test_a_trace_is_no_gold(tmp_path):
    closing = " Please reason step-by-step, and put your final answer within \\boxed{}."
    (first, second), test, manifest = build(tmp_path, row(), row(f"{ASKED}\n{closing}", TRACE.replace("safe", "right")))
    assert test == []
    assert first.id == "ii-medical:train:0000000"
    assert first.question == second.question == ASKED  # the prompt says again how to answer
    assert (first.task, first.options) == ("instruction", ())
    assert (first.answer, first.without_gold) == ("", True)
    assert first.cluster == second.cluster != ""
    assert first.licence == "unknown"
    assert (manifest.counts["rows"], manifest.counts["without_gold"]) == (2, {"ii-medical": 2})


def test_the_trace_is_handed_on_as_a_response():
    (cells,) = ii_medical.cells(row(), "train")
    assert cells["responses"] == [TRACE]


@pytest.mark.parametrize("trace", ["So B.\n</think>\nB.", "B, since it is safe.", "<think>\n\n</think>\n\nB."])
def test_forms_of_traces(trace):
    """Of these the first is as R1's template has it, which opens the thought."""
    (cells,) = ii_medical.cells(row(trace=trace), "train")
    assert cells["responses"] == [trace]


def test_what_is_passed_over(tmp_path):
    more = (("user", "Why?"), ("assistant", "It is safe."))
    rows = [
        row(),
        row(more=more),
        row(trace="<think>Hm"),
        row(trace="<think>Hm</think>\n"),
        row(asked="怀孕患者用哪种药？"),
    ]
    train, _, manifest = build(tmp_path, *rows)
    assert [question.question for question in train] == [ASKED, "怀孕患者用哪种药？"]
    assert manifest.counts["passed_over"] == {
        "it is a talk of several turns": 1,
        "its trace is cut off": 1,
        "its trace says nothing after its thought": 1,
    }


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"messages": None}, "line 1: messages is no list of turns"),
        ({"messages": [{"role": "user", "content": "x"}]}, "line 1: messages of user: a person and a model"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(tmp_path, capsys, change, words):
    write_lines(tmp_path / "train.jsonl", [row() | change])
    assert words in refused(capsys, "ii-medical", tmp_path / "train.jsonl", tmp_path / "out")
