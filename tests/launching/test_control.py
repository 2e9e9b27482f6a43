"""The verbs of ``octomed launch`` after ``render``, as a person types them.

The local back end runs for real, with a small command in the place of octomed. A kubectl that only notes its words
stands for the real one, which would want a cluster.
"""

import contextlib
import dataclasses
import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from octomed_jax.cli.main import main
from octomed_jax.launching import control
from octomed_jax.launching.backends.jobset import JOBSET as JOBSET_BACKEND
from octomed_jax.storage import locked

ROOT = Path(__file__).resolve().parents[2]
LOCAL = ["--config=configs/launch/demo_local.py", "--config.grace_seconds=5", "--backend=local", "--output=out"]
JOBSET = [
    "--config=configs/launch/octomed_7b_v5e_256.py:gke",
    "--config.workdir=gs://nobody-has-this-bucket/octomed-7b",
    "--config.image=us-docker.pkg.dev/nobody/octomed/trainer:0.1.0",
    "--config.environment.JAX_COMPILATION_CACHE_DIR=gs://nobody-has-this-bucket/jax-cache",
    "--config.mounts./mnt/shards=gs://nobody-has-this-bucket/octomed-7b/shards",
    "--backend=jobset",
    "--output=out",
]
OCTOMED = """\
#!/bin/sh
trap 'exit 42' TERM
echo "rank $JAX_PROCESS_ID is there"
while :; do sleep 0.1; done
"""
KUBECTL = """\
#!/bin/sh
echo "$@" >>words
echo "kubectl was asked"
exit "$(cat code)"
"""
NOBODY = """\
#!/bin/sh
echo "ERROR: nobody is logged in" >&2
exit 1
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with the configs, and programs that stand for the real ones."""
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (("octomed", OCTOMED), ("kubectl", KUBECTL), ("gcloud", NOBODY), ("docker", NOBODY)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    (tmp_path / "code").write_text("0")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.delenv("OCTOMED", raising=False)
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a shell cannot trap what was ignored when it started
    yield tmp_path
    signal.signal(signal.SIGTERM, before)
    for path in (tmp_path / "out/logs").glob("*.pid"):
        with contextlib.suppress(ProcessLookupError, ValueError, IndexError):
            os.kill(int(path.read_text().split()[0]), signal.SIGKILL)


def words(project: Path) -> list[str]:
    return (project / "words").read_text().splitlines() if (project / "words").exists() else []


def test_a_job_on_this_machine_from_up_to_down(project, capfd):
    assert main(["launch", "up", *LOCAL, "--json"]) == 0
    out, err = capfd.readouterr()
    told = json.loads(out)
    assert "$ sh out/run_local.sh start" in err
    assert Path(told["record"], "launch.json").exists()
    assert told["record"].startswith("runs/demo_local/launch/demo-local-")
    deadline = time.monotonic() + 20
    while not all((project / f"out/logs/rank-{rank}.pid").exists() for rank in (0, 1)):
        assert time.monotonic() < deadline
        time.sleep(0.05)

    assert main(["launch", "status", "--output=out"]) == 0
    out, _ = capfd.readouterr()
    assert "demo-local: running as process" in out
    assert out.splitlines()[-1].startswith(f"{told['run_id']}: running; start 1 of ")
    assert main(["launch", "status", "--output=out", "--json"]) == 0
    state = json.loads(capfd.readouterr().out)
    assert state["said"].startswith("running as process ")
    known = {name: state[name] for name in ("run_id", "start", "backend", "state", "name", "record")}
    assert known == {**{name: told[name] for name in ("run_id", "record", "name")}, "start": 1, "backend": "local"} | {
        "state": "running"
    }
    assert main(["launch", "up", *LOCAL]) == 42
    said = "demo-local is running already (running as process "
    assert said in (err := capfd.readouterr().err)
    assert "`octomed launch stop --output=out` stops it" in err
    assert not Path(told["record"]).with_name("start-2").exists()

    assert main(["launch", "stop", "--output=out"]) == 0
    assert "demo-local: ended with exit code 42" in capfd.readouterr().out
    assert main(["launch", "status", "--output=out"]) == 0
    assert capfd.readouterr().out.splitlines()[-1].startswith(f"{told['run_id']}: stopped; start 1 of ")
    assert main(["launch", "logs", "--output=out", "--rank=1", "--tail=1"]) == 0
    assert capfd.readouterr().out == "rank 1 is there\n"
    assert main(["launch", "logs", "--output=out", "--since=5m"]) == 2
    assert "the local logs hold no times" in capfd.readouterr().err

    assert main(["launch", "down", "--output=out"]) == 0
    out, err = capfd.readouterr()
    assert "launch: would remove the folder logs/" in err
    assert "nothing was removed; `octomed launch down --output=out --yes`" in out
    assert (project / "out/logs").exists()
    assert main(["launch", "down", "--output=out", "--yes"]) == 0
    assert "runs/demo_local stays, with the record" in capfd.readouterr().out
    assert not (project / "out/logs").exists()
    assert Path(told["record"], "launch.json").exists()
    assert main(["launch", "status", "--output=out"]) == 2
    assert "nothing was started from out" in capfd.readouterr().err


def test_a_dry_run_starts_nothing_and_keeps_no_record(project, capfd):
    assert main(["launch", "up", *LOCAL, "--dry-run", "--json"]) == 0
    out, err = capfd.readouterr()
    assert json.loads(out)["commands"] == [["sh", "out/run_local.sh", "start"]]
    assert "$ sh out/run_local.sh start" in err
    assert not (project / "out/launch.json").exists()
    assert not (project / "runs").exists()


@pytest.fixture
def bucket(monkeypatch):
    """What would be recorded in the bucket of the work folder; test_record writes into one."""
    kept = []
    monkeypatch.setattr(control.record, "write_record", lambda launch, *rest: kept.append((launch, rest)))
    for name in ("refuse_claimed", "write_claim", "release"):  # test_claim.py
        monkeypatch.setattr(control.claim, name, lambda *_: None)
    return kept


def test_kubectl_is_told_what_was_printed(project, bucket, capfd):
    assert main(["launch", "up", *JOBSET]) == 0
    _, err = capfd.readouterr()
    assert f"$ kubectl {words(project)[-1]}" in err
    assert words(project)[-1].endswith("--filename=out/jobset.yaml")
    assert "the digest of us-docker.pkg.dev" in err
    assert "(gcloud: ERROR: nobody is logged in; docker:" in err
    [(launch, _)] = bucket
    assert launch.backend == "jobset"


@pytest.mark.usefixtures("project", "bucket")
def test_the_json_of_up_stands_alone(capfd):
    assert main(["launch", "up", *JOBSET, "--json"]) == 0
    out, err = capfd.readouterr()
    assert json.loads(out)["name"] == "octomed-7b"
    assert "kubectl was asked" in err


def test_of_two_at_once_one_is_told_to_try_again(project, bucket, capfd):
    with locked(project / "out/.launch.lock"):
        assert main(["launch", "up", *JOBSET]) == 42
    assert "another process still works there" in capfd.readouterr().err
    assert not words(project)
    assert not bucket


def test_the_folder_of_another_job_is_left_as_it_is(project, capfd):
    assert main(["launch", "up", *LOCAL]) == 0
    before = sorted(path.name for path in (project / "out").iterdir())
    assert main(["launch", "up", *JOBSET]) == 2
    assert "of another job (local)" in capfd.readouterr().err
    assert sorted(path.name for path in (project / "out").iterdir()) == before


def test_names_that_are_still_to_be_put_in_are_not_started(project, bucket, capfd):
    line = [word for word in JOBSET if "nobody" not in word]
    assert main(["launch", "up", *line]) == 2
    assert "still holds YOUR_BUCKET, your-project; put your own names" in capfd.readouterr().err
    assert not bucket
    assert not words(project)
    assert main(["launch", "up", *line, "--dry-run"]) == 0
    assert not words(project)


def test_a_command_that_fails_does_not_hide_the_next(project, bucket, capfd, monkeypatch):
    assert main(["launch", "up", *JOBSET]) == 0
    [(launch, _)] = bucket
    monkeypatch.setattr("octomed_jax.cli.launch_control.read_launch", lambda _: launch)
    (project / "code").write_text("1")
    two = dataclasses.replace(JOBSET_BACKEND, status=lambda *_: [["kubectl", "one"], ["kubectl", "two"]])
    monkeypatch.setattr(control, "backend", lambda _: two)
    assert main(["launch", "status", "--output=out"]) == 2
    assert words(project)[-2:] == ["one", "two"]
    assert "`kubectl one` ended with exit code 1" in capfd.readouterr().err


def test_a_tool_that_fails_or_is_missing_is_named(project, bucket, capfd, monkeypatch):
    (project / "code").write_text("1")
    assert main(["launch", "up", *JOBSET]) == 2
    assert "ended with exit code 1; what it said stands above; `octomed launch doctor`" in capfd.readouterr().err
    monkeypatch.setenv("PATH", "")
    assert main(["launch", "up", *JOBSET]) == 2
    assert "kubectl is not on PATH" in capfd.readouterr().err
    assert len(bucket) == 1


def test_a_state_that_cannot_be_told_is_said_with_the_words_of_the_tool(project, bucket, capfd, monkeypatch):
    assert main(["launch", "up", *JOBSET]) == 0
    [(launch, _)] = bucket
    monkeypatch.setattr("octomed_jax.cli.launch_control.read_launch", lambda _: launch)
    capfd.readouterr()
    assert main(["launch", "status", "--output=out", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["state"] == "unknown"
    question = "--namespace=default get jobset octomed-7b --output=json --ignore-not-found"
    assert words(project)[-1] == question
    assert main(["launch", "status", "--output=out"]) == 0
    assert ": unknown (kubectl printed no JobSet); start 1 of " in capfd.readouterr().out
    before = words(project)
    assert main(["launch", "status", "--output=out", "--json", "--dry-run"]) == 0
    assert f"$ kubectl {question}\n" in capfd.readouterr().err
    assert words(project) == before


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("options=('shrads=s',)", "command `octomed train`: unknown option '--shrads=s' (did you mean '--shards'?)"),
        ("options=('shards',)", "command `octomed train`: argument --shards: expected one argument"),
        ("options=('mesh=wide',)", "command `octomed train`: argument --mesh: 'wide' is not of the form"),
        ("options=('help',)", "command `octomed train`: these words only show a help"),
        ("verb=eval rnu", "command `octomed eval rnu`: unknown subverb eval 'rnu' (did you mean 'run'?)"),
        ("verb=eval", "command `octomed eval`: unknown subverb eval '--config="),
        ("verb=train run", "command `octomed train run`: unknown option 'run'"),
    ],
)
@pytest.mark.parametrize("verb", ["render", "plan", "up", "doctor"])
def test_the_words_of_the_command_are_read_before_it_starts(change, said, verb, capfd):
    line = ["--config.processes=1", f"--config.command.{change}"]
    given = [word for word in LOCAL if verb in ("render", "up") or not word.startswith("--output")]
    assert main(["launch", verb, *given, *line]) == 2
    assert said in capfd.readouterr().err
    assert not Path("out").exists()


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(
    ("verb", "options"),
    [
        ("train", "('shards=s','mesh=auto','debug')"),
        ("eval run", "()"),
        ("shard", "()"),
        ("distill", "('model=m','endpoint=http://e')"),
        ("verify", "()"),
    ],
)
def test_right_words_are_taken_and_nothing_is_done(verb, options, capfd):
    line = ["--config.processes=1", f"--config.command.verb={verb}", f"--config.command.options={options}"]
    code = main(["launch", "render", *LOCAL, *line])
    assert (code, capfd.readouterr().err) == (0, "")


@pytest.mark.usefixtures("project")
def test_mistakes_of_the_verbs(capfd):
    for line, said in (
        (["logs", "--output=out"], "nothing was started from out"),
        (["status"], "--output"),
        (["statsu"], "did you mean 'status'?"),
        (["down", "--output=out", "--config.name=x"], "a job that was started is as it is"),
        (["up", "--config=configs/launch/demo_local.py", "--backend=loca", "--output=o"], "did you mean 'local'?"),
    ):
        assert main(["launch", *line]) == 2
        assert said in capfd.readouterr().err
