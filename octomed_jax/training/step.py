"""The train step: one sum of token losses over all rows of all buckets, one division, one update.

The loss of a step is the sum over the target tokens of the global batch divided by their number, however the rows are
packed and wherever they lie.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jax.typing import DTypeLike

from octomed_jax.models.qwen2_5_vl.config import Qwen25VLConfig
from octomed_jax.models.qwen2_5_vl.model import initial_parameters, split_model
from octomed_jax.training.mesh import parameter_shardings

State = dict[str, Any]  # {"parameters": tree, "optimizer": Optax state, "step": int32}


def abstract_state(config: Qwen25VLConfig, optimizer: optax.GradientTransformation, mesh: Mesh) -> State:
    """Return shapes, dtypes and shardings of the state; nothing is allocated."""
    _, parameters = split_model(config)
    placed = jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        parameters,
        parameter_shardings(mesh, parameters),
    )
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
    step = jax.ShapeDtypeStruct((), jnp.int32, sharding=replicated)
    return {"parameters": placed, "optimizer": moments, "step": step}


def initial_state(
    config: Qwen25VLConfig, optimizer: optax.GradientTransformation, mesh: Mesh, seed: int, parameters: Any = None
) -> State:
    """Return the state at step 0: ``parameters`` (host arrays), or random ones made where they belong."""
    shardings = jax.tree.map(lambda leaf: leaf.sharding, abstract_state(config, optimizer, mesh))
    if parameters is None:
        parameters = jax.jit(lambda: initial_parameters(config, seed), out_shardings=shardings["parameters"])()
    else:
        parameters = jax.device_put(parameters, shardings["parameters"])
    moments = jax.jit(optimizer.init, out_shardings=shardings["optimizer"])(parameters)
    return {"parameters": parameters, "optimizer": moments, "step": jax.device_put(jnp.int32(0), shardings["step"])}


def make_step(
    config: Qwen25VLConfig,
    optimizer: optax.GradientTransformation,
    mesh: Mesh,
    names: Sequence[str],
    dtype: DTypeLike,
    remat: bool,
) -> Callable[[State, Mapping[str, Any]], tuple[State, dict[str, jax.Array]]]:
    """Return the compiled step: (state, batches by bucket) -> (state, metrics). The old state is donated.

    Args:
        config: the student's.
        optimizer: of ``make_optimizer``.
        mesh: where the state and the batches lie.
        names: the buckets, in the order in which they are computed.
        dtype: of the computation; parameters and moments stay float32.
        remat: recompute each layer for its gradient instead of keeping its activations.
    """
    graph, _ = split_model(config)

    def loss_sum(parameters: Any, batch: Mapping[str, Any]) -> jax.Array:
        return nnx.merge(graph, parameters).loss_sum(batch, dtype, remat)

    def gradients_of(parameters: Any, batches: Mapping[str, Any]) -> tuple[jax.Array, Any]:
        """Sum loss and gradients over the buckets, one bucket after the other."""
        total, summed = jax.value_and_grad(loss_sum)(parameters, batches[names[0]])
        for name in names[1:]:
            # The barrier makes the second bucket wait for the first: its activations are gone by then, and devices
            # never meet in the collectives of two buckets at once.
            parameters, total, summed = jax.lax.optimization_barrier((parameters, total, summed))
            loss, gradients = jax.value_and_grad(loss_sum)(parameters, batches[name])
            total, summed = total + loss, jax.tree.map(jnp.add, summed, gradients)
        return total, summed

    def step(state: State, batches: Mapping[str, Any]) -> tuple[State, dict[str, jax.Array]]:
        targets = sum(jnp.sum(batches[name]["loss_weights"]) for name in names)
        total, gradients = gradients_of(state["parameters"], batches)
        gradients = jax.tree.map(lambda leaf: leaf / jnp.maximum(targets, 1.0), gradients)
        updates, moments = optimizer.update(gradients, state["optimizer"], state["parameters"])
        metrics = {
            "loss": total / jnp.maximum(targets, 1.0),
            "grad_norm": optax.global_norm(gradients),
            "target_tokens": targets,
        }
        parameters = optax.apply_updates(state["parameters"], updates)
        return {"parameters": parameters, "optimizer": moments, "step": state["step"] + 1}, metrics

    compiled = jax.jit(step, donate_argnums=0)

    def in_mesh(state: State, batches: Mapping[str, Any]) -> tuple[State, dict[str, jax.Array]]:
        with jax.set_mesh(mesh):
            return compiled(state, batches)

    return in_mesh
