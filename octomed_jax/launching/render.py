"""From a job spec to the files of a back end, in a folder: files that pass their check, or none."""

import dataclasses
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from octomed_jax import progress, storage
from octomed_jax.errors import UserError
from octomed_jax.launching.backends.base import Backend, Files
from octomed_jax.launching.spec import JobSpec
from octomed_jax.os_errors import explain_os_error

HEAD_BYTES = 200  # in which a rendered file says so


def render(spec: JobSpec, backend: Backend, output: storage.PathLike) -> list[Path]:
    """Write the files of ``backend`` into ``output`` and return their paths; the same files again are left as they are.

    A file of an earlier rendering that is none of this one, such as that of a teacher, is removed.

    Raises:
        UserError: a spec that the back end cannot run, files that its check refuses, or ``output`` already holds
            another rendering. Nothing is written then.
    """
    files = backend.files(spec)
    backend.check(files)
    for name, text in files.items():
        refuse_secret_values(text, spec)
        path = Path(output) / name
        if path.exists() and path.read_bytes() != text.encode():
            raise UserError(f"{path} holds another rendering; remove it or choose another --output")
    for path in _left_over(Path(output), backend, files):
        progress.say(f"launch: removing {path}, which is no longer a part of the job")
        path.unlink()
    return [_write(Path(output) / name, text) for name, text in files.items()]


def _left_over(output: Path, backend: Backend, files: Files) -> list[Path]:
    """Return what a back end has rendered into a folder before and now does not; by the words in its first lines."""
    ours = f"Rendered by `octomed launch render --backend={backend.name}`".encode()
    found = []
    for path in sorted(output.iterdir()) if output.is_dir() else []:
        if path.name not in files and path.suffix in (".yaml", ".sh", ".sbatch") and path.is_file():
            with path.open("rb") as file:
                head = file.read(HEAD_BYTES)
            found += [path] if ours in head else []
    return found


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
    """Refuse to write a file that holds the value of one of the job's secrets, as far as this machine knows it.

    The fields of the job are looked through too: a value with a quote or many words stands otherwise in a file.
    """
    held = (text, *_texts(dataclasses.asdict(spec)))
    for name in {**spec.secrets, **(spec.teacher.secrets if spec.teacher else {})}:
        value = os.environ.get(name, "")
        # As JSON and the record have it, too.
        if len(value) >= 8 and any(value in one or json.dumps(value)[1:-1] in one for one in held):
            raise UserError(f"the rendered file would hold the value of {name}; remove it from the launch config")


def _texts(value: Any) -> Iterator[str]:
    """Yield all texts in plain data."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _texts(one)
