"""A plan from shapes alone, for GPUs: nothing can be compiled for them where none is.

Memory is the state and its gradients, exactly, and estimates of what a step holds beside them. Time is that of the
products, padding and recomputation included, and of the weights and gradients that cross the devices.

Legend: L tokens of a row's piece, D width, F inner width, H heads, K kv heads, E values of a head, V vocabulary.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax

from octomed_jax import progress
from octomed_jax.models.mesh import AXES, PARTS, STATE_AXES, axis_sizes, check_axes, device_bytes, without_devices
from octomed_jax.models.ops.cross_entropy import CHUNK, SHARED_CHUNK
from octomed_jax.models.options import compute_of, trained_of
from octomed_jax.models.trees import flatten_names
from octomed_jax.training.optimizer import make_optimizer
from octomed_jax.training.planning.chips import Topology
from octomed_jax.training.planning.plan import Job, mean_flops, plan_training, rows_of, times
from octomed_jax.training.planning.roofline import Roofline
from octomed_jax.training.request import whole_share
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
    """Return what a run would take, from shapes; nothing is compiled.

    Raises:
        UserError: the mesh does not fit the number of devices or the model.
    """
    config = job.config.train
    sizes = dict(zip(AXES, axis_sizes(config.mesh, topology.devices), strict=True))
    check_axes(sizes, job.model, config.tokens_per_row)
    rows = rows_of(job, whole_share(sizes, job.config, job.spec, topology.platform))
    held = _held(job, topology, sizes, rows)
    memory = _memory(job, held)
    peak = sum(memory.values())
    flops, seconds = mean_flops(job), _seconds(job, topology, held, rows)
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


class Held(NamedTuple):
    """What a device has of a step.

    Attributes:
        sizes: of the axes.
        state: bytes of its part of the state.
        learned: bytes of its part of what is trained, in float32.
        parameters: of the model, in all.
        of_layer: parameters of a decoder layer and a block of the tower, whole.
        tokens: places that it computes at once.
        micro_batches: one after the other.
        item: bytes of a value.
    """

    sizes: Mapping[str, int]
    state: int
    learned: int
    parameters: int
    of_layer: int
    tokens: float
    micro_batches: float
    item: int


def _held(job: Job, topology: Topology, sizes: Mapping[str, int], rows: Mapping[str, Mapping[str, float]]) -> Held:
    config = job.config.train
    student = Student(job.model, trained_of(config), compute_of(config, topology.platform))
    mesh = without_devices(tuple(sizes[axis] for axis in AXES))
    state = abstract_state(student, make_optimizer(config), mesh)
    parameters = flatten_names(state["parameters"])
    at_once = max(bucket["places"] / bucket["micro_batches"] for bucket in rows.values())
    stacked = [leaf for name, leaf in parameters.items() if ".layers." in name or ".blocks." in name]
    return Held(
        sizes,
        device_bytes(state),
        device_bytes(student.trained.split(state["parameters"])[0]),
        sum(leaf.size for leaf in parameters.values()),
        sum(math.prod(leaf.shape[1:]) for leaf in stacked),
        at_once / (sizes["data"] * sizes["fsdp"]) * config.tokens_per_row / sizes["sequence"],
        sum(bucket["micro_batches"] for bucket in rows.values()),
        jax.numpy.dtype(student.compute.dtype).itemsize,
    )


def _memory(job: Job, held: Held) -> dict[str, int]:
    """Return the bytes of one device by what they are for."""
    text, tensor, remat = job.model.text, held.sizes["tensor"], job.config.train.remat
    D, F = text.hidden_size, text.intermediate_size // tensor
    heads = (2 * text.num_attention_heads + 2 * text.num_key_value_heads) * text.head_dim // tensor
    kept = {"full": D, "offload": heads, "attention": D + heads, "matmuls": 2 * D + heads + 2 * F}
    of_layer = kept.get(remat, 3 * D + 2 * heads + 4 * F)
    chunk = min(CHUNK * math.prod(held.sizes[axis] for axis in STATE_AXES), SHARED_CHUNK)
    logits = chunk * -(-text.vocab_size // math.prod(held.sizes[axis] for axis in PARTS))
    return {
        "state": held.state,
        "gradients": held.learned * (2 if held.micro_batches > 1 else 1),
        "kept": round(text.num_hidden_layers * held.tokens * of_layer * held.item),
        "layer": round(held.tokens * (INNER_ARRAYS * F + 4 * D + heads) * held.item),
        # This layer's, the next one's, and a gradient.
        "weights": round(held.of_layer / tensor * (2 * held.item + 4)),
        "logits": 3 * logits * 4,
    }


def _seconds(job: Job, topology: Topology, held: Held, rows: Mapping[str, Mapping[str, float]]) -> Roofline:
    """Return the seconds of a step's products and messages."""
    config, chip, sizes = job.config.train, topology.chip, held.sizes
    used = sum(bucket["rows"] * job.rows.fill[name] for name, bucket in rows.items())
    padding = sum(bucket["places"] for bucket in rows.values()) / used
    compute = mean_flops(job) * AGAIN[config.remat] * padding / (topology.devices * chip.flops)
    passes = 3 if AGAIN[config.remat] > 1 else 2  # over a layer: forward, perhaps again, and backward
    parts = sizes["fsdp"] * sizes["sequence"]
    # Weights come for every pass, and their gradients go, in float32.
    weights = held.parameters / sizes["tensor"] * ((passes - 1) * held.item + 4) * (parts - 1) / parts
    sent = held.micro_batches * (weights + passes * held.tokens * _of_token(job, held))
    across = 2 * held.learned * (sizes["data"] - 1) / sizes["data"]
    if not chip.ring and parts * sizes["tensor"] > GPUS_OF_A_MACHINE:
        return Roofline(compute, 0.0, 0.0, (sent + across) / chip.network_speed, compute)
    return Roofline(compute, 0.0, sent / chip.link_speed, across / chip.network_speed, compute)


def _of_token(job: Job, held: Held) -> float:
    """Return the bytes that a device receives for each of its places in one pass over all layers.

    Along "tensor" two sums of the stream in each layer; along "sequence" the keys and values of the other pieces.
    """
    text, tensor, sequence = job.model.text, held.sizes["tensor"], held.sizes["sequence"]
    sums = 2 * 2 * (tensor - 1) / tensor * text.hidden_size
    keys = (sequence - 1) * 2 * text.num_key_value_heads * text.head_dim / min(tensor, text.num_key_value_heads)
    return text.num_hidden_layers * (sums + keys) * held.item
