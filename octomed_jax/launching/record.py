"""What is kept of a launch: in the work folder for good, and beside the rendered files for the verbs that come after.

    WORKDIR/launch/RUN_ID/start-1/launch.json    run id, time, the job, back end, code, image digest, commands
                                  config.json    the command's own config, resolved
                                  changes.patch  what was not committed; none where all was
                                  files/         the rendered files
    DIR/launch.json                              the same as the first, of the last start

A job that was stopped and is started again from the same folder keeps its run id and counts its starts. WORKDIR may
lie in a bucket.
"""

import dataclasses
import datetime
import json
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from etils import epath
from ml_collections import ConfigDict

from octomed_jax import __version__, configuration, storage
from octomed_jax.errors import StopAndLook, UserError
from octomed_jax.launching.backends.base import Backend
from octomed_jax.launching.backends.table import BACKENDS
from octomed_jax.launching.code_state import CodeState
from octomed_jax.launching.render import refuse_secret_values
from octomed_jax.launching.spec import Command, JobSpec, Secret, Teacher

FORMAT_VERSION = 1
LAUNCH, CONFIG, PATCH, FILES = "launch.json", "config.json", "changes.patch", "files"
FOLDER = "launch"  # in the work folder
FACTS = ("run_id", "start", "at", "backend", "record")  # of a Launch, as launch.json has them


@dataclasses.dataclass(frozen=True)
class Launch:
    """A start of a job.

    Attributes:
        run_id: of the job, the same for all its starts.
        start: which one this is, from 1.
        at: when, UTC.
        backend: its name.
        spec: the job.
        record: folder of the start in the work folder.
    """

    run_id: str
    start: int
    at: str
    backend: str
    spec: JobSpec
    record: str


def next_launch(spec: JobSpec, backend: Backend, folder: Path) -> Launch:
    """Return the next start of a job from a folder of rendered files.

    Raises:
        UserError: another job was started from there and not taken down.
    """
    before = read_launch(folder) if is_launched(folder) else None
    now = datetime.datetime.now(datetime.UTC)
    if before is None:
        run_id, start = f"{spec.name}-{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}", 1
    else:
        if (before.backend, before.spec) != (backend.name, spec):
            raise UserError(
                f"{folder} holds the launch {before.run_id} of another job ({before.backend}); take it down first with "
                f"`octomed launch down --output={folder} --yes`, or choose another --output"
            )
        run_id, start = before.run_id, before.start + 1
    record = epath.Path(spec.workdir) / FOLDER / run_id / f"start-{start}"
    return Launch(run_id, start, now.isoformat(timespec="seconds"), backend.name, spec, str(record))


def write_record(
    launch: Launch,
    folder: Path,
    files: Sequence[Path],
    config: Mapping[str, Any],
    code: CodeState,
    image: tuple[str, str],
    commands: Sequence[Sequence[str]],
) -> None:
    """Write the record of a start into the work folder, then beside the rendered files.

    Args:
        launch: the start.
        folder: of the rendered files.
        files: these.
        config: of the job's command, resolved.
        code: that it was rendered from.
        image: digest of the image, and why there is none.
        commands: that start it.

    Raises:
        UserError: a value of one of its secrets stands in what would be written, or the work folder cannot be written.
    """
    texts = {path.name: path.read_text() for path in files}
    about = {
        "format_version": FORMAT_VERSION,
        **{name: getattr(launch, name) for name in FACTS},
        "name": launch.spec.name,
        "version": __version__,
        "code": {"commit": code.commit, "changed": bool(code.patch), "untracked": dict(code.untracked)},
        "image": launch.spec.image,
        "image_digest": image[0] or None,
        "image_digest_missing": image[1] or None,
        "commands": [list(words) for words in commands],
        "files": {name: storage.sha256_bytes(text.encode()) for name, text in texts.items()},
        "spec": dataclasses.asdict(launch.spec),
    }
    whole = {
        CONFIG: json.dumps(config, indent=2) + "\n",
        **{f"{FILES}/{name}": text for name, text in texts.items()},
        LAUNCH: json.dumps(about, indent=2) + "\n",  # last: what has one is whole
    }
    for text in (*whole.values(), code.patch.decode(errors="replace")):
        refuse_secret_values(text, launch.spec)
    place = epath.Path(launch.record)
    if code.patch:
        storage.write_bytes(place / PATCH, code.patch)
    for name, text in whole.items():
        storage.write_text(place / name, text)
    storage.write_text(folder / LAUNCH, whole[LAUNCH])


def is_launched(folder: Path) -> bool:
    """Return whether a job was started from a folder, and not taken down."""
    return (folder / LAUNCH).exists()


def read_launch(folder: Path) -> Launch:
    """Read what was started last from a folder of rendered files.

    Raises:
        UserError: nothing was, or another version of this program did.
        StopAndLook: the file is damaged.
    """
    if not is_launched(folder):
        raise UserError(f"nothing was started from {folder}; start it with `octomed launch up --output={folder} ...`")
    return _read(epath.Path(folder) / LAUNCH)[0]


def _read(path: epath.Path) -> tuple[Launch, list[str]]:
    """Return a start and the names of its rendered files.

    Raises:
        UserError: another version of this program wrote it.
        StopAndLook: it is damaged.
    """
    damaged = (
        f"{path} is damaged: no record of a launch; look with the back end's own commands what runs, then remove it"
    )
    later = None
    try:
        fields = json.loads(path.read_text())
        if fields["format_version"] != FORMAT_VERSION:
            later, sound = fields["format_version"], True
        else:
            launch = Launch(**{name: fields[name] for name in FACTS}, spec=spec_of(fields["spec"]))
            sound = launch.backend in BACKENDS and isinstance(launch.start, int)
            sound = sound and all(isinstance(one, str) for one in (launch.run_id, launch.at, launch.record))
            names = list(fields["files"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StopAndLook(damaged) from error
    if later is not None:
        raise UserError(
            f"{path} has format version {later}, this program reads {FORMAT_VERSION}; use the version that started it"
        )
    if not sound:
        raise StopAndLook(damaged)
    return launch, names


def forget(folder: Path) -> None:
    """Forget what was started from a folder, once it was taken down; the record in the work folder stays."""
    (folder / LAUNCH).unlink()


def spec_of(fields: Mapping[str, Any]) -> JobSpec:
    """Return a job from its fields as ``dataclasses.asdict`` gives them and JSON keeps them."""
    teacher = fields.get("teacher")
    if teacher:
        teacher = Teacher(**{**_with_tuples(teacher), "secrets": _secrets(teacher["secrets"])})
    command = Command(**_with_tuples(fields["command"]))
    secret = _secrets(fields["secrets"])
    return JobSpec(**{**fields, "command": command, "secrets": secret, "teacher": teacher})


def _secrets(fields: Mapping[str, Any]) -> dict[str, Secret]:
    return {name: Secret(**place) for name, place in fields.items()}


def _with_tuples(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}


def command_config(spec: JobSpec, roots: Sequence[Path]) -> dict[str, Any]:
    """Return the config that the job's command will read, resolved.

    Args:
        spec: the job, checked: its config file is there.
        roots: folders in which it is looked for, in this order.
    """
    return configuration.plain(load_command(spec, roots, (f"run={spec.workdir}", *spec.command.overrides)))


def load_command(spec: JobSpec, roots: Sequence[Path], overrides: Sequence[str]) -> ConfigDict:
    """Load the config file of a job's command from the first of ``roots`` that has it."""
    path, arg = configuration.split_spec(spec.command.config)
    found = next(root / path for root in roots if (root / path).is_file())
    return configuration.load(str(found) if arg is None else f"{found}:{arg}", overrides)


def last_record(workdir: storage.PathLike) -> tuple[Launch, dict[str, str]] | None:
    """Return the last start that a work folder has a record of, with the text of its rendered files; None: none.

    Raises:
        StopAndLook: a record is damaged.
        UserError: another version of this program wrote one.
    """
    root = epath.Path(workdir) / FOLDER
    runs = list(root.iterdir()) if root.exists() else []
    starts = [one for run in runs if run.is_dir() for one in run.iterdir() if (one / LAUNCH).exists()]
    if not starts:
        return None
    told = [(*_read(one / LAUNCH), one) for one in starts]
    launch, names, folder = max(told, key=lambda one: (one[0].at, one[0].start))
    try:
        return launch, {name: (folder / FILES / name).read_text() for name in names}
    except (FileNotFoundError, ValueError) as error:
        raise StopAndLook(f"{folder} lacks files of its launch, or they are damaged; remove it") from error
