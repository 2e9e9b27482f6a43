"""A plan from shapes alone, for GPUs: nothing can be compiled for them where none is.

Memory is the state and its gradients, exactly, and estimates of what a step holds beside them. Time is that of the
products, padding and recomputation included, and of the weights and gradients that cross the devices.

Legend: L tokens of a row's piece, D width, F inner width, H heads, K kv heads, E values of a head, V vocabulary.
"""

import math
from collections.abc import Mapping
from typing import Any

import jax

from octomed_jax import progress
from octomed_jax.models.mesh import AXES, PARTS, axis_sizes, check_axes, without_devices
from octomed_jax.models.ops.cross_entropy import CHUNK, SHARED_CHUNK
from octomed_jax.models.options import compute_of, trained_of
from octomed_jax.models.trees import flatten_names
from octomed_jax.training.chips import Topology
from octomed_jax.training.loop import whole_share
from octomed_jax.training.optimizer import make_optimizer
from octomed_jax.training.plan import Job, mean_flops, plan_training, rows_of, times
from octomed_jax.training.roofline import Roofline
from octomed_jax.training.step import Student, abstract_state

# A step's products beside those that its examples need: the layers are computed again for their gradients.
AGAIN = {"none": 3 / 3, "matmuls": 3 / 3, "attention": 4 / 3, "offload": 4 / 3, "full": 4 / 3}
# Arrays of [tokens, F] that a layer's gradient holds at once: gate, up, their product, and their gradients.
INNER_ARRAYS = 6
GPUS_OF_A_MACHINE = 8


def plan_for(job: Job, topology: Topology, quick: bool = True) -> dict[str, Any]:
    """Return what a run would take: compiled for TPUs, estimated from shapes for GPUs.

    Raises:
        UserError: the mesh does not fit the topology or the model, or libtpu is not installed.
    """
    if topology.is_tpu:
        progress.say(f"plan: compiling the step for {topology}; that takes a minute or two")
        return plan_training(job, topology, quick)
    return estimate_training(job, topology)


def estimate_training(job: Job, topology: Topology) -> dict[str, Any]:
    """Return what a run would take on GPUs; nothing is compiled.

    Raises:
        UserError: the mesh does not fit the number of devices or the model.
    """
    config = job.config.train
    sizes = dict(zip(AXES, axis_sizes(config.mesh, topology.devices), strict=True))
    check_axes(sizes, job.model, config.tokens_per_row)
    rows = rows_of(job, whole_share(sizes, job.config, job.spec, "gpu"))
    memory = _memory(job, sizes, rows)
    peak = sum(memory.values())
    flops, seconds = mean_flops(job), _seconds(job, topology, sizes, rows)
    return {
        "estimate": True,
        "compiled": False,
        "topology": str(topology),
        "devices": topology.devices,
        "mesh": sizes,
        "fits": peak <= topology.chip.memory,
        "peak_bytes_per_device": peak,
        "hbm_bytes_per_device": int(topology.chip.memory),
        "short_by_bytes": max(0, peak - int(topology.chip.memory)),
        "memory": memory,
        "rows": rows,
        "flops_per_step": flops,
        "collectives": {},
        "missing": dict(job.missing),
        "versions": {"jax": jax.__version__},
        **times(flops, topology.devices, topology.chip, config.steps, seconds),
    }


def _memory(job: Job, sizes: Mapping[str, int], rows: Mapping[str, Mapping[str, float]]) -> dict[str, int]:
    """Return the bytes of one device by what they are for."""
    config, text = job.config.train, job.model.text
    mesh = without_devices(tuple(sizes[axis] for axis in AXES))
    student = Student(job.model, trained_of(config), compute_of(config, "gpu"))
    state = abstract_state(student, make_optimizer(config), mesh)
    learned, _ = student.trained.split(state["parameters"])
    gradients = _held(learned)
    several = any(bucket["micro_batches"] > 1 for bucket in rows.values())
    item = jax.numpy.dtype(student.compute.dtype).itemsize
    at_once = max(bucket["places"] / bucket["micro_batches"] for bucket in rows.values())
    tokens = at_once / (sizes["data"] * sizes["fsdp"]) * config.tokens_per_row / sizes["sequence"]
    D, F, E = text.hidden_size, text.intermediate_size // sizes["tensor"], text.head_dim
    heads = (2 * text.num_attention_heads + 2 * text.num_key_value_heads) * E // sizes["tensor"]
    kept = {"full": D, "offload": heads, "attention": D + heads, "matmuls": 2 * D + heads + 2 * F}
    of_layer = kept.get(config.remat, 3 * D + 2 * heads + 4 * F)
    stacked = [
        math.prod(leaf.shape[1:]) for name, leaf in flatten_names(state["parameters"]).items() if ".layers." in name
    ]
    chunk = min(CHUNK * math.prod(sizes[axis] for axis in PARTS[:2]), SHARED_CHUNK)
    logits = chunk * -(-text.vocab_size // math.prod(sizes[axis] for axis in PARTS))
    return {
        "state": _held(state),
        "gradients": gradients * (2 if several else 1),
        "kept": round(text.num_hidden_layers * tokens * of_layer * item),
        "layer": round(tokens * (INNER_ARRAYS * F + 4 * D + heads) * item),
        "weights": round(sum(stacked) / sizes["tensor"] * (2 * item + 4)),  # this layer's, the next one's, a gradient
        "logits": 3 * logits * 4,
    }


def _held(tree: Any) -> int:
    return sum(math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def _seconds(
    job: Job, topology: Topology, sizes: Mapping[str, int], rows: Mapping[str, Mapping[str, float]]
) -> Roofline:
    """Return the seconds of a step's products and messages."""
    config, chip = job.config.train, topology.chip
    padding = sum(bucket["places"] for bucket in rows.values()) / sum(
        bucket["rows"] * job.rows.fill[name] for name, bucket in rows.items()
    )
    compute = mean_flops(job) * AGAIN[config.remat] * padding / (topology.devices * chip.flops)
    student = Student(job.model, trained_of(config), compute_of(config, "gpu"))
    mesh = without_devices((1,) * len(AXES))
    parameters = sum(
        leaf.size for leaf in jax.tree.leaves(abstract_state(student, make_optimizer(config), mesh)["parameters"])
    )
    parts = sizes["fsdp"] * sizes["sequence"]
    gathers = 2 if AGAIN[config.remat] > 1 else 1
    item = jax.numpy.dtype(student.compute.dtype).itemsize
    micro_batches = sum(bucket["micro_batches"] for bucket in rows.values())
    sent = micro_batches * parameters / sizes["tensor"] * (gathers * item + 4) * (parts - 1) / parts
    across = 2 * 4 * parameters / (sizes["tensor"] * parts) * (sizes["data"] - 1) / sizes["data"]
    if parts * sizes["tensor"] > GPUS_OF_A_MACHINE:
        return Roofline(compute, 0.0, 0.0, (sent + across) / chip.network_speed, compute)
    return Roofline(compute, 0.0, sent / chip.link_speed, across / chip.network_speed, compute)
