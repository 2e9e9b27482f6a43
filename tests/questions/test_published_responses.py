"""Responses of published sets become attempts: judged, never trusted, and no teacher is asked."""

import csv
import dataclasses
import json
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from adapter_helpers import build, hub_image, picture, write_lines, write_parquet

from octomed_jax import manifests
from octomed_jax.cli.main import main
from octomed_jax.cli.shard import make_shards
from octomed_jax.configuration import load
from octomed_jax.questions import registry
from octomed_jax.schema import ATTEMPT_SCHEMA
from octomed_jax.teacher import published
from octomed_jax.traces.lake import iterate_parts, iterate_rows, read_table
from octomed_jax.traces.shards import ShardReader
from tests.traces.corpus import iterate_records

RIGHT = "<think>\nIt cannot be coronal.\n</think>\nThe options ... <answer>B</answer>"
RESPONSES = {  # of a question whose gold is B: sagittal
    RIGHT: ("correct", "match"),
    "<think>It is.</think>\n\n\\boxed{sagittal}": ("correct", "match"),
    "<think>Hm.</think>\n\n\\boxed{A}": ("wrong", "other_option"),
    "<think>It is B, since the": ("truncated", "thought_not_closed"),
    "I cannot see the image.": ("unparsed", "no_answer"),
    "": ("unparsed", "empty_answer"),
}


def published_rows(count=6, first=0):
    """Rows as OctoMed publishes them: lettered options, the gold as letter and text."""
    return [
        {
            "image": hub_image(picture(number)) if number % 2 else None,
            "image_hash": "0123" if number % 2 else None,
            "question": f"Which plane is {number}?",
            "options": ["A: axial", "B: sagittal", "C: coronal"],
            "answer": "B: sagittal",
            "responses": list(RESPONSES),
        }
        for number in range(first, first + count)
    ]


def write_set(folder, count=6):
    """Write a published set: train with responses, test without."""
    train, test = published_rows(count), published_rows(2, first=100)
    schema = pa.Table.from_pylist(train).schema
    write_parquet(folder / "data" / "train-00000-of-00001.parquet", train, schema)
    write_parquet(folder / "data" / "test-00000-of-00001.parquet", [{**row, "responses": None} for row in test], schema)
    return folder


def import_set(source, run, *more):
    return build("octomed", source, run / "questions", f"--attempts={run}/attempts", "--teacher=gpt-4o", *more)


def attempts_in(run):
    return list(iterate_parts(run / "attempts" / "attempts"))


def files_of(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(capsys, run, *words):
    before = files_of(run.parent)
    assert main(["questions", "build", *words]) == 2
    assert files_of(run.parent) == before
    return capsys.readouterr().err.strip().splitlines()[-1].removeprefix("octomed: ")


def test_responses_become_judged_attempts(tmp_path, capsys):
    assert import_set(write_set(tmp_path / "in"), tmp_path) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("6 questions to learn from and 2 held out are in ")
    assert printed[1].startswith("36 responses to 6 questions (12 correct) by gpt-4o lie in ")
    attempts = attempts_in(tmp_path)
    places = [(row["question_id"], row["sample_index"]) for row in attempts]
    assert places == sorted(places)
    assert read_table(tmp_path / "attempts" / "attempts" / "part-00000.parquet").schema == ATTEMPT_SCHEMA
    first = attempts[: len(RESPONSES)]
    assert [(row["verdict"], row["reason"]) for row in first] == list(RESPONSES.values())
    # In the one spelling that attempts have, whatever the set's.
    assert first[0]["response"] == ("<think>It cannot be coronal.</think>\n\nThe options ... <answer>B</answer>")
    assert first[0]["reasoning"] == "It cannot be coronal."
    assert {row["finish_reason"] for row in attempts} == {"unknown"}
    assert {(row["teacher"], row["group"], row["seed"], row["error"]) for row in attempts} == {("gpt-4o", 0, -1, "")}
    assert len({row["request_hash"] for row in attempts}) == 6
    assert {tuple(row["option_order"]) for row in attempts} == {()}
    questions = manifests.read_manifest(tmp_path / "questions", "questions")
    manifest = manifests.read_manifest(tmp_path / "attempts", "distill")
    assert manifest.inputs == {"questions": questions.identity}
    assert manifest.counts["verdicts"] == {"correct": 12, "truncated": 6, "unparsed": 12, "wrong": 6}
    for name, digest in manifest.files.items():
        assert digest == manifests.hash_files(tmp_path / "attempts")[name]
    carried = (tmp_path / "attempts" / "questions.parquet").read_bytes()
    assert carried == (tmp_path / "questions" / "questions.parquet").read_bytes()
    assert "Written by: `gpt-4o`" in (tmp_path / "attempts" / "card.md").read_text()


def test_wrong_responses_are_dropped_on_the_way_to_shards(tmp_path, root, capsys):
    """From a published set to training shards, and every stage between is a command."""
    assert import_set(write_set(tmp_path / "in"), tmp_path) == 0
    config = f"--config={root}/configs/demo.py:tiny"
    place = f"--config.run={tmp_path}"
    assert main(["verify", config, place]) == 0
    records = list(iterate_records(tmp_path / "traces"))
    assert [len(record.responses) for record in records] == [2] * 6
    assert all(record.question.answer == "sagittal" for record in records)
    settings = load(f"{root}/configs/demo.py:tiny", [f"run={tmp_path}"])
    counts = make_shards(settings, tmp_path / "traces", tmp_path / "shards")[0].counts
    assert (counts["records"], counts["examples"], counts["images"]) == (6, 12, 3)
    reader = ShardReader(tmp_path / "shards")
    kept = {response for number in range(len(reader)) for response in reader[number].responses}
    assert kept == {"<think>It cannot be coronal.</think>\n\nThe options ... <answer>B</answer>", list(RESPONSES)[1]}
    # What looks at an attempts folder looks at this one too.
    assert main(["report", f"--attempts={tmp_path}/attempts"]) == 0
    assert main(["distill", "--status", f"{tmp_path}/attempts"]) == 0
    assert "36 attempts at 6 questions (12 correct, 0 failed) by gpt-4o" in capsys.readouterr().out
    report = json.loads((tmp_path / "attempts" / "report.json").read_text())
    assert report["acceptance"]["teacher"]["gpt-4o"]["correct"] == 12


def test_questions_are_the_same_with_and_without_and_responses_may_come_later(tmp_path):
    source = write_set(tmp_path / "in")
    assert import_set(source, tmp_path / "at-once") == 0
    assert build("octomed", source, tmp_path / "later" / "questions") == 0
    assert files_of(tmp_path / "later" / "questions") == files_of(tmp_path / "at-once" / "questions")
    assert import_set(source, tmp_path / "later") == 0
    assert files_of(tmp_path / "later") == files_of(tmp_path / "at-once")


def test_done_work_is_kept_and_other_work_is_refused(tmp_path, capsys, monkeypatch):
    source = write_set(tmp_path / "in")
    assert import_set(source, tmp_path / "run") == 0
    before = files_of(tmp_path / "run")
    monkeypatch.setattr(published, "write_parts", None)  # nothing may be written
    assert import_set(source, tmp_path / "run") == 0
    assert files_of(tmp_path / "run") == before
    words = ["--source=octomed", f"--input={source}", f"--output={tmp_path}/run/questions"]
    line = refused(capsys, tmp_path / "run", *words, f"--attempts={tmp_path}/run/attempts", "--teacher=deepseek-r1")
    assert "was made with other settings (teacher: 'gpt-4o' -> 'deepseek-r1')" in line


@pytest.mark.parametrize("moment", ["imported.write_folder", "imported.write_attempts", "published._card"])
def test_killed_and_run_again_gives_the_same_bytes(tmp_path, moment):
    source = write_set(tmp_path / "in")
    assert import_set(source, tmp_path / "whole") == 0
    code = (
        "import os, signal, sys\nfrom octomed_jax.teacher import imported, published\n"
        "from octomed_jax.cli.main import main\n"
        f"{moment} = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "main(sys.argv[1:])"
    )
    run = tmp_path / "killed"
    words = ["questions", "build", "--source=octomed", f"--input={source}", f"--output={run}/questions"]
    words += [f"--attempts={run}/attempts", "--teacher=gpt-4o"]
    killed = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, timeout=120, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (run / "attempts").exists()
    assert (run / "questions").exists() == (moment != "imported.write_folder")
    assert import_set(source, run) == 0
    assert files_of(run) == files_of(tmp_path / "whole")


def test_images_in_both_published_splits_are_said_and_counted(tmp_path, capsys):
    """In one file of one's own they end the build; published splits are as they are."""
    train, test = ([row | {"question": name} for row in published_rows(2)[1:]] for name in ("One?", "Other?"))
    write_parquet(tmp_path / "in" / "data" / "train-00000-of-00001.parquet", train)
    write_parquet(tmp_path / "in" / "data" / "test-00000-of-00001.parquet", test)
    assert import_set(tmp_path / "in", tmp_path) == 0
    said = capsys.readouterr().err
    assert "1 clusters, 1 images stand in train and in test, as published" in said
    assert "6 responses to held-out questions are not used" in said
    write_parquet(tmp_path / "own.parquet", [train[0] | {"split": "train"}, test[0] | {"split": "test"}])
    assert import_set(tmp_path / "own.parquet", tmp_path / "own") == 2
    assert "give both the same split" in capsys.readouterr().err


def test_held_out_questions_get_no_attempts(tmp_path, capsys):
    rows = [row | {"image": None, "split": "test" if number else "train"} for number, row in
            enumerate(published_rows(3))]  # fmt: skip
    assert import_set(write_lines(tmp_path / "own.jsonl", rows), tmp_path) == 0
    assert "12 responses to held-out questions are not used" in capsys.readouterr().err
    assert {row["question_id"] for row in attempts_in(tmp_path)} == {
        row["id"] for row in iterate_rows(tmp_path / "questions" / "questions.parquet")
    }
    assert len(attempts_in(tmp_path)) == len(RESPONSES)


def test_how_a_response_ended(tmp_path):
    """A set that says it is believed; of others, what was cut is read in the text."""
    row = published_rows(1)[0]
    given = {"responses": ["\\boxed{B}", "\\boxed{B}", "\\boxed{B}", "<think>no end"]}
    ends = {"each": ["stop", "length", None, "stop"], "all": "stop", "none": None}
    for name, finish in ends.items():
        source = write_lines(tmp_path / f"{name}.jsonl", [row | given | {"finish_reason": finish}])
        assert import_set(source, tmp_path / name) == 0
    read = {name: [(row["finish_reason"], row["verdict"]) for row in attempts_in(tmp_path / name)] for name in ends}
    assert read == {
        "each": [("stop", "correct"), ("length", "truncated"), ("unknown", "correct"), ("stop", "truncated")],
        "all": [("stop", "correct")] * 3 + [("stop", "truncated")],
        "none": [("unknown", "correct")] * 3 + [("unknown", "truncated")],
    }


def test_rows_that_ask_the_same_give_their_responses_together(tmp_path):
    first, second = (published_rows(1)[0] | {"responses": given} for given in (["\\boxed{B}"], ["\\boxed{A}", "B"]))
    source = write_lines(tmp_path / "own.jsonl", [first, second, first])
    assert import_set(source, tmp_path) == 0
    read = [(row["sample_index"], row["group"], row["response"], row["verdict"]) for row in attempts_in(tmp_path)]
    assert read == [
        (0, 0, "\\boxed{B}", "correct"), (1, 1, "\\boxed{A}", "wrong"), (2, 1, "B", "correct")
    ]  # fmt: skip


def test_letters_belong_to_the_order_in_which_a_row_shows_its_options(tmp_path):
    row = published_rows(1)[0] | {"responses": ["\\boxed{B}"]}
    turned = {"options": ["A: sagittal", "B: coronal", "C: axial"], "answer": "A: sagittal", "option_order": [1, 2, 0]}
    source = write_lines(tmp_path / "own.jsonl", [row | turned, row])
    assert import_set(source, tmp_path) == 0
    (question,) = iterate_rows(tmp_path / "questions" / "questions.parquet")
    assert question["options"] == ["axial", "sagittal", "coronal"]
    read = [(row["option_order"], row["verdict"], row["extracted"]) for row in attempts_in(tmp_path)]
    assert read == [([1, 2, 0], "wrong", "coronal"), ([], "correct", "sagittal")]


def test_other_forms_of_rows(tmp_path):
    """Conversations, whose turn of gpt is a response where the gold is a column; lists in CSV are JSON."""
    turns = [{"from": "human", "value": "Which plane?\nA. axial\nB. sagittal"}, {"from": "gpt", "value": RIGHT}]
    bare = [turns[0] | {"value": "Which side?\nA. left\nB. right"}, {"from": "gpt", "value": "B"}]
    source = write_lines(tmp_path / "turns.jsonl", [{"conversations": turns, "answer": "B"}, {"conversations": bare}])
    assert import_set(source, tmp_path / "turns") == 0
    assert [(row["verdict"], row["extracted"]) for row in attempts_in(tmp_path / "turns")] == [("correct", "sagittal")]
    with (tmp_path / "own.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["question", "answer", "responses", "finish_reason"])
        table.writerow(["How many?", "4", json.dumps(["\\boxed{4}", "\\boxed{5}"]), json.dumps(["stop", "length"])])
        table.writerow(["How many more?", "4", "", ""])
    assert import_set(tmp_path / "own.csv", tmp_path / "csv") == 0
    assert [row["verdict"] for row in attempts_in(tmp_path / "csv")] == ["correct", "truncated"]
    counts = manifests.read_manifest(tmp_path / "csv" / "attempts", "distill").counts
    assert (counts["questions"], counts["questions_with_responses"]) == (2, 1)


def test_other_sources_with_responses(tmp_path, monkeypatch):
    """Whatever adapter yields responses: ids are of the place, a question without one is carried on."""
    row = {
        "images": None,
        "question": "Which one?",
        "options": json.dumps({"A": "axial", "B": "sagittal"}),
        "answer_label": "B",
        "answer": "sagittal",
        "dataset_name": "m23k",
    }
    given = [row | {"said": ["<think>Not axial.</think>\n<answer>B</answer>"]}, row | {"said": None}]
    write_parquet(tmp_path / "in" / "data" / "train-00000-of-00001.parquet", given)
    words = [f"--attempts={tmp_path}/attempts", "--teacher=deepseek-r1"]
    adapter = registry.ADAPTERS["medvlthinker-m23k"]

    def cells(row, split):
        yield from ({**one, "responses": row["said"]} for one in adapter.cells(row, split))

    changed = dataclasses.replace(adapter, cells=cells, columns=(*adapter.columns, "said"))
    monkeypatch.setitem(registry.ADAPTERS, "medvlthinker-m23k", changed)
    assert build("medvlthinker-m23k", tmp_path / "in", tmp_path / "questions", *words) == 0
    assert [(row["question_id"], row["response"], row["verdict"]) for row in attempts_in(tmp_path)] == [
        ("medvlthinker-m23k:train:0000000", "<think>Not axial.</think>\n\n<answer>B</answer>", "correct")
    ]
    assert "--source=medvlthinker-m23k --attempts" in (tmp_path / "attempts" / "card.md").read_text()


def test_a_row_that_is_left_out_gives_no_attempts(tmp_path):
    rows = [row | {"image": None} for row in published_rows(1200)]
    rows[7]["answer"] = "D: oblique"
    for row in rows[10:]:
        row["responses"] = []
    assert import_set(write_lines(tmp_path / "own.jsonl", rows), tmp_path) == 0
    counts = manifests.read_manifest(tmp_path / "attempts", "distill").counts
    assert (counts["questions"], counts["attempts"]) == (1199, 9 * len(RESPONSES))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"responses": "a text"}, "line 1: responses is no list; give a list of texts, or leave out --attempts"),
        ({"responses": [1]}, "line 1: a response is no text but int; give"),
        ({"responses": ["x"], "finish_reason": ["stop"] * 2}, "line 1: 1 responses, but 2 of finish_reason"),
        ({"responses": ["\ud800"]}, "line 1: responses hold '\\ud800', half a character"),
        ({"responses": []}, "holds no responses to questions to learn from; leave out --attempts"),
        ({"responses": ["x"], "split": "test"}, "holds no responses to questions to learn from"),
        ({"option_order": [0, 0, 1]}, "option_order [0, 0, 1] is no order of 3 options; leave it out"),
        ({"option_order": "first"}, "option_order first is no order of 3 options; leave it out"),
    ],
)
def test_responses_that_cannot_be_used_end_the_build(tmp_path, capsys, change, words):
    source = tmp_path / "own.jsonl"
    source.write_text(json.dumps(published_rows(1)[0] | change) + "\n")
    run = tmp_path / "run"
    given = ["--source=octomed", f"--input={source}", f"--output={run}/questions"]
    assert words in refused(capsys, run, *given, f"--attempts={run}/attempts", "--teacher=gpt-4o")
    assert not list(run.glob("*"))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--attempts=a"], "--attempts and --teacher go together"),
        (["--teacher=t"], "--attempts and --teacher go together"),
        (["--attempts=a", "--teacher= "], "is no name; say in one line who"),
        (["--attempts=a", "--teacher=a\nb"], "is no name; say in one line who"),
        (["--attempts=q", "--teacher=t"], "lie in each other; give folders side by side"),
        (["--attempts=q/a", "--teacher=t"], "lie in each other; give folders side by side"),
    ],
)
def test_options_that_do_not_fit(tmp_path, capsys, monkeypatch, more, words):
    monkeypatch.chdir(tmp_path)
    write_set(Path("in"))
    assert words in refused(capsys, tmp_path / "q", "--source=octomed", "--input=in", "--output=q", *more)


def test_a_folder_may_be_named_from_where_one_stands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_set(Path("in"))
    assert import_set(Path("in"), Path("run")) == 0
    assert len(attempts_in(tmp_path / "run")) == 36
