"""Which mesh, rows at once and remat policy a pod should be given: many by their shapes, the best of them compiled."""

import copy
import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ml_collections import ConfigDict

from octomed_jax import progress
from octomed_jax.errors import UserError
from octomed_jax.training.chips import GIB, Topology
from octomed_jax.training.plan import Job, plan_training
from octomed_jax.training.shape_plan import estimate_training

SEQUENCE = (1, 2, 4, 8)
TENSOR = (1, 2, 4)
ROWS_AT_ONCE = (1, 2, 4)
REMAT = ("full", "attention", "matmuls")
ROOM = 1.25  # shapes may say this much too much memory, and a candidate is still compiled

Planner = Callable[[Job, Topology], dict[str, Any]]


def candidates(job: Job, topology: Topology) -> Iterator[Job]:
    """Yield the job with each mesh, number of rows at once and policy that the model and the devices allow."""
    for sequence, tensor, rows, remat in itertools.product(SEQUENCE, TENSOR, ROWS_AT_ONCE, REMAT):
        config = ConfigDict(copy.deepcopy(job.config.to_dict()))
        config.train.mesh.update({"data": topology.slices, "fsdp": -1, "sequence": sequence, "tensor": tensor})
        config.train.update({"rows_at_once": rows, "remat": remat})
        yield dataclasses.replace(job, config=config)


def search(job: Job, topology: Topology, most: int, planner: Planner = plan_training) -> list[dict[str, Any]]:
    """Return plans, the fastest that fit first; on a TPU ``most`` of them are compiled.

    Args:
        job: what is trained; its mesh, rows at once and policy are not looked at.
        topology: where.
        most: how many are compiled, of those that are best by their shapes.
        planner: compiles one.

    Raises:
        UserError: no mesh is possible at all.
    """
    found = []
    for candidate in candidates(job, topology):
        try:
            found.append((estimate_training(candidate, topology), candidate))
        except UserError:  # the model's heads, or the devices, do not divide so
            continue
    if not found:
        raise UserError(f"no mesh of {topology} fits the model")
    room = topology.chip.memory * (ROOM if topology.is_tpu else 1.0)
    possible = [one for one in found if one[0]["peak_bytes_per_device"] <= room] or found
    # Of equal times the smaller one, then the simpler mesh, which comes first.
    possible.sort(key=lambda one: (one[0]["step_seconds_high"], one[0]["peak_bytes_per_device"]))
    plans = [{**plan, **_chosen(candidate)} for plan, candidate in possible[:most]]
    if topology.is_tpu:
        plans = []
        with progress.bar("plan", len(possible[:most]), "compiled") as line:
            for _, candidate in possible[:most]:
                plans.append({**planner(candidate, topology), **_chosen(candidate)})
                line.advance()
    return sorted(plans, key=_rank)


def _rank(plan: Mapping[str, Any]) -> tuple[bool, float, int]:
    return not plan["fits"], plan["step_seconds_high"] or 0.0, plan["peak_bytes_per_device"]


def _chosen(job: Job) -> dict[str, Any]:
    return {"rows_at_once": job.config.train.rows_at_once, "remat": job.config.train.remat}


def told(plans: list[dict[str, Any]]) -> list[str]:
    """Return plans as lines for a person, each with the overrides that choose it."""
    return [_line(number, plan) for number, plan in enumerate(plans, 1)]


def _line(number: int, plan: Mapping[str, Any]) -> str:
    axes = " ".join(f"--config.train.mesh.{axis}={size}" for axis, size in plan["mesh"].items())
    chosen = f"{axes} --config.train.rows_at_once={plan['rows_at_once']} --config.train.remat={plan['remat']}"
    peak = f"{plan['peak_bytes_per_device'] / GIB:.1f} of {plan['hbm_bytes_per_device'] / GIB:.1f} GiB"
    if not plan["fits"]:
        return f"{number}. does not fit, {peak}: {chosen}"
    filled = min(bucket["fill"] for bucket in plan["rows"].values())
    return (
        f"{number}. {plan['step_seconds_low']:.2f} to {plan['step_seconds_high']:.2f} s a step, {peak}, rows filled "
        f"{filled:.0%}: {chosen}"
    )
