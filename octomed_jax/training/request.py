"""What a config asks of training: checked, its rows, and the part of them that each process has."""

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from octomed_jax.configuration import plain
from octomed_jax.errors import UserError, did_you_mean
from octomed_jax.hf.base import STUDENT, base_folder, weights_identity
from octomed_jax.hf.rendering import rendering
from octomed_jax.images.patches import PatchSpec
from octomed_jax.inputs.held_out import hold_out
from octomed_jax.inputs.loader import Share
from octomed_jax.inputs.packing import image_bucket
from octomed_jax.inputs.plan import ExampleIndex, RowPlan
from octomed_jax.inputs.render import read_index, read_patch_spec
from octomed_jax.inputs.rows import Bucket
from octomed_jax.models import mesh as meshes
from octomed_jax.models.ops.attention import UNITS
from octomed_jax.models.options import check_compute, compute_of, trained_of
from octomed_jax.training.metrics import check_wandb
from octomed_jax.training.optimizer import make_optimizer, make_schedule

# Fields that say where, how fast and what is shown, not what is learned: a run may go on with others.
FREE = ("mesh", "rows_at_once", "attention", "remat", "loader_workers", "guards", "bad_records", "wandb")
BAD_RECORDS = ("stop", "skip")
ROWS = ("apart", "together")


def check_training(config: ConfigDict) -> None:
    """Refuse settings that training could not use, before anything is done for it.

    Raises:
        UserError: an unknown schedule, dtype, attention back end or policy, or nothing to train.
    """
    make_schedule(config.train)
    make_optimizer(config.train)
    check_compute(config.train)
    check_wandb(config.train.wandb)
    trained_of(config.train)
    for field, known in (("bad_records", BAD_RECORDS), ("rows", ROWS)):
        if config.train[field] not in known:
            hint = did_you_mean(str(config.train[field]), known)
            raise UserError(f"train.{field}={config.train[field]!r} is unknown{hint}; one of: {', '.join(known)}")


def training_request(config: ConfigDict) -> dict[str, Any]:
    """Return the part of the config that a trained student depends on."""
    return {
        "seed": config.seed,
        "train": {name: value for name, value in plain(config.train).items() if name not in FREE},
        "held_out": config.held_out.records,
        "checkpoint": plain(config.checkpoint),
        "answer_format": config.distill.answer_format,
        "base": weights_identity(base_folder(config.student)) if config.student.base else "",
    }


def make_plan(config: ConfigDict, shards: Path) -> RowPlan:
    """Return the plan of rows, without the held-out records.

    Raises:
        UserError: no example fits the rows, or the shards were not rendered for this student.
    """
    rendered = rendering(config, shards)
    student = rendered / STUDENT
    index, spec = read_index(rendered, student, config.distill.answer_format), read_patch_spec(student)
    learned, _ = hold_out(index, config.held_out.records, config.seed)
    plan = RowPlan(learned, row_buckets(config, index, spec), config.train.examples_per_step, config.seed)
    if not plan.examples:
        raise UserError(
            f"none of the {len(learned)} examples fits a row of {config.train.tokens_per_row} tokens and "
            f"{config.train.patches_per_row} patches; raise train.tokens_per_row or train.patches_per_row"
        )
    return plan


def share_of(mesh: jax.sharding.Mesh, config: ConfigDict, spec: PatchSpec) -> Share:
    """Return this process's part of the rows of a step, on the devices of a mesh."""
    everyone = whole_share(mesh.shape, config, spec, mesh.devices.flat[0].platform)
    return dataclasses.replace(everyone, places=meshes.row_places(mesh))


def whole_share(sizes: Mapping[str, int], config: ConfigDict, spec: PatchSpec, platform: str) -> Share:
    """Return the part of one process that has all devices of a mesh of these sizes."""
    # Each piece of a row holds whole window slots, and places that the attention kernel takes.
    pieces, places = sizes["sequence"], math.prod(sizes[axis] for axis in meshes.ROW_AXES)
    attention = compute_of(config.train, platform).attention
    slots = pieces * -(-UNITS[attention] // spec.slot_patches) if pieces > 1 else 1
    return Share(tuple(range(places)), places, config.train.rows_at_once, slots)


def row_buckets(config: ConfigDict, index: ExampleIndex, spec: PatchSpec) -> tuple[Bucket, ...]:
    """Return the shapes of rows: for text and for images, or one for both."""
    room, patches = config.train.tokens_per_row, config.train.patches_per_row
    together = config.train.rows == "together"
    members = ((index.cells > 0) | together) & (index.tokens <= room)
    name = "mixed" if together else "image"
    wide = Bucket(name, room, patches // spec.slot_patches * spec.slot_cells)
    if not patches and index.cells[members].any():
        wide = image_bucket(index.tokens[members], index.cells[members], room, spec, name)
    if together and wide.cells:
        return (wide,)
    return (Bucket("text", room, 0), *[wide] * (wide.cells > 0))
