"""What a sweep writes of its points: ``runs/ID/run.json`` of one at its end, ``status/works.json`` of what all need."""

from collections.abc import Mapping, Sequence
from typing import Any

from octomed_jax import manifests
from octomed_jax.sweeps.expand import Point
from octomed_jax.sweeps.folders import Folders
from octomed_jax.sweeps.schedule import DONE, FAILED, STOPPED, Schedule
from octomed_jax.sweeps.stages import Given, Work, epochs_at, given_to, step_of


def record_of(
    point: Point, state: str, schedule: Schedule, folders: Folders, given: Mapping[str, Given]
) -> dict[str, Any]:
    """Return what ``run.json`` says of a point that is done, failed or stopped.

    Args:
        point: the point.
        state: how it ended.
        schedule: of the sweep.
        folders: of the sweep.
        given: stages that were made elsewhere.
    """
    works = [work for work in schedule.plans[point.id] if not work.until]
    record: dict[str, Any] = {"id": point.id, "state": state}
    if state == FAILED:
        work = schedule.failed_in(point.id)
        record |= {"stage": work.stage, "exit_code": schedule.codes[work.name]}
    if state == STOPPED:
        record["rung"] = schedule.stopped[point.id]
    record["stages"] = {stage: one.folder for stage, one in sorted(given_to(point.config, given).items())}
    told = [work for work in works if state != STOPPED or work.stage not in ("export", "eval")]
    record["stages"] |= {work.stage: folders.told(work) for work in told}  # of marks the last one's
    record["marks"] = _marks(point, works, schedule, folders)
    return record


def _marks(point: Point, works: Sequence[Work], schedule: Schedule, folders: Folders) -> list[dict[str, Any]]:
    exports = {work.part: work for work in works if work.stage == "export"}
    train = next((work for work in works if work.stage == "train"), None)
    evaluated = [work for work in works if work.stage == "eval" and schedule.state[work.name] == DONE]
    steps = steps_of(folders.stage("train", train.key)) if train and evaluated else 0
    return [
        {
            "x": epochs_at(point.config, work),
            "step": step_of(work, steps),
            "export": folders.told(exports[work.part]) if work.part in exports else None,
            "eval": folders.told(work),
        }
        for work in evaluated
    ]


def steps_of(train: str) -> int:
    """Return how many steps a finished training has taken."""
    return int(manifests.read_manifest(train, "train").counts["steps"])


def works_record(schedule: Schedule, folders: Folders) -> dict[str, Any]:
    """Return what ``works.json`` holds: the works of each point, for whoever asks how far they are."""
    trains = {
        point: folders.told(work)
        for point, works in schedule.plans.items()
        for work in works
        if work.stage == "train" and not work.until
    }
    return {
        "works": {name: {"stage": work.stage, "key": work.key} for name, work in schedule.works.items()},
        "points": {point: [work.name for work in works] for point, works in schedule.plans.items()},
        "train": trains,
    }
