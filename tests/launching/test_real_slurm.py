"""The rendered job on a real Slurm of two nodes: what its exit codes lead to, stop, and the end of its time."""

import dataclasses
from pathlib import Path

import pytest

from octomed_jax.launching.backends.slurm import SLURM
from octomed_jax.launching.render import render
from octomed_jax.launching.spec import Command, JobSpec
from octomed_jax.launching.tools import Answer
from tests.launching.acted import Stage
from tests.launching.slurm_cluster import READY, Cluster

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not READY, reason="no Slurm here (make .tools/slurm/.ready)"),
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    cluster = Cluster(tmp_path_factory.mktemp("slurm"))
    yield cluster
    cluster.close()


@pytest.fixture
def stage(tmp_path):
    stage = Stage(tmp_path)
    programs = tmp_path / "project/.venv/bin"
    programs.mkdir(parents=True)
    octomed = programs / "octomed"
    where = f'export ACTED="{tmp_path}"\necho "$JAX_COORDINATOR_ADDRESS $JAX_NUM_PROCESSES" >>"$ACTED/told"\n'
    octomed.write_text(f'#!/bin/bash\n{where}exec "$ACTED/bin/planned" "$SLURM_PROCID" "$@"\n')
    octomed.chmod(0o755)
    return stage


def spec_for(stage: Stage) -> JobSpec:
    return JobSpec(
        name="test",
        command=Command("train", "c.py"),
        workdir="out",
        accelerator="cpu",
        topology="2",
        bundle=str(stage.folder / "project"),
        retries=1,
        grace_seconds=60,
        hours=1,
    )


def submitted(cluster: Cluster, stage: Stage) -> str:
    """Run what `up` runs, and return the job's number."""
    spec, folder = spec_for(stage), stage.folder / "rendered"
    render(spec, SLURM, folder)
    [[program, *words]] = SLURM.up(spec, folder)
    # Where Slurm is installed its programs are on the PATH of every login; here they are unpacked in a folder.
    words.insert(0, "--export=PATH,SLURM_CONF,LD_LIBRARY_PATH,OCTOMED_TICK_SECONDS=0.1")
    return cluster.run(program, "--parsable", *words)


def state_of(cluster: Cluster, number: str) -> str:
    return cluster.job(number)["JobState"]


def told(cluster: Cluster, stage: Stage) -> str:
    """Return the job's state as `octomed launch status` reads it from the real squeue and sacct."""
    answers = []
    for words in SLURM.ask_state(spec_for(stage), stage.folder):
        try:
            answers.append(Answer(0, cluster.run(*words), ""))
        except RuntimeError as error:  # sacct: this cluster keeps no accounts
            answers.append(Answer(1, "", str(error)))
    return SLURM.read_state(spec_for(stage), answers).state


@pytest.mark.parametrize(
    ("first", "second", "starts", "state", "code"),
    [
        ((42, "kill", 0), (42, 42, 0), 3, "COMPLETED", "0:0"),
        ((43, 0), ("kill", 0), 1, "FAILED", "43:0"),
        (("kill", "kill", 0), (42, 42, 0), 2, "FAILED", "137:0"),
    ],
)
def test_exit_codes(cluster, stage, first, second, starts, state, code):
    stage.plan("0", *first)
    stage.plan("1", *second)
    number = submitted(cluster, stage)
    cluster.until(lambda: state_of(cluster, number) in ("COMPLETED", "FAILED"), 120)
    job = cluster.job(number)
    assert (job["JobState"], job["ExitCode"], job["Restarts"]) == (state, code, "0")
    assert told(cluster, stage) == {"COMPLETED": "done", "FAILED": "failed"}[state]
    assert len(stage.words("0")) == starts
    assert (stage.folder / "told").read_text().splitlines()[0] == "n0:8476 2"


def test_stop_lets_it_save_and_up_goes_on(cluster, stage):
    stage.plan("0", "wait", 0)
    stage.plan("1", "wait", 0)
    number = submitted(cluster, stage)
    stage.until("waiting-0", 60)
    stage.until("waiting-1", 60)
    [words] = SLURM.stop(spec_for(stage), Path())
    cluster.run(*words)
    cluster.until(lambda: state_of(cluster, number) == "FAILED", 120)
    job = cluster.job(number)
    assert (job["ExitCode"], job["Restarts"]) == ("42:0", "0")
    assert told(cluster, stage) == "stopped"
    again = submitted(cluster, stage)
    cluster.until(lambda: state_of(cluster, again) == "COMPLETED", 120)
    assert len(stage.words("1")) == 2


def test_at_the_end_of_its_time_it_goes_back_into_the_queue(cluster, stage):
    stage.plan("0", "wait", 0)
    stage.plan("1", "wait", 0)
    number = submitted(cluster, stage)
    stage.until("waiting-0", 60)
    stage.until("waiting-1", 60)
    cluster.run("scancel", "--batch", "--signal=TERM", number)  # what --signal=B:TERM@60 sends
    cluster.until(lambda: cluster.job(number)["Restarts"] == "1", 120)
    cluster.until(lambda: state_of(cluster, number) == "PENDING", 120)
    cluster.run("scontrol", "update", f"jobid={number}", "StartTime=now")  # Slurm itself waits two minutes
    cluster.until(lambda: state_of(cluster, number) == "COMPLETED", 120)
    assert len(stage.words("0")) == 2


def test_down_removes_it(cluster, stage):
    stage.plan("0", "wait", 0)
    stage.plan("1", "wait", 0)
    number = submitted(cluster, stage)
    stage.until("waiting-0", 60)
    [words] = SLURM.down(spec_for(stage), Path())
    assert told(cluster, stage) == "running"
    cluster.run(*words)
    cluster.until(lambda: state_of(cluster, number) == "CANCELLED", 120)
    assert told(cluster, stage) == "stopped"
    assert cluster.job(number)["Restarts"] == "0"


def test_status_shows_it(cluster, stage):
    stage.plan("0", 0)
    stage.plan("1", 0)
    number = submitted(cluster, stage)
    [words] = SLURM.status(spec_for(stage), Path())
    assert number in cluster.run(*words)
    cluster.until(lambda: state_of(cluster, number) == "COMPLETED", 120)


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [("--nodes=2", "--nodez=2", "unrecognized option '--nodez=2'"), ("--requeue", "--requeue=1", "doesn't allow")],
)
def test_slurm_refuses_a_planted_typo(cluster, stage, right, wrong, message):
    spec = dataclasses.replace(spec_for(stage), partition="main", hours=3)
    text = SLURM.files(spec)["job.sbatch"]
    job = stage.folder / "job.sbatch"
    job.write_text(text)
    cluster.run("sbatch", "--test-only", str(job))
    job.write_text(text.replace(right, wrong, 1))
    with pytest.raises(RuntimeError, match=message):
        cluster.run("sbatch", "--test-only", str(job))
