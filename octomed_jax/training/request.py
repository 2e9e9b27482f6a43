"""What a config asks of training: checked, its rows, and the part of them that each process has."""

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from octomed_jax.configuration import answer_format_of, plain, training_seed
from octomed_jax.errors import UserError, did_you_mean
from octomed_jax.hf.base import base_folder, student_identity, weights_identity
from octomed_jax.images.patches import PatchSpec
from octomed_jax.inputs.loader import Share
from octomed_jax.inputs.mixture import read_mixture
from octomed_jax.inputs.plan import RowPlan
from octomed_jax.models import mesh as meshes
from octomed_jax.models.ops.attention import UNITS
from octomed_jax.models.options import check_compute, compute_of, trained_of
from octomed_jax.training.chosen import choose, read_rendered
from octomed_jax.training.length import check_length
from octomed_jax.training.metrics import check_wandb
from octomed_jax.training.optimizer import make_optimizer, make_schedule

# Fields that say where, how fast and what is shown, not what is learned: a run may go on with others.
FREE = ("mesh", "rows_at_once", "attention", "remat", "loader_workers", "guards", "bad_records", "wandb")
# Fields that came later, and what stands for them in a run from before: such a run is the same one.
LATER: dict[str, dict[str, Any]] = {"train": {"epochs": 0.0, "seed": None}, "checkpoint": {"parts": 0}}
BAD_RECORDS = ("stop", "skip")
ROWS = ("apart", "together")


def check_training(config: ConfigDict) -> None:
    """Refuse settings that training could not use, before anything is done for it.

    Raises:
        UserError: no length or two, an unknown schedule, dtype, attention back end or policy, a mixture that
            contradicts itself, or nothing to train.
    """
    check_length(config)
    _check_seed(config)
    make_schedule(config.train)
    make_optimizer(config.train)
    check_compute(config.train)
    check_wandb(config.train.wandb)
    read_mixture(config.mixture)
    trained_of(config.train)
    for field, known in (("bad_records", BAD_RECORDS), ("rows", ROWS)):
        if config.train[field] not in known:
            hint = did_you_mean(str(config.train[field]), known)
            raise UserError(f"train.{field}={config.train[field]!r} is unknown{hint}; one of: {', '.join(known)}")


def training_request(config: ConfigDict) -> dict[str, Any]:
    """Return the part of the config that a trained student depends on."""
    return {
        "seed": config.seed,
        "train": {name: value for name, value in _asked(config, "train").items() if name not in FREE},
        "mixture": read_mixture(config.mixture).plain,
        "held_out": config.held_out.records,
        "checkpoint": _asked(config, "checkpoint"),
        "answer_format": answer_format_of(config),
        "student": student_identity(config.student),
        "base": weights_identity(base_folder(config.student)) if config.student.base else "",
    }


def _asked(config: ConfigDict, section: str) -> dict[str, Any]:
    """Return a section as plain data, without the later fields that say nothing."""
    later = LATER[section]
    return {name: value for name, value in plain(config[section]).items() if later.get(name, ...) != value}


def _check_seed(config: ConfigDict) -> None:
    seed = config.train.seed
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int) or seed < 0):
        raise UserError(f"train.seed={seed!r} is no seed; give a whole number from 0, or None for config.seed")


def make_plan(config: ConfigDict, shards: Path) -> RowPlan:
    """Return the plan of rows, without the held-out records.

    Raises:
        UserError: no example fits the rows, the mixture asks for what is not there, or the shards were not rendered for
            this student.
    """
    chosen = choose(config, *read_rendered(config, shards))
    plan = RowPlan(chosen.learned, chosen.buckets, config.train.examples_per_step, training_seed(config), chosen.times)
    if not plan.examples:
        raise UserError(
            f"none of the {len(chosen.learned)} examples fits a row of {config.train.tokens_per_row} tokens and "
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
