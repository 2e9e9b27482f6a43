"""``octomed curate``: what it prints, and what a user gets wrong: one line, the right exit code, nothing half done."""

import errno
import json
import os

import pyarrow as pa
import pytest
from curation_helpers import folder_bytes, held, make, text, words, write_attempts, write_folder

from octomed_jax.cli.main import main
from octomed_jax.curation import curate
from octomed_jax.curation.corpus import by_id
from octomed_jax.errors import UserError
from octomed_jax.traces import lake

TWICE = [make("1", text(1)), make("2", text(1)), make("3", text(3)), held("4", text(4)), held("5", text(5))]


@pytest.fixture
def questions(tmp_path):
    return write_folder(tmp_path / "questions", TWICE)


def refused(capsys, *line, code=2):
    """Run a command line, which must end with this code and one line; return the line."""
    assert main(["curate", "--workers=1", *map(str, line)]) == code
    lines = capsys.readouterr().err.splitlines()
    assert [one.startswith("octomed: ") for one in lines].count(True) == 1
    assert lines[-1].startswith("octomed: "), lines
    return lines[-1]


def test_it_says_what_was_taken_out_and_where_the_rest_is(tmp_path, capsys, questions):
    output = tmp_path / "out"
    assert main(["curate", f"--questions={questions}", f"--output={output}", "--workers=1"]) == 0
    told = capsys.readouterr()
    last = told.out.splitlines()[-1]
    assert last == f"2 of 3 questions are left, 2 held out, in {output}; report: {output}/report.html"
    assert "deduplicate: 3 questions, 1 go, 2 are left" in told.err
    assert "is the same question with the same answer" in told.err
    assert main(["curate", f"--questions={questions}", f"--output={output}", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["output"] == str(output)
    assert [step["removed"] for step in found["steps"]] == [0, 1]
    assert found["benchmarks"] == {"made": {"train": 2, "test": 2}}


def test_a_run_s_questions_become_the_run_s_curated_ones(tmp_path, capsys, root):
    write_folder(tmp_path / "run" / "questions", TWICE)
    config = [f"--config={root / 'configs' / 'demo.py'}", f"--config.run={tmp_path / 'run'}"]
    assert main(["curate", *config, "--workers=1"]) == 0
    assert (tmp_path / "run" / "curated" / "manifest.json").exists()
    assert f"in {tmp_path}/run/curated" in capsys.readouterr().out


JUDGE = ("--config.curate.judge.endpoint=http://127.0.0.1:9", "--config.curate.judge.model=x")
MISTAKES = [
    (["--config.curate.steps=decontaminat"], "unknown step 'decontaminat' (did you mean 'decontaminate'?)"),
    (["--config.curate.steps=balance,balance"], "config.curate.steps names 'balance' twice"),
    (["--config.curate.steps=()"], "config.curate.steps names no step; name some of decontaminate, deduplicate"),
    (["--config.curate.steps=difficulty"], "name them with --attempts=DIR"),
    (["--config.curate.decontaminate.ngram=12"], "config.curate.decontaminate.ngram=12: one of 8, 13, 16"),
    (["--config.curate.decontaminate.ngrm=16"], "did you mean 'ngram'"),
    (["--config.curate.decontaminate.images=byte"], "config.curate.decontaminate.images: 'byte' is none of bytes"),
    (["--config.curate.decontaminate.held_out=both"], "config.curate.decontaminate.held_out='both': one of text, all"),
    (["--config.curate.deduplicate.threshold=1.5"], "config.curate.deduplicate.threshold=1.5: from 0.7 to 1"),
    (["--config.curate.deduplicate.threshold=0.69"], "deduplicate.threshold=0.69: from 0.7 to 1; of pairs that are le"),
    (["--config.curate.deduplicate.images=byte"], "config.curate.deduplicate.images='byte': one of bytes"),
    (["--config.curate.balance.ratio=0.5"], "config.curate.balance.ratio=0.5: at least 1"),
    (["--config.curate.balance.ratio=1e999"], "config.curate.balance.ratio=inf: at least 1"),
    (["--config.curate.balance.most=-1"], "config.curate.balance.most=-1: 0 or more"),
    (["--config.curate.difficulty.fewest=15"], "config.curate.difficulty: fewest=15, most=14, samples=16: right att"),
    (["--config.curate.difficulty.fewest=-1"], "config.curate.difficulty: fewest=-1, most=14, samples=16"),
    (["--config.curate.difficulty.most=17"], "config.curate.difficulty: fewest=2, most=17, samples=16"),
    (["--config.curate.difficulty.samples=0"], "config.curate.difficulty.samples=0: at least 1"),
    (["--config.curate.against.medqa.folder=x"], "config.curate.against names no set yet; name sets in the config fil"),
    (["--config.curate.against={}"], "config.curate.against names no set yet; name sets in the config file, or --agai"),
    (["--config.curate.difficulty.by=techer"], "config.curate.difficulty.by='techer': one of student, teacher"),
    (["--workers=-1"], "--workers=-1 is less than 0"),
    (["--most-left-out=1.5"], "--most-left-out=1.5 is no share; give a number from 0 to 1"),
    (["--most-left-out=nan"], "--most-left-out=nan is no share"),
    (["--engine=spark"], "invalid choice: 'spark'"),
    (["--against=/nonexistent"], "/nonexistent does not exist; make it first with `octomed questions build`"),
    (["--attempts=x"], "--attempts is for the step difficulty, which config.curate.steps does not name"),
    (["--against=x", "--config.curate.steps=balance"], "--against is for the step decontaminate, which config.curate"),
    (["--attempts=x", "--config.curate.difficulty.by=judge", *JUDGE], "--attempts is not read: config.curate.diffic"),
    (
        ["--config.curate.balance.tasks=yes_no,clasification"],
        "balance.tasks: unknown: 'clasification' (did you mean 'classification'?); known: mcq",
    ),
    (
        ["--config.curate.balance.sources=mad", "--config.curate.steps=balance"],
        "balance.sources: no question to learn from is of the source 'mad' (did you mean 'made'?); known: made",
    ),
    (
        ["--config.curate.decontaminate.keep_shared_images=maed"],
        "keep_shared_images: no question to learn from is of the source 'maed' (did you mean 'made'?); known: made",
    ),
    (["--attempt=x"], "did you mean '--attempts'"),
]


@pytest.mark.parametrize(("more", "expected"), MISTAKES)
def test_mistakes(tmp_path, capsys, questions, more, expected):
    before = folder_bytes(questions)
    more = [*more, "--config.curate.steps=difficulty"] if "difficulty." in "".join(more) else more
    assert expected in refused(capsys, f"--questions={questions}", f"--output={tmp_path / 'out'}", *more)
    assert [path.name for path in tmp_path.iterdir()] == ["questions"]
    assert folder_bytes(questions) == before


def test_without_folders_or_config(capsys, tmp_path):
    assert "give --questions and --output, or --config for a run" in refused(capsys)
    assert "give --questions and --output" in refused(capsys, f"--output={tmp_path / 'out'}")
    (tmp_path / "own.py").write_text(
        "from ml_collections import ConfigDict\n\ndef get_config():\n    return ConfigDict({'seed': 0, 'run': 'x'})\n"
    )
    assert "the config has no field curate" in refused(capsys, f"--config={tmp_path / 'own.py'}")


def test_attempts_are_no_questions(tmp_path, capsys):
    attempts = write_attempts(tmp_path / "attempts", {"a": 1})
    line = refused(capsys, f"--questions={attempts}", f"--output={tmp_path / 'out'}")
    assert "holds the result of `octomed distill`, not of `octomed questions`" in line


def test_an_unfinished_folder_is_refused(tmp_path, capsys, questions):
    (questions / "manifest.json").unlink()
    assert "is not finished" in refused(capsys, f"--questions={questions}", f"--output={tmp_path / 'out'}")


@pytest.mark.parametrize("file", ["questions.parquet", "heldout.parquet"])
@pytest.mark.parametrize("damage", ["cut", "torn inside", "missing"])
def test_damaged_files_are_named(tmp_path, capsys, file, damage):
    questions = [make(f"{number}", text(number, 400)) for number in range(40)]
    folder = write_folder(
        tmp_path / "questions", [*questions, *(held(f"h{one.id}", one.question) for one in questions)]
    )
    path = folder / file
    data = path.read_bytes()
    torn = data[:200] + bytes(len(data) // 2) + data[200 + len(data) // 2 :]
    path.write_bytes({"cut": data[: len(data) // 2], "torn inside": torn, "missing": b""}[damage])
    if damage == "missing":
        path.unlink()
    line = refused(capsys, f"--questions={folder}", f"--output={tmp_path / 'out'}", code=43)
    assert f"{path} is damaged (" in line
    assert [path.name for path in tmp_path.iterdir()] == ["questions"]


def test_an_id_in_two_folders_is_refused(tmp_path, capsys, questions):
    other = write_folder(tmp_path / "other", [make("3", text(9))])
    line = refused(capsys, f"--questions={questions}", f"--questions={other}", f"--output={tmp_path / 'out'}")
    assert "comes twice; name a folder once" in line
    held_out = write_folder(tmp_path / "held", [make("9", text(9)), held("4", text(10))])
    line = refused(capsys, f"--questions={questions}", f"--questions={held_out}", f"--output={tmp_path / 'out'}")
    assert "the question made:4 comes twice" in line
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / ".out.partial").exists()
    # Held-out questions of a folder that is compared with only may come again.
    again = write_folder(tmp_path / "again", TWICE)
    assert main(["curate", f"--questions={questions}", f"--against={again}", f"--output={tmp_path / 'out'}"]) == 0


def test_a_folder_that_is_named_twice_is_refused_before_work(tmp_path, capsys, monkeypatch, questions):
    other = write_folder(tmp_path / "other", [make("9", text(9)), held("10", text(10)), held("11", text(11))])
    (tmp_path / "link").symlink_to(questions)
    monkeypatch.setattr(curate, "_open", None)
    for first, more in (
        (f"--questions={questions}", f"--questions={questions}/"),
        (f"--questions={questions}", f"--questions={tmp_path}/other/../questions"),
        (f"--questions={questions}", f"--questions={tmp_path / 'link'}"),
        (f"--questions={questions}", f"--against={questions}"),
        (f"--against={other}", f"--against={other}"),
        (f"--against=one={other}", f"--against=two={other}"),
    ):
        folders = [first, more] if "--questions" in first else [f"--questions={questions}", first, more]
        line = refused(capsys, *folders, f"--output={tmp_path / 'out'}")
        assert "is named twice" in line
        assert "name a folder once" in line
    line = refused(
        capsys, "--config.curate.steps=balance", *[f"--questions={questions}"] * 2, f"--output={tmp_path / 'out'}"
    )
    assert "is named twice, to learn from" in line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "other", "questions"]


@pytest.mark.parametrize(
    ("ids", "line"),
    [
        ([["b", "c"], ["a"]], "the question a stands after c"),
        ([["b", "a", "c"]], "the question a stands after b"),
        ([["a", "b"], ["a", "b"]], "the question a stands after b"),
        ([["a", "b"], ["b", "c"]], "the question b comes twice"),
        ([["a", "a"]], "the question a comes twice"),
    ],
)
@pytest.mark.parametrize("others", [[], [["d"]], [["0", "bb"]]])
def test_ids_that_do_not_rise_are_refused(ids, line, others):
    streams = [
        iter([pa.table({"id": pa.array(some, pa.string())}) for some in tables]) for tables in ([[], *ids], others)
    ]
    with pytest.raises(UserError, match=line):
        list(by_id(streams))


def test_ids_that_rise_are_merged():
    streams = [iter([pa.table({"id": pa.array(some, pa.string())}) for some in tables])
               for tables in ([["a", "d"], [], ["e"]], [["b"], ["c", "f"]])]  # fmt: skip
    assert [name for table in by_id(streams) for name in table["id"].to_pylist()] == list("abcdef")


def test_another_result_is_told_by_step_and_field(tmp_path, capsys, questions):
    words = [f"--questions={questions}", f"--output={tmp_path / 'out'}"]
    assert main(["curate", *words, "--workers=1"]) == 0
    line = refused(capsys, *words, "--config.curate.decontaminate.keep_shared_images=made")
    assert "made with other settings (decontaminate.keep_shared_images: [] -> ['made']); remove" in line
    line = refused(capsys, *words, "--config.curate.steps=deduplicate", "--config.curate.deduplicate.near=false")
    assert (
        "(deduplicate.near: True -> False, steps: ['decontaminate', 'deduplicate'] -> ['deduplicate']); remove" in line
    )


def test_a_set_of_the_config_is_changed_on_the_command_line(tmp_path, capsys, root, questions):
    write_folder(tmp_path / "exam", [held("9", text(3))])
    lines = (root / "configs" / "octomed_7b.py").read_text().splitlines(keepends=True)
    [shown] = [number for number, line in enumerate(lines) if "# config.curate.against = {" in line]
    lines[shown] = lines[shown].replace("# ", "", 1)
    (tmp_path / "own.py").write_text("".join(lines).replace("configs.demo", "demo"))
    (tmp_path / "demo.py").write_text((root / "configs" / "demo.py").read_text())
    words = [f"--config={tmp_path / 'own.py'}", f"--questions={questions}", f"--output={tmp_path / 'out'}"]
    assert "runs/medxpertqa/questions does not exist" in refused(capsys, *words)
    folder = f"--config.curate.against.medxpertqa.folder={tmp_path / 'exam'}"
    assert "no field 'medxprtqa' in config.curate.against (did you mean" in refused(
        capsys, *words, folder.replace("medxpertqa.", "medxprtqa.")
    )
    assert main(["curate", *words, folder, "--workers=1"]) == 0
    [row] = lake.iterate_rows(tmp_path / "out" / "removed.parquet")
    assert (row["id"], row["match_set"]) == ("made:3", "medxpertqa")


def test_steps_that_leave_nothing_are_refused(tmp_path, capsys):
    run = " ".join(words("run", 20))
    folder = write_folder(tmp_path / "questions", [make("1", run), make("2", f"{run}, {text(2)}"), held("3", run)])
    line = refused(capsys, f"--questions={folder}", f"--output={tmp_path / 'out'}")
    assert "the steps take out all 2 questions; the last one is decontaminate" in line
    assert [path.name for path in tmp_path.iterdir()] == ["questions"]
    nothing = write_folder(tmp_path / "nothing", [held("3", run)])
    line = refused(capsys, f"--questions={nothing}", f"--output={tmp_path / 'out'}")
    assert "no questions to learn from" in line


def test_no_step_is_done_after_the_one_that_leaves_nothing(tmp_path, capsys):
    folder = write_folder(tmp_path / "questions", [make("1", text(1)), held("3", text(1))])
    refused(capsys, f"--questions={folder}", f"--output={tmp_path / 'out'}")
    assert main(["curate", f"--questions={folder}", f"--output={tmp_path / 'out'}"]) == 2
    told = capsys.readouterr().err
    assert "decontaminate: 1 questions" in told
    assert "deduplicate: " not in told


def test_the_help_says_which_folder_is_which(capsys):
    with pytest.raises(SystemExit):
        main(["curate", "--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert "--questions DIR questions to learn from, such as runs/medqa/questions" in told
    assert (
        "--against [NAME=]DIR questions to be tested with and not learnt from, such as runs/medxpertqa/questions"
        in told
    )


def test_folders_without_held_out_questions_are_no_mistake(tmp_path, capsys):
    folder = write_folder(tmp_path / "questions", [make("1", text(1)), make("2", text(2), images=[1])])
    empty = write_folder(tmp_path / "empty", [make("1", text(1))])
    line = ["curate", f"--questions={folder}", f"--against={empty}", f"--output={tmp_path / 'out'}", "--workers=1"]
    assert main(line) == 0
    assert "2 of 2 questions are left, 0 held out" in capsys.readouterr().out


def test_what_lies_there_is_never_overwritten(tmp_path, capsys, questions):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    assert "already exists and is not empty" in refused(
        capsys, f"--questions={questions}", f"--output={tmp_path / 'out'}"
    )
    assert "something else lies there" in refused(
        capsys, f"--questions={questions}", f"--output={tmp_path / 'out' / 'mine.txt' / 'x'}"
    )
    assert folder_bytes(tmp_path / "out") == {"mine.txt": b"mine"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written(tmp_path, capsys, questions):
    (tmp_path / "shut").mkdir(mode=0o500)
    line = refused(capsys, f"--questions={questions}", f"--output={tmp_path / 'shut' / 'out'}")
    assert "cannot write" in line


def test_a_full_disk_is_tried_again_and_goes_on(tmp_path, capsys, monkeypatch, questions):
    inner = curate.write_card

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(curate, "write_card", full)
    line = refused(capsys, f"--questions={questions}", f"--output={tmp_path / 'out'}", code=42)
    assert "no space left while writing" in line
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr(curate, "write_card", inner)
    assert main(["curate", f"--questions={questions}", f"--output={tmp_path / 'out'}", "--workers=1"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "questions"]


def test_a_curated_folder_is_curated_again(tmp_path, capsys, questions):
    once, twice, other = (tmp_path / name for name in ("once", "twice", "other"))
    assert main(["curate", f"--questions={questions}", f"--output={once}", "--workers=1"]) == 0
    write_folder(other, [make("8", text(3)), make("9", text(4)), make("10", text(10))])
    assert main(["curate", f"--questions={once}", f"--questions={other}", f"--output={twice}", "--workers=1"]) == 0
    assert "3 of 5 questions are left, 2 held out" in capsys.readouterr().out
    assert main(["questions", "show", str(twice), "--split=train"]) == 0
    page = (twice / "questions.html").read_text()
    assert text(10)[:40] in page
