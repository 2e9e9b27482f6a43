"""From a job spec to the files of a back end, in a folder: files that pass their check, or none."""

import os
from pathlib import Path

from octomed_jax import storage
from octomed_jax.errors import UserError
from octomed_jax.launching.backends.base import Backend
from octomed_jax.launching.spec import JobSpec
from octomed_jax.os_errors import explain_os_error


def render(spec: JobSpec, backend: Backend, output: storage.PathLike) -> list[Path]:
    """Write the files of ``backend`` into ``output`` and return their paths; the same files again are left as they are.

    Raises:
        UserError: a spec that the back end cannot run, files that its check refuses, or ``output`` already holds
            another rendering. Nothing is written then.
    """
    files = backend.files(spec)
    backend.check(files)
    for name, text in files.items():
        refuse_secret_values(text, spec)
        path = Path(output) / name
        if path.exists() and path.read_text() != text:
            raise UserError(f"{path} holds another rendering; remove it or choose another --output")
    return [_write(Path(output) / name, text) for name, text in files.items()]


def _write(path: Path, text: str) -> Path:
    if path.exists():
        return path
    try:
        storage.write_text(path, text)
    except OSError as error:
        raise explain_os_error(error, path) from error
    if path.suffix == ".sh":
        path.chmod(0o755)
    return path


def refuse_secret_values(text: str, spec: JobSpec) -> None:
    """Refuse to write a file that holds the value of one of the job's secrets, as far as this machine knows it."""
    for name in {**spec.secrets, **(spec.teacher.secrets if spec.teacher else {})}:
        value = os.environ.get(name, "")
        if len(value) >= 8 and value in text:
            raise UserError(f"the rendered file would hold the value of {name}; remove it from the launch config")
