"""Slurm: the scripts, what is refused, and how exit codes are acted on. ``test_real_slurm.py`` has a real one."""

import dataclasses
import signal
from pathlib import Path

import pytest

from octomed_jax import configuration
from octomed_jax.errors import UserError
from octomed_jax.launching.backends.base import LogOptions
from octomed_jax.launching.backends.slurm import SLURM
from octomed_jax.launching.read_spec import read_spec
from octomed_jax.launching.render import render
from octomed_jax.launching.spec import Command, JobSpec, Secret
from tests.launching.acted import Stage, ended

ROOT = Path(__file__).resolve().parents[2]

# What the three commands of Slurm do for a job of two nodes. As in Slurm, TERM to srun kills; scancel asks.
SRUN = """\
#!/bin/bash
for word in "$@"; do
  case $word in --ntasks=*) nodes=${word#*=} ;; esac
done
while [ "$1" != bash ]; do shift; done
trap 'for id in $(cat "$ACTED"/pid-*); do kill -9 -- "-$id"; done' TERM
rm -f "$ACTED"/pid-*
rank=0
while [ "$rank" -lt "$nodes" ]; do
  SLURM_PROCID=$rank SLURM_NTASKS=$nodes setsid "$@" >"$ACTED/log-$rank" 2>&1 &
  echo $! >"$ACTED/pid-$rank"
  rank=$((rank + 1))
done
highest=0
for process in $(jobs -p); do
  wait "$process"
  code=$?
  [ "$code" -le "$highest" ] || highest=$code
done
exit "$highest"
"""
SCONTROL = """\
#!/bin/bash
case "$*" in
  "requeue "*) echo "$2" >>"$ACTED/requeued" ;;
  *" job "*) echo "JobId=7 JobState=${JOB_STATE:-RUNNING} Reason=None" ;;
  *) printf 'n0\\nn1\\n' ;;
esac
"""
SCANCEL = """\
#!/bin/bash
echo "$@" >>"$ACTED/scancel"
for id in $(cat "$ACTED"/pid-*); do kill -TERM -- "-$id"; done
"""
# Stands for the bundle's octomed: notes what it was told, then ends as planned for its rank.
OCTOMED = """\
#!/bin/bash
echo "${JAX_COORDINATOR_ADDRESS:-} ${JAX_NUM_PROCESSES:-} ${JAX_PROCESS_ID:-} ${HF_TOKEN:-} ${PLAIN:-}" \\
  >>"$ACTED/told-$SLURM_PROCID"
case "$1 $2" in
  "teacher serve")
    echo "$@" >>"$ACTED/teacher-$SLURM_PROCID"
    [ -z "${NO_TEACHER:-}" ] || exit "$NO_TEACHER"
    echo '{"url": "here"}'
    trap 'touch "$ACTED/teacher-ended-$SLURM_PROCID"; exit 0' TERM
    while :; do sleep 0.05; done
    ;;
esac
exec "$ACTED/bin/planned" "$SLURM_PROCID" "$@"
"""


@pytest.fixture
def stage(tmp_path):
    stage = Stage(tmp_path)
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL), ("scancel", SCANCEL)):
        stage.program(name, text)
    programs = tmp_path / "the project/.venv/bin"
    programs.mkdir(parents=True)
    octomed = programs / "octomed"
    octomed.write_text(OCTOMED)
    octomed.chmod(0o755)
    return stage


def spec_for(stage: Stage, **changes) -> JobSpec:
    spec = JobSpec(
        name="test",
        command=Command("train", "c.py:arg", ("a='b c'",)),
        workdir="out dir",
        accelerator="cpu",
        topology="2",
        bundle=str(stage.folder / "the project"),
        retries=1,
        grace_seconds=60,
    )
    return dataclasses.replace(spec, **changes)


def start(stage: Stage, spec: JobSpec, **environment: str):
    job, _ = render(spec, SLURM, stage.folder)
    return stage.start(["bash", str(job)], SLURM_JOB_ID="7", SLURM_JOB_NODELIST="n[0-1]", **environment)


def acted(stage: Stage, spec: JobSpec, **environment: str) -> tuple[int, str]:
    return ended(start(stage, spec, **environment))


@pytest.mark.parametrize(
    ("first", "second", "starts", "code"),
    [
        ((0,), (0,), 1, 0),
        ((42, 0), (42, 0), 2, 0),
        # srun itself would say 137: the code that a person must look at comes first.
        ((43,), ("kill",), 1, 43),
        ((42,), (2,), 1, 2),
        # 42 of the peers of a process that was killed does not hide that it was killed.
        (("kill", "kill", 0), (42, 42, 0), 2, 137),
        (("kill", 42, 0), (42, 42, 0), 3, 0),
    ],
)
def test_the_codes_of_all_processes_decide(stage, first, second, starts, code):
    stage.plan("0", *first)
    stage.plan("1", *second)
    assert acted(stage, spec_for(stage))[0] == code
    assert len(stage.words("0")) == starts
    assert not (stage.folder / "requeued").exists()


def test_without_srun_it_fails_now(stage):
    (stage.programs / "srun").unlink()
    code, printed = acted(stage, spec_for(stage), PATH=f"{stage.programs}:/usr/bin:/bin")
    assert (code, "srun" in printed) == (127, True)


@pytest.mark.parametrize(
    ("number", "job", "code", "queued"),
    [
        (signal.SIGTERM, "RUNNING", 0, True),
        (signal.SIGTERM, "COMPLETING", 42, False),  # cancelled, or taken back into the queue by Slurm itself
        (signal.SIGUSR1, "RUNNING", 42, False),
    ],
)
def test_the_end_of_the_time_puts_it_back_and_stop_does_not(stage, number, job, code, queued):
    stage.plan("0", "wait", 0)
    stage.plan("1", "wait", 0)
    process = start(stage, spec_for(stage), JOB_STATE=job)
    stage.until("waiting-0")
    stage.until("waiting-1")
    process.send_signal(number)
    assert ended(process)[0] == code
    assert (stage.folder / "scancel").read_text() == "--signal=TERM 7\n"
    assert (stage.folder / "requeued").exists() == queued
    assert len(stage.words("0")) == 1


def test_the_processes_are_told_where_they_meet_and_what_to_do(stage):
    stage.plan("0", 0)
    stage.plan("1", 0)
    assert acted(stage, spec_for(stage, environment={"PLAIN": "a b"}))[0] == 0
    assert (stage.folder / "told-1").read_text() == "n0:8476 2 1  a b\n"
    assert stage.words("1") == ["train --config=c.py:arg --config.run=out dir --config.a='b c'"]


def test_secrets_are_read_from_files_by_name(stage):
    stage.plan("0", 0)
    stage.plan("1", 0)
    spec = spec_for(stage, secrets={"HF_TOKEN": Secret("octomed", "hf_token")})
    code, _ = acted(stage, spec, OCTOMED_SECRETS=str(stage.folder / "secrets"))
    assert code == 2
    assert "with the value of HF_TOKEN" in (stage.folder / "log-0").read_text()
    (stage.folder / "secrets/octomed").mkdir(parents=True)
    (stage.folder / "secrets/octomed/hf_token").write_text("planted\n")
    assert acted(stage, spec, OCTOMED_SECRETS=str(stage.folder / "secrets"))[0] == 0
    assert "planted" in (stage.folder / "told-0").read_text()
    assert "planted" not in "".join(SLURM.files(spec).values())


def distill_spec(stage: Stage, **overrides: str) -> JobSpec:
    spec = read_spec(configuration.load(str(ROOT / "configs/launch/distill_slurm.py")), roots=(ROOT,))
    teacher = dataclasses.replace(spec.teacher, secrets={})
    bundle = str(stage.folder / "the project")
    return dataclasses.replace(spec, bundle=bundle, topology="2x8", teacher=teacher, **overrides)


def test_each_node_asks_its_own_teacher_its_share_and_ends_it(stage):
    stage.plan("0", 42, 0)
    stage.plan("1", 0, 0)
    assert acted(stage, distill_spec(stage))[0] == 0
    served = (stage.folder / "teacher-1").read_text()
    assert "--tensor-parallel-size=8" in served
    assert "the project/.venv-vllm/bin/vllm" in served
    words = stage.words("1")[0]
    assert "--endpoint=http://127.0.0.1:8000 --model=Qwen/Qwen2.5-VL-72B-Instruct --shard=1/2" in words
    assert (stage.folder / "teacher-ended-0").exists()
    assert (stage.folder / "teacher-ended-1").exists()


def test_a_teacher_that_does_not_start_ends_the_job_with_its_code(stage):
    assert acted(stage, distill_spec(stage), NO_TEACHER="2")[0] == 2
    assert not stage.words("0")


def test_the_options_of_the_batch_script(stage):
    spec = spec_for(stage, accelerator="h100", topology="2x8", partition="gpu", account="med", hours=12, priority="low")
    text = SLURM.files(spec)["job.sbatch"]
    for option in ("nodes=2", "gpus-per-node=8", "time=12:00:00", "signal=B:TERM@60", "qos=low", "account=med"):
        assert f"#SBATCH --{option}\n" in text
    assert text == SLURM.files(spec)["job.sbatch"]
    assert "#SBATCH --exclusive\n" in SLURM.files(spec_for(stage))["job.sbatch"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"accelerator": "v5e", "topology": "2x2"}, "Slurm has no TPUs"),
        ({"bundle": ""}, "bundle is empty"),
        ({"bundle": "here"}, "must be an absolute path"),
        ({"capacity": "spot"}, "preemptible partition"),
        ({"service_account": "octomed"}, "service_account=octomed: Slurm has none"),
        ({"command": Command("verify", "c.py")}, "runs on one node"),
        ({"grace_seconds": 70_000}, "at most 65535"),
    ],
)
def test_what_slurm_cannot_do_is_refused(stage, changes, message):
    with pytest.raises(UserError, match=message) as caught:
        SLURM.files(spec_for(stage, **changes))
    assert "\n" not in str(caught.value)


def test_a_teacher_of_several_nodes_or_for_training_is_refused(stage):
    spec = distill_spec(stage)
    with pytest.raises(UserError, match=r"teacher\.nodes=2"):
        SLURM.files(dataclasses.replace(spec, teacher=dataclasses.replace(spec.teacher, nodes=2)))
    with pytest.raises(UserError, match=r"command\.verb='distill'"):
        SLURM.files(dataclasses.replace(spec, command=Command("train", "c.py")))


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("--nodes=2", "--nodez=2", r"line 5: no option of sbatch: #SBATCH --nodez=2"),
        ("--nodes=2", "--nodes=two", r"line 5: sbatch does not take --nodes=two"),
        ("--requeue", "--requeue=yes", r"sbatch does not take --requeue=yes"),
        ("esac", "easc", r"job\.sbatch: line"),
    ],
)
def test_a_planted_typo_is_caught(stage, right, wrong, message):
    files = dict(SLURM.files(spec_for(stage)))
    SLURM.check(files)
    files["job.sbatch"] = files["job.sbatch"].replace(right, wrong, 1)
    with pytest.raises(UserError, match=message):
        SLURM.check(files)


def test_the_commands(stage):
    spec, folder = spec_for(stage), Path("out")
    assert SLURM.up(spec, folder) == [["sbatch", "--chdir=out", "out/job.sbatch"]]
    assert SLURM.stop(spec, folder) == [["scancel", "--me", "--name=test", "--batch", "--signal=USR1"]]
    assert SLURM.down(spec, folder) == [["scancel", "--me", "--name=test"]]
    [words] = SLURM.logs(spec, folder, LogOptions(rank=1, tail=5, follow=True))
    assert words == ["tail", "--verbose", "--lines=5", "--follow=name", "--retry", "out/logs/rank-1.log"]
    [words] = SLURM.logs(spec, folder, LogOptions())
    assert words[-3:] == ["--lines=+1", "out/logs/rank-0.log", "out/logs/rank-1.log"]
    with pytest.raises(UserError, match="have no times"):
        SLURM.logs(spec, folder, LogOptions(since="1h"))
