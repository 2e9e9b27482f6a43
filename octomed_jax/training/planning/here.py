"""The devices at hand: which topology they are, what the step takes on them, and which mesh they should be."""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
from jax.experimental import multihost_utils
from jax.sharding import Mesh

from octomed_jax import progress, storage
from octomed_jax.errors import UserError
from octomed_jax.training.planning.chips import GIB, GPUS, TPUS, Topology
from octomed_jax.training.planning.plan import Job, compile_step, plan_of, plan_training, told
from octomed_jax.training.planning.search import best_plan
from octomed_jax.training.planning.shape_plan import estimate_training

PLAN = "plan.json"  # in a run's folder: what its step takes
MESH = "mesh.json"  # in a run's folder: the mesh that was chosen, and for which devices


def topology_of(devices: Sequence[jax.Device]) -> Topology | None:
    """Return what devices are, or None where nothing is known of their kind (a CPU, for example)."""
    kind = devices[0].device_kind
    chip = next((chip for chip in TPUS + GPUS if kind in chip.kinds), None)
    if chip is None:
        return None
    if chip in GPUS:
        return Topology(chip, (len(devices),), 1)
    slices = len({getattr(device, "slice_index", 0) for device in devices})
    # The sides of a slice; those of two dimensions have a third coordinate, which is always 0.
    corners = [device.coords for device in devices]
    sides = tuple(max(side) - min(side) + 1 for side in zip(*corners, strict=True))
    return Topology(chip, sides[:2] if chip.ring == 16 else sides, slices)


def known_topology(devices: Sequence[jax.Device]) -> Topology:
    """Return what devices are.

    Raises:
        UserError: nothing is known of their kind.
    """
    if topology := topology_of(devices):
        return topology
    raise UserError(
        f"--mesh=auto knows nothing of {devices[0].device_kind!r} devices; give the sizes, such as --mesh=fsdp=-1"
    )


def compile_here(job: Job, mesh: Mesh, workdir: Path) -> jax.stages.Compiled:
    """Compile a run's step for its devices; where they are known, say what it takes and write it into the folder.

    Raises:
        UserError: it does not fit.
    """
    compiled, memory = compile_step(job, mesh, quick=False)
    topology = topology_of(list(mesh.devices.flat))
    if compiled is None:
        peak = f"{memory['peak'] / GIB:.2f} GiB a device"
        raise UserError(
            f"a step does not fit on {topology}: it takes {peak}; `octomed plan --topology=... --search` tries other "
            "meshes, rows at once and policies"
        )
    if topology is None or jax.process_index() != 0:
        return compiled
    try:
        plan = plan_of(job, topology, mesh, compiled, memory) if topology.is_tpu else _on_gpus(job, topology, memory)
    except (LookupError, ValueError, TypeError, AttributeError, StopIteration) as error:
        # Another version of the compiler may write what we do not read; the run needs no plan.
        progress.say(f"train: no plan of this program, its text is not understood ({error!r})")
        return compiled
    storage.write_json(workdir / PLAN, plan)
    for line in told(plan):
        progress.say(line)
    return compiled


def _on_gpus(job: Job, topology: Topology, memory: Mapping[str, int]) -> dict[str, Any]:
    """Return a plan with the compiler's memory, and times from shapes: the program calls libraries, unread by us."""
    peak, room = memory["peak"], int(topology.chip.memory)
    return {
        **estimate_training(job, topology),
        "memory": dict(memory),
        "peak_bytes_per_device": peak,
        "fits": peak <= room,
        "short_by_bytes": max(0, peak - room),
    }


def best_here(job: Job) -> dict[str, Any]:
    """Return the plan on the best mesh of the devices; arguments and errors as of ``mesh_here``."""
    devices = jax.devices()
    return best_plan(job, known_topology(devices), functools.partial(plan_training, devices=devices))


def mesh_here(job: Job, workdir: Path) -> dict[str, int]:
    """Return the sizes of the mesh that a run's devices should be; a run that goes on on such devices keeps its own.

    Raises:
        UserError: nothing is known of the devices, or the job fits no mesh of them.
    """
    topology = known_topology(jax.devices())
    path = workdir / MESH
    if path.exists() and (chosen := storage.read_json(path))["topology"] == str(topology):
        return dict(chosen["mesh"])
    progress.say(f"train: choosing a mesh of {topology}")
    sizes = best_here(job)["mesh"]
    # Every process chose by the same reckoning; none writes before all have looked for what an earlier run chose.
    multihost_utils.sync_global_devices("mesh chosen")
    if jax.process_index() == 0:
        storage.write_json(path, {"topology": str(topology), "mesh": sizes})
    return dict(sizes)
