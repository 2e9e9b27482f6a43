"""The training loop: shards in, checkpoints and metrics out. It continues whatever its folder holds."""

import dataclasses
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from ml_collections import ConfigDict

from octomed_jax import manifests, progress, storage
from octomed_jax.checkpoints.store import CheckpointStore
from octomed_jax.configuration import answer_format_of, training_seed
from octomed_jax.errors import TryAgain, UserError
from octomed_jax.hf.base import STUDENT, base_folder
from octomed_jax.hf.checkpoint import DATA, MIXTURE
from octomed_jax.hf.rendering import rendering, student_folder
from octomed_jax.hf.source import open_source
from octomed_jax.images.patches import PatchSpec
from octomed_jax.inputs.loader import StepSource, batches
from octomed_jax.inputs.plan import RowPlan
from octomed_jax.inputs.render import read_patch_spec
from octomed_jax.inputs.source_table import source_table, table_lines
from octomed_jax.models import mesh as meshes
from octomed_jax.models.options import compute_of, trained_of
from octomed_jax.models.qwen2_5_vl.config import read_config
from octomed_jax.models.runtime import start_jax
from octomed_jax.traces.shards import ShardReader, check_on_disk
from octomed_jax.training.guards import Watchdog
from octomed_jax.training.length import part_steps, with_length
from octomed_jax.training.metrics import METRICS, read_metrics
from octomed_jax.training.optimizer import make_optimizer
from octomed_jax.training.planning.here import compile_here, mesh_here
from octomed_jax.training.planning.plan import Job, with_mesh
from octomed_jax.training.profile import Profile
from octomed_jax.training.record import Record, Sent
from octomed_jax.training.request import check_training, make_plan, share_of, training_request
from octomed_jax.training.speed import goodput
from octomed_jax.training.step import Student, abstract_state, initial_state
from octomed_jax.training.stop import StopRequest


@dataclasses.dataclass(frozen=True)
class Moment:
    """The student after a step, for a look at it from outside.

    Attributes:
        step: the last one.
        parameters: as they are trained; valid until the next step begins.
        student: what they belong to.
        mesh: where they lie.
    """

    step: int
    parameters: Any
    student: Student
    mesh: jax.sharding.Mesh


@dataclasses.dataclass(frozen=True)
class Reached:
    """Where a run stands that was asked for a part of itself.

    Attributes:
        step: the last one, which is saved.
        steps: of the whole run.
    """

    step: int
    steps: int


Look = Callable[[Moment], Mapping[str, float]]


def train(
    config: ConfigDict,
    shards: storage.PathLike,
    workdir: storage.PathLike,
    look: Look | None = None,
    span: tuple[int, int] | None = None,
    choose_mesh: bool = False,
    until: int | None = None,
) -> manifests.Manifest | Reached:
    """Train a student on a folder of shards; return the manifest of the whole run, or how far it has come.

    Args:
        config: uses ``train``, ``held_out``, ``checkpoint``, ``mixture``, ``student``, ``seed`` and the answer format.
        shards: what ``octomed shard`` wrote.
        workdir: checkpoints and metrics; a run that was cut off there goes on.
        look: called every ``held_out.every`` steps, by all processes; what it returns goes into the step's metrics.
        span: trace so many steps (second) from this one on (first).
        choose_mesh: take the mesh that is best for the devices, whatever the config says.
        until: save this step and end there, as if the run were cut off; it goes on from there.

    Raises:
        UserError: ``until`` is no step, the workdir holds another run, the shards were rendered for another student, or
            the config does not fit the data or the machine.
        StopAndLook: too many updates in a row were not finite, or no checkpoint is whole.
        TryAgain: SIGTERM came; the step was saved. Or other processes of the job are missing.
    """
    if until is not None and until < 1:
        raise UserError(f"--until={until} is no step; steps count from 1")
    check_training(config)
    check_on_disk(shards)
    shards, workdir = Path(shards), storage.path_of(workdir)
    rendered = rendering(config, shards)
    inputs = {
        "shard": manifests.read_manifest(shards, "shard").identity,
        "render": manifests.read_manifest(rendered, "render").identity,
    }
    request = training_request(config)
    if done := manifests.finished(workdir, "train", request, inputs):
        return done
    ShardReader(shards)  # a shard that is gone is told before anything is begun
    start_jax(job=True, census_seconds=config.train.guards.census_seconds)
    student = student_folder(config, shards)
    _claim(workdir, shards, student, request, inputs)

    plan = make_plan(config, shards)
    config = with_length(config, plan.steps_per_epoch)
    steps = config.train.steps
    end = steps if until is None else min(until, steps)
    job = Job(config, read_config(student), plan, read_patch_spec(student), {})
    if choose_mesh:
        job = with_mesh(job, mesh_here(job, workdir))
        config = job.config
    mesh = meshes.make_mesh(config.train.mesh)
    meshes.check_axes(mesh.shape, job.model, config.train.tokens_per_row)
    optimizer = make_optimizer(config.train)
    learner = Student(job.model, trained_of(config.train), compute_of(config.train))

    parts, kept = part_steps(config), config.checkpoint
    store = CheckpointStore(workdir / "checkpoints", kept.keep, kept.keep_every, parts)
    first = 0
    if restored := store.restore(abstract_state(learner, optimizer, mesh), plan.hash):
        first, state = restored
        if end < steps and first >= end:
            store.close()
            return Reached(first, steps)
        progress.say(f"train: going on after step {first}")
    else:
        source = open_source(base_folder(config.student)) if config.student.base else None
        state = initial_state(learner, optimizer, mesh, training_seed(config), source)
    if jax.process_index() == 0:  # the plan is that of the run: what an export says of it
        asked = {"asked": request["mixture"], "held_out_records": request["held_out"]}
        storage.write_json(workdir / MIXTURE, asked | {"sources": source_table(plan.index, plan.numbers)})
    share = share_of(mesh, config, job.spec)
    skip_bad = config.train.bad_records == "skip"
    reader = StepSource(plan, shards, student, answer_format_of(config), first, end, share, skip_bad)
    _announce(config, learner, state, mesh, plan, job.spec, steps)
    profile = Profile(workdir / "profile", *span) if span else None
    if profile:
        profile.check(first, end)

    limits = config.train.guards
    watchdog = Watchdog(workdir, jax.process_index(), limits.step_seconds, limits.first_step_seconds)
    with (
        progress.bar("train", steps, "steps", first) as line,
        Record(config, workdir, first, plan, learner, mesh, share, line) as record,
        StopRequest() as stop,
        store,
        watchdog,
    ):
        rows = batches(reader, config.train.loader_workers)
        with record.clock.pause("compiling"):
            compiled = compile_here(job, mesh, workdir)
        saved = first
        sent: Sent | None = None
        for step in range(first + 1, end + 1):
            batch, arrived = record.wait_for(rows, sent)
            if profile:
                profile.step_begins(step)
            state, metrics = compiled(state, meshes.to_devices(mesh, batch, rows=1))
            # Metrics are read one step late, so that the loop never waits for the step it has just sent off.
            before, sent = sent, record.sent(step, metrics, arrived, sent)
            if before:
                record.write(record.ended(before))
            if profile:
                profile.step_sent(step, metrics)
            stopping = stop.reached(step)
            looking = look is not None and config.held_out.every > 0 and step % config.held_out.every == 0
            saving = step % kept.every == 0 or step in parts or step == end or stopping
            if looking or saving:
                assert sent
                entry, sent = record.ended(sent), None
                if looking and look:
                    with record.clock.pause("looks"):
                        entry |= look(Moment(step, state["parameters"], learner, mesh))
                record.write(entry)
            if saving:
                with record.clock.pause("checkpoints"):
                    record.send()
                    quiet = record.guard.quiet()
                    if saved and quiet:  # nothing went wrong since
                        store.call_good(saved)
                    store.save(step, state, plan.hash)
                saved = step
            line.advance()
            watchdog.step_ended()
            if stopping and step < end:
                raise TryAgain(f"told to end: saved step {step} in {workdir}; the same command goes on from there")
    if end < steps:
        multihost_utils.sync_global_devices("train reached its step")
        return Reached(end, steps)
    if jax.process_index() == 0:
        _finish(workdir, request, inputs, plan)
    # All processes leave together, with what the first one wrote.
    multihost_utils.sync_global_devices("train finished")
    return manifests.read_manifest(workdir, "train")


def _finish(workdir: Path, request: Mapping[str, Any], inputs: Mapping[str, str], plan: RowPlan) -> None:
    """Write the manifest of a finished run, and say what its time went into."""
    entries = read_metrics(workdir / METRICS)
    losses = [entry["loss"] for entry in entries if entry["loss"] is not None]
    manifest = manifests.Manifest(
        stage="train",
        config=request,
        inputs=inputs,
        counts={
            "steps": len(entries),
            "steps_per_epoch": plan.steps_per_epoch,
            "tokens": sum(entry["tokens"] for entry in entries),
            "examples": plan.examples,
            "left_out": plan.left_out,
            "sources": source_table(plan.index, plan.numbers),
        },
        extra={"loss_first": losses[0], "loss_last": float(np.mean(losses[-20:])), "plan": plan.hash},
    )
    spent = goodput(workdir, entries, time.time())
    progress.say(
        f"train: goodput {spent['goodput']:.1%} of {spent['seconds'] / 60:,.1f} minutes since the first of "
        f"{spent['starts']:.0f} start(s)"
    )
    manifests.write_manifest(workdir, manifest)


def _claim(workdir: Path, shards: Path, student: Path, request: Mapping[str, Any], inputs: Mapping[str, str]) -> None:
    """Write the student, its data's manifest and ``config.json`` into a new workdir; refuse one of another run."""
    path = workdir / "config.json"
    claim = {"request": manifests.request_of("train", request, inputs), "config": request, "inputs": dict(inputs)}
    if path.exists():
        begun = storage.read_json(path)
        if begun["request"] != claim["request"]:
            old, new = manifests.flatten(begun["config"]), manifests.flatten(json.loads(json.dumps(request)))
            changed = [f"{name}: {old.get(name)!r} -> {new.get(name)!r}" for name in new if old.get(name) != new[name]]
            what = ", ".join(changed[:2]) or "other shards"
            raise UserError(f"{workdir} holds a run with other settings ({what}); choose another --workdir")
    if jax.process_index() == 0 and not (workdir / DATA).exists():
        # What an export needs, so that this folder is enough for one.
        storage.copy_folder(student, workdir / STUDENT)
        storage.write_json(workdir / DATA, storage.read_json(shards / manifests.MANIFEST))
    if jax.process_index() == 0 and not path.exists():
        storage.write_json(path, claim)


def _announce(
    config: ConfigDict,
    student: Student,
    state: Mapping[str, Any],
    mesh: jax.sharding.Mesh,
    plan: RowPlan,
    spec: PatchSpec,
    steps: int,
) -> None:
    learned, frozen = [
        sum(leaf.size for leaf in jax.tree.leaves(part)) for part in student.trained.split(state["parameters"])
    ]
    architecture = student.config
    progress.say(
        f"train: {learned:,} parameters trained, {frozen:,} frozen, in {config.train.dtype}; "
        f"{architecture.text.num_hidden_layers} decoder layers, {architecture.vision.depth} vision blocks; "
        f"attention {student.compute.attention}; mesh "
        + " x ".join(f"{axis} {size}" for axis, size in mesh.shape.items())
    )
    rows = " + ".join(f"{count} {name}" for name, count in plan.rows_per_step.items())
    cells = max(bucket.cells for bucket in plan.buckets)
    progress.say(
        f"train: {plan.examples:,} examples an epoch in rows of {config.train.tokens_per_row} tokens and "
        f"{cells * spec.merge_size**2} patches ({rows} rows a step), images of at most {spec.max_pixels:,} pixels; "
        f"{sum(plan.left_out.values())} too long for a row; {steps / plan.steps_per_epoch:.1f} epochs"
    )
    for benchmark, number in plan.left_out.items():
        progress.say(f"  left out of {benchmark}: {number} examples longer than a row")
    for line in table_lines(source_table(plan.index, plan.numbers)):
        progress.say(f"  {line}")
