"""A shell script that runs a job as several processes on this machine, with simulated devices: a rehearsal of a pod.

The processes find each other as they would on a cluster (``JAX_COORDINATOR_ADDRESS`` and its two companions), so that
what only shows between processes shows here first. The script's own words are the back end's commands.
"""

import re
import shlex
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from octomed_jax.errors import UserError
from octomed_jax.launching.backends.base import Backend, Commands, Files, LogOptions
from octomed_jax.launching.backends.fields import check_rank
from octomed_jax.launching.backends.local_script import MOUNT, SCRIPT, SECRET
from octomed_jax.launching.backends.shell import fill
from octomed_jax.launching.exit_policy import FAIL_NOW, TRY_AGAIN
from octomed_jax.launching.mounts import mounts_of
from octomed_jax.launching.spec import JobSpec
from octomed_jax.launching.state import DONE, FAILED, GONE, RUNNING, STOPPED, UNKNOWN, State, refused
from octomed_jax.launching.tools import Answer

SCRIPT_NAME = "run_local.sh"
# What the script says of a job, to how it is; where it ended, its exit code tells.
STATES = {
    "not started here": GONE,
    "running as process .*": RUNNING,
    "what started its processes was killed, and process .* still runs;.*": RUNNING,
    r"ended with exit code (\d+)": FAILED,
    "killed; start it again to go on": FAILED,
}


def render_local(spec: JobSpec) -> str:
    """Return the script; equal specs give equal bytes. Secrets are read from the environment by name."""
    environment = "".join(f"  {name}={shlex.quote(value)} \\\n" for name, value in sorted(spec.environment.items()))
    parts = {
        "NAME": spec.name,
        "PROCESSES": str(spec.processes),
        "DEVICES": str(spec.devices),
        "PORT": str(spec.port),
        "GRACE": str(spec.grace_seconds),
        "RETRIES": str(spec.retries),
        "FAIL_NOW": " | ".join(str(code) for code in FAIL_NOW),
        "TRY_AGAIN": str(TRY_AGAIN),
        "SCRIPT": SCRIPT_NAME,
        "CONFIG": shlex.quote(spec.command.config.partition(":")[0]),
        "SECRETS": "".join(SECRET.replace("@NAME@", name) for name in sorted(spec.secrets)),
        # This machine's folders are its owner's: the job looks whether they are there, and mounts nothing.
        "MOUNTS": "".join(fill(MOUNT, {"PATH": one.path, "SOURCE": one.source}) for one in mounts_of(spec)),
        "ENVIRONMENT": environment,
        "WORDS": " ".join(shlex.quote(word) for word in spec.words()),
        "WORKDIR": shlex.quote(spec.workdir),
    }
    # In one pass: a value that holds a placeholder of its own stays as it is.
    return re.sub("@([A-Z_]+)@", lambda found: parts[found[1]], SCRIPT)


def _files(spec: JobSpec) -> Files:
    if spec.teacher and spec.command.verb != "train":  # training only reads what a teacher beside it is asked for
        raise UserError(
            f"teacher={spec.teacher.model}: not on this machine; serve it with `octomed teacher serve`, name its "
            "endpoint in command.options, and leave teacher out"
        )
    if spec.processes > 1 and spec.command.verb != "train":
        raise UserError(
            f"processes={spec.processes}: each would do all of `octomed {spec.command.verb}`; use processes=1"
        )
    return {SCRIPT_NAME: render_local(spec)}


def _check(files: Files) -> None:
    """Let the shell read the script without running it.

    Raises:
        UserError: it cannot.
    """
    for name, text in files.items():
        read = subprocess.run(["sh", "-n"], input=text, capture_output=True, text=True, check=False)
        if read.returncode:
            raise UserError(f"{name} is no script that sh can read: {' '.join(read.stderr.split())}")


def _word(word: str) -> Callable[[JobSpec, Path], Commands]:
    return lambda _, folder: [["sh", str(folder / SCRIPT_NAME), word]]


def _logs(spec: JobSpec, folder: Path, options: LogOptions) -> Commands:
    if options.since:
        raise UserError(f"--since={options.since}: the local logs hold no times; use --tail=LINES")
    check_rank(options.rank, spec.processes)
    rank = "all" if options.rank is None else str(options.rank)
    words = [str(options.tail or "+1"), rank, *(["follow"] if options.follow else [])]
    return [["sh", str(folder / SCRIPT_NAME), "logs", *words]]


def _read_state(spec: JobSpec, answers: Sequence[Answer]) -> State:
    """Read the first line of what the script says of the whole job."""
    [answer] = answers
    first = answer.out.partition("\n")[0].removeprefix(f"{spec.name}: ")
    if answer.code or not answer.out.startswith(f"{spec.name}: "):
        return refused(answer)
    for pattern, state in STATES.items():
        if found := re.fullmatch(pattern, first):
            # In the background the script goes on after 42, unless it was asked to end.
            return State({"0": DONE, str(TRY_AGAIN): STOPPED}.get(found[1], FAILED) if found.groups() else state, first)
    return State(UNKNOWN, first)


LOCAL = Backend(
    name="local",
    files=_files,
    check=_check,
    tools=("sh",),
    up=_word("start"),
    status=_word("status"),
    stop=_word("stop"),
    down=_word("down"),
    logs=_logs,
    ask_state=_word("status"),
    read_state=_read_state,
    removed=lambda spec: [f"the {spec.processes} process(es) of {spec.name}, if they still run", "the folder logs/"],
)
