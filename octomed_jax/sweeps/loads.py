"""What the trainings of a sweep take: their steps, and from `octomed plan` memory and time, once for each shape."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from octomed_jax import configuration, progress, storage
from octomed_jax.errors import UserError
from octomed_jax.sweeps.plan import Load
from octomed_jax.training.planning import search, tpu_aot
from octomed_jax.training.planning.chips import Topology
from octomed_jax.training.planning.plan import Job, plan_training, read_job, with_mesh
from octomed_jax.training.planning.shape_plan import plan_for
from octomed_jax.training.request import check_training

AUTO = "auto"
# Fields of ``train`` that change neither the rows of a step nor its program.
NO_SHAPE = (
    *("steps", "epochs", "peak_learning_rate", "warmup_ratio", "schedule", "rates", "weight_decay"),
    *("adam_b1", "adam_b2", "clip_norm", "loader_workers", "bad_records", "wandb", "guards"),
)
NO_ROWS = ("seed", *NO_SHAPE)  # where there are no shards, whose rows a seed deals out

Planner = Callable[[Job, Topology], Mapping[str, Any]]


@dataclasses.dataclass(frozen=True)
class Asked:
    """A training whose load is asked for.

    Attributes:
        id: of the point.
        config: of the point.
        shards: folder that it would learn from.
    """

    id: str
    config: ConfigDict
    shards: Path


def default_planner(mesh: Mapping[str, int] | str | None) -> Planner:
    """Return what `octomed plan --mesh=MESH` does; None: with the config's own mesh."""

    def plan(job: Job, topology: Topology) -> Mapping[str, Any]:
        if isinstance(mesh, str):
            return search.best_plan(job, topology, lambda one, where: plan_training(one, where, True), search.COMPILED)
        return plan_for(with_mesh(job, mesh or job.config.train.mesh), topology)

    return plan


def steps_only(trainings: Sequence[Asked]) -> dict[str, Load]:
    """Return the steps of trainings, by point id; nothing is planned."""
    jobs = _Jobs()
    found = {}
    for one in trainings:
        try:
            steps, why = jobs.steps(one)
            found[one.id] = Load(steps, why)
        except UserError as error:
            found[one.id] = Load(None, str(error))
    return found


def loads(trainings: Sequence[Asked], topology: Topology, planner: Planner) -> tuple[dict[str, Load], int]:
    """Return what trainings take on a topology, by point id, and how many plans were made.

    A plan of a TPU is compiled, which takes minutes; trainings that are the same program share it.
    """
    no_compiler = _no_compiler(topology)
    jobs, found = _Jobs(), {}
    read: dict[str, tuple[Asked, Job, int | None, str, str]] = {}  # point id to what was read of its training
    for one in progress.track(trainings, "plan: rows", len(trainings), "points"):
        try:
            job = jobs.job(one)
            steps, why = jobs.steps(one)
            read[one.id] = one, job, steps, why, program_key(job, topology)
        except UserError as error:
            found[one.id] = Load(None, str(error), memory_missing=str(error))
    plans: dict[str, Mapping[str, Any] | str] = {}
    keys = dict.fromkeys(key for *_, key in read.values())
    with progress.bar("plan", len(keys), "shapes") as line:
        for one, job, steps, _, key in read.values():
            if key not in plans:
                plans[key] = no_compiler or _planned(_with_steps(job, steps), topology, planner)
                line.note(one.id)
                line.advance()
    for name, (_, _, steps, why, key) in read.items():
        found[name] = _load(steps, why, plans[key])
    return found, sum(not isinstance(plan, str) for plan in plans.values())


class _Jobs:
    """Jobs by what their rows depend on: to read one takes seconds, and points often differ in something else."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}

    def job(self, one: Asked) -> Job:
        """Return what a training would be given."""
        check_training(one.config)
        key = rows_key(one.config, one.shards)
        if key not in self._jobs:
            self._jobs[key] = read_job(one.config, one.shards)
        return dataclasses.replace(self._jobs[key], config=one.config)

    def steps(self, one: Asked) -> tuple[int | None, str]:
        """Return the steps of a training, or None and why they are not known."""
        train = one.config.train
        epochs = train.get("epochs") or 0
        if not epochs:
            return train.steps, ""
        if has_shards(one.shards):
            job = self.job(one)
            if str(one.shards) not in job.missing:
                return round(epochs * job.rows.steps_per_epoch), ""
        return None, f"train.epochs={epochs:g} counts epochs of shards that are not there yet"


def has_shards(shards: Path) -> bool:
    """Return whether shards were written."""
    return (shards / "manifest.json").is_file()


def rows_key(config: ConfigDict, shards: Path) -> str:
    """Return a hash of what the rows and the model of a training depend on, as far as it can be known now."""
    whole = configuration.plain(config)
    there = has_shards(shards)
    train = {name: value for name, value in whole["train"].items() if name not in (NO_SHAPE if there else NO_ROWS)}
    key: dict[str, Any] = {"train": train, "student": whole["student"], "shard": whole["shard"]}
    if there:
        kept = {name: whole[name] for name in ("seed", "mixture", "held_out")}
        key |= {**kept, "shards": str(shards.absolute()), "format": configuration.answer_format_of(config)}
    return storage.fingerprint(key)


def program_key(job: Job, topology: Topology) -> str:
    """Return a hash of what the compiled step of a training depends on; equal ones are one plan."""
    train = configuration.plain(job.config.train)
    key = [
        {name: value for name, value in train.items() if name not in NO_ROWS},
        dataclasses.asdict(job.model),
        [dataclasses.astuple(bucket) for bucket in job.rows.buckets],
        dict(job.rows.rows_per_step),
        dataclasses.asdict(job.spec),
    ]
    # From shapes alone a time also depends on how full the rows are.
    return storage.fingerprint(key if topology.is_tpu else [*key, dict(job.rows.fill), job.rows.mean()])


def _with_steps(job: Job, steps: int | None) -> Job:
    """Return the job with a length in steps; one that is not known changes nothing that is asked of the plan."""
    later = {"epochs": 0.0} if "epochs" in job.config.train else {}
    return with_mesh(job, job.config.train.mesh, steps=steps or 1, **later)


def _planned(job: Job, topology: Topology, planner: Planner) -> Mapping[str, Any] | str:
    try:
        return planner(job, topology)
    except UserError as error:
        return str(error)


def _no_compiler(topology: Topology) -> str:
    """Return why nothing can be compiled here; an empty text where it can, or need not."""
    try:
        if topology.is_tpu:
            tpu_aot.libtpu()
    except UserError as error:
        return str(error)
    return ""


def _load(steps: int | None, why: str, plan: Mapping[str, Any] | str) -> Load:
    if isinstance(plan, str):
        return Load(steps, why, None, None, plan)
    low, high = plan["step_seconds_low"], plan["step_seconds_high"]
    hours = (steps * low / 3600, steps * high / 3600) if steps and plan["fits"] and low is not None else None
    memory = {
        "peak": plan["peak_bytes_per_device"],
        "room": plan["hbm_bytes_per_device"],
        "fits": plan["fits"],
        "mesh": dict(plan["mesh"]),
        "compiled": plan["compiled"],
    }
    return Load(steps, why, hours, memory)
