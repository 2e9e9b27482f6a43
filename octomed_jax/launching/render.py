"""From a job spec to the files of a backend, in a folder."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from octomed_jax import storage
from octomed_jax.errors import UserError, did_you_mean
from octomed_jax.launching.jobset import render_jobset
from octomed_jax.launching.local import SCRIPT_NAME, render_local
from octomed_jax.launching.spec import JobSpec

# backend -> name of its file and what makes it; xpk, SkyPilot, queued resources and Slurm will stand here too.
BACKENDS: Mapping[str, tuple[str, Callable[[JobSpec], str]]] = {
    "jobset": ("jobset.yaml", render_jobset),
    "local": (SCRIPT_NAME, render_local),
}


def render(spec: JobSpec, backend: str, output: storage.PathLike) -> Path:
    """Write the file of ``backend`` into ``output`` and return its path; the same file again is left as it is.

    Raises:
        UserError: an unknown backend, a spec it cannot run, or ``output`` already holds another rendering.
    """
    if backend not in BACKENDS:
        known = ", ".join(BACKENDS)
        raise UserError(f"unknown backend {backend!r}{did_you_mean(backend, list(BACKENDS))}; one of: {known}")
    name, renderer = BACKENDS[backend]
    text = renderer(spec)
    refuse_secret_values(text, spec)
    path = Path(output) / name
    if path.exists():
        if path.read_text() != text:
            raise UserError(f"{path} holds another rendering; remove it or choose another --output")
        return path
    try:
        storage.write_text(path, text)
    except OSError as error:
        raise storage.explain_os_error(error, path) from error
    if backend == "local":
        path.chmod(0o755)
    return path


def refuse_secret_values(text: str, spec: JobSpec) -> None:
    """Refuse to write a file that holds the value of one of the job's secrets, as far as this machine knows it."""
    for name in spec.secrets:
        value = os.environ.get(name, "")
        if len(value) >= 8 and value in text:
            raise UserError(f"the rendered file would hold the value of {name}; remove it from the launch config")
