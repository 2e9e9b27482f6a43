"""The record of a launch: its code, its configs, its files; never a secret, nor what nobody committed."""

import dataclasses
import json
import os
import subprocess
from pathlib import Path

import pytest

from octomed_jax.errors import StopAndLook, UserError
from octomed_jax.launching import code_state as code_state_module
from octomed_jax.launching.backends.jobset import JOBSET
from octomed_jax.launching.backends.local import LOCAL
from octomed_jax.launching.code_state import CodeState, code_state
from octomed_jax.launching.image import image_digest
from octomed_jax.launching.record import (
    command_config,
    is_launched,
    last_record,
    next_launch,
    read_launch,
    spec_of,
    write_record,
)
from octomed_jax.launching.render import render
from octomed_jax.launching.spec import Command, JobSpec, Secret, Teacher
from octomed_jax.launching.tools import NO_PROGRAM, Answer
from octomed_jax.storage import sha256_bytes
from tests.bucket import emulated

ROOT = Path(__file__).resolve().parents[2]
DIGEST = "sha256:" + "0123456789abcdef" * 4


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    return subprocess.run(
        ["git", "-C", str(folder), *identity, *words], check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def checkout(tmp_path):
    """A checkout with one commit."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    git(folder, "init", "-q")
    (folder / "a.py").write_text("one\n")
    (folder / ".gitignore").write_text("runs/\n")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "one")
    return folder


def job(workdir: object, **fields) -> JobSpec:
    command = Command("train", "configs/demo.py", ("train.steps=7",), ("shards=s",))
    return JobSpec(name="test", command=command, workdir=str(workdir), **fields)


def record(spec: JobSpec, folder: Path, code: CodeState):
    files = render(spec, LOCAL, folder)
    launch = next_launch(spec, LOCAL, folder)
    config = command_config(spec, (ROOT,))
    write_record(launch, folder, files, config, code, (DIGEST, ""), LOCAL.up(spec, folder))
    return launch


def test_the_commit_the_changes_and_the_names_of_what_git_does_not_know(checkout):
    commit = git(checkout, "rev-parse", "HEAD")
    assert code_state(checkout) == CodeState(commit)
    (checkout / "a.py").write_text("two\n")
    (checkout / "key.json").write_text("a secret")
    (checkout / "runs").mkdir()
    (checkout / "runs" / "much").write_text("ignored")
    state = code_state(checkout)
    assert state.commit == commit
    assert list(state.untracked) == ["key.json"]
    assert b"a secret" not in state.patch
    git(checkout, "stash")
    patch = checkout.parent / "p"
    patch.write_bytes(state.patch)
    git(checkout, "apply", str(patch))
    assert (checkout / "a.py").read_text() == "two\n"


def test_a_large_file_that_git_does_not_know_is_not_read(checkout, monkeypatch):
    (checkout / "small").write_bytes(b"x" * 10)
    (checkout / "large").write_bytes(b"x" * 11)
    monkeypatch.setattr(code_state_module, "MOST_UNTRACKED", 10)
    state = code_state(checkout)
    assert state.untracked == {"large": "not hashed: 11 bytes", "small": sha256_bytes(b"x" * 10)}
    assert state.not_hashed == 1


def test_a_patch_applies_whatever_the_settings_of_git_are(checkout):
    git(checkout, "config", "diff.noprefix", "true")
    git(checkout, "config", "diff.shout.textconv", "tr a-z A-Z <")
    (checkout / ".git/info/attributes").write_text("*.py diff=shout\n")
    (checkout / "a.py").write_text("two\n")
    (checkout / os.fsdecode(b"\xff.txt")).write_text("x")
    state = code_state(checkout)
    assert [os.fsencode(name) for name in state.untracked] == [b"\xff.txt"]
    git(checkout, "checkout", "-q", "a.py")
    subprocess.run(["git", "-C", str(checkout), "apply"], input=state.patch, check=True)
    assert (checkout / "a.py").read_text() == "two\n"


def test_outside_of_a_checkout_nothing_is_known(tmp_path):
    assert code_state(tmp_path) == CodeState()


def test_a_record_holds_what_a_run_was_made_from(checkout, tmp_path):
    (checkout / "a.py").write_text("two\n")
    spec = job(tmp_path / "work", secrets={"A_KEY": Secret("s", "k")}, image="r/i:1")
    launch = record(spec, tmp_path / "out", code_state(checkout))
    folder = Path(launch.record)
    assert folder == tmp_path / "work/launch" / launch.run_id / "start-1"
    assert sorted(path.name for path in folder.iterdir()) == ["changes.patch", "config.json", "files", "launch.json"]
    about = json.loads((folder / "launch.json").read_text())
    assert about["code"] == {"commit": git(checkout, "rev-parse", "HEAD"), "changed": True, "untracked": {}}
    assert about["image_digest"] == DIGEST
    assert about["commands"] == [["sh", str(tmp_path / "out/run_local.sh"), "start"]]
    assert "+two" in (folder / "changes.patch").read_text()
    config = json.loads((folder / "config.json").read_text())
    assert (config["run"], config["train"]["steps"]) == (str(tmp_path / "work"), 7)
    script = (tmp_path / "out/run_local.sh").read_text()
    assert (folder / "files/run_local.sh").read_text() == script
    assert read_launch(tmp_path / "out") == launch
    assert launch.spec == spec
    assert last_record(spec.workdir) == (launch, {"run_local.sh": script})


def test_a_second_start_keeps_the_run_id_and_has_a_record_of_its_own(tmp_path):
    spec = job(tmp_path / "work")
    assert last_record(spec.workdir) is None
    first, second = (record(spec, tmp_path / "out", CodeState()) for _ in range(2))
    assert (second.run_id, second.start) == (first.run_id, 2)
    assert Path(first.record).exists()
    found = last_record(spec.workdir)
    assert found is not None
    assert found[0] == second
    other = job(tmp_path / "work", retries=7)
    with pytest.raises(UserError, match="of another job"):
        next_launch(other, LOCAL, tmp_path / "out")


def test_a_secret_is_written_nowhere(tmp_path, monkeypatch):
    monkeypatch.setenv("A_KEY", "hunter2hunter2")
    spec = job(tmp_path / "work", secrets={"A_KEY": Secret("s", "k")})
    with pytest.raises(UserError, match="the value of A_KEY"):
        record(spec, tmp_path / "out", CodeState("c", b"+key = 'hunter2hunter2'\n"))
    assert not (tmp_path / "work").exists()
    assert not is_launched(tmp_path / "out")


@pytest.mark.parametrize("value", ['it\'s "hunter" \\2', "words " * 40 + "end"])
def test_a_secret_that_a_file_would_hold_in_another_form_is_written_nowhere(tmp_path, monkeypatch, value):
    monkeypatch.setenv("A_KEY", value)
    secret = {"A_KEY": Secret("s", "k")}
    for spec in (
        job(tmp_path / "work", secrets=secret, environment={"B": value}),
        job(tmp_path / "work", secrets=secret, partition=value),
    ):
        with pytest.raises(UserError, match="the value of A_KEY"):
            render(spec, LOCAL, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_work_folder_in_a_bucket(tmp_path, monkeypatch):
    with emulated(tmp_path, monkeypatch) as bucket:
        spec = job(f"{bucket}/work")
        launch = record(spec, tmp_path / "out", CodeState("c", b"changes"))
        assert launch.record.startswith("gs://b/work/launch/test-")
        found = last_record(spec.workdir)
        assert found is not None
        assert found[0] == launch
        assert list(found[1]) == ["run_local.sh"]


def test_nothing_was_started_and_a_later_format(tmp_path):
    with pytest.raises(UserError, match="nothing was started from"):
        read_launch(tmp_path)
    (tmp_path / "launch.json").write_text('{"format_version": 99}')
    with pytest.raises(UserError, match="format version 99"):
        read_launch(tmp_path)


def test_a_job_comes_back_from_json_as_it_was():
    teacher = Teacher("m", "i:1", extra=("--a",), secrets={"B_KEY": Secret("s", "k")})
    spec = job("w", teacher=teacher, secrets={"A_KEY": Secret("s", "k")}, environment={"A": "b"})
    assert spec_of(json.loads(json.dumps(dataclasses.asdict(spec)))) == spec


def test_the_digest_of_an_image():
    def never(words):
        raise AssertionError(words)

    assert image_digest(f"r/i:1@{DIGEST}", never) == (DIGEST, "")
    asked = []

    def answers(words):
        asked.append(words[0])
        return Answer(NO_PROGRAM, "", "no gcloud") if words[0] == "gcloud" else Answer(0, f"{DIGEST}\n", "")

    assert image_digest("us-docker.pkg.dev/p/r/i:1", answers) == (DIGEST, "")
    assert asked == ["gcloud", "docker"]
    assert image_digest("r/i:1", lambda _: Answer(1, "", "ERROR: no")) == ("", "docker: ERROR: no")


@pytest.mark.parametrize(
    "change",
    [{"run_id": None}, {"start": "1"}, {"spec": []}, {"spec": {"name": "x"}}, {"backend": "nope"}, {"files": None}],
)
def test_a_damaged_record_is_named_and_no_bug(tmp_path, change):
    spec = job(tmp_path / "work")
    launch = record(spec, tmp_path / "out", CodeState())
    kept = Path(launch.record) / "launch.json"
    whole = json.loads(kept.read_text())
    for path, read in ((tmp_path / "out/launch.json", read_launch), (kept, last_record)):
        for text in (json.dumps({**whole, **change}).encode(), b"[]", b"{}", b"", b"\xff\xfe"):
            path.write_bytes(text)
            with pytest.raises(StopAndLook, match=r"launch\.json is damaged"):
                read(tmp_path / "out" if read is read_launch else tmp_path / "work")
    kept.write_text(json.dumps(whole))
    (kept.parent / "files/run_local.sh").unlink()
    with pytest.raises(StopAndLook, match="lacks files of its launch"):
        last_record(spec.workdir)


def test_files_of_an_earlier_rendering_go(tmp_path, capfd):
    """Of the same back end: a folder may hold the renderings of several."""
    spec = job("gs://b/run", image="r/i:1")
    teacher = Teacher(model="m", image="r/t:1")
    render(dataclasses.replace(spec, teacher=teacher), JOBSET, tmp_path)
    render(spec, LOCAL, tmp_path)
    (tmp_path / "mine.yaml").write_text("a: 1\n")
    (tmp_path / "notes.txt").write_text("Rendered by `octomed launch render --backend=jobset`")
    with pytest.raises(UserError, match=r"jobset\.yaml holds another rendering"):
        render(dataclasses.replace(spec, retries=9), JOBSET, tmp_path)
    assert (tmp_path / "teacher.yaml").exists()
    (tmp_path / "jobset.yaml").unlink()  # as the refusal says
    render(spec, JOBSET, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("jobset.yaml", "mine.yaml", "notes.txt", "run_local.sh"),
    ]
    assert f"removing {tmp_path / 'teacher.yaml'}, which is no longer a part of the job" in capfd.readouterr().err


def test_another_file_of_that_name_is_no_rendering(tmp_path):
    (tmp_path / "run_local.sh").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="holds another rendering"):
        render(job(tmp_path / "work"), LOCAL, tmp_path)
