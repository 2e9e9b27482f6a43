"""``octomed questions build --source=octomed``: a file of one's own through the real command into a finished folder."""

import base64
import csv
import io
import json
import random
import signal
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from octomed_jax import manifests, storage
from octomed_jax.cli.main import main
from octomed_jax.questions.reading import build as module
from octomed_jax.schema import QUESTION_SCHEMA
from octomed_jax.traces import lake
from octomed_jax.traces.lake import iterate_questions


def picture(seed):
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (8, 8), dtype=np.uint8)).save(file, format="PNG")
    return file.getvalue()


def rows(count=12):
    """Rows of every kind, with one image, several and none."""
    made = []
    for number in range(count):
        row = {"question": f"Question {number} über 漢?", "licence": "CC0-1.0", "benchmark": f"b{number % 3}"}
        if number % 3 == 0:
            row |= {"options": [f"A. left {number}", f"B. right {number}"], "answer": "B", "responses": ["\\boxed{A}"]}
        elif number % 3 == 1:
            row |= {"options": None, "answer": str(number), "lower_limit": number - 0.5, "upper_limit": number + 0.5}
        else:
            row |= {"options": ["yes", "no"], "answer": "yes"}
        images = [picture(number), picture(number + 100)][: (1, 2, 0)[number // 3 % 3]]
        made.append(row | {"image": images, "split": "test" if number % 4 == 3 else "train"})
    return made


def write_lines(path, given):
    def plain(row):
        return row | {"image": [base64.b64encode(data).decode() for data in row.get("image") or []]}

    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(plain(row), ensure_ascii=False) + "\n" for row in given))
    return path


def build(source, output, *more):
    return main(["questions", "build", "--source=octomed", f"--input={source}", f"--output={output}", *more])


def mistake(capsys, source, output, *more):
    """Run a build that must end with exit 2, one line and nothing written; return the line."""
    before = sorted(output.parent.iterdir())
    assert build(source, output, *more) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("columns that")]
    assert len(lines) == 1, lines
    assert sorted(output.parent.iterdir()) == before
    return lines[0].removeprefix("octomed: ")


def folder_bytes(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_folder_is_a_finished_stage(tmp_path, capsys):
    source = write_lines(tmp_path / "in" / "own.jsonl", rows())
    assert build(source, tmp_path / "out") == 0
    printed = capsys.readouterr()
    place = tmp_path / "out"
    assert printed.out == f"9 questions to learn from and 3 held out are in {place} (see card.md there)\n"
    assert "licence unknown" not in printed.err
    assert sorted(folder_bytes(place)) == ["card.md", "heldout.parquet", "manifest.json", "questions.parquet"]
    manifest = manifests.read_manifest(place, "questions")
    assert manifest.files == manifests.hash_files(place)
    assert (manifest.licences, manifest.access) == (("CC0-1.0",), "open")
    assert manifest.counts["benchmarks"] == {f"b{n}": {"train": 3, "test": 1} for n in range(3)}
    found = {
        split: list(iterate_questions(place / name))
        for split, name in (("train", "questions.parquet"), ("test", "heldout.parquet"))
    }
    for split, questions in found.items():
        assert {question.split for question in questions} == {split}
        assert [question.id for question in questions] == sorted(question.id for question in questions)
        for question in questions:
            number = int(question.question.split()[1])
            assert list(question.images) == rows()[number]["image"]
            assert list(question.image_hashes) == [storage.sha256_bytes(data) for data in question.images]
            gold = (f"right {number}", str(number), "yes")[number % 3]
            assert (question.answer, question.task) == (gold, ("mcq", "numeric", "yes_no")[number % 3])
    assert pq.read_schema(place / "questions.parquet") == QUESTION_SCHEMA
    assert "| b0 | 3 | 1 |" in (place / "card.md").read_text()


def test_order_and_form_of_the_rows_change_no_byte(tmp_path):
    given = rows()
    assert build(write_lines(tmp_path / "a" / "own.jsonl", given), tmp_path / "out") == 0
    random.Random(0).shuffle(given)
    forms = {"shuffled.jsonl": write_lines(tmp_path / "b" / "shuffled.jsonl", given)}
    forms["list.json"] = tmp_path / "list.json"
    forms["list.json"].write_text(
        json.dumps([json.loads(line) for line in forms["shuffled.jsonl"].read_text().splitlines()])
    )
    shown = [{**row, "image": [{"bytes": data, "path": "x.png"} for data in row["image"]]} for row in given]
    forms["own.parquet"] = tmp_path / "own.parquet"
    pq.write_table(pa.Table.from_pylist(shown), forms["own.parquet"], row_group_size=5)
    forms["own.csv"] = tmp_path / "named" / "own.csv"
    (tmp_path / "named").mkdir()
    with forms["own.csv"].open("w", newline="", encoding="utf-8-sig") as file:
        table = csv.DictWriter(
            file, [*given[0], "answer", "options", "lower_limit", "upper_limit"], extrasaction="ignore"
        )
        table.fieldnames = list(dict.fromkeys(table.fieldnames))
        table.writeheader()
        for row in given:
            names = [f"{storage.sha256_bytes(data)[:8]}.png" for data in row["image"]]
            for name, data in zip(names, row["image"], strict=True):
                (tmp_path / "named" / name).write_bytes(data)
            options = json.dumps(row["options"]) if row["options"] else ""
            table.writerow(row | {"options": options, "image": json.dumps(names) if names else ""})
    for name, path in forms.items():
        assert build(path, tmp_path / f"out-{name}") == 0
        for file in ("questions.parquet", "heldout.parquet", "card.md"):
            assert (tmp_path / f"out-{name}" / file).read_bytes() == (tmp_path / "out" / file).read_bytes(), (
                name,
                file,
            )


def test_finished_work_is_kept_and_other_work_is_refused(tmp_path, capsys, monkeypatch):
    source = write_lines(tmp_path / "own.jsonl", [{"question": "Q?", "answer": "x"}])
    (tmp_path / "a.png").write_bytes(picture(0))
    source.write_text(json.dumps({"question": "Q?", "answer": "x", "image": "a.png"}))
    assert build(source, tmp_path / "out", "--json") == 0
    first = json.loads(capsys.readouterr().out)
    before = folder_bytes(tmp_path / "out")
    monkeypatch.setattr(module, "Store", None)  # nothing may be read into one
    assert build(source, tmp_path / "out", "--json") == 0
    assert json.loads(capsys.readouterr().out) == first
    for more, words in (
        (["--limit=1"], "limit: 'nothing' -> 1"),
        (["--licence=MIT"], "licence: 'nothing' -> 'MIT'"),
        (["--access=credentialed"], "access: 'open' -> 'credentialed'"),
    ):
        assert words in mistake(capsys, source, tmp_path / "out", *more)
    (tmp_path / "a.png").write_bytes(picture(1))
    assert "was made with other settings (images:" in mistake(capsys, source, tmp_path / "out")
    source.write_text(source.read_text() + " ")
    assert "input.own.jsonl:" in mistake(capsys, source, tmp_path / "out")
    assert folder_bytes(tmp_path / "out") == before


@pytest.mark.parametrize("moment", ["Store.leave_out_rivals", "_write_left_out", "manifests.write_manifest"])
def test_killed_and_run_again_gives_the_same_bytes(tmp_path, moment):
    source = write_lines(tmp_path / "in" / "own.jsonl", rows())
    assert build(source, tmp_path / "whole" / "out") == 0
    code = (
        "import os, signal, sys\nfrom octomed_jax.questions.reading import build as module\n"
        "from octomed_jax.cli.main import main\n"
        f"module.{moment} = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "main(sys.argv[1:])"
    )
    place = tmp_path / "killed" / "out"
    words = ["questions", "build", "--source=octomed", f"--input={source}", f"--output={place}"]
    killed = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, timeout=120, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert [path.name for path in place.parent.iterdir()] == [".out.partial"]
    assert build(source, place) == 0
    assert [path.name for path in place.parent.iterdir()] == ["out"]
    assert folder_bytes(place) == folder_bytes(tmp_path / "whole" / "out")


def test_a_bad_row_of_a_small_file_is_named_and_nothing_is_written(tmp_path, capsys):
    given = rows()
    given[4]["answer"] = "high"
    source = write_lines(tmp_path / "own.jsonl", given)
    assert mistake(capsys, source, tmp_path / "out") == (
        f"{source} line 5: answer 'high' is no number; write it as 4.5, or say another task "
        "(nothing is written; 0.1% may be left out, more with --most-left-out)"
    )
    given[9]["answer"] = "C"
    source = write_lines(tmp_path / "own.jsonl", given)
    assert "(nothing is written; so it is with 1 more of 12 lines; 0.1%" in mistake(capsys, source, tmp_path / "out")
    source.write_text('{"question": "Q?", "answer": "x"\n')
    assert "line 1: is no JSON (" in mistake(capsys, source, tmp_path / "out")
    source.write_text(json.dumps({"question": "Q?", "answer": "x", "options": json.loads("[" * 900 + "]" * 900)}))
    assert "line 1" in mistake(capsys, source, tmp_path / "out")
    pq.write_table(pa.table({"question": ["a", "b"], "answer": ["x", None]}), tmp_path / "own.parquet")
    assert "own.parquet row 2: has no answer; fill" in mistake(capsys, tmp_path / "own.parquet", tmp_path / "out")
    (tmp_path / "own.csv").write_text("question;answer\nQ?;x\n")
    assert "own.csv line 2: has no question" in mistake(capsys, tmp_path / "own.csv", tmp_path / "out")


def test_one_row_in_a_thousand_may_be_left_out(tmp_path, capsys):
    given = [{"question": f"Q{number}?", "answer": "x", "image": []} for number in range(1999)]
    given[7]["answer"] = {}
    given[7]["ä"] = 1
    source = write_lines(tmp_path / "own.jsonl", given)
    assert build(source, tmp_path / "out", "--licence=MIT", "--json") == 0
    printed = capsys.readouterr()
    assert "columns that are not used: 'ä'" in printed.err
    assert "1 left out: answer; see left_out.jsonl" in printed.err
    assert json.loads(printed.out)["dropped"] == {"octomed": {"answer": 1}}
    (line,) = (tmp_path / "out" / "left_out.jsonl").read_text().splitlines()
    assert json.loads(line) == {
        "file": "own.jsonl", "line": 8, "reason": "answer '{}' is no text; write the gold answer there"
    }  # fmt: skip
    manifest = manifests.read_manifest(tmp_path / "out", "questions")
    assert (manifest.counts["train"], manifest.counts["rows"]) == (1998, 1999)
    assert manifest.files == manifests.hash_files(tmp_path / "out")
    assert "- Left out: 1 (answer)" in (tmp_path / "out" / "card.md").read_text()
    given[9]["answer"] = None
    source = write_lines(tmp_path / "own.jsonl", given)
    line = mistake(capsys, source, tmp_path / "again")
    assert "(nothing is written; so it is with 1 more of 1999 lines; 0.1% may be left out, more with --most-" in line
    assert build(source, tmp_path / "again", "--most-left-out=0.01") == 0


def test_rows_that_stand_twice(tmp_path, capsys):
    row = {"question": "Q?", "options": ["x", "y"], "answer": "x"}
    source = write_lines(
        tmp_path / "own.jsonl", [row, row | {"question": "R?"}, row | {"responses": ["z"], "answer": "A"}]
    )
    assert build(source, tmp_path / "out") == 0
    assert "1 rows stood before just as they are and are kept once; line 3 is line 1 again" in capsys.readouterr().err
    manifest = manifests.read_manifest(tmp_path / "out", "questions")
    assert (manifest.counts["train"], manifest.counts["twice"]) == (2, 1)
    # Two golds of one question: neither is believed.
    source = write_lines(tmp_path / "own.jsonl", [row, row | {"question": "R?"}, row | {"answer": "y"}])
    line = mistake(capsys, source, tmp_path / "other")
    assert f"{source} line 1: the same question stands at line 3 with another answer; keep the right one (" in line
    assert "so it is with 1 more of 3 lines" in line
    source = write_lines(
        tmp_path / "own.jsonl", [row | {"id": "a"}, row | {"id": "b"}, row | {"id": "a", "question": "R?"}]
    )
    assert mistake(capsys, source, tmp_path / "other") == (
        "id 'a' stands at line 1 and at line 3 with another question; give each question an id of its own"
    )


def test_rival_golds_in_a_large_file_are_left_out_whatever_their_order(tmp_path):
    given = [{"question": f"Q{number}?", "answer": "x", "licence": "MIT"} for number in range(2500)]
    given[2000] = given[3] | {"answer": "y"}
    for name in ("a", "b"):
        assert build(write_lines(tmp_path / name / "own.jsonl", given), tmp_path / name / "out") == 0
        given.reverse()
    first, second = (folder_bytes(tmp_path / name / "out") for name in ("a", "b"))
    assert first["questions.parquet"] == second["questions.parquet"]
    reasons = [json.loads(line) for line in first["left_out.jsonl"].decode().splitlines()]
    assert [(row["line"], row["reason"][:42]) for row in reasons] == [
        (4, "the same question stands at line 2001 with"),
        (2001, "the same question stands at line 4 with an"),
    ]


@pytest.mark.parametrize(
    ("train", "test", "words"),
    [
        ({"image": [picture(1)]}, {"image": [picture(2), picture(1)]}, "the image of line 1 (train) stands at line 2"),
        ({"cluster": "p"}, {"cluster": "p"}, "the cluster of line 1 (train) stands at line 2 (test) too; give both"),
        ({"question": "Q?"}, {"question": "Q?", "answer": "y", "id": "b"}, "the text of line 1 (train)"),
    ],
)
def test_nothing_may_stand_in_both_splits(tmp_path, capsys, train, test, words):
    given = [{"question": "R?", "answer": "x"} | train, {"question": "S?", "answer": "x", "split": "test"} | test]
    assert words in mistake(capsys, write_lines(tmp_path / "own.jsonl", given), tmp_path / "out")
    apart = [given[0] | {"source": "a", "image": [], "id": "c"}, given[1] | {"question": "T?"}]
    assert build(write_lines(tmp_path / "own.jsonl", apart), tmp_path / "apart") == 0


def test_licence_and_access_are_said(tmp_path, capsys):
    given = [{"question": "Q?", "answer": "x"}, {"question": "R?", "answer": "x", "licence": "`MIT`\n# no"}]
    source = write_lines(tmp_path / "own.jsonl", given)
    assert build(source, tmp_path / "out") == 0
    assert capsys.readouterr().err.splitlines()[-1] == (
        "licence unknown for 1 questions; --licence=TEXT or a column licence says it"
    )
    assert "- Licence: `'MIT' # no` (1)" in (tmp_path / "out" / "card.md").read_text()
    assert build(source, tmp_path / "closed", "--access=credentialed", "--licence=MIMIC", "--json") == 0
    printed = capsys.readouterr()
    assert (json.loads(printed.out)["access"], printed.err) == ("credentialed", "")
    manifest = manifests.read_manifest(tmp_path / "closed", "questions")
    assert (manifest.access, manifest.licences) == ("credentialed", ("MIMIC", "`MIT`\n# no"))
    assert (
        main(["distill", "--config=configs/demo.py", f"--questions={tmp_path / 'closed'}", f"--output={tmp_path}/a"])
        == 2
    )
    assert "is credentialed and may not be sent to this endpoint" in capsys.readouterr().err


def test_names_of_any_spelling_are_taken(tmp_path, capsys):
    given = [{"question": f"Q{number}?", "answer": "x", "id": f"Set 1/{number}"} for number in range(3)]
    source = write_lines(tmp_path / "my %20 ä?#.jsonl", given)
    assert build(source, tmp_path / "out %20 ä?#") == 0
    assert "3 ids are spelt in another way, as later stages take them; 'Set 1/0' is set_1_0-" in capsys.readouterr().err
    questions = iterate_questions(tmp_path / "out %20 ä?#" / "questions.parquet")
    assert [question.id[:8] for question in questions] == ["set_1_0-", "set_1_1-", "set_1_2-"]
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["out %20 ä?#"]


def test_a_limit_reads_the_first_rows_only(tmp_path):
    given = [{"question": f"Q{number}?", "answer": "x"} for number in range(5)]
    source = write_lines(tmp_path / "own.jsonl", given)
    source.write_text(source.read_text() + "{")
    assert build(source, tmp_path / "out", "--limit=3") == 0
    assert sorted(question.question for question in iterate_questions(tmp_path / "out" / "questions.parquet")) == [
        "Q0?", "Q1?", "Q2?"
    ]  # fmt: skip


def test_images_are_written_a_few_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(lake, "GROUP_BYTES", 2 * len(picture(0)))
    given = [{"question": f"Q{number}?", "answer": "x", "image": [picture(number)]} for number in range(9)]
    assert build(write_lines(tmp_path / "own.jsonl", given), tmp_path / "out") == 0
    file = pq.ParquetFile(tmp_path / "out" / "questions.parquet")
    assert [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)][:4] == [2, 2, 2, 2]


def test_what_distill_reads_is_asked_and_verified(tmp_path, capsys):
    given = [row for row in rows() if row["split"] == "train"]
    assert build(write_lines(tmp_path / "own.jsonl", given), tmp_path / "questions") == 0
    config = f"--config.run={tmp_path}"
    assert main(["distill", "--config=configs/demo.py:tiny", config]) == 0
    assert main(["verify", "--config=configs/demo.py:tiny", config, "--json"]) == 0
    total = json.loads(capsys.readouterr().out.splitlines()[-1])["total"]
    assert (total["questions"], total["asked"]) == (9, 36)
    assert total["questions_kept"] == 9


def test_scratch_lies_in_the_folder_or_on_this_machine_and_goes(tmp_path):
    for folder, inside in ((tmp_path, True), ("gs://bucket/out", False)):
        with storage.scratch_folder(folder) as scratch:
            (scratch / "x").write_text("x")
            assert (scratch.parent == tmp_path) == inside
        assert not scratch.exists()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_worth_another_try(tmp_path, capsys, monkeypatch):
    """The fault is injected: the scratch database may hold some pages only."""
    opened = module.Store.__init__

    def small(store, *words):
        opened(store, *words)
        store._database.execute("PRAGMA max_page_count = 12")

    monkeypatch.setattr(module.Store, "__init__", small)
    given = [{"question": "Q" * 5000 + str(number), "answer": "x"} for number in range(30)]
    assert build(write_lines(tmp_path / "own.jsonl", given), tmp_path / "out") == 42
    assert "cannot be kept (database or disk is full); free some space there, " in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["own.jsonl"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--config=configs/demo.py", "--source=octomed"], "--config and --source exclude each other"),
        (["--config=configs/demo.py", "--input=x.jsonl"], "--config and --source exclude each other"),
        (["--source=octomed", "--config.seed=1"], "--config and --source exclude each other"),
        (["--config=configs/demo.py", "--licence=MIT"], "--licence is for --source"),
        (["--config=configs/demo.py", "--limit=3"], "--limit is for --source"),
        ([], "give --source with --input and --output, or --config"),
        (["--source=octomd", "--input=x.jsonl"], "unknown source 'octomd' (did you mean 'octomed'?)"),
        (["--input=x.jsonl", "--output=y"], "--input takes --source"),
        (["--source=octomed", "--output=y"], "--source=octomed needs --input"),
        (["--source=octomed", "--input=x.jsonl"], "--source=octomed needs --output"),
        (["--source=octomed", "--input=x.jsonl", "--output=y"], "no such file or folder: x.jsonl"),
        (["--source=octomed", "--input=Makefile", "--output=y"], "Makefile is none of .jsonl, .json, .parquet"),
        (["--source=octomed", "--input=x.jsonl", "--output=y", "--limit=0"], "--limit=0 reads no row"),
        (["--source=octomed", "--input=x.jsonl", "--output=y", "--access=closed"], "invalid choice: 'closed'"),
        (["--source=octomed", "--inptu=x.jsonl"], "(did you mean '--input'?)"),
    ],
)
def test_wrong_options_are_one_line(words, expected, capsys):
    assert main(["questions", "build", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert expected in line


def test_a_file_without_rows_and_a_folder_of_other_things(tmp_path, capsys):
    (tmp_path / "own.jsonl").write_text("\n")
    assert "own.jsonl holds no row" in mistake(capsys, tmp_path / "own.jsonl", tmp_path / "out")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "x").write_text("x")
    source = write_lines(tmp_path / "own.jsonl", rows())
    assert "mine already exists and is not empty" in mistake(capsys, source, tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["x"]
