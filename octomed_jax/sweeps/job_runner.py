"""What runs the stage ``train`` of a sweep on a launch back end, told of each training as a process here would be."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from octomed_jax.launching import control
from octomed_jax.launching.tools import Ask, ask
from octomed_jax.sweeps.expand import Point
from octomed_jax.sweeps.jobs import Look, TrainJob, take_down_finished
from octomed_jax.sweeps.processes import Task
from octomed_jax.sweeps.stages import Work
from octomed_jax.sweeps.train_spec import Place, Training, check_jobs

TRAIN, SHARD = "train", "shard"


class JobRunner:
    """Starts trainings as jobs; ``home`` is the work folder of the launch config, in which their stages lie."""

    def __init__(
        self, place: Place, root: Path, look: Look = control.job_state, tools: Ask = ask, seconds: float | None = None
    ):
        """Prepare. Arguments as of ``TrainJob``."""
        self.home = place.spec.workdir.rstrip("/")
        self._place, self._root, self._look, self._tools, self._seconds = place, root, look, tools, seconds
        self._tidy = False

    def start(self, task: Task) -> TrainJob:
        """Start a training, or find its job."""
        if not self._tidy:
            self.tidy()
        return TrainJob(self._place, self._root, training_of(task), self._look, self._tools, self._seconds)

    def tidy(self) -> None:
        """Take down the jobs of a sweep that was killed when their work was done; call it when nothing runs."""
        take_down_finished(self._root, self._tools)
        self._tidy = True


def training_of(task: Task) -> Training:
    """Return what a job is told of a task: the config and the overrides that its command has."""
    [spec] = [word.partition("=")[2] for word in task.words if word.startswith("--config=")]
    overrides = tuple(word.removeprefix("--config.") for word in task.words if word.startswith("--config."))
    work = task.work
    return Training(task.point.id, work.key, spec, overrides, task.folders[SHARD], task.number, work.until)


def check_sweep(
    place: Place, points: Sequence[Point], plans: Mapping[str, Sequence[Work]], given: Collection[str], root: Path
) -> None:
    """Look at the jobs of all points before anything is started.

    Args:
        place: where they run.
        points: of the sweep.
        plans: point id to its works.
        given: folders that were made elsewhere.
        root: folder of the sweep.

    Raises:
        UserError: a tool is missing, the back end cannot do one of them, or a name is still to be put in.
    """
    check_jobs(place, trainings_of(points, plans, given, root))


def trainings_of(
    points: Sequence[Point], plans: Mapping[str, Sequence[Work]], given: Collection[str], root: Path
) -> list[Training]:
    """Return the trainings of a sweep, each once, of the first point that asks for it."""
    found: dict[str, Training] = {}
    for number, point in enumerate(points):
        for work in plans[point.id]:
            if work.stage == TRAIN:
                key = work.inputs[SHARD]
                shards = key if key in given else str(root / "stages" / key)
                found.setdefault(work.key, Training(point.id, work.key, point.spec, point.overrides, shards, number))
    return list(found.values())
