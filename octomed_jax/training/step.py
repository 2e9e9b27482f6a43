"""The train step: one sum of token losses over all rows of all buckets, one division, one update.

The loss of a step is the sum over the target tokens of the global batch divided by their number, however the rows are
packed, wherever they lie and however many of them are computed at once.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import AbstractMesh, Mesh, NamedSharding, PartitionSpec

from octomed_jax.models.compute import Compute
from octomed_jax.models.mesh import parameter_shardings
from octomed_jax.models.place import Source, place_parameters
from octomed_jax.models.qwen2_5_vl.config import Qwen25VLConfig
from octomed_jax.models.qwen2_5_vl.model import initial_parameters, split_model
from octomed_jax.models.trained import Trained, joined
from octomed_jax.models.trees import flatten_names, unflatten_names

# {"parameters": tree, "optimizer": Optax state of the trained ones; int32: "step", "skipped" (updates that were not
# finite) and "skipped_in_row" (those since the last finite one)}
State = dict[str, Any]
Sums = tuple[jax.Array, Any]  # of the losses, and of the gradients
COUNTERS = ("step", "skipped", "skipped_in_row")


@dataclasses.dataclass(frozen=True)
class Student:
    """What is trained, and how it is computed.

    Attributes:
        config: the architecture.
        trained: which parameters have gradients, moments and float32 masters; the others lie in the compute dtype.
        compute: precision, attention back end, and what is kept for the gradient.
    """

    config: Qwen25VLConfig
    trained: Trained
    compute: Compute


def abstract_state(student: Student, optimizer: optax.GradientTransformation, mesh: Mesh | AbstractMesh) -> State:
    """Return shapes, dtypes and shardings of the state; nothing is allocated."""
    _, abstract = split_model(student.config, student.trained.lora)
    shardings = flatten_names(parameter_shardings(mesh, abstract))
    parameters = unflatten_names(
        {
            name: jax.ShapeDtypeStruct(leaf.shape, _dtype(student, name, leaf.dtype), sharding=shardings[name])
            for name, leaf in flatten_names(abstract).items()
        }
    )
    placed, _ = student.trained.split(parameters)
    shapes = jax.eval_shape(optimizer.init, placed)
    replicated = NamedSharding(mesh, PartitionSpec())
    # Moments lie where their parameters lie; counters are replicated.
    moments = optax.tree_utils.tree_map_params(
        optimizer,
        lambda leaf, parameter: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=parameter.sharding),
        shapes,
        placed,
        transform_non_params=lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=replicated),
    )
    counter = jax.ShapeDtypeStruct((), jnp.int32, sharding=replicated)
    return {"parameters": parameters, "optimizer": moments} | dict.fromkeys(COUNTERS, counter)


def _dtype(student: Student, name: str, dtype: Any) -> Any:
    return dtype if student.trained.has(name) else jnp.dtype(student.compute.dtype)


def initial_state(
    student: Student, optimizer: optax.GradientTransformation, mesh: Mesh, seed: int, source: Source | None = None
) -> State:
    """Return the state at step 0.

    Args:
        student: what is trained.
        optimizer: of ``make_optimizer``.
        mesh: where the state lies.
        seed: of random weights, which are made where they belong.
        source: where parameters are read; adapters are random all the same.
    """
    abstract = abstract_state(student, optimizer, mesh)
    wanted = flatten_names(abstract["parameters"])
    random = {name: leaf for name, leaf in wanted.items() if source is None or ".lora." in name}

    def make() -> dict[str, jax.Array]:
        made = flatten_names(initial_parameters(student.config, seed, student.trained.lora))
        return {name: made[name].astype(leaf.dtype) for name, leaf in random.items()}

    flat = jax.jit(make, out_shardings={name: leaf.sharding for name, leaf in random.items()})() if random else {}
    if source is not None:
        flat |= place_parameters(source, {name: leaf for name, leaf in wanted.items() if name not in random})
    whole = unflatten_names({name: flat[name] for name in wanted})
    moments_at = jax.tree.map(lambda leaf: leaf.sharding, abstract["optimizer"])
    moments = jax.jit(optimizer.init, out_shardings=moments_at)(student.trained.split(whole)[0])
    zero = jax.device_put(jnp.int32(0), abstract["step"].sharding)
    return {"parameters": whole, "optimizer": moments} | {name: zero.copy() for name in COUNTERS}


def jitted_step(
    student: Student,
    optimizer: optax.GradientTransformation,
    schedule: optax.Schedule,
    mesh: Mesh,
    names: Sequence[str],
) -> jax.stages.Wrapped:
    """Return the step: (state, micro-batches by bucket) -> (state, metrics). The old state is donated.

    It is traced and called within ``jax.set_mesh(mesh)``.

    Where loss or gradient is not finite, the update is skipped: parameters and moments stay, and it is counted.

    Args:
        student: what is trained, and how it is computed.
        optimizer: of ``make_optimizer``.
        schedule: the learning rate by update, for the metrics.
        mesh: where the state and the batches lie.
        names: the buckets, in the order in which they are computed; each array has micro-batches first, then rows.
    """
    graph, _ = split_model(student.config, student.trained.lora)

    def loss_sum(trained: Any, frozen: Any, batch: Mapping[str, Any]) -> jax.Array:
        return nnx.merge(graph, joined(trained, frozen)).loss_sum(batch, student.compute)

    def add_bucket(sums: Sums | None, trained: Any, frozen: Any, batches: Mapping[str, Any]) -> Sums:
        """Add loss and gradients of the micro-batches of a bucket, one after the other."""
        gradient = jax.value_and_grad(loss_sum)

        def add(sums: Sums, batch: Mapping[str, Any]) -> tuple[Sums, None]:
            return jax.tree.map(jnp.add, sums, gradient(trained, frozen, batch)), None

        if len(batches["input_ids"]) == 1:
            only = jax.tree.map(lambda part: part[0], batches)
            return add(sums, only)[0] if sums else gradient(trained, frozen, only)
        return jax.lax.scan(add, sums or (jnp.zeros(()), jax.tree.map(jnp.zeros_like, trained)), batches)[0]

    def gradients_of(trained: Any, frozen: Any, batches: Mapping[str, Any]) -> Sums:
        """Sum loss and gradients over the buckets, one bucket after the other: there are never two such sums."""
        sums = add_bucket(None, trained, frozen, batches[names[0]])
        for name in names[1:]:
            # The barrier makes the second bucket wait for the first: its activations are gone by then, and devices
            # never meet in the collectives of two buckets at once.
            trained, sums = jax.lax.optimization_barrier((trained, sums))
            sums = add_bucket(sums, trained, frozen, batches[name])
        return sums

    def of_replicas(trained: Any, frozen: Any, batches: Mapping[str, Any]) -> Sums:
        """Sum over the replicas along "data", each of which adds up its own rows first.

        Between slices of a pod the network is slow: gradients cross it once, however many micro-batches there are.
        """
        if mesh.shape["data"] == 1:
            return gradients_of(trained, frozen, batches)

        def of_replica(*own: Any) -> Sums:
            return jax.lax.psum(gradients_of(*own), "data")

        specs = PartitionSpec(), PartitionSpec(), PartitionSpec(None, "data")
        divided = jax.shard_map(
            of_replica, in_specs=specs, out_specs=PartitionSpec(), axis_names={"data"}, check_vma=False
        )
        return divided(trained, frozen, batches)

    def step(state: State, batches: Mapping[str, Any]) -> tuple[State, dict[str, jax.Array]]:
        targets = sum(jnp.sum(batches[name]["loss_weights"]) for name in names)
        trained, frozen = student.trained.split(state["parameters"])
        total, gradients = of_replicas(trained, frozen, batches)
        gradients = jax.tree.map(lambda leaf: leaf / jnp.maximum(targets, 1.0), gradients)
        updates, moments = optimizer.update(gradients, state["optimizer"], trained)
        loss, norm = total / jnp.maximum(targets, 1.0), optax.global_norm(gradients)
        finite = jnp.isfinite(loss) & jnp.isfinite(norm)
        updated = optax.apply_updates(trained, updates), moments
        kept = jax.tree.map(lambda new, old: jnp.where(finite, new, old), updated, (trained, state["optimizer"]))
        metrics = {
            "loss": loss,
            "grad_norm": norm,
            "target_tokens": targets,
            "learning_rate": schedule(state["step"] - state["skipped"]),
            "skipped": state["skipped"] + ~finite,
            "skipped_in_row": jnp.where(finite, 0, state["skipped_in_row"] + 1),
        }
        new_state = {
            "parameters": joined(kept[0], frozen),
            "optimizer": kept[1],
            "step": state["step"] + 1,
            **{name: metrics[name] for name in ("skipped", "skipped_in_row")},
        }
        return new_state, metrics

    # The state comes out laid out as it went in: otherwise the second step is another program than the first, which is
    # compiled again and adds up in another order than the step after a restart.
    layout = jax.tree.map(lambda leaf: leaf.sharding, abstract_state(student, optimizer, mesh))
    return jax.jit(step, donate_argnums=0, out_shardings=(layout, None))
