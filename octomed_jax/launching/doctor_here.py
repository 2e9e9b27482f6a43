"""What can be seen on this machine before a job is started."""

import fcntl
import importlib.metadata
import os
import shutil
import socket
from pathlib import Path

from packaging.requirements import Requirement

from octomed_jax.errors import UserError
from octomed_jax.launching.backends.base import Backend
from octomed_jax.launching.finding import BAD, DOUBT, GOOD, UNKNOWN, Finding
from octomed_jax.launching.placeholders import placeholders
from octomed_jax.launching.spec import JobSpec
from octomed_jax.launching.tools import Ask
from octomed_jax.storage import in_bucket

PACKAGE = "octomed-jax"
LIBTPU_LOCK = Path("/tmp/libtpu_lockfile")  # jax-ml/jax#10192: it stays where a process is killed


def tools(_: JobSpec, place: Backend, _ask: Ask) -> list[Finding]:
    """Look for the programs that the back end's commands need."""
    found = []
    for name in place.tools:
        path = shutil.which(name)
        cure = f"install {name}; the page of this back end in docs/ says how"
        found.append(Finding("tool", GOOD if path else BAD, path or f"{name} is not on PATH", cure))
    return found


def names(spec: JobSpec, place: Backend, _ask: Ask) -> list[Finding]:
    """Look whether the back end can do the job, and for names that are still to be put into the launch config."""
    try:
        missing = placeholders(spec, place)
    except UserError as error:
        return [Finding("job", BAD, str(error), "change the launch config, or choose another --backend")]
    if missing:
        return [
            Finding("names", BAD, f"the launch config still holds {', '.join(missing)}", "put your own names there")
        ]
    return []


def versions(_: JobSpec, _place: Backend, _ask: Ask) -> list[Finding]:
    """Compare what is installed with the versions that this package works with: others are known to be bad."""
    try:
        wanted = importlib.metadata.requires(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        return [Finding("versions", UNKNOWN, f"{PACKAGE} is not installed here, only on the path")]
    wrong = []
    for line in wanted:
        need = Requirement(line)
        try:
            version = importlib.metadata.version(need.name)
        except importlib.metadata.PackageNotFoundError:
            continue  # of an extra that is not wanted here; the others are missed at once
        if not need.specifier.contains(version, prereleases=True):
            wrong.append(
                Finding("versions", BAD, f"{need.name} {version}", f"pip install '{need.name}{need.specifier}'")
            )
    return wrong or [Finding("versions", GOOD, "the installed packages are in the ranges of pyproject.toml")]


def libtpu_lock(_: JobSpec, _place: Backend, _ask: Ask, lock: Path = LIBTPU_LOCK) -> list[Finding]:
    """Look for a lock of libtpu that no process holds: with it, the TPUs of this machine are not found."""
    if not lock.exists():
        return [Finding("libtpu lock", GOOD, f"no {lock} on this machine")]
    cure = f"sudo rm {lock}"
    try:
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return [Finding("libtpu lock", DOUBT, f"a process uses the TPUs of this machine and holds {lock}", "end it")]
    except PermissionError:
        return [Finding("libtpu lock", BAD, f"{lock} belongs to another user", cure)]
    return [Finding("libtpu lock", BAD, f"{lock} was left behind by a process that is gone", cure)]


def work_folder(spec: JobSpec, _place: Backend, _ask: Ask) -> list[Finding]:
    """Look whether a work folder of this machine can be written; a bucket is looked at in ``doctor_cloud``."""
    if in_bucket(spec.workdir):
        return []
    there = Path(spec.workdir).absolute()
    while not there.exists():
        there = there.parent
    writable = there.is_dir() and os.access(there, os.W_OK | os.X_OK)
    text = f"{spec.workdir} can {'' if writable else 'not '}be written"
    return [Finding("work folder", GOOD if writable else BAD, text, "choose another workdir")]


def machine(spec: JobSpec, place: Backend, _ask: Ask) -> list[Finding]:
    """Look at the cores and the port of this machine, for jobs that run on it."""
    if place.name != "local":
        return []
    cores, wanted = os.cpu_count() or 1, spec.processes * spec.devices
    text = f"{spec.processes} process(es) of {spec.devices} simulated device(s) on {cores} core(s)"
    state = GOOD if wanted <= cores else DOUBT
    found = [Finding("hosts", state, text, "they share the cores; a rehearsal is slow then, and no more")]
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", spec.port))
        except OSError as error:
            cure = "choose another --config.port, or set OCTOMED_PORT"
            return [*found, Finding("port", BAD, f"{spec.port}: {error.strerror}", cure)]
    return [*found, Finding("port", GOOD, f"{spec.port} is free")]
