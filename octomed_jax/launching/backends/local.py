"""A shell script that runs a job as several processes on this machine, with simulated devices: a rehearsal of a pod.

The processes find each other as they would on a cluster (``JAX_COORDINATOR_ADDRESS`` and its two companions), so that
what only shows between processes shows here first.
"""

import re
import shlex
from collections.abc import Sequence

from octomed_jax.errors import UserError
from octomed_jax.launching.backends.base import Backend, Files
from octomed_jax.launching.spec import JobSpec

# The script polls, because POSIX sh cannot wait for whichever of several processes ends first. A rank runs under a
# small keeper (the function `rank`), since only the parent of a process learns its exit code.
SCRIPT = """\
#!/bin/sh
# Rendered by `octomed launch render --backend=local`; change the launch config, not this file.
# Runs @PROCESSES@ process(es) on this machine, each with @DEVICES@ simulated CPU device(s).
# From the root of the project:
#   sh @SCRIPT@
# OCTOMED=COMMAND runs another octomed than the one on PATH; OCTOMED_PORT=N uses another port than @PORT@.
# Exit codes: 0 done, 1 a bug, 2 wrong input or config, 42 try again, 43 stop and look; a killed rank's code otherwise.
set -u
octomed=${OCTOMED:-octomed}
port=${OCTOMED_PORT:-@PORT@}
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd) || exit 1
logs=$here/logs
processes=@PROCESSES@
grace=@GRACE@

if ! command -v "$octomed" >/dev/null 2>&1; then
  echo "octomed launch: no command $octomed; activate its environment, or set OCTOMED to it" >&2
  exit 2
fi
if [ ! -f @CONFIG@ ]; then
  echo "octomed launch: no file "@CONFIG@" here; run this script from the root of the project" >&2
  exit 2
fi
@SECRETS@
mkdir -p -- "$logs" || exit 2
rm -f -- "$logs"/rank-*

# rank I: run one process, and leave its exit code in a file. TERM asks it to stop, USR1 kills it.
rank() {
  child=
  stopping=
  trap 'stopping=TERM; [ -z "$child" ] || kill -TERM "$child" 2>/dev/null' TERM
  trap 'stopping=KILL; [ -z "$child" ] || kill -KILL "$child" 2>/dev/null' USR1
  trap '' INT HUP
@ENVIRONMENT@  JAX_PLATFORMS=cpu \\
    XLA_FLAGS="${XLA_FLAGS:+$XLA_FLAGS }--xla_force_host_platform_device_count=@DEVICES@" \\
    JAX_COORDINATOR_ADDRESS=127.0.0.1:$port \\
    JAX_NUM_PROCESSES=$processes \\
    JAX_PROCESS_ID=$1 \\
    "$octomed" @WORDS@ >"$logs/rank-$1.log" 2>&1 &
  child=$!
  [ -z "$stopping" ] || kill -s "$stopping" "$child" 2>/dev/null
  wait "$child"
  code=$?
  # A signal to this keeper ends `wait` early: wait again while the process is there.
  while kill -0 "$child" 2>/dev/null; do
    wait "$child"
    code=$?
  done
  echo "$code" >"$logs/rank-$1.partial"
  mv -- "$logs/rank-$1.partial" "$logs/rank-$1.exit"
}

# shellcheck disable=SC2086 # the list of process ids is meant to be split
signal_all() { kill -s "$1" $keepers 2>/dev/null; }

keepers=
stop=
trap 'stop=asked' INT TERM HUP
i=0
while [ "$i" -lt "$processes" ]; do
  rank "$i" &
  keepers="$keepers $!"
  i=$((i + 1))
done
echo "octomed launch: $processes process(es) started; logs in $logs" >&2

polls=0
while :; do
  ended=0
  i=0
  while [ "$i" -lt "$processes" ]; do
    if [ -f "$logs/rank-$i.exit" ]; then
      ended=$((ended + 1))
      read -r code <"$logs/rank-$i.exit"
      if [ "$code" -ne 0 ] && [ -z "$stop" ]; then
        echo "octomed launch: rank $i ended with exit code $code; ending the others" >&2
        stop=asked
      fi
    fi
    i=$((i + 1))
  done
  [ "$ended" -lt "$processes" ] || break
  case $stop in
    asked)
      signal_all TERM
      stop=sent
      ;;
    sent)
      polls=$((polls + 1))
      if [ "$polls" -ge $((grace * 5)) ]; then
        echo "octomed launch: still running $grace s after being asked to stop; killing" >&2
        signal_all USR1
        stop=killed
      fi
      ;;
  esac
  sleep 0.2
done
wait

# What a person must look at comes first, then what trying again can help, then ranks that were only killed.
rate() {
  case $1 in
    0) echo 0 ;;
    43) echo 6 ;;
    2) echo 5 ;;
    1) echo 4 ;;
    42) echo 2 ;;
    *) if [ "$1" -gt 128 ]; then echo 1; else echo 3; fi ;;
  esac
}
worst=0
i=0
while [ "$i" -lt "$processes" ]; do
  read -r code <"$logs/rank-$i.exit"
  if [ "$(rate "$code")" -gt "$(rate "$worst")" ]; then
    worst=$code
    guilty=$i
  fi
  i=$((i + 1))
done
if [ "$worst" -ne 0 ]; then
  echo "octomed launch: exit code $worst from rank $guilty; the end of $logs/rank-$guilty.log:" >&2
  tail -n 20 -- "$logs/rank-$guilty.log" >&2
  exit "$worst"
fi
echo "octomed launch: done; the result is under "@WORKDIR@
"""

SECRET = """\
if [ -z "${@NAME@:-}" ]; then
  echo "octomed launch: the environment variable @NAME@ is not set; export it first" >&2
  exit 2
fi
"""

SCRIPT_NAME = "run_local.sh"


def render_local(spec: JobSpec) -> str:
    """Return the script; equal specs give equal bytes. Secrets are read from the environment by name."""
    environment = "".join(f"  {name}={shlex.quote(value)} \\\n" for name, value in sorted(spec.environment.items()))
    parts = {
        "PROCESSES": str(spec.processes),
        "DEVICES": str(spec.devices),
        "PORT": str(spec.port),
        "GRACE": str(spec.grace_seconds),
        "SCRIPT": SCRIPT_NAME,
        "CONFIG": shlex.quote(spec.command.config.partition(":")[0]),
        "SECRETS": "".join(SECRET.replace("@NAME@", name) for name in sorted(spec.secrets)),
        "ENVIRONMENT": environment,
        "WORDS": " ".join(shlex.quote(word) for word in spec.words()),
        "WORKDIR": shlex.quote(spec.workdir),
    }
    # In one pass: a value that holds a placeholder of its own stays as it is.
    return re.sub("@([A-Z]+)@", lambda found: parts[found[1]], SCRIPT)


def _files(spec: JobSpec) -> Files:
    return {SCRIPT_NAME: render_local(spec)}


def _check(files: Files) -> None:
    """Nothing yet: the script is ours."""


def _not_yet(*_: object) -> Sequence[Sequence[str]]:
    raise UserError("the local back end cannot do this yet")


LOCAL = Backend(
    name="local",
    files=_files,
    check=_check,
    tools=("sh",),
    up=lambda _, folder: [["sh", str(folder / SCRIPT_NAME)]],
    status=_not_yet,
    stop=_not_yet,
    down=_not_yet,
    logs=_not_yet,
    removed=lambda _: [],
)
