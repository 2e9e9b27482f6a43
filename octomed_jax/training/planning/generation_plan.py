"""A plan of generation: the programs that read prompts and write tokens, compiled for TPUs that are not here.

A step is one new token of every prompt. It is planned with the cache at its largest, so earlier tokens take less. For
GPUs everything is estimated from shapes.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from ml_collections import ConfigDict

from octomed_jax import progress
from octomed_jax.errors import UserError
from octomed_jax.images.patches import PatchSpec
from octomed_jax.inputs.buckets import LENGTHS, prompt_bucket
from octomed_jax.inputs.rows import Bucket, shapes
from octomed_jax.models import mesh as meshes
from octomed_jax.models.compute import Compute
from octomed_jax.models.ops.attention import UNITS
from octomed_jax.models.options import AUTO, DTYPES
from octomed_jax.models.qwen2_5_vl.config import Qwen25VLConfig
from octomed_jax.models.qwen2_5_vl.flops import decoding_flops
from octomed_jax.models.qwen2_5_vl.generate import cache_places, compile_programs
from octomed_jax.models.qwen2_5_vl.model import split_model
from octomed_jax.models.qwen2_5_vl.sampling import Sampling
from octomed_jax.models.trees import flatten_names, unflatten_names
from octomed_jax.training.planning.chips import GIB, Topology
from octomed_jax.training.planning.plan import compiled_or_refused, places_of, rank
from octomed_jax.training.planning.program import read_program, totals
from octomed_jax.training.planning.roofline import Roofline, roofline
from octomed_jax.training.planning.tpu_aot import tpu_devices, versions

TENSOR = (1, 2, 4)
ENDS = (0, 1)  # two tokens that end an answer, as Qwen's models have; which ones changes no program


@dataclasses.dataclass(frozen=True)
class Answering:
    """What is planned: answers to a batch of prompts with an image each.

    Attributes:
        model: the architecture.
        spec: how images become patches.
        dtype: of weights and computation, by name.
        sampling: temperature and top-p.
        prompts: answered at once.
        prompt_tokens: of each, its image's included.
        new_tokens: the budget of each answer.
    """

    model: Qwen25VLConfig
    spec: PatchSpec
    dtype: str
    sampling: Sampling
    prompts: int
    prompt_tokens: int
    new_tokens: int

    def rows(self, places: int) -> int:
        """Return the prompts that are computed, as many on each of so many places; some may be empty."""
        return -(-self.prompts // places) * places

    def bucket(self, platform: str) -> Bucket:
        """Return the shape of a prompt with an image of the most pixels that it may have."""
        cells = self.spec.max_pixels // (self.spec.patch_size * self.spec.merge_size) ** 2
        return prompt_bucket(self.prompt_tokens, cells, self.spec, UNITS[AUTO[platform]])


def read_answering(config: ConfigDict, model: Qwen25VLConfig, spec: PatchSpec, prompt_tokens: int) -> Answering:
    """Return what a config's evaluation would generate.

    Raises:
        UserError: the prompts are too long.
    """
    most = LENGTHS[-1]
    new_tokens = config.eval.max_new_tokens
    if not 1 <= prompt_tokens <= most or not 1 <= new_tokens <= most:
        raise UserError(f"--prompt-tokens={prompt_tokens} and eval.max_new_tokens={new_tokens} must be 1 to {most:,}")
    sampling = Sampling(config.eval.temperature, config.eval.top_p)
    return Answering(model, spec, config.export.dtype, sampling, config.eval.batch, prompt_tokens, new_tokens)


def with_forced(work: Answering, written: int, new_tokens: int) -> Answering:
    """Return the answers to thoughts that used up their tokens: prompts that are read anew with all that was written.

    Args:
        work: the answers before.
        written: tokens of a whole thought, with the text that ends it.
        new_tokens: the budget of the answer that follows.

    Raises:
        UserError: that is too long for our own generation.
    """
    whole = work.prompt_tokens + written
    if whole > LENGTHS[-1]:
        raise UserError(
            f"--prompt-tokens={work.prompt_tokens} and {written} tokens of a thought that is ended are more than "
            f"{LENGTHS[-1]:,}; lower eval.max_new_tokens, or set eval.force_end_of_thinking to False"
        )
    return dataclasses.replace(work, prompt_tokens=whole, new_tokens=new_tokens)


def plan_generation(
    work: Answering, topology: Topology, sizes: Mapping[str, int], quick: bool = True
) -> dict[str, Any]:
    """Return what a batch of answers would take on a mesh: compiled for TPUs, estimated from shapes for GPUs.

    Raises:
        UserError: the mesh does not fit the topology or the model, or libtpu is not installed.
    """
    if not topology.is_tpu:
        return estimate_generation(work, topology, sizes)
    mesh = meshes.make_mesh(sizes, tpu_devices(topology))
    meshes.check_axes(mesh.shape, work.model, mesh.shape["sequence"])
    memory, programs = _compile(work, mesh, quick)
    if "write" not in programs or memory["peak"] > topology.chip.memory:
        found, token = _summary(work, topology, mesh.shape, memory, {}), None
    else:
        # Once for a batch, vocabulary gathered and all, and then for each token: an answer as long as may be.
        token = read_program(programs["write"].as_text(), trips=work.new_tokens)
        read = read_program(programs["read"].as_text())
        places = places_of(mesh)
        seconds = {
            "read": roofline(read, topology.chip, places),
            "write": roofline(token, topology.chip, places).each(work.new_tokens),
        }
        found = _summary(work, topology, mesh.shape, memory, seconds)
    return found | {
        "compiled": True,
        "collectives": _each(totals(token.messages), work.new_tokens) if token else {},
        "unknown_loops": token.unknown_loops if token else 0,
        "versions": versions(),
    }


def _each(collectives: Mapping[str, Mapping[str, float]], times: int) -> dict[str, dict[str, float]]:
    return {kind: {name: value / times for name, value in total.items()} for kind, total in collectives.items()}


def _compile(work: Answering, mesh: Mesh, quick: bool) -> tuple[dict[str, int], dict[str, jax.stages.Compiled]]:
    """Compile the programs of a mesh up to the first that does not fit; return their memory, and those that do."""
    platform = mesh.devices.flat[0].platform
    bucket, rows = work.bucket(platform), work.rows(meshes.batch_devices(mesh))
    graph, _ = split_model(work.model)
    parameters = _parameters(work, mesh)
    sharding = NamedSharding(mesh, PartitionSpec(meshes.ROW_AXES))
    batch = {
        name: jax.ShapeDtypeStruct(shape, dtype, sharding=sharding)
        for name, (shape, dtype) in shapes(rows, bucket, work.spec).items()
    }
    memory: dict[str, int] = {"parameters": meshes.device_bytes(parameters)}
    programs: dict[str, jax.stages.Compiled] = {}
    # Parameters that are no argument of a program, but are there.
    beside = {"grow": memory["parameters"], "write": meshes.device_bytes(parameters["vision"])}

    def compiled(name: str, lowered: jax.stages.Lowered) -> jax.stages.Compiled:
        held = memory["parameters"] + (_written(programs) if programs else 0)
        one, found = compiled_or_refused(lowered, held, quick and platform == "tpu")
        memory[name] = found["peak"] + beside.get(name, 0)
        memory["peak"] = max(memory[name], memory.get("peak", 0))
        if one is None:
            raise _DoesNotFit
        programs[name] = one
        return one

    try:
        with jax.set_mesh(mesh):
            compile_programs(
                graph,
                parameters,
                batch,
                max_new_tokens=work.new_tokens,
                stop_ids=ENDS,
                sampling=work.sampling,
                compute=Compute(DTYPES[work.dtype], AUTO[platform]),
                compiled=compiled,
            )
    except _DoesNotFit:
        pass
    return memory, programs


def _written(programs: Mapping[str, jax.stages.Compiled]) -> int:
    """Return the bytes of what the last program hands to the next."""
    memory = list(programs.values())[-1].memory_analysis()
    assert memory is not None
    return int(memory.output_size_in_bytes)


class _DoesNotFit(Exception):
    """The compiler refused a program; the ones after it need its layout."""


def _parameters(work: Answering, mesh: Any) -> dict[str, Any]:
    _, abstract = split_model(work.model)
    shardings = flatten_names(meshes.parameter_shardings(mesh, abstract))
    return unflatten_names(
        {
            name: jax.ShapeDtypeStruct(leaf.shape, DTYPES[work.dtype], sharding=shardings[name])
            for name, leaf in flatten_names(abstract).items()
        }
    )


def estimate_generation(work: Answering, topology: Topology, sizes: Mapping[str, int]) -> dict[str, Any]:
    """Return what a batch of answers would take, from shapes; nothing is compiled.

    Raises:
        UserError: the mesh does not fit the number of devices or the model.
    """
    axes = dict(zip(meshes.AXES, meshes.axis_sizes(sizes, topology.devices), strict=True))
    meshes.check_axes(axes, work.model, axes["sequence"])
    mesh = meshes.without_devices(tuple(axes.values()))
    tokens = work.bucket(topology.platform).tokens
    rows = work.rows(meshes.batch_devices(mesh)) // meshes.batch_devices(mesh)
    cache = _cache_bytes(work, rows, tokens, axes["tensor"])
    parameters = _parameters(work, mesh)
    held = meshes.device_bytes(parameters)
    # The cache is there twice, at half its size and whole, when it grows for the last time.
    memory = {"parameters": held, "cache": cache, "peak": held + cache * 3 // 2}

    used = {name: _whole_bytes(part) / axes["tensor"] for name, part in parameters.items()}
    language, everything = sum(size for name, size in used.items() if name != "vision"), sum(used.values())
    share, places = rows / axes["tensor"], tokens + work.new_tokens
    token = _seconds(topology, axes, share * decoding_flops(work.model, places), language, cache)
    read = _seconds(topology, axes, share * tokens * decoding_flops(work.model, tokens / 2), everything, 0)
    found = _summary(work, topology, axes, memory, {"read": read, "write": token})
    return found | {"compiled": False, "collectives": {}, "versions": {"jax": jax.__version__}}


def _cache_bytes(work: Answering, rows: int, prompt_tokens: int, tensor: int) -> int:
    """Return the bytes of a device's part of the largest cache: keys and values of all layers."""
    text = work.model.text
    heads = text.num_key_value_heads // min(tensor, text.num_key_value_heads)
    places = cache_places(prompt_tokens + work.new_tokens)
    values = 2 * text.num_hidden_layers * rows * places * heads * text.head_dim
    return int(values * jax.numpy.dtype(DTYPES[work.dtype]).itemsize)


def _whole_bytes(tree: Any) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def _seconds(topology: Topology, axes: Mapping[str, int], flops: float, weights: float, cache: float) -> Roofline:
    """Return the seconds of products, and of what is read: weights, which come from the others first, and the cache."""
    chip, parts = topology.chip, axes["fsdp"] * axes["sequence"]
    compute, reading = flops / chip.flops, (weights + cache) / chip.memory_speed
    received = weights * (parts - 1) / parts
    return Roofline(compute, reading, received / chip.link_speed, 0.0, max(compute, reading))


def best_generation(work: Answering, topology: Topology, most: int, quick: bool = True) -> dict[str, Any]:
    """Return the plan with the most tokens a second, of meshes that spread prompts over data or fsdp.

    Args:
        work: what is planned.
        topology: where.
        most: how many are compiled on a TPU, of those that are best by their shapes.
        quick: whether the compiler hurries.

    Raises:
        UserError: no mesh is possible.
    """
    possible = []
    for tensor in TENSOR:
        for axis in ("data", "fsdp"):
            sizes = {"data": 1, "fsdp": 1, "sequence": 1, "tensor": tensor, axis: -1}
            try:
                possible.append((estimate_generation(work, topology, sizes), sizes))
            except UserError:  # heads or devices do not divide so
                continue
    if not possible:
        raise UserError(f"no mesh of {topology} fits the model")
    possible.sort(key=lambda one: rank(one[0]))
    if not topology.is_tpu:
        return possible[0][0]
    plans = []
    with progress.bar("plan", len(possible[:most]), "compiled") as line:
        for _, sizes in possible[:most]:
            plans.append(plan_generation(work, topology, sizes, quick))
            line.advance()
    return min(plans, key=rank)


def _summary(
    work: Answering,
    topology: Topology,
    sizes: Mapping[str, int],
    memory: Mapping[str, int],
    seconds: Mapping[str, Roofline],
) -> dict[str, Any]:
    """Return the plan as plain data; times are None where it does not fit."""
    peak, room = memory["peak"], int(topology.chip.memory)
    found: dict[str, Any] = {
        "estimate": True,
        "what": "generate",
        "topology": str(topology),
        "devices": topology.devices,
        "mesh": dict(sizes),
        "fits": bool(seconds) and peak <= room,
        "peak_bytes_per_device": peak,
        "hbm_bytes_per_device": room,
        "short_by_bytes": max(0, peak - room),
        "memory": dict(memory),
        "prompts": work.prompts,
        "places": work.rows(sizes["data"] * sizes["fsdp"]),
        "prompt_tokens": work.bucket(topology.platform).tokens,
        "new_tokens": work.new_tokens,
        "flops_per_step": work.prompts * decoding_flops(work.model, work.prompt_tokens + work.new_tokens),
        "step_seconds_low": None,
        "step_seconds_high": None,
    }
    if seconds:
        read, token = seconds["read"], seconds["write"]
        found |= {
            "step_seconds_low": token.low,
            "step_seconds_high": token.high,
            "read_seconds_low": read.low,
            "read_seconds_high": read.high,
            "batch_seconds_low": read.low + work.new_tokens * token.low,
            "batch_seconds_high": read.high + work.new_tokens * token.high,
            "tokens_per_second_low": work.prompts / token.high,
            "tokens_per_second_high": work.prompts / token.low,
            "roofline_seconds": dataclasses.asdict(token),
        }
    return found


def told(found: Mapping[str, Any]) -> list[str]:
    """Return a plan as lines for a person."""
    axes = " x ".join(f"{axis} {size}" for axis, size in found["mesh"].items())
    parts = ", ".join(f"{name} {size / GIB:.2f}" for name, size in found["memory"].items() if name != "peak")
    lacks = f"does NOT fit, it lacks {found['short_by_bytes'] / GIB:.2f} GiB"
    lines = [
        f"pod     {found['topology']}, {found['devices']} devices: {axes}",
        f"answers {found['prompts']:,} at once on {found['places']:,} places: prompts of {found['prompt_tokens']:,} "
        f"tokens with an image, at most {found['new_tokens']:,} new tokens",
        f"memory  {'fits' if found['fits'] else lacks}: peak {found['peak_bytes_per_device'] / GIB:.2f} of "
        f"{found['hbm_bytes_per_device'] / GIB:.2f} GiB a device ({parts})",
    ]
    if found["step_seconds_low"] is not None:
        limits = found["roofline_seconds"]
        lines += [
            f"read    {found['read_seconds_low']:.2f} to {found['read_seconds_high']:.2f} s for all prompts",
            f"token   {1e3 * found['step_seconds_low']:.1f} to {1e3 * found['step_seconds_high']:.1f} ms of every "
            f"answer, with the longest cache; memory {1e3 * limits['memory']:.1f} ms, network "
            f"{1e3 * limits['network']:.1f} ms",
            f"        estimate: {found['tokens_per_second_low']:,.0f} to {found['tokens_per_second_high']:,.0f} tokens "
            f"a second; a whole batch {found['batch_seconds_low'] / 60:,.1f} to "
            f"{found['batch_seconds_high'] / 60:,.1f} min",
        ]
    if forced := found.get("forced"):
        lines.append(
            f"forced  thoughts that use up their tokens are read anew: {forced['prompt_tokens']:,} tokens and at most "
            f"{forced['new_tokens']:,} new ones, peak {forced['peak_bytes_per_device'] / GIB:.2f} GiB"
            + (f", up to {forced['batch_seconds_high'] / 60:,.1f} min a batch" if forced["fits"] else ", does NOT fit")
        )
    if not found["compiled"]:
        lines.append("        from shapes alone: nothing was compiled")
    return lines
