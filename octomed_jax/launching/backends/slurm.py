"""A batch script for Slurm: one process a node, GPU or CPU, all started again together.

The exit codes of all processes are written to files: `srun` itself only tells the highest, and 43 of one process
would be hidden behind 143 of another that was ended for it.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from octomed_jax.errors import UserError
from octomed_jax.launching.accelerators import ACCELERATORS
from octomed_jax.launching.backends import slurm_state
from octomed_jax.launching.backends.base import Backend, Commands, Files, LogOptions
from octomed_jax.launching.backends.fields import check_rank, need_absolute_bundle, refuse
from octomed_jax.launching.backends.shell import check_bash, fill, keep_going
from octomed_jax.launching.backends.slurm_rank import render_rank
from octomed_jax.launching.spec import JobSpec

JOB = "job.sbatch"
RANK = "rank.sh"
BUNDLE = "the folder of the project that all nodes see, with its environment in .venv"
MANY_HOSTS = ("train", "distill")

BATCH = """\
#!/bin/bash
# Rendered by `octomed launch render --backend=slurm`; change the launch config, not this file.
# Submit it from its own folder, which all nodes must see:  sbatch @JOB@
@OPTIONS@
# What each exit code leads to: docs/launch-slurm.md
set -u
export SLURM_EXPORT_ENV=ALL # --export=NONE is for the shell of who submits, not for the processes
folder=$PWD
nodes=@NODES@
mkdir -p -- "$folder/logs" || exit 2
rm -f -- "$folder"/logs/rank-*.exit
first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)

# The code of the process that a person must look at first; a missing file is a process that was killed.
worst_code() {
  local rank=0 rank_code rated worst=$1 best=0
  case $worst in 126 | 127) rank=$nodes ;; esac # there is no srun
  while [ "$rank" -lt "$nodes" ]; do
    rank_code=137
    [ ! -f "$folder/logs/rank-$rank.exit" ] || read -r rank_code <"$folder/logs/rank-$rank.exit"
    case $rank_code in
      0) rated=0 ;;
      43) rated=7 ;;
      2) rated=6 ;;
      1) rated=5 ;;
      126 | 127) rated=4 ;;
      42) rated=1 ;;
      *) rated=2 ;;
    esac
    if [ "$rated" -gt "$best" ]; then
      best=$rated
      worst=$rank_code
    fi
    rank=$((rank + 1))
  done
  echo "$worst"
}

@KEEP_GOING@
# Slurm sends TERM @GRACE@ s before the time is over, and before it takes the nodes for another job; `octomed launch
# stop` sends USR1. Both let the processes save; only after TERM does the job go back into the queue.
asked=
trap 'asked=1; kill -TERM $$' USR1

keep_going srun --ntasks=@NODES@ --ntasks-per-node=1 --kill-on-bad-exit=0 --wait=@GRACE@ \\
  --output="$folder/logs/rank-%t.log" --open-mode=append \\
  bash "$folder/@RANK@" "$folder" "$first"
code=$?
if [ -n "$stopping" ] && [ -z "$asked" ]; then
  case $code in
    0 | @FAIL_CASE@) ;;
    *)
      # Not where Slurm ends the job itself: a job that is cancelled would come back.
      if scontrol --oneliner show job "$SLURM_JOB_ID" | grep -q 'JobState=RUNNING '; then
        echo "octomed launch: saved for now; back into the queue" >&2
        scontrol requeue "$SLURM_JOB_ID" && exit 0
      fi
      ;;
  esac
fi
echo "octomed launch: exit code $code" >&2
exit "$code"
"""

# To srun itself TERM means that all processes are to be killed.
PASS_ON = 'scancel --signal=TERM "$SLURM_JOB_ID"'
AFTER = """\
code=$(worst_code "$code")
rm -f -- "$folder"/logs/rank-*.exit
"""

# sbatch option -> what its value looks like.
OPTIONS = {
    "job-name": r"[a-z][-a-z0-9]*",
    "nodes": r"[1-9][0-9]*",
    "ntasks-per-node": r"1",
    "gpus-per-node": r"[1-9][0-9]*",
    "exclusive": None,
    "time": r"[0-9]+:00:00",
    "signal": r"B:TERM@[0-9]+",
    "requeue": None,
    "open-mode": r"append",
    "output": r"[-%./a-z]+",
    "export": r"NONE",
    "dependency": r"singleton",
    "partition": r"\S+",
    "account": r"\S+",
    "qos": r"\S+",
    "reservation": r"\S+",
}
LIMIT_OF_SIGNAL = 65535  # seconds that --signal takes


def _files(spec: JobSpec) -> Files:
    machine = ACCELERATORS[spec.accelerator]
    if machine.is_tpu:
        raise UserError(f"accelerator={spec.accelerator!r}: Slurm has no TPUs; h100 or cpu, or another --backend")
    need_absolute_bundle(spec, BUNDLE)
    refuse(spec, {"service_account": "Slurm has none; leave it empty"})
    if spec.capacity == "spot":
        raise UserError("capacity='spot': Slurm has none; use on_demand and name a preemptible partition")
    verb = spec.command.verb
    if spec.hosts > 1 and verb not in MANY_HOSTS:
        known = " and ".join(MANY_HOSTS)
        raise UserError(f"topology={spec.topology!r}: `octomed {verb}` runs on one node; only {known} run on more")
    if spec.grace_seconds > LIMIT_OF_SIGNAL:
        raise UserError(f"grace_seconds={spec.grace_seconds}: Slurm gives at most {LIMIT_OF_SIGNAL}")
    _check_teacher(spec)
    parts = {
        "JOB": JOB,
        "RANK": RANK,
        "OPTIONS": "".join(f"#SBATCH --{option}\n" for option in _options(spec)),
        "NODES": str(spec.hosts),
        "GRACE": str(spec.grace_seconds),
        "KEEP_GOING": keep_going(spec.retries, after=AFTER, pass_on=PASS_ON),
        "FAIL_CASE": "1 | 2 | 43 | 126 | 127",
    }
    return {JOB: fill(BATCH, parts), RANK: render_rank(spec)}


def _check_teacher(spec: JobSpec) -> None:
    teacher = spec.teacher
    if teacher is None:
        return
    chips = ACCELERATORS[spec.accelerator].chips_per_host
    if spec.command.verb != "distill" or not ACCELERATORS[spec.accelerator].is_gpu:
        raise UserError(
            "teacher: Slurm serves it beside `distill` on each GPU node; use command.verb='distill' and h100"
        )
    if teacher.nodes != 1 or teacher.gpus * teacher.replicas > chips:
        raise UserError(
            f"teacher.nodes={teacher.nodes}, gpus={teacher.gpus}, replicas={teacher.replicas}: "
            f"each node serves its own, with at most {chips} GPUs"
        )


def _options(spec: JobSpec) -> list[str]:
    """Return the options of the batch script, without their dashes."""
    machine = ACCELERATORS[spec.accelerator]
    optional = {
        "partition": spec.partition,
        "account": spec.account,
        "qos": spec.priority,
        "reservation": spec.reservation,
    }
    return [
        f"job-name={spec.name}",
        f"nodes={spec.hosts}",
        "ntasks-per-node=1",
        f"gpus-per-node={machine.chips_per_host}" if machine.is_gpu else "exclusive",
        f"time={spec.hours}:00:00",
        f"signal=B:TERM@{spec.grace_seconds}",
        "requeue",
        "open-mode=append",
        "output=slurm-%j.log",
        "export=NONE",  # what the job needs is written here; nothing of the shell that submits goes along
        "dependency=singleton",  # two jobs of one name would write one work folder
        *[f"{name}={value}" for name, value in optional.items() if value],
    ]


def _check(files: Files) -> None:
    """Refuse what bash cannot read, and an option that is no option of sbatch.

    Raises:
        UserError: with file and line.
    """
    for name, text in files.items():
        check_bash(name, text)
    for number, line in enumerate(files[JOB].splitlines(), 1):
        if not line.startswith("#SBATCH"):
            continue
        found = re.fullmatch(r"#SBATCH --([a-z-]+)(?:=(.*))?", line)
        if not found or found[1] not in OPTIONS:
            raise UserError(f"{JOB}: line {number}: no option of sbatch: {line}")
        pattern = OPTIONS[found[1]]
        if (found[2] is None) != (pattern is None) or (pattern and not re.fullmatch(pattern, found[2])):
            raise UserError(f"{JOB}: line {number}: sbatch does not take {line.removeprefix('#SBATCH ')}")


def _scancel(spec: JobSpec, *words: str) -> Commands:
    return [["scancel", "--me", f"--name={spec.name}", *words]]


def _logs(spec: JobSpec, folder: Path, options: LogOptions) -> Commands:
    if options.since:
        raise UserError(f"since={options.since!r}: the logs of Slurm have no times; use tail")
    check_rank(options.rank, spec.hosts)
    ranks: Sequence[int] = range(spec.hosts) if options.rank is None else [options.rank]
    follow = ["--follow=name", "--retry"] if options.follow else []
    lines = f"--lines={options.tail or '+1'}"
    return [["tail", "--verbose", lines, *follow, *[str(folder / f"logs/rank-{rank}.log") for rank in ranks]]]


SLURM = Backend(
    name="slurm",
    files=_files,
    check=_check,
    tools=("sbatch", "squeue", "scancel"),
    up=lambda _, folder: [["sbatch", f"--chdir={folder}", str(folder / JOB)]],
    status=lambda spec, _: [["squeue", "--me", f"--name={spec.name}", "--states=all", "--long"]],
    stop=lambda spec, _: _scancel(spec, "--batch", "--signal=USR1"),
    down=lambda spec, _: _scancel(spec),
    logs=_logs,
    ask_state=lambda spec, _: slurm_state.ask_state(spec),
    read_state=lambda _, answers: slurm_state.read_state(answers),
    removed=lambda spec: [f"all jobs of yours named {spec.name}, waiting or running; logs and work folder stay"],
    teacher_aside=False,
)
