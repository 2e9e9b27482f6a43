"""The verify stage on a small attempts folder made by the programmatic teacher's own writer."""

import dataclasses
import json

import pytest
from test_verdicts import question

from octomed_jax import storage
from octomed_jax.cli.main import main
from octomed_jax.errors import StopAndLook, UserError
from octomed_jax.schema import ATTEMPT_SCHEMA, Attempt
from octomed_jax.traces import lake
from octomed_jax.verification.verify import verify

OPTIONS = ("axial", "coronal", "sagittal")


def make_attempts(folder, rows, order=lambda questions: questions):
    base = question("classification", "axial", options=OPTIONS)
    questions = [
        dataclasses.replace(
            base, id=f"s:{index}", source="s" if index < 2 else "z", images=(b"png",), image_hashes=("h",)
        )
        for index in range(3)
    ]
    lake.write_questions(folder / "questions.parquet", order(questions))
    attempts = [
        dataclasses.asdict(Attempt(name, sample, 0, 1, "hash", "t", response, "", finish, 5, 5, error))
        for name, sample, response, finish, error in rows
    ]
    lake.write_rows(folder / "attempts" / "part-00000.parquet", attempts, ATTEMPT_SCHEMA)
    manifest = storage.Manifest(stage="distill", config={}, licences=("CC0-1.0",), extra={"teacher": "t"})
    storage.write_manifest(folder, manifest)


RIGHT = "<think>why</think>\n\n\\boxed{axial}"
ROWS = [
    ("s:0", 0, "<think>why</think>\n\n\\boxed{coronal}", "stop", ""),
    ("s:0", 1, RIGHT + " ", "stop", ""),
    ("s:0", 2, RIGHT, "stop", ""),
    ("s:0", 3, RIGHT + "  ", "stop", ""),
    ("s:1", 0, "", "error", "HTTP 400"),
    ("s:1", 1, "<think>why", "length", ""),
    ("z:none", 0, "", "stop", ""),
]


def test_verdicts_traces_and_funnel(tmp_path):
    make_attempts(tmp_path / "attempts", [*ROWS[:6], ("s:2", 0, RIGHT, "stop", "")])
    manifest = verify(tmp_path / "attempts", tmp_path / "traces")
    records = list(lake.iterate_records(tmp_path / "traces" / "traces.parquet"))
    assert [(record.question.id, record.responses) for record in records] == [
        ("s:0", (RIGHT + " ", RIGHT, RIGHT + "  ")),
        ("s:2", (RIGHT,)),
    ]
    assert records[0].question.images == (b"png",)
    verdicts = list(lake.iterate_rows(tmp_path / "traces" / "verdicts.parquet"))
    assert [(row["verdict"], row["reason"]) for row in verdicts] == [
        ("wrong", "other_option"), ("correct", "match"), ("correct", "match"), ("correct", "match"),
        ("unparsed", "request_failed"), ("truncated", "length"), ("correct", "match"),
    ]  # fmt: skip
    funnel = json.loads((tmp_path / "traces" / "funnel.json").read_text())
    assert funnel["sources"]["s"] == {
        "asked": 6, "answered": 5, "parsed": 4, "correct": 3, "kept": 3, "questions": 2, "questions_kept": 1,
        "reasons": {"length": 1, "match": 3, "other_option": 1, "request_failed": 1},
    }  # fmt: skip
    assert funnel["total"]["asked"] == 7
    assert funnel["total"]["kept"] == manifest.counts["kept"] == 4
    assert manifest.licences == ("CC0-1.0",)
    assert set(manifest.files) == {"traces.parquet", "verdicts.parquet", "funnel.json"}


def test_it_runs_once_and_gives_the_same_bytes(tmp_path):
    make_attempts(tmp_path / "attempts", ROWS[:6])
    first = verify(tmp_path / "attempts", tmp_path / "a")
    assert verify(tmp_path / "attempts", tmp_path / "a") == first
    verify(tmp_path / "attempts", tmp_path / "b")
    assert storage.hash_files(tmp_path / "a") == storage.hash_files(tmp_path / "b")
    assert (tmp_path / "a" / "manifest.json").read_bytes() == (tmp_path / "b" / "manifest.json").read_bytes()
    manifest = storage.Manifest(stage="distill", config={"samples": 9})
    storage.write_manifest(tmp_path / "attempts", manifest)
    with pytest.raises(UserError, match="the distill it was made from"):
        verify(tmp_path / "attempts", tmp_path / "a")


def test_what_does_not_fit_together_leaves_nothing(tmp_path):
    make_attempts(tmp_path / "attempts", ROWS)
    with pytest.raises(StopAndLook, match="unknown question 'z:none'"):
        verify(tmp_path / "attempts", tmp_path / "traces")
    make_attempts(tmp_path / "unsorted", ROWS[:6], order=lambda questions: questions[::-1])
    with pytest.raises(StopAndLook, match="not sorted"):
        verify(tmp_path / "unsorted", tmp_path / "traces")
    with pytest.raises(UserError, match="make it first with `octomed distill`"):
        verify(tmp_path / "nowhere", tmp_path / "traces")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["attempts", "unsorted"]


def test_the_command(tmp_path, capsys):
    make_attempts(tmp_path / "attempts", ROWS[:6])
    words = [
        "verify",
        "--config=configs/demo.py",
        f"--attempts={tmp_path / 'attempts'}",
        f"--output={tmp_path / 'traces'}",
    ]
    assert main(words) == 0
    printed = capsys.readouterr()
    assert "3 of 6 attempts are right; 3 traces of 1 questions lie in" in printed.out
    assert "From attempts to traces" in printed.err
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["total"]["correct"] == 3
    assert main(["verify", "--config=configs/demo.py", "--attempt=x"]) == 2
    assert "did you mean '--attempts'?" in capsys.readouterr().err
