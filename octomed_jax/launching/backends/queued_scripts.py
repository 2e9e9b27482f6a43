"""The scripts of a job on queued TPUs: what each machine runs, what watches over them, and what asks them to save."""

import shlex

from octomed_jax.launching.backends import cloud_tpu
from octomed_jax.launching.backends.shell import command_lines, fill, keep_going, quoted
from octomed_jax.launching.mounts import CACHE_MIB, mounts_of
from octomed_jax.launching.spec import JobSpec

COORDINATOR_PORT = 8476
POLL_S = 30

STARTUP = """\
#!/bin/bash
# Rendered by `octomed launch render --backend=queued_resources`; change the launch config, not this file.
# Every machine of the TPU runs it, as root, whenever it starts. It starts the trainer's image, acts on its exit code,
# and writes to Cloud Logging.
set -u
export HOME=${HOME:-/root}
state=@STATE@
image=@IMAGE@

# attribute NAME: what Cloud TPU tells this machine about itself.
attribute() {
  curl --silent --fail --retry 10 --retry-connrefused --header 'Metadata-Flavor: Google' \\
    "http://metadata.google.internal/computeMetadata/v1/instance/attributes/$1"
}
of_slices() {
  attribute tpu-env | sed -n "s/^$1: *'\\(.*\\)'/\\1/p"
}
worker=$(attribute agent-worker-number) || exit 1
hosts=$(attribute worker-network-endpoints | tr ',' '\\n' | awk -F: '{ print (NF >= 3 ? $3 : $1) }')
slice=$(of_slices MEGASCALE_SLICE_ID)
slices=$(of_slices MEGASCALE_NUM_SLICES)
first=$(of_slices MEGASCALE_COORDINATOR_ADDRESS)
slice=${slice:-0}
slices=${slices:-1}
first=${first:-$(echo "$hosts" | head -n 1)}
in_slice=$(echo "$hosts" | wc -l)
name=@NAME@-$slice-$worker

# The processes must be told of each other: in a container without Kubernetes JAX would not look for the others.
export JAX_COORDINATOR_ADDRESS=${first%%:*}:@PORT@
export JAX_NUM_PROCESSES=$((slices * in_slice))
export JAX_PROCESS_ID=$((slice * in_slice + worker))

tell() {
  echo "$1" | gcloud storage cp - "$state" --quiet
}
current() {
  gcloud storage cat "$state" 2>/dev/null
}
# ended_by_all: whether the whole job is to end, or has ended elsewhere.
ended_by_all() {
  case $(current) in
    stop* | "ended "*) return 0 ;;
    *) return 1 ;;
  esac
}
# give_up WORDS: what no new try will mend ends the whole job, or the others would wait for this machine.
give_up() {
  echo "octomed launch: $1" >&2
  tell "ended 2"
  exit 2
}
ended_by_all && exit 0

@MOUNTS@@SECRETS@@LOGIN@tries=0
until docker pull "$image"; do
  tries=$((tries + 1))
  [ "$tries" -lt 10 ] || give_up "cannot pull $image"
  sleep "${OCTOMED_POLL_SECONDS:-30}"
done

# The chips read and write the trainer's memory, which must be locked for that: its user is not root, and has a limit.
trainer=(
  docker run --name "$name" --init --privileged --ulimit memlock=-1 --network host --shm-size 16g --stop-timeout @GRACE@
  --log-driver gcplogs --env JAX_COORDINATOR_ADDRESS --env JAX_NUM_PROCESSES --env JAX_PROCESS_ID
  @VOLUMES@@ENVIRONMENT@"$image" @WORDS@
)

@KEEP_GOING@
# `stop`, or the failure of another machine, ends this one too.
(while sleep "${OCTOMED_POLL_SECONDS:-@POLL@}"; do
  if ended_by_all; then
    kill -TERM $$
    break
  fi
done) >/dev/null 2>&1 &
watch=$!

keep_going "${trainer[@]}"
code=$?
kill "$watch" 2>/dev/null
echo "octomed launch: $name ended with exit code $code"
case $(current) in
  stop*) echo "$code" | gcloud storage cp - "$(dirname "$state")/stopped/$name" --quiet ;;
  "ended "*) ;;
  *)
    # A bug, wrong input, "stop and look" or too many crashes of one machine end all. That all went well is said by
    # the first one; 42 without `stop` is a machine that is taken away.
    case $code in
      42) ;;
      0) [ "$JAX_PROCESS_ID" -ne 0 ] || tell "ended 0" ;;
      *) tell "ended $code" ;;
    esac
    ;;
esac
"""

SECRET = """\
@NAME@=$(gcloud secrets versions access latest --project=@PROJECT@ --secret=@SECRET@) ||
  give_up "cannot read the secret "@SECRET@
export @NAME@
"""

LOGIN = """\
gcloud auth configure-docker @REGISTRY@ --quiet || give_up "cannot log in to "@REGISTRY@
"""

# gcsfuse comes from Google's own packages: the images of Cloud TPU need not have it.
INSTALL_MOUNTER = """\
install_mounter() {
  local packages=https://packages.cloud.google.com/apt key=/usr/share/keyrings/octomed-gcsfuse.asc
  curl --silent --fail --retry 10 --output "$key" "$packages/doc/apt-key.gpg" || return 1
  echo "deb [signed-by=$key] $packages gcsfuse-$(lsb_release --codename --short) main" \\
    >/etc/apt/sources.list.d/octomed-gcsfuse.list
  apt-get update --quiet && apt-get install --quiet --yes gcsfuse
}
tries=0
until command -v gcsfuse >/dev/null || install_mounter; do
  tries=$((tries + 1))
  [ "$tries" -lt 10 ] || give_up "cannot install gcsfuse"
  sleep "${OCTOMED_POLL_SECONDS:-30}"
done
# mount_folder PATH BUCKET [OPTION]: let the container, whose user is not root, read a folder of a bucket.
mount_folder() {
  local path=$1 bucket=$2
  shift 2
  ! mountpoint -q "$path" || fusermount -u "$path" || give_up "something else is mounted at $path"
  mkdir -p -- "$path" "/var/cache/octomed$path" || give_up "cannot make $path"
  gcsfuse -o ro -o allow_other --implicit-dirs --cache-dir="/var/cache/octomed$path" \\
    --file-cache-max-size-mb=@CACHE@ --file-cache-cache-file-for-range-read "$@" "$bucket" "$path" ||
    give_up "cannot mount $bucket at $path"
}
"""

SUPERVISE = """\
#!/bin/bash
# Rendered by `octomed launch render --backend=queued_resources`; change the launch config, not this file.
# Watches over the job and stays until it has ended:  bash supervise.sh
# TPUs that were taken away are asked for again, which is not counted; TPUs of a job that has ended are given back.
# Its exit code is that of the job, 42 after `octomed launch stop`.
set -u
cd -- "$(dirname -- "$0")" || exit 2
state=@STATE@
create() {
  @CREATE@
}
delete() {
  @DELETE@
}
ended() {
  echo "octomed launch: $1; giving the TPUs back" >&2
  sleep "${OCTOMED_POLL_SECONDS:-60}" # the other machines are writing their last lines
  delete
  exit "$2"
}
while :; do
  case $(gcloud storage cat "$state" 2>/dev/null) in
    "ended "*)
      code=$(gcloud storage cat "$state")
      ended "the job ended with exit code ${code#ended }" "${code#ended }"
      ;;
    stop*) echo "octomed launch: the job was asked to stop; stop.sh gives the TPUs back" >&2 && exit 42 ;;
  esac
  case $(@DESCRIBE@ 2>/dev/null) in
    SUSPENDED | SUSPENDING | FAILED)
      echo "octomed launch: the TPUs were taken away; asking for others" >&2
      delete
      create
      ;;
  esac
  sleep "${OCTOMED_POLL_SECONDS:-60}"
done
"""

STOP = """\
#!/bin/bash
# Rendered by `octomed launch render --backend=queued_resources`; change the launch config, not this file.
# Asks all machines to save, waits until they have, at most @GRACE@ s and a little, and gives the TPUs back.
set -u
state=@STATE@
folder=$(dirname "$state")
gcloud storage rm --recursive "$folder/stopped/" --quiet 2>/dev/null # of an earlier time; there may be none
echo stop | gcloud storage cp - "$state" --quiet || exit 42
waited=0
saved=0
while [ "$waited" -lt @LIMIT@ ] && [ "$saved" -lt @MACHINES@ ]; do
  sleep "${OCTOMED_POLL_SECONDS:-10}"
  waited=$((waited + 10))
  saved=$(gcloud storage ls "$folder/stopped/" 2>/dev/null | wc -l)
  echo "octomed launch: $saved of @MACHINES@ machines have ended" >&2
done
@DELETE@
"""


def render_startup(spec: JobSpec, state: str) -> str:
    """Return what every machine runs; equal specs give equal bytes. Secrets are fetched by name from Secret Manager."""
    plain = [f"--env {_quote(f'{name}={value}')} " for name, value in sorted(spec.environment.items())]
    registry = spec.image.partition("/")[0]
    google = registry.endswith((".pkg.dev", "gcr.io"))
    parts = {
        "STATE": shlex.quote(state),
        "IMAGE": shlex.quote(spec.image),
        "NAME": spec.name,
        "PORT": str(COORDINATOR_PORT),
        "MOUNTS": _mounts(spec),
        "VOLUMES": "".join(
            f'--mount "type=bind,source={one.path},target={one.path},readonly" ' for one in mounts_of(spec)
        ),
        "SECRETS": "".join(
            fill(SECRET, {"NAME": name, "PROJECT": spec.project, "SECRET": shlex.quote(f"{place.secret}-{place.key}")})
            for name, place in sorted(spec.secrets.items())
        ),
        "LOGIN": fill(LOGIN, {"REGISTRY": shlex.quote(registry)}) if google else "",
        "GRACE": str(spec.grace_seconds),
        # Of a secret only the name: docker takes the value from its environment.
        "ENVIRONMENT": "".join([*plain, *[f"--env {name} " for name in sorted(spec.secrets)]]),
        "WORDS": " ".join(_quote(word) for word in spec.words()),
        "KEEP_GOING": keep_going(
            spec.retries,
            before='docker rm --force "$name" >/dev/null 2>&1',
            after="! ended_by_all || stopping=1",
            pass_on=f'docker stop --time {spec.grace_seconds} "$name" >/dev/null',
        ),
        "POLL": str(POLL_S),
    }
    return fill(STARTUP, parts)


def _mounts(spec: JobSpec) -> str:
    """Return what mounts a job's folders of buckets on a machine before its container starts."""
    if not spec.mounts:
        return ""
    lines = []
    for one in mounts_of(spec):
        folder = [f"--only-dir={one.folder}"] if one.folder else []
        lines.append(quoted(["mount_folder", one.path, one.bucket, *folder]) + "\n")
    return fill(INSTALL_MOUNTER, {"CACHE": str(CACHE_MIB)}) + "".join(lines) + "\n"


def _quote(word: str) -> str:
    """Quote a word, also where only a comma is in it, which looks like a mistake in a list of words."""
    return shlex.quote(word) if "," not in word else "'" + word.replace("'", "'\\''") + "'"


def render_supervise(spec: JobSpec, state: str, create: list[str]) -> str:
    """Return the script that asks for TPUs again, from a machine that stays on."""
    place = [spec.name, f"--project={spec.project}", f"--zone={spec.zone}"]
    queue = ["gcloud", "compute", "tpus", "queued-resources"]
    parts = {
        "STATE": shlex.quote(state),
        "CREATE": command_lines(create).replace("\n", "\n  "),
        "DELETE": quoted([*queue, "delete", *place, "--force", "--quiet"]),
        "DESCRIBE": quoted([*queue, "describe", *place, "--format=value(state.state)"]),
    }
    return fill(SUPERVISE, parts)


def render_stop(spec: JobSpec, state: str, delete: list[str]) -> str:
    """Return the script that lets the machines save, and then gives them back."""
    parts = {
        "STATE": shlex.quote(state),
        "GRACE": str(spec.grace_seconds),
        "LIMIT": str(spec.grace_seconds + 2 * POLL_S),
        "MACHINES": str(spec.slices * cloud_tpu.workers(spec)),
        "DELETE": quoted(delete),
    }
    return fill(STOP, parts)
