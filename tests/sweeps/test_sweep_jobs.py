"""The stage `train` of a sweep as jobs of launch back ends.

The local back end is the real one, with a small command in the place of octomed. The programs of the others (kubectl,
sbatch, xpk, gcloud, sky and so on) are fakes that only note their words; what their jobs are is said by the test.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from octomed_jax import configuration
from octomed_jax.errors import UserError
from octomed_jax.launching import record
from octomed_jax.launching.backends.table import backend
from octomed_jax.launching.read_spec import read_spec
from octomed_jax.launching.record import Launch
from octomed_jax.launching.tools import Answer
from octomed_jax.sweeps import jobs
from octomed_jax.sweeps.jobs import TrainJob, is_reached, take_down_finished
from octomed_jax.sweeps.train_spec import Place, Training, check_jobs, job_spec

ROOT = Path(__file__).resolve().parents[2]
CLOUDS = ("jobset", "xpk", "skypilot", "queued_resources")
# Stands for octomed: it notes its start, then does what the file `does-POINT` says at that moment.
OCTOMED = """\
#!/bin/sh
trap 'exit 42' TERM
folder=
for word in "$@"; do
  case $word in --workdir=*) folder=${word#*=} ;; esac
done
stage=$(basename "$folder")
[ "$JAX_PROCESS_ID" = 0 ] && echo "$@" >>"starts-$stage"
echo "$stage goes on"
while [ ! -f "does-$stage" ]; do sleep 0.05; done
read -r what <"does-$stage"
[ "$what" != done ] || { [ "$JAX_PROCESS_ID" != 0 ] || echo '{}' >"$folder/manifest.json"; exit 0; }
exit "$what"
"""
NOTES = """\
#!/bin/sh
echo "$(basename "$0") $*" >>"$NOTED"
[ ! -f "$NOTED-fails" ] || exit 1
"""
FAKES = ("kubectl", "sbatch", "squeue", "scancel", "xpk", "gcloud", "sky")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with the configs, fakes on PATH, and the local back end's octomed; what still runs is ended after."""
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (("octomed", OCTOMED), *((name, NOTES) for name in FAKES)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setenv("NOTED", str(tmp_path / "noted"))
    monkeypatch.delenv("OCTOMED", raising=False)
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a shell cannot trap what was ignored when it started
    yield tmp_path
    signal.signal(signal.SIGTERM, before)
    for path in tmp_path.glob("sweep/jobs/*/logs/*.pid"):
        with contextlib.suppress(ProcessLookupError, ValueError, IndexError):
            os.kill(int(path.read_text().split()[0]), signal.SIGKILL)


def place(launch: str, by: str, *overrides: str) -> Place:
    """Return what the options --launch and --backend name."""
    file = Path("configs/launch") / launch.partition(":")[0]
    spec = read_spec(configuration.load(f"configs/launch/{launch}", overrides))
    return Place(spec, backend(by), file.absolute(), (Path(), *file.absolute().parents[:3]))


def local(**changed: str) -> Place:
    return place("demo_local.py", "local", "grace_seconds=5", *(f"{name}={value}" for name, value in changed.items()))


def training(number: int = 0, until: int = 0, **changed) -> Training:
    name = f"r{number:08x}-per-question-{number}"
    fields = {"spec": "configs/demo.py:tiny", "overrides": (f"traces.per_question={number + 1}",)} | changed
    return Training(name, f"train-{number:04x}", shards="sweep/stages/shard-1", number=number, until=until, **fields)


def look(launch: Launch, folder: Path) -> str:
    """Say how a local job is, in the words of `job_state`, from its own script."""
    script = folder / "run_local.sh"
    told = subprocess.run(["sh", script, "status"], capture_output=True, text=True, check=False).stdout.splitlines()[0]
    assert told.startswith(f"{launch.spec.name}: ")
    if "running as" in told:
        return "running"
    found = re.search(r"ended with exit code (\d+)", told)
    return {"0": "done", "42": "stopped"}.get(found[1], "failed") if found else "gone"


def job(where: Place, one: Training) -> TrainJob:
    return TrainJob(where, Path("sweep"), one, look, seconds=0.0)


def until(happened: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def code_of(one: TrainJob) -> int:
    until(lambda: one.poll() is not None)
    code = one.poll()
    assert code is not None
    return code


def starts(project: Path, name: str) -> list[str]:
    path = project / f"starts-train-{name}"
    return path.read_text().splitlines() if path.exists() else []


def does(project: Path, name: str, what: object) -> None:
    (project / f"does-train-{name}").write_text(f"{what}\n")


def test_a_training_on_this_machine_to_its_end(project, capfd):
    one = job(local(), training())
    assert one.poll() is None
    does(project, "0000", "done")
    assert code_of(one) == 0
    [words] = starts(project, "0000")
    folder = "runs/demo_local/stages/train-0000"
    assert words.split() == [
        "train",
        "--config=configs/demo.py:tiny",
        f"--config.run={folder}",
        "--config.traces.per_question=1",
        f"--shards={project}/sweep/stages/shard-1",
        f"--workdir={folder}",
    ]
    assert is_reached(folder)
    # Taken down, with its log and its record kept.
    assert not (project / "sweep/jobs/train-0000/launch.json").exists()
    assert "train-0000 goes on" in (project / "sweep/logs/train-0000.log").read_text()
    [kept] = (project / folder / "launch").glob("*/start-1/launch.json")
    assert json.loads(kept.read_text())["name"] == "r00000000-per-question-0"
    again = job(local(), training())
    assert again.poll() == 0
    assert len(starts(project, "0000")) == 1
    assert capfd.readouterr().out == ""  # which is for the sweep's own result


def test_after_a_kill_it_is_found_again_and_not_launched_twice(project):
    first = job(local(), training())
    until(lambda: starts(project, "0000"))
    del first  # killed: nothing of it is told to the next one
    second = job(local(), training())
    assert second.poll() is None
    does(project, "0000", "done")
    assert code_of(second) == 0
    assert len(starts(project, "0000")) == 1


def test_killed_before_the_start_was_made_it_is_started(project, monkeypatch):
    class Killed(BaseException):
        pass

    def kill(*_, **__):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(jobs.control, "work", kill)
        with pytest.raises(Killed):
            job(local(), training())
    assert record.is_launched(project / "sweep/jobs/train-0000")
    does(project, "0000", "done")
    one = job(local(), training())
    assert code_of(one) == 0
    assert len(starts(project, "0000")) == 1


def test_one_that_was_killed_between_its_end_and_taking_it_down(project):
    first = job(local(), training())
    does(project, "0000", "done")
    until(lambda: look(first._launch, first._folder) == "done")
    assert take_down_finished(project / "sweep") == ["r00000000-per-question-0"]
    assert not (project / "sweep/jobs/train-0000/launch.json").exists()
    assert take_down_finished(project / "sweep") == []


@pytest.mark.parametrize("code", [1, 2, 43])
def test_one_that_fails_tells_its_code_and_leaves_the_other_alone(code, project, capfd):
    where = local(processes=1)
    one, other = job(where, training(0)), job(where, training(1))
    does(project, "0000", code)
    assert code_of(one) == code
    assert other.poll() is None
    does(project, "0001", "done")
    assert code_of(other) == 0
    ports = [json.loads(path.read_text())["spec"]["port"] for path in project.glob("runs/**/start-1/launch.json")]
    assert sorted(ports) == [12421, 12422]
    # The same call tries again what has failed.
    does(project, "0000", "done")
    again = job(where, training(0))
    assert code_of(again) == 0
    assert len(starts(project, "0000")) == 2
    capfd.readouterr()


def test_stop_is_passed_on_and_the_next_start_goes_on(project):
    one = job(local(), training())
    until(lambda: starts(project, "0000"))
    until(lambda: "goes on" in (project / "sweep/jobs/train-0000/logs/rank-1.log").read_text())
    one.stop()
    assert code_of(one) == 42
    does(project, "0000", "done")
    again = job(local(), training())
    assert code_of(again) == 0
    numbers = {path.parent.name: path.parent.parent for path in project.glob("runs/**/start-*/launch.json")}
    assert set(numbers) == {"start-1", "start-2"}
    assert numbers["start-1"] == numbers["start-2"]  # of one run id


def test_a_changed_launch_config_replaces_what_was_stopped(project):
    one = job(local(), training())
    until(lambda: (project / "sweep/jobs/train-0000/logs/rank-1.pid").exists())
    one.stop()
    assert code_of(one) == 42
    does(project, "0000", "done")
    again = job(local(processes=1), training())
    assert code_of(again) == 0
    assert sum(path.is_dir() for path in project.glob("runs/**/launch/*")) == 2  # run ids


def write_step(folder: Path, step: int, whole: bool = True) -> None:
    """Write what a checkpoint and the metrics of a step leave."""
    facts = {"init_timestamp_nsecs": 1, **({"commit_timestamp_nsecs": 2} if whole else {})}
    (folder / "checkpoints" / str(step)).mkdir(parents=True)
    (folder / "checkpoints" / str(step) / "_CHECKPOINT_METADATA").write_text(json.dumps(facts))
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": step, "loss": 1.0}) + "\n")


def test_a_step_is_reached_with_its_checkpoint_and_its_metrics(tmp_path):
    assert not is_reached(str(tmp_path), 100)
    write_step(tmp_path, 50)
    assert not is_reached(str(tmp_path), 100)
    write_step(tmp_path, 100, whole=False)
    assert not is_reached(str(tmp_path), 100)
    (tmp_path / "checkpoints/100/_CHECKPOINT_METADATA").write_text('{"comm')
    assert not is_reached(str(tmp_path), 100)
    (tmp_path / "checkpoints/100/_CHECKPOINT_METADATA").write_text('{"commit_timestamp_nsecs": 2}')
    assert is_reached(str(tmp_path), 100)
    assert not is_reached(str(tmp_path))  # not to its end
    (tmp_path / "metrics.jsonl").write_text('{"step": 50, "loss": 1.0}\n')
    assert not is_reached(str(tmp_path), 100)


def test_a_run_waits_at_a_step_and_goes_on_as_the_next_job(project):
    where, folder = local(processes=1), project / "runs/demo_local/stages/train-0000"
    one = job(where, training(until=100))
    until(lambda: starts(project, "0000"))
    write_step(folder, 100)
    assert one.poll() is None  # its process is still there
    does(project, "0000", 0)
    assert code_of(one) == 0
    assert starts(project, "0000")[0].endswith("--until=100")
    does(project, "0000", "done")
    rest = job(where, training())
    assert code_of(rest) == 0
    assert "--until" not in starts(project, "0000")[1]


def test_a_job_that_ends_without_its_work_has_failed(project, capfd):
    does(project, "0000", 0)
    one = job(local(), training())
    assert code_of(one) == 1
    assert "holds no finished training" in capfd.readouterr().err


GIVEN = {
    "jobset": ("octomed_7b_v5e_256.py", "image=us-docker.pkg.dev/nobody/octomed/trainer:0.1.0"),
    "xpk": (
        "octomed_7b_v5e_256.py",
        "image=us-docker.pkg.dev/nobody/octomed/trainer:0.1.0",
        "project=nobody",
        "cluster=none",
    ),
    "skypilot": ("octomed_7b_v5e_256.py", "project=nobody", "cluster="),
    "queued_resources": (
        "octomed_7b_v5e_256.py",
        "image=us-docker.pkg.dev/nobody/octomed/trainer:0.1.0",
        "project=nobody",
    ),
}
BUCKET = "gs://nobody-has-this-bucket"


def cloud(by: str) -> Place:
    """Return a place whose jobs mount the folder of the sweep."""
    name, *overrides = GIVEN[by]
    return place(
        name,
        by,
        f"workdir={BUCKET}/work",
        f"mounts./mnt/shards={BUCKET}/shards",
        f"environment.JAX_COMPILATION_CACHE_DIR={BUCKET}/cache",
        *overrides,
    )


def in_mount(number: int = 0, **changed) -> Training:
    one = training(number, **changed)
    return Training(**{**vars(one), "shards": "/mnt/shards/sweep/stages/shard-1"})


def noted(project: Path) -> list[str]:
    return (project / "noted").read_text().splitlines() if (project / "noted").exists() else []


@pytest.fixture
def written(monkeypatch):
    """Work folders whose training is done. No bucket is written or read: the record goes beside the files alone."""
    done: set[str] = set()
    whole = record.write_record

    def beside(launch, folder, files, config, code, image, commands):
        bare = Launch(**{**vars(launch), "record": str(folder / "record")})
        whole(bare, folder, files, config, code, image, commands)

    monkeypatch.setattr(jobs.control.record, "write_record", beside)
    for name in ("refuse_claimed", "write_claim", "release"):  # of the work folder, which is in the bucket too
        monkeypatch.setattr(jobs.control.claim, name, lambda *_: None)
    monkeypatch.setattr(jobs, "is_reached", lambda workdir, *_: workdir in done)
    return done


STARTED = {
    "jobset": "kubectl --namespace=default apply ",
    "xpk": "xpk workload create ",
    "skypilot": "sky jobs launch ",
    "queued_resources": "gcloud compute tpus queued-resources create ",
    "slurm": "sbatch --chdir=",
}
TAKEN_DOWN = {
    "jobset": "kubectl --namespace=default delete jobset r00000000-per-question-0 ",
    "xpk": "xpk workload delete ",
    "skypilot": "sky jobs cancel ",
    "queued_resources": "gcloud compute tpus queued-resources delete r00000000-per-question-0 ",
    "slurm": "scancel --me --name=r00000000-per-question-0",
}


def slurm(project: Path) -> Place:
    return place(
        "distill_slurm.py",
        "slurm",
        "command.verb=train",
        "topology=1x8",
        f"workdir={project}/work",
        f"bundle={project}",
    )


def somewhere(by: str, project: Path) -> tuple[Place, Training]:
    return (slurm(project), training()) if by == "slurm" else (cloud(by), in_mount())


@pytest.mark.parametrize("by", [*CLOUDS, "slurm"])
def test_every_other_back_end_is_told_to_start_once_and_to_take_it_down(by, project, written, capfd):
    where, one = somewhere(by, project)
    states = ["waiting", "running"]
    check_jobs(where, [one])
    assert noted(project) == []  # looked at, and nothing started
    runner = TrainJob(where, Path("sweep"), one, lambda *_: states[0], seconds=0.0)
    assert sum(line.startswith(STARTED[by]) for line in noted(project)) == 1, noted(project)
    assert runner.poll() is None
    # This sweep was killed; here is the next.
    after = TrainJob(where, Path("sweep"), one, lambda *_: states[1], seconds=0.0)
    assert sum(line.startswith(STARTED[by]) for line in noted(project)) == 1
    assert "launched before" in capfd.readouterr().err
    assert after.poll() is None
    written.add(f"{where.spec.workdir}/stages/train-0000")
    states[1] = "done"
    assert after.poll() == 0
    assert noted(project)[-1].startswith(TAKEN_DOWN[by]), noted(project)
    assert not (project / "sweep/jobs/train-0000/launch.json").exists()
    files = [path.read_text() for path in project.glob("sweep/jobs/train-0000/*") if path.is_file()]
    assert any("--config.traces.per_question=1" in text for text in files)
    assert any(f"{where.spec.workdir}/stages/train-0000" in text for text in files)


@pytest.mark.parametrize(("state", "code", "left"), [("failed", 1, False), ("stopped", 42, True), ("gone", 42, False)])
def test_how_a_job_ended_becomes_an_exit_code(state, code, left, project, written):
    states = ["running"]
    runner = TrainJob(cloud("jobset"), Path("sweep"), in_mount(), lambda *_: states[0], seconds=0.0)
    assert runner.poll() is None
    states[0] = state
    looks = [runner.poll() for _ in range(jobs.MOST_GONE)]
    assert looks == ([None, None, code] if state == "gone" else [code] * 3)
    assert (project / "sweep/jobs/train-0000/launch.json").exists() is left
    assert not written
    states[0] = "running" if state == "failed" else state
    TrainJob(cloud("jobset"), Path("sweep"), in_mount(), lambda *_: states[0], seconds=0.0)
    assert sum(line.startswith(STARTED["jobset"]) for line in noted(project)) == 2


@pytest.mark.usefixtures("written")
def test_a_state_that_nobody_knows_is_waited_for_and_then_left_as_it_is(project, monkeypatch, capfd):
    def nobody(*_):
        raise UserError("kubectl: no route to host")

    monkeypatch.setattr(jobs, "MOST_UNKNOWN", 3)
    runner = TrainJob(cloud("jobset"), Path("sweep"), in_mount(), nobody, seconds=0.0)
    assert [runner.poll() for _ in range(3)] == [None, None, 42]
    assert "no route to host" in capfd.readouterr().err
    assert (project / "sweep/jobs/train-0000/launch.json").exists()
    assert not any("delete" in line for line in noted(project))


@pytest.mark.usefixtures("project")
def test_a_bucket_that_does_not_answer_is_asked_again(written, monkeypatch, capfd):
    where, asked = cloud("jobset"), []

    def answers(workdir, *_):
        asked.append(workdir)
        if len(asked) == 2:  # the first asks whether it was done before
            raise OSError("503 Service Unavailable")
        return workdir in written

    monkeypatch.setattr(jobs, "is_reached", answers)
    runner = TrainJob(where, Path("sweep"), in_mount(), lambda *_: "done", seconds=0.0)
    written.add(f"{where.spec.workdir}/stages/train-0000")
    assert [runner.poll(), runner.poll()] == [None, 0]
    assert "503 Service Unavailable" in capfd.readouterr().err


@pytest.mark.usefixtures("written")
def test_a_start_that_fails_is_an_exit_code_and_says_why(project, capfd):
    (project / "noted-fails").touch()
    runner = TrainJob(cloud("jobset"), Path("sweep"), in_mount(), lambda *_: "gone", seconds=0.0)
    assert runner.poll() == 2
    assert "ended with exit code 1" in capfd.readouterr().err


@pytest.mark.usefixtures("written")
def test_it_is_looked_at_now_and_then_only(project):
    asked = []
    runner = TrainJob(cloud("jobset"), Path("sweep"), in_mount(), lambda *_: asked.append(1) or "running")
    assert [runner.poll() for _ in range(50)] == [None] * 50
    assert len(asked) == 1
    assert noted(project)


@pytest.mark.usefixtures("written")
def test_a_log_that_cannot_be_fetched_and_a_job_that_stays_are_named(project, capfd):
    states = ["running"]
    answers = lambda words: Answer(0 if "describe" in words else 1, "", "no such pod")  # noqa: E731
    runner = TrainJob(cloud("jobset"), Path("sweep"), in_mount(), lambda *_: states[0], answers, seconds=0.0)
    (project / "noted-fails").touch()
    states[0] = "failed"
    assert runner.poll() == 1
    assert "its log could not be fetched: no such pod" in (project / "sweep/logs/train-0000.log").read_text()
    said = " ".join(capfd.readouterr().err.split())
    assert "could not be taken down" in said
    assert f"octomed launch down --output={project}/sweep/jobs/train-0000 --yes" in said


def test_names_to_put_in_are_refused_for_all_points_at_once_before_anything_starts(project):
    where = place("octomed_7b_v5e_256.py", "jobset")
    with pytest.raises(UserError, match=r"octomed_7b_v5e_256.py still holds YOUR_BUCKET, your-project; put your own"):
        check_jobs(where, [in_mount(number) for number in range(3)])
    assert noted(project) == []
    assert not (project / "sweep").exists()


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("by", [*CLOUDS, "slurm", "local"])
def test_the_longest_id_is_a_name_for_every_back_end(by, tmp_path):
    where, one = (local(), training()) if by == "local" else somewhere(by, tmp_path)
    longest = Training(**{**vars(one), "point": "r01234567-" + "x" * 30})
    check_jobs(where, [longest])
    assert job_spec(where, longest).name.startswith("r01234567-xx")


@pytest.mark.usefixtures("project")
def test_what_a_launch_config_may_not_say(monkeypatch):
    with pytest.raises(UserError, match=r"train\.steps=5 would train something else than the points say"):
        job_spec(local(**{"command.overrides": "('train.steps=5',)"}), training())
    kept = job_spec(local(**{"command.overrides": "('train.remat=none',)"}), training())
    assert kept.command.overrides == ("train.remat=none", "traces.per_question=1")
    mesh = job_spec(local(**{"command.options": "('mesh=fsdp=2', 'shards=elsewhere')"}), training())
    assert mesh.command.options[0] == "mesh=fsdp=2"
    assert "shards=elsewhere" not in mesh.command.options
    with pytest.raises(UserError, match="launches `octomed distill`"):
        job_spec(place("distill_slurm.py", "slurm"), training())
    with pytest.raises(UserError, match=r"does not see .*shard-1; mount a bucket there .*now: /mnt/shards"):
        job_spec(cloud("jobset"), training())
    with pytest.raises(UserError, match="lies outside of the project"):
        job_spec(local(), training(spec="/elsewhere/recipe.py"))
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match="kubectl is not on PATH"):
        check_jobs(cloud("jobset"), [in_mount()])
