"""The two scripts of a SkyPilot job: what makes the environment, and what runs on every machine."""

import shlex
from pathlib import PurePosixPath

from octomed_jax.launching.accelerators import ACCELERATORS
from octomed_jax.launching.backends import cloud_tpu
from octomed_jax.launching.backends.shell import fill, keep_going, quoted
from octomed_jax.launching.mounts import mounts_of
from octomed_jax.launching.spec import JobSpec

COORDINATOR_PORT = 8476
UV_VERSION = "0.13.9"
PYTHON_VERSION = "3.12"

SETUP = """\
set -eu
python3 -m pip install --quiet --user uv==@UV@
python3 -m uv venv --quiet --allow-existing --python @PYTHON@ ~/octomed
VIRTUAL_ENV=~/octomed python3 -m uv pip install --quiet --constraint requirements.lock '.@EXTRA@'
@LINKS@"""

RUN = """\
set -u
state=@STATE@
@COORDINATION@
current() {
  gcloud storage cat "$state" 2>/dev/null
}

@KEEP_GOING@
# `octomed launch stop` writes this file; the machines of SkyPilot are gone too soon after `sky jobs cancel`.
(while sleep "${OCTOMED_POLL_SECONDS:-30}"; do
  case $(current) in
    stop*)
      kill -TERM $$
      break
      ;;
  esac
done) >/dev/null 2>&1 &
watch=$!

keep_going ~/octomed/bin/octomed @WORDS@
code=$?
kill "$watch" 2>/dev/null
case $(current) in
  stop*)
    # To SkyPilot 42 would mean: once more.
    echo "octomed launch: saved, and stopped with exit code $code; the next start goes on" >&2
    [ "$code" -ne 42 ] || code=0
    ;;
esac
exit "$code"
"""

COORDINATION = """\
JAX_COORDINATOR_ADDRESS=$(echo "$SKYPILOT_NODE_IPS" | head -n 1):@PORT@
JAX_NUM_PROCESSES=$(echo "$SKYPILOT_NODE_IPS" | wc -l)
JAX_PROCESS_ID=$SKYPILOT_NODE_RANK
export JAX_COORDINATOR_ADDRESS JAX_NUM_PROCESSES JAX_PROCESS_ID
"""


def render_setup(spec: JobSpec) -> str:
    """Return what SkyPilot runs once on every machine, in the folder that it has sent."""
    machine = ACCELERATORS[spec.accelerator]
    extra = "[tpu]" if machine.is_tpu else "[gpu]" if machine.is_gpu else ""
    return fill(SETUP, {"UV": UV_VERSION, "PYTHON": PYTHON_VERSION, "EXTRA": extra, "LINKS": _links(spec)})


def bucket_path(bucket: str) -> str:
    """Return where a whole bucket is mounted on a machine."""
    return f"/octomed-buckets/{bucket}"


def _links(spec: JobSpec) -> str:
    """Return what makes the folders of a job's mounts, of buckets that are mounted already."""
    lines = []
    for one in mounts_of(spec):
        target = f"{bucket_path(one.bucket)}/{one.folder}".rstrip("/")
        lines.append(f"sudo mkdir -p {PurePosixPath(one.path).parent}\nsudo ln -sfn {target} {one.path}\n")
    return "".join(lines)


def render_run(spec: JobSpec, state: str) -> str:
    """Return what SkyPilot runs on every machine, at each start."""
    machine = ACCELERATORS[spec.accelerator]
    several = (cloud_tpu.workers(spec) if machine.is_tpu else spec.hosts) > 1
    trains = spec.command.verb == "train"
    words = quoted(spec.words())
    if spec.command.verb == "distill" and several:
        words += ' --shard="$SKYPILOT_NODE_RANK/$(echo "$SKYPILOT_NODE_IPS" | wc -l)"'  # each machine does its share
    parts = {
        "STATE": shlex.quote(state),
        "COORDINATION": fill(COORDINATION, {"PORT": str(COORDINATOR_PORT)}) if several and trains else "",
        "KEEP_GOING": keep_going(spec.retries),
        "WORDS": words,
    }
    return fill(RUN, parts)
