"""The verify stage on a small attempts folder made by the programmatic teacher's own writer."""

import dataclasses
import json

import pyarrow as pa
import pytest
from verdict_table import question

from octomed_jax import manifests
from octomed_jax.cli.main import main
from octomed_jax.errors import StopAndLook, UserError
from octomed_jax.schema import ATTEMPT_SCHEMA, VERDICT_SCHEMA, Attempt
from octomed_jax.traces import lake
from octomed_jax.verification import check
from octomed_jax.verification.verify import verify
from tests.traces.corpus import iterate_records

OPTIONS = ("axial", "coronal", "sagittal")


def make_attempts(folder, rows, order=lambda questions: questions):
    base = question("classification", "axial", *OPTIONS)
    questions = [
        dataclasses.replace(
            base, id=f"s:{index}", source="s" if index < 2 else "z", images=(b"png",), image_hashes=("h",)
        )
        for index in range(3)
    ]
    lake.write_questions(folder / "questions.parquet", order(questions))
    attempts = [
        dataclasses.asdict(
            Attempt(
                name, sample, "t", response, "", finish, 5, 5, "unparsed", "", "", "", tuple(shown), 0, 1, "hash", error
            )
        )
        for name, sample, response, finish, error, *shown in rows
    ]
    lake.write_rows(folder / "attempts" / "part-00000.parquet", attempts, ATTEMPT_SCHEMA)
    manifest = manifests.Manifest(stage="distill", config={}, licences=("CC0-1.0",), extra={"teacher": "t"})
    manifests.write_manifest(folder, manifest)


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


def test_a_missing_part_of_the_attempts_is_named(tmp_path):
    folder = tmp_path / "attempts"
    make_attempts(folder, [("s:0", 0, RIGHT, "stop", "")])
    files = {**manifests.hash_files(folder), "attempts/part-00001.parquet": "0" * 64}
    manifests.write_manifest(folder, manifests.Manifest(stage="distill", config={}, files=files))
    with pytest.raises(StopAndLook, match=r"part-00001.parquet is missing"):
        verify(folder, tmp_path / "traces")
    assert not (tmp_path / "traces").exists()


def test_verdicts_traces_and_funnel(tmp_path):
    make_attempts(tmp_path / "attempts", [*ROWS[:6], ("s:2", 0, RIGHT, "stop", "")])
    manifest = verify(tmp_path / "attempts", tmp_path / "traces")
    records = list(iterate_records(tmp_path / "traces"))
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
        "asked": 6, "answered": 5, "parsed": 4, "correct": 3, "published": 0, "kept": 3, "questions": 2,
        "questions_kept": 1,
        "reasons": {"length": 1, "match": 3, "other_option": 1, "request_failed": 1},
    }  # fmt: skip
    assert funnel["total"]["asked"] == 7
    assert funnel["total"]["kept"] == manifest.counts["kept"] == 4
    assert manifest.licences == ("CC0-1.0",)
    assert set(manifest.files) == {"lake/part-00000.parquet", "verdicts.parquet", "funnel.json"}


def test_it_runs_once_and_gives_the_same_bytes(tmp_path):
    make_attempts(tmp_path / "attempts", ROWS[:6])
    first = verify(tmp_path / "attempts", tmp_path / "a")
    assert verify(tmp_path / "attempts", tmp_path / "a") == first
    verify(tmp_path / "attempts", tmp_path / "b")
    assert manifests.hash_files(tmp_path / "a") == manifests.hash_files(tmp_path / "b")
    assert (tmp_path / "a" / "manifest.json").read_bytes() == (tmp_path / "b" / "manifest.json").read_bytes()
    manifest = manifests.Manifest(stage="distill", config={"samples": 9})
    manifests.write_manifest(tmp_path / "attempts", manifest)
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


def test_another_version_writes_a_new_table_and_tells_what_changed(tmp_path, capsys, monkeypatch):
    make_attempts(tmp_path / "attempts", ROWS[:6])
    monkeypatch.setattr(check, "VERIFIER_VERSION", "1")
    first = verify(tmp_path / "attempts", tmp_path / "traces")
    path = tmp_path / "traces" / "verdicts.parquet"
    held = list(lake.iterate_rows(path))
    assert {row["verifier"] for row in held} == {"1"}
    # A fake of what an older version said of one attempt.
    table = pa.Table.from_pylist([{**row, "verdict": "unparsed"} if row["sample_index"] == 2 else row for row in held])
    lake.write_table(path, table.cast(VERDICT_SCHEMA))
    monkeypatch.setattr(check, "VERIFIER_VERSION", "2")
    capsys.readouterr()
    second = verify(tmp_path / "attempts", tmp_path / "traces")
    told = capsys.readouterr().err
    assert "verifier 1 -> 2: 1 of 6 verdicts changed" in told
    assert "unparsed -> correct: 1, such as s:0:2" in told
    assert second.config["verifier"] == "2" != first.config["verifier"]
    assert {row["verifier"] for row in lake.iterate_rows(path)} == {"2"}
    assert list(lake.iterate_rows(tmp_path / "traces" / "verdicts-1.parquet"))[2]["verdict"] == "unparsed"
    assert "verdicts-1.parquet" in second.files
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["attempts", "traces"]
    assert verify(tmp_path / "attempts", tmp_path / "traces") == second
    monkeypatch.setattr(check, "VERIFIER_VERSION", "3")
    verify(tmp_path / "attempts", tmp_path / "traces")
    names = sorted(entry.name for entry in (tmp_path / "traces").glob("verdicts*"))
    assert names == ["verdicts-1.parquet", "verdicts-2.parquet", "verdicts.parquet"]


def test_a_kill_between_the_old_folder_and_the_new_one_loses_nothing(tmp_path, monkeypatch):
    make_attempts(tmp_path / "attempts", ROWS[:6])
    monkeypatch.setattr(check, "VERIFIER_VERSION", "1")
    verify(tmp_path / "attempts", tmp_path / "traces")
    (tmp_path / "traces").rename(tmp_path / ".traces.replaced")  # where a kill would leave it
    monkeypatch.setattr(check, "VERIFIER_VERSION", "2")
    verify(tmp_path / "attempts", tmp_path / "traces")
    assert (tmp_path / "traces" / "verdicts-1.parquet").exists()
    assert not (tmp_path / ".traces.replaced").exists()


def test_explain_an_attempt_of_a_run(tmp_path, capsys):
    make_attempts(tmp_path / "attempts", ROWS[:6])
    words = ["verify", "--config=configs/demo.py", f"--attempts={tmp_path / 'attempts'}"]
    assert main([*words, "--explain=s:0:0"]) == 0
    printed = capsys.readouterr().out
    assert "used      box at 0: coronal" in printed
    assert "verdict   wrong, other_option" in printed
    assert main([*words, "--explain=s:0"]) == 0
    assert capsys.readouterr().out.count("--- sample") == 4
    assert main([*words, "--explain=s:9"]) == 2
    assert "no question or attempt 's:9'" in capsys.readouterr().err


def test_an_attempt_is_judged_by_the_options_as_its_teacher_saw_them(tmp_path):
    """Letters belong to the order in which the options were shown, and the traces keep that order."""
    base = question("mcq", "axial", *OPTIONS)
    lake.write_questions(tmp_path / "attempts" / "questions.parquet", [dataclasses.replace(base, id="s:0")])
    shown = {0: (), 1: (2, 0, 1), 2: (1, 2, 0), 3: (0, 2, 1)}
    letters = {0: "A", 1: "B", 2: "A", 3: "A"}
    attempts = [
        dataclasses.asdict(
            Attempt(
                "s:0", sample, "t", f"\\boxed{{{letters[sample]}}}", "", "stop", 5, 5, "", "", "", "", order, 0, 1, ""
            )
        )
        for sample, order in shown.items()
    ]
    lake.write_rows(tmp_path / "attempts" / "attempts" / "part-00000.parquet", attempts, ATTEMPT_SCHEMA)
    manifests.write_manifest(tmp_path / "attempts", manifests.Manifest(stage="distill", config={}))
    verify(tmp_path / "attempts", tmp_path / "traces")
    rows = list(lake.iterate_rows(tmp_path / "traces" / "verdicts.parquet"))
    assert [row["verdict"] for row in rows] == ["correct", "correct", "wrong", "correct"]
    [record] = iterate_records(tmp_path / "traces")
    assert record.option_orders == ((), (2, 0, 1), (0, 2, 1))
    assert [record.shown(number).options for number in range(3)] == [
        ("axial", "coronal", "sagittal"), ("sagittal", "axial", "coronal"), ("axial", "sagittal", "coronal"),
    ]  # fmt: skip
    for number in range(3):
        assert record.shown(number).options["AB".index(record.responses[number][7])] == "axial"
