"""A pod planned before it is rented: the real training step, compiled for its chips on any machine.

XLA's TPU compiler needs no TPU (extra ``tpu-aot``). It says whether the step fits, and what it does: products, memory
traffic, collectives. From these comes a range for the time of a step, an estimate. For GPUs, which cannot be compiled
for without one, everything is estimated from shapes.
"""

import copy
import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from ml_collections import ConfigDict

from octomed_jax.images.patches import PatchSpec
from octomed_jax.inputs.loader import Share
from octomed_jax.inputs.plan import RowPlan
from octomed_jax.inputs.rows import shapes
from octomed_jax.models import mesh as meshes
from octomed_jax.models.options import compute_of, trained_of
from octomed_jax.models.qwen2_5_vl.config import Qwen25VLConfig
from octomed_jax.models.qwen2_5_vl.flops import Work, training_flops
from octomed_jax.training.length import with_length
from octomed_jax.training.optimizer import make_optimizer, make_schedule
from octomed_jax.training.planning.chips import GIB, Chip, Topology
from octomed_jax.training.planning.expected import expected_model, expected_rows
from octomed_jax.training.planning.program import Program, read_program, totals
from octomed_jax.training.planning.roofline import MEASURED_TO_ESTIMATED, Place, Roofline, roofline
from octomed_jax.training.planning.tpu_aot import tpu_devices, versions
from octomed_jax.training.request import check_training, whole_share
from octomed_jax.training.step import Student, abstract_state, jitted_step

QUICK = {"exec_time_optimization_effort": -1.0}  # a fifth of the compiler's time; memory comes out a few percent apart
UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@dataclasses.dataclass(frozen=True)
class Job:
    """What is planned: a student's training on rows.

    Attributes:
        config: of the run, with its length in steps.
        model: the architecture.
        rows: of every step.
        spec: how images become patches.
        missing: what is not there yet, and what stands for it.
    """

    config: ConfigDict
    model: Qwen25VLConfig
    rows: RowPlan
    spec: PatchSpec
    missing: Mapping[str, str]


def read_job(config: ConfigDict, shards: Path) -> Job:
    """Return what a config would train, on its shards or, where there are none, on a mix like the paper's.

    Raises:
        UserError: the config makes no sense, or does not fit its data.
    """
    check_training(config)
    missing: dict[str, str] = {}
    model = expected_model(config, shards, missing)
    rows, spec = expected_rows(config, shards, missing)
    return Job(with_length(config, rows.steps_per_epoch), model, rows, spec, missing)


def with_mesh(job: Job, sizes: Mapping[str, int], **settings: Any) -> Job:
    """Return the job on another mesh, and with other settings of ``train``; the given one stays as it is."""
    config = ConfigDict(copy.deepcopy(job.config.to_dict()))
    config.train.mesh = ConfigDict(dict(sizes))
    config.train.update(settings)
    return dataclasses.replace(job, config=config)


def plan_training(
    job: Job, topology: Topology, quick: bool = True, devices: Sequence[jax.Device] | None = None
) -> dict[str, Any]:
    """Return what a run would take on a TPU topology; its step is compiled.

    Args:
        job: what is trained; its config's ``train.mesh`` says along which axes.
        topology: of TPUs.
        quick: whether the compiler hurries, as it does not before a real run.
        devices: of the topology, where it is here.

    Raises:
        UserError: the mesh does not fit the topology or the model, or libtpu is not installed.
    """
    mesh = meshes.make_mesh(job.config.train.mesh, devices or tpu_devices(topology))
    return plan_of(job, topology, mesh, *compile_step(job, mesh, quick))


def plan_of(
    job: Job, topology: Topology, mesh: Mesh, compiled: jax.stages.Compiled | None, memory: Mapping[str, int]
) -> dict[str, Any]:
    """Return the plan of a step that is compiled, or that does not fit; arguments as of ``compile_step``."""
    program = read_program(compiled.as_text()) if compiled else None
    seconds = roofline(program, topology.chip, places_of(mesh)) if program else None
    return summary(job, topology, mesh, memory, program, seconds)


def compile_step(job: Job, mesh: Mesh, quick: bool) -> tuple[jax.stages.Compiled | None, dict[str, int]]:
    """Compile the step for a mesh; return it, or None where it does not fit, and its memory in bytes.

    Raises:
        UserError: the mesh does not fit the model or its rows.
    """
    config = job.config.train
    meshes.check_axes(mesh.shape, job.model, config.tokens_per_row)
    platform = mesh.devices.flat[0].platform
    student = Student(job.model, trained_of(config), compute_of(config, platform))
    optimizer = make_optimizer(config)
    state = abstract_state(student, optimizer, mesh)
    batches = abstract_batches(job, mesh)
    step = jitted_step(student, optimizer, make_schedule(config), mesh, list(batches))
    with jax.set_mesh(mesh):
        lowered = step.lower(state, batches)
    return compiled_or_refused(lowered, meshes.device_bytes((state, batches)), quick and platform == "tpu")


def compiled_or_refused(
    lowered: jax.stages.Lowered, arguments: int, quick: bool
) -> tuple[jax.stages.Compiled | None, dict[str, int]]:
    """Compile a program; return it, or None where it does not fit, and the bytes that it takes on each device.

    Args:
        lowered: the program.
        arguments: bytes of a device's part of its arguments.
        quick: whether the compiler hurries; a TPU's only.
    """
    try:
        compiled = lowered.compile(compiler_options=QUICK if quick else None)
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        return None, {"arguments": arguments, **_refused(str(error), arguments)}
    memory = compiled.memory_analysis()
    assert memory is not None
    return compiled, {
        "arguments": memory.argument_size_in_bytes,
        "temporaries": memory.temp_size_in_bytes,
        "peak": memory.peak_memory_in_bytes,
    }


def abstract_batches(job: Job, mesh: Mesh) -> dict[str, dict[str, jax.ShapeDtypeStruct]]:
    """Return shapes, dtypes and shardings of a step's rows, by bucket."""
    share = whole_share(mesh.shape, job.config, job.spec, mesh.devices.flat[0].platform)
    sharding = NamedSharding(mesh, PartitionSpec(None, meshes.ROW_AXES))
    batches = {}
    for bucket in job.rows.buckets:
        number, width = share.micro_batches(job.rows.rows_per_step[bucket.name])
        arrays = shapes(width, share.filled_up(bucket, job.spec), job.spec)
        batches[bucket.name] = {
            name: jax.ShapeDtypeStruct((number, *shape), dtype, sharding=sharding)
            for name, (shape, dtype) in arrays.items()
        }
    return batches


def _refused(message: str, arguments: int) -> dict[str, int]:
    """Return from the compiler's words how much a program would take."""
    if found := re.search(r"Used ([\d.]+)([KMGT]) of", message):
        return {"peak": round(float(found[1]) * UNITS[found[2]])}
    found = re.search(r"temporaries \(([\d.]+)([KMGT])\)", message)
    if not found:
        raise RuntimeError(f"the compiler's refusal is not understood: {message[:200]}")
    temporaries = round(float(found[1]) * UNITS[found[2]])
    return {"temporaries": temporaries, "peak": arguments + temporaries}


def places_of(mesh: Mesh) -> list[Place]:
    """Return where each device of a mesh lies: its slice, and its coordinates in it."""
    return [
        (getattr(device, "slice_index", None) or 0, tuple(getattr(device, "coords", None) or (0,)))
        for device in mesh.devices.flat
    ]


def mean_flops(job: Job) -> float:
    """Return the operations that the examples of a step need, in the mean."""
    held = job.rows.mean()
    work = Work(*[held[field.name] for field in dataclasses.fields(Work)])
    return training_flops(job.model, work, trained_of(job.config.train)).total


def summary(
    job: Job,
    topology: Topology,
    mesh: Mesh,
    memory: Mapping[str, int],
    program: Program | None,
    seconds: Roofline | None,
) -> dict[str, Any]:
    """Return the plan as plain data; times are None where the step does not fit."""
    chip, flops = topology.chip, mean_flops(job)
    peak = memory["peak"]
    found: dict[str, Any] = {
        "estimate": True,
        "measured_to_estimated": MEASURED_TO_ESTIMATED,
        "compiled": True,
        "topology": str(topology),
        "devices": mesh.size,
        "mesh": dict(mesh.shape),
        "fits": program is not None,
        "peak_bytes_per_device": peak,
        "hbm_bytes_per_device": int(chip.memory),
        "short_by_bytes": max(0, peak - int(chip.memory)) if program is None else 0,
        "memory": dict(memory),
        "rows": rows_of(job, whole_share(mesh.shape, job.config, job.spec, "tpu")),
        "flops_per_step": flops,
        "step_seconds_low": None,
        "step_seconds_high": None,
        "collectives": {},
        "missing": dict(job.missing),
        "versions": versions(),
    }
    if program and seconds:
        found |= times(flops, mesh.size, chip, job.config.train.steps, seconds)
        found |= {
            "program": {"flops_per_device": program.flops, "memory_bytes_per_device": program.bytes},
            "collectives": totals(program.messages),
            "kernels": dict(program.kernels),
            "unknown_loops": program.unknown_loops,
        }
    return found


def times(flops: float, devices: int, chip: Chip, steps: int, seconds: Roofline) -> dict[str, Any]:
    """Return the range of a step's time, its share of the chips' peak, and the hours of the run."""

    def mfu(step: float) -> float:
        return flops / (step * devices * chip.flops)

    return {
        "step_seconds_low": seconds.low,
        "step_seconds_high": seconds.high,
        "mfu_low": mfu(seconds.high),
        "mfu_high": mfu(seconds.low),
        "roofline_seconds": dataclasses.asdict(seconds),
        "run": {
            "steps": steps,
            "hours_low": steps * seconds.low / 3600,
            "hours_high": steps * seconds.high / 3600,
            "chip_hours_low": devices * steps * seconds.low / 3600,
            "chip_hours_high": devices * steps * seconds.high / 3600,
        },
    }


def rows_of(job: Job, share: Share) -> dict[str, dict[str, float]]:
    """Return by bucket a step's rows, the places computed for them, and the share of token places that is used."""
    found = {}
    for bucket in job.rows.buckets:
        rows = job.rows.rows_per_step[bucket.name]
        number, width = share.micro_batches(rows)
        found[bucket.name] = {
            "rows": rows,
            "places": number * width,
            "micro_batches": number,
            "fill": job.rows.fill[bucket.name] * rows / (number * width),
        }
    return found


def _error() -> str:
    low, high = MEASURED_TO_ESTIMATED["cpu"]
    return f"measured on a CPU, with its own ceilings, steps took {low:.2f} to {high:.2f} of this; no TPU was timed"


def rank(plan: Mapping[str, Any]) -> tuple[bool, float, int]:
    """Return a key that sorts plans: those that fit, the fastest first, then those that lack the least."""
    return not plan["fits"], plan["step_seconds_high"] if plan["fits"] else 0.0, plan["peak_bytes_per_device"]


def told(found: Mapping[str, Any]) -> list[str]:
    """Return a plan as lines for a person."""
    axes = " x ".join(f"{axis} {size}" for axis, size in found["mesh"].items())
    memory, capacity = found["memory"], found["hbm_bytes_per_device"]
    parts = ", ".join(f"{name} {size / GIB:.2f}" for name, size in memory.items() if name != "peak")
    lines = [f"pod     {found['topology']}, {found['devices']} devices: {axes}"]
    lines += [
        f"rows    {name}: {rows['rows']} a step on {rows['places']} places, {rows['micro_batches']} micro-batch(es), "
        f"filled {rows['fill']:.0%}"
        for name, rows in found["rows"].items()
    ]
    state = "fits" if found["fits"] else f"does NOT fit, it lacks {found['short_by_bytes'] / GIB:.2f} GiB"
    lines.append(
        f"memory  {state}: peak {found['peak_bytes_per_device'] / GIB:.2f} of {capacity / GIB:.2f} GiB a device "
        f"({parts})"
    )
    if found["step_seconds_low"] is not None:
        limits, run = found["roofline_seconds"], found["run"]
        moved = ", ".join(
            f"{kind} {total['bytes'] / 1e9:,.1f} GB in {total['count']:,.0f}"
            for kind, total in found["collectives"].items()
        )
        lines += [
            *([f"sent    a device a step: {moved or 'nothing'}"] if found["compiled"] else []),
            f"step    {found['flops_per_step']:.3g} operations needed; compute {limits['compute']:.2f} s, memory "
            f"{limits['memory']:.2f} s, network {limits['network']:.2f} s, between slices "
            f"{limits['between_slices']:.2f} s",
            f"        estimate: {found['step_seconds_low']:.2f} to {found['step_seconds_high']:.2f} s a step, MFU "
            f"{found['mfu_low']:.0%} to {found['mfu_high']:.0%} (chips at their data sheets' peaks)",
            *([f"        {_error()}"] if found["compiled"] else []),
            f"run     {run['steps']:,} steps: {run['hours_low']:,.0f} to {run['hours_high']:,.0f} h, "
            f"{run['chip_hours_low']:,.0f} to {run['chip_hours_high']:,.0f} chip hours",
        ]
    if not found["compiled"]:
        lines.append("        from shapes alone: nothing can be compiled for these devices here")
    lines += [f"missing {what}: {cure}" for what, cure in found["missing"].items()]
    return lines
