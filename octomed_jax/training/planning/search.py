"""Which mesh, rows at once and remat policy a pod should be given: many by their shapes, the best of them compiled."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from octomed_jax import progress
from octomed_jax.errors import UserError
from octomed_jax.training.planning.chips import GIB, Topology
from octomed_jax.training.planning.plan import Job, plan_training, rank, with_mesh
from octomed_jax.training.planning.shape_plan import estimate_training

SEQUENCE = (1, 2, 4, 8)
TENSOR = (1, 2, 4)
ROWS_AT_ONCE = (1, 2, 4)
REMAT = ("full", "attention", "matmuls")
COMPILED = 4  # that fit
ROOM = 1.25  # shapes may say this much too much memory, and a candidate is still compiled
SLACK = 0.95  # and so much of what one candidate needed over its shapes is expected of the next

Planner = Callable[[Job, Topology], dict[str, Any]]


def candidates(job: Job, topology: Topology, only_meshes: bool = False) -> Iterator[Job]:
    """Yield the job with each mesh, and with each number of rows at once and policy where these are not to stay."""
    rows_at_once = (job.config.train.rows_at_once,) if only_meshes else ROWS_AT_ONCE
    remat = (job.config.train.remat,) if only_meshes else REMAT
    for sequence, tensor, rows, policy in itertools.product(SEQUENCE, TENSOR, rows_at_once, remat):
        sizes = {"data": topology.slices, "fsdp": -1, "sequence": sequence, "tensor": tensor}
        yield with_mesh(job, sizes, rows_at_once=rows, remat=policy)


def search(
    job: Job, topology: Topology, most: int, planner: Planner = plan_training, only_meshes: bool = False
) -> list[dict[str, Any]]:
    """Return plans, the fastest that fit first; those of a TPU are compiled.

    Args:
        job: what is trained; its mesh is not looked at, nor are its rows at once and policy.
        topology: where.
        most: how many that fit are returned; beside them there may be some that were compiled and do not.
        planner: compiles one.
        only_meshes: keep the job's rows at once and policy.

    Raises:
        UserError: no mesh is possible at all.
    """
    found = _estimated(job, topology, only_meshes)
    if not found:
        raise UserError(f"no mesh of {topology} fits the model")
    # Of equal times the smaller one, then the simpler mesh, which comes first.
    found.sort(key=lambda one: (one[0]["step_seconds_high"], one[0]["peak_bytes_per_device"]))
    if topology.is_tpu:
        plans = _compiled(found, topology, most, planner)
    else:
        fitting = [one for one in found if one[0]["fits"]] or found
        plans = [{**plan, **_chosen(candidate)} for plan, candidate in fitting[:most]]
    return sorted(plans, key=rank)


def _estimated(job: Job, topology: Topology, only_meshes: bool) -> list[tuple[dict[str, Any], Job]]:
    """Return what each possible candidate takes by its shapes; of those that are the same program, one."""
    found: dict[tuple, tuple[dict[str, Any], Job]] = {}
    for candidate in candidates(job, topology, only_meshes):
        try:
            plan = estimate_training(candidate, topology)
        except UserError:  # the model's heads, or the devices, do not divide so
            continue
        # More rows at once than a device has are no other program.
        rows = tuple((bucket["places"], bucket["micro_batches"]) for bucket in plan["rows"].values())
        program = *plan["mesh"].values(), candidate.config.train.remat, rows
        found.setdefault(program, (plan, candidate))
    return list(found.values())


def _compiled(
    found: Sequence[tuple[dict[str, Any], Job]], topology: Topology, most: int, planner: Planner
) -> list[dict[str, Any]]:
    """Compile candidates, those expected to be best first, until so many fit; return these, and those that do not.

    Shapes alone say too little: what the compiler finds of a candidate, over what its shapes say, is expected of those
    like it, of memory by policy and of time by pieces of a layer.
    """
    plans: list[dict[str, Any]] = []
    memory: dict[str, float] = {}
    time: dict[int, float] = {}
    left = list(found)
    with progress.bar("plan", most, "that fit") as line:
        while sum(plan["fits"] for plan in plans) < most:
            left = [one for one in left if _needs(one, memory) <= topology.chip.memory]
            if not left:
                break
            estimate, candidate = chosen = min(left, key=lambda one: _takes(one[0], time))
            left.remove(chosen)
            plan = {**planner(candidate, topology), **_chosen(candidate)}
            plans.append(plan)
            ratio = plan["peak_bytes_per_device"] / estimate["peak_bytes_per_device"]
            memory[candidate.config.train.remat] = SLACK * ratio
            if plan["fits"]:
                time[plan["mesh"]["tensor"]] = plan["step_seconds_high"] / estimate["step_seconds_high"]
                line.advance()
    if plans:
        return plans
    # None could fit by its shapes: the smallest one says what is lacking.
    _, smallest = min(found, key=lambda one: one[0]["peak_bytes_per_device"])
    return [{**planner(smallest, topology), **_chosen(smallest)}]


def _needs(one: tuple[Mapping[str, Any], Job], memory: Mapping[str, float]) -> float:
    """Return how many bytes a candidate is expected to take."""
    estimate, candidate = one
    return float(estimate["peak_bytes_per_device"] * memory.get(candidate.config.train.remat, 1 / ROOM))


def _takes(estimate: Mapping[str, Any], time: Mapping[int, float]) -> float:
    """Return how long a step of a candidate is expected to take, in seconds."""
    return float(estimate["step_seconds_high"] * time.get(estimate["mesh"]["tensor"], 1.0))


def best_plan(job: Job, topology: Topology, planner: Planner = plan_training, most: int = COMPILED) -> dict[str, Any]:
    """Return the plan on the mesh with which a job is fastest on a topology, as it stands otherwise.

    Args:
        job: what is trained; its mesh is not looked at.
        topology: where.
        planner: compiles one, on a TPU.
        most: how many that fit are compiled, the best by their shapes first.

    Raises:
        UserError: the job fits no mesh.
    """
    best = search(job, topology, most, planner, only_meshes=True)[0]
    if not best["fits"]:
        raise UserError(
            f"no mesh of {topology} holds a step with train.rows_at_once={best['rows_at_once']} and "
            f"train.remat={best['remat']}, the best lacks {best['short_by_bytes'] / GIB:.2f} GiB a device; "
            "`octomed plan --search` tries others"
        )
    return best


def _chosen(job: Job) -> dict[str, Any]:
    return {"rows_at_once": job.config.train.rows_at_once, "remat": job.config.train.remat}


def told(plans: list[dict[str, Any]]) -> list[str]:
    """Return plans as lines for a person, each with the options that choose it."""
    return [_line(number, plan) for number, plan in enumerate(plans, 1)]


def _line(number: int, plan: Mapping[str, Any]) -> str:
    axes = ",".join(f"{axis}={size}" for axis, size in plan["mesh"].items() if size > 1) or "fsdp=1"
    chosen = f"--mesh={axes} --config.train.rows_at_once={plan['rows_at_once']} --config.train.remat={plan['remat']}"
    peak = f"{plan['peak_bytes_per_device'] / GIB:.1f} of {plan['hbm_bytes_per_device'] / GIB:.1f} GiB"
    if not plan["fits"]:
        return f"{number}. does not fit, {peak}: {chosen}"
    filled = min(bucket["fill"] for bucket in plan["rows"].values())
    return (
        f"{number}. {plan['step_seconds_low']:.2f} to {plan['step_seconds_high']:.2f} s a step, {peak}, rows filled "
        f"{filled:.0%}: {chosen}"
    )
