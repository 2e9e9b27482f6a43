"""The train step: one sum of token losses over all rows of all buckets, one division, one update.

The loss of a step is the sum over the target tokens of the global batch divided by their number, however the rows are
packed and wherever they lie.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec

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
    config: Qwen25VLConfig, optimizer: optax.GradientTransformation, dtype: jnp.dtype, remat: bool
) -> Callable[[State, Mapping[str, Any]], tuple[State, dict[str, jax.Array]]]:
    """Return the compiled step: (state, batches by bucket) -> (state, metrics). The old state is donated."""
    graph, _ = split_model(config)

    def loss_sum(parameters: Any, batches: Mapping[str, Any]) -> jax.Array:
        model = nnx.merge(graph, parameters)
        return sum(model.loss_sum(batches[name], dtype, remat) for name in sorted(batches))

    def step(state: State, batches: Mapping[str, Any]) -> tuple[State, dict[str, jax.Array]]:
        targets = sum(jnp.sum(batch["loss_weights"]) for batch in batches.values())
        total, gradients = jax.value_and_grad(loss_sum)(state["parameters"], batches)
        gradients = jax.tree.map(lambda leaf: leaf / jnp.maximum(targets, 1.0), gradients)
        updates, moments = optimizer.update(gradients, state["optimizer"], state["parameters"])
        metrics = {
            "loss": total / jnp.maximum(targets, 1.0),
            "grad_norm": optax.global_norm(gradients),
            "target_tokens": targets,
        }
        parameters = optax.apply_updates(state["parameters"], updates)
        return {"parameters": parameters, "optimizer": moments, "step": state["step"] + 1}, metrics

    return jax.jit(step, donate_argnums=0)
