"""The stage ``train`` of a sweep's points as jobs of one launch config: their specs, all checked before any starts."""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path

from octomed_jax import configuration
from octomed_jax.errors import UserError
from octomed_jax.launching.backends.base import Backend
from octomed_jax.launching.code_state import CodeState, code_state
from octomed_jax.launching.placeholders import placeholders
from octomed_jax.launching.spec import Command, JobSpec
from octomed_jax.launching.tools import need

NAME_LIMIT = 39  # of the strictest back end, xpk; the hash of a point's id stands first
LAST_PORT = 65_535
SAME_DISK = ("local", "slurm")  # back ends whose jobs see the folders of this machine
# What a launch config's command may say of training: where and how fast, which is in no point's id.
PLACED = ("mesh", "rows_at_once", "attention", "remat", "loader_workers", "guards", "wandb")
OWN_OPTIONS = ("shards", "workdir", "until", "json", "dry-run")  # that the sweep sets, or that make no run


@dataclasses.dataclass(frozen=True)
class Training:
    """A training that a job is to do.

    Attributes:
        point: id of the point that it is named after.
        key: of the stage's folder, ``train-HASH``.
        spec: the point's config, ``FILE.py[:arg]``.
        overrides: ``a.b=value`` of the point.
        shards: folder that it learns from.
        number: of the point in its sweep, from 0: jobs of one machine need ports of their own.
        until: a step at which it is to wait; 0: it goes to its end.
    """

    point: str
    key: str
    spec: str
    overrides: tuple[str, ...]
    shards: str
    number: int = 0
    until: int = 0


@dataclasses.dataclass(frozen=True)
class Place:
    """Where jobs run, and what they all share.

    Attributes:
        spec: the job of the launch config; its name, command and work folder are replaced.
        backend: by which they run.
        file: the launch config.
        roots: folders in which a config file may lie.
    """

    spec: JobSpec
    backend: Backend
    file: Path
    roots: tuple[Path, ...]

    @functools.cached_property
    def code(self) -> CodeState:
        """The state of the checkout, looked at once: a sweep is of one code."""
        return code_state(self.file.parent)


def work_folder(place: Place, training: Training) -> str:
    """Return where a training writes: a stage's folder in the work folder of the launch config."""
    return f"{place.spec.workdir.rstrip('/')}/stages/{training.key}"


def job_spec(place: Place, training: Training) -> JobSpec:
    """Return the job of a training.

    Raises:
        UserError: its config lies outside of the project, or the launch config says what the points should say.
    """
    check_place(place)
    given = place.spec.command
    folder = work_folder(place, training)
    options = [option for option in given.options if option.partition("=")[0] not in OWN_OPTIONS]
    options += [f"shards={shards_of(place, training.shards)}", f"workdir={folder}"]
    options += [f"until={training.until}"] if training.until else []
    command = Command(
        "train", _inside(training.spec, place.roots), (*given.overrides, *training.overrides), tuple(options)
    )
    first = place.spec.port
    return dataclasses.replace(
        place.spec,
        name=training.point[:NAME_LIMIT].rstrip("-"),
        command=command,
        workdir=folder,
        port=first + training.number % (LAST_PORT + 1 - first),
        teacher=None,  # training asks none
    )


def check_place(place: Place) -> None:
    """Refuse a launch config that is no training, or that changes what is learned.

    Raises:
        UserError: so.
    """
    command = place.spec.command
    if command.verb != "train":
        raise UserError(
            f"{place.file} launches `octomed {command.verb}`; a sweep's jobs train: set command.verb='train'"
        )
    for override in command.overrides:
        section, _, field = override.partition("=")[0].partition(".")
        if section != "train" or field.partition(".")[0] not in PLACED:
            raise UserError(
                f"command.overrides of {place.file}: {override} would train something else than the points say; remove "
                f"it, or put it into the recipe (what may stand there: train.{', train.'.join(PLACED)})"
            )


def shards_of(place: Place, shards: str) -> str:
    """Return the folder of shards as a job is told of it.

    Raises:
        UserError: the job could not see it.
    """
    folder = Path(shards).absolute()
    mounted = any(folder.is_relative_to(path) for path in place.spec.mounts)
    if not mounted and place.backend.name not in SAME_DISK:
        seen = ", ".join(place.spec.mounts) or "none"
        raise UserError(
            f"a job of {place.backend.name} does not see {folder}; mount a bucket there and name it in mounts of "
            f"{place.file} (now: {seen}), with the sweep's --output or the --shards you give inside"
        )
    return str(folder)


def _inside(spec: str, roots: Sequence[Path]) -> str:
    """Return a config as the job finds it: from the root of the project."""
    path, arg = configuration.split_spec(spec)
    whole = path.absolute()
    root = next((root for root in map(Path.absolute, roots) if whole.is_relative_to(root)), None)
    if root is None:
        raise UserError(f"{path} lies outside of the project, which is what a job has; run this from its root")
    inside = whole.relative_to(root).as_posix()
    return inside if arg is None else f"{inside}:{arg}"


def check_jobs(place: Place, trainings: Sequence[Training]) -> None:
    """Look at the jobs of all points before the first is started.

    Raises:
        UserError: a tool of the back end is missing, it cannot do one of the jobs, or a name is still to be put in.
    """
    need(place.backend.tools)
    left: set[str] = set()
    for training in trainings:
        spec = job_spec(place, training)
        place.backend.check(place.backend.files(spec))
        left |= {*placeholders(spec, place.backend)}
    if left:
        raise UserError(
            f"{place.file} still holds {', '.join(sorted(left))}; put your own names there, nothing was started"
        )
