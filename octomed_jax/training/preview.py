"""What a training run would use, before anything is started: model, mesh, steps, memory and data."""

from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from octomed_jax.inputs.source_table import source_table, table_lines
from octomed_jax.models import mesh as meshes
from octomed_jax.models.options import compute_of, trained_of
from octomed_jax.models.qwen2_5_vl.config import Qwen25VLConfig
from octomed_jax.training.length import with_length
from octomed_jax.training.optimizer import make_optimizer, warmup_steps
from octomed_jax.training.planning import plan
from octomed_jax.training.planning.chips import Topology
from octomed_jax.training.planning.expected import expected_model, has_shards
from octomed_jax.training.planning.here import best_here
from octomed_jax.training.planning.plan import read_job, with_mesh
from octomed_jax.training.planning.search import best_plan
from octomed_jax.training.planning.shape_plan import plan_for
from octomed_jax.training.request import check_training, make_plan
from octomed_jax.training.step import Student, abstract_state

GB = 1e9


def preview(
    config: ConfigDict, shards: Path, topology: Topology | None = None, choose_mesh: bool = False
) -> dict[str, Any]:
    """Return what the run would use; nothing is written, and what is not there yet is said to be missing.

    With a topology it is that of a run there, and the plan of its step is part of it. The mesh may be the config's, or
    the one that is best there.

    Memory is that of the state and its gradients, exactly, and of the activations that are kept between the layers for
    one micro-batch; what the layers need while they are computed comes on top.

    Raises:
        UserError: the config makes no sense, or does not fit the data or the devices.
    """
    check_training(config)
    missing: dict[str, str] = {}
    model = expected_model(config, shards, missing)
    data = _data(config, shards, missing)
    if data:
        config = with_length(config, data["steps_per_epoch"])
        data["epochs"] = config.train.steps / data["steps_per_epoch"]
    planned, length = None, _length(config)
    if choose_mesh:
        job = read_job(config, shards)
        planned = best_plan(job, topology) if topology else best_here(job)
        config = with_mesh(job, planned["mesh"]).config
    elif topology:
        planned = plan_for(read_job(config, shards), topology)
    count = topology.devices if topology else jax.device_count()
    mesh = meshes.without_devices(meshes.axis_sizes(config.train.mesh, count))
    meshes.check_axes(mesh.shape, model, config.train.tokens_per_row)
    platform = topology.platform if topology else jax.default_backend()
    learner = Student(model, trained_of(config.train), compute_of(config.train, platform))
    state = abstract_state(learner, make_optimizer(config.train), mesh)
    learned, frozen = learner.trained.split(state["parameters"])
    sizes = [sum(leaf.size for leaf in jax.tree.leaves(part)) for part in (learned, frozen)]
    parameters = meshes.device_bytes(state["parameters"])
    memory = {
        "parameters": parameters,
        "moments": meshes.device_bytes(state["optimizer"]),
        "gradients": meshes.device_bytes(learned),
    }
    rows = config.train.rows_at_once or (data and -(-max(data["rows_per_step"].values()) // meshes.batch_devices(mesh)))
    if rows:
        memory["kept_activations"] = _kept_activations(model, learner, config, rows)
    return {
        "model": {
            "parameters_trained": sizes[0],
            "parameters_frozen": sizes[1],
            "decoder_layers": model.text.num_hidden_layers,
            "vision_blocks": model.vision.depth,
            "dtype": config.train.dtype,
        },
        "mesh": {
            **mesh.shape,
            "devices": mesh.size,
            "kind": str(topology) if topology else jax.devices()[0].device_kind,
        },
        "steps": {
            **length,
            "schedule": config.train.schedule,
            "peak_learning_rate": config.train.peak_learning_rate,
            "examples_per_step": config.train.examples_per_step,
            "tokens_per_row": config.train.tokens_per_row,
            "checkpoint_every": config.checkpoint.every,
        },
        "memory_bytes_of_a_device": memory,
        "data": data,
        "missing": missing,
        "plan": planned,
    }


def told(found: dict[str, Any]) -> list[str]:
    """Return the preview as lines for a person."""
    model, mesh, steps, data = found["model"], found["mesh"], found["steps"], found["data"]
    memory = found["memory_bytes_of_a_device"]
    axes = " x ".join(f"{axis} {size}" for axis, size in mesh.items() if axis in meshes.AXES)
    if steps["steps"] is None:
        length, warmup = f"{steps['epochs']:g} epochs of steps", f"{steps['warmup_ratio']:.0%}"
    else:
        length, warmup = f"{steps['steps']:,}", f"{steps['warmup']:,} steps"
    lines = [
        f"model   {model['parameters_trained']:,} parameters trained, {model['parameters_frozen']:,} frozen; "
        f"{model['decoder_layers']} decoder layers, {model['vision_blocks']} vision blocks; {model['dtype']}",
        f"mesh    {axes} on {mesh['devices']} device(s): {mesh['kind']}",
        f"steps   {length} of {steps['examples_per_step']} examples; {steps['schedule']} from "
        f"{steps['peak_learning_rate']:g} after {warmup} of warmup; a checkpoint every "
        f"{steps['checkpoint_every']:,}",
        f"memory  {sum(memory.values()) / GB:,.2f} GB a device: "
        + ", ".join(f"{name.replace('_', ' ')} {size / GB:,.2f}" for name, size in memory.items()),
    ]
    if data:
        rows = " + ".join(f"{count} {name}" for name, count in data["rows_per_step"].items())
        fill = ", ".join(f"{name} {share:.0%}" for name, share in data["fill"].items())
        lines.append(
            f"data    {data['examples']:,} examples an epoch ({sum(data['left_out'].values())} too long, "
            f"{data['held_out']} records held out); {rows} rows of {steps['tokens_per_row']:,} tokens a step, "
            f"filled {fill}; {data['epochs']:.2f} epochs"
        )
        lines += [f"        {line}" for line in table_lines(data["sources"])]
    lines += [f"missing {what}: {cure}" for what, cure in found["missing"].items()]
    return lines + (plan.told(found["plan"] | {"missing": {}}) if found["plan"] else [])


def _data(config: ConfigDict, shards: Path, missing: dict[str, str]) -> dict[str, Any] | None:
    if not has_shards(config, shards, missing):
        return None
    plan = make_plan(config, shards)
    return {
        "examples": plan.examples,
        "left_out": plan.left_out,
        "sources": source_table(plan.index, plan.numbers),
        "held_out": config.held_out.records,
        "rows_per_step": plan.rows_per_step,
        "fill": plan.fill,
        "steps_per_epoch": plan.steps_per_epoch,
    }


def _length(config: ConfigDict) -> dict[str, Any]:
    """Return the steps of the run; None where it is given in epochs of rows that are not there yet."""
    train = config.train
    known = not train.epochs
    return {
        "steps": train.steps if known else None,
        "epochs": train.epochs or None,
        "warmup": warmup_steps(train) if known else None,
        "warmup_ratio": train.warmup_ratio,
    }


def _kept_activations(model: Qwen25VLConfig, learner: Student, config: ConfigDict, rows: int) -> int:
    """Return the bytes of the stream between the layers of the language model, kept for the gradient (remat full)."""
    values = model.text.num_hidden_layers * rows * config.train.tokens_per_row * model.text.hidden_size
    return values * jax.numpy.dtype(learner.compute.dtype).itemsize
