"""The script that runs one process of a Slurm job, with a teacher on the same node where the spec has one."""

import shlex

from octomed_jax.launching.backends.shell import exports, fill, quoted
from octomed_jax.launching.mounts import mounts_of
from octomed_jax.launching.spec import JobSpec
from octomed_jax.teacher.server.vllm import KEY

COORDINATOR_PORT = 8476

RANK = """\
#!/bin/bash
# Rendered by `octomed launch render --backend=slurm`; one process of the job, started on each node by job.sbatch.
#   bash rank.sh FOLDER FIRST_NODE
set -u
folder=$1
rank=$SLURM_PROCID
octomed=@BUNDLE@/.venv/bin/octomed
ended() {
  echo "$1" >"$folder/logs/rank-$rank.partial" && mv -- "$folder/logs/rank-$rank.partial" "$folder/logs/rank-$rank.exit"
  exit "$1"
}
cd -- @BUNDLE@ || ended 2
@SECRETS@@MOUNTS@@EXPORTS@@COORDINATION@
stopping=
# Slurm sends TERM to all processes of a group: to the command below too, but not to a teacher, which is needed longer.
trap 'stopping=1' TERM
@TEACHER@[ -z "$stopping" ] || ended 42
"$octomed" @WORDS@
code=$?
@END_TEACHER@ended "$code"
"""

SECRET = """\
secret=${OCTOMED_SECRETS:-$HOME/.config/octomed/secrets}/@PLACE@
if [ ! -s "$secret" ]; then
  echo "octomed launch: no file $secret with the value of @NAME@; write it there, readable by you alone" >&2
  ended 2
fi
@NAME@=$(cat -- "$secret") || ended 2
export @NAME@
"""

# Who may use a cluster may not mount on its nodes.
MOUNT = """\
if [ ! -d @PATH@ ]; then
  echo "octomed launch: no folder @PATH@ on $(hostname); put @SOURCE@ there, by a mount or as a copy" >&2
  ended 2
fi
"""

TEACHER = """\
ready=$folder/logs/teacher-$rank.ready
rm -f -- "$ready"
setsid "$octomed" teacher serve @SERVE@ --log="$folder/logs/teacher-$rank.log"@EXTRA@ >"$ready" &
teacher=$!
until [ -s "$ready" ]; do
  if ! kill -0 "$teacher" 2>/dev/null || [ -n "$stopping" ]; then
    kill -TERM "$teacher" 2>/dev/null
    wait "$teacher"
    code=$?
    [ "$code" -ne 0 ] || code=42
    echo "octomed launch: the teacher ended with exit code $code before it was ready" >&2
    ended "$code"
  fi
  sleep 1
done
"""

END_TEACHER = """\
kill -TERM "$teacher" 2>/dev/null
wait "$teacher" 2>/dev/null
"""

# Where the processes of a training find each other; as on other back ends, one process holds all GPUs of its node.
COORDINATION = """\
first=$2
export JAX_COORDINATOR_ADDRESS=$first:@PORT@ JAX_NUM_PROCESSES=$SLURM_NTASKS JAX_PROCESS_ID=$rank
"""


def render_rank(spec: JobSpec) -> str:
    """Return the script; equal specs give equal bytes. Secrets are read from files by name."""
    teacher = spec.teacher
    trains = spec.command.verb == "train"
    secrets = {**spec.secrets, **(teacher.secrets if teacher else {})}
    parts = {
        "BUNDLE": shlex.quote(spec.bundle.rstrip("/")),
        "SECRETS": "".join(
            fill(SECRET, {"NAME": name, "PLACE": shlex.quote(f"{place.secret}/{place.key}")})
            for name, place in sorted(secrets.items())
        ),
        "MOUNTS": "".join(fill(MOUNT, {"PATH": one.path, "SOURCE": one.source}) for one in mounts_of(spec)),
        "EXPORTS": exports(spec),
        "COORDINATION": fill(COORDINATION, {"PORT": str(COORDINATOR_PORT)}) if trains and spec.hosts > 1 else "",
        "TEACHER": _teacher(spec),
        "END_TEACHER": END_TEACHER if teacher else "",
        "WORDS": _words(spec),
    }
    return fill(RANK, parts)


def _words(spec: JobSpec) -> str:
    words = quoted(spec.words())
    if spec.teacher:
        words += f" --endpoint=http://127.0.0.1:{spec.teacher.port} {shlex.quote(f'--model={spec.teacher.model}')}"
        words += f" --api-key-env={KEY}" if KEY in spec.teacher.secrets else ""
    if spec.command.verb == "distill" and spec.hosts > 1:
        words += ' --shard="$rank/$SLURM_NTASKS"'  # each node does its share
    return words


def _teacher(spec: JobSpec) -> str:
    teacher = spec.teacher
    if teacher is None:
        return ""
    serve = [
        "--config=configs/launch/teacher_vllm.py",
        f"--model={teacher.model}",
        f"--config.revision={teacher.revision}",
        f"--config.max_model_len={teacher.max_model_len}",
        f"--images={teacher.images}",
        f"--tensor-parallel-size={teacher.gpus}",
        f"--data-parallel-size={teacher.replicas}",
        f"--port={teacher.port}",
        f"--vllm={spec.bundle.rstrip('/')}/.venv-vllm/bin/vllm",
        "--json",
    ]
    if KEY in teacher.secrets:
        serve.append(f"--api-key-env={KEY}")
    if others := tuple(name for name in sorted(teacher.secrets) if name != KEY):
        serve.append(f"--config.environment={others!r}")
    extra = f" -- {quoted(teacher.extra)}" if teacher.extra else ""
    return fill(TEACHER, {"SERVE": quoted(serve), "EXTRA": extra})
