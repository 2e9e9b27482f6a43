"""Where activations and weights lie while they are used: rows spread over devices, weights of one layer gathered.

Parameters rest in pieces (models/mesh.py). Said here once a layer, the compiler gathers one layer's weights at a
time and scatters their gradients, and never moves activations instead. Without a mesh these are the identity.
"""

from collections.abc import Callable
from typing import TypeVar

import jax
from jax.sharding import PartitionSpec
from jaxtyping import Array

T = TypeVar("T")

ROW_AXES = ("data", "fsdp")


def by_row(x: Array) -> Array:
    """Spread the first axis of an activation over the devices of the mesh."""
    return jax.lax.with_sharding_constraint(x, PartitionSpec(ROW_AXES)) if _in_mesh() else x


def gathered(weights: T) -> T:
    """Make a layer's weights whole on every device, for the time of their use."""
    if not _in_mesh():
        return weights
    return jax.tree.map(lambda leaf: jax.lax.with_sharding_constraint(leaf, PartitionSpec()), weights)


def each_device(function: Callable[..., Array]) -> Callable[..., Array]:
    """Let every device compute ``function`` on its own rows: for kernels that the compiler cannot divide."""
    if not _in_mesh():
        return function
    rows = PartitionSpec(ROW_AXES)
    return jax.shard_map(function, in_specs=rows, out_specs=rows, check_vma=False)


def sum_over_rows(function: Callable[..., Array]) -> Callable[..., Array]:
    """Let every device compute ``function(shared, *rows)`` on its own rows, and add the results.

    The gradient of ``shared`` is added up once, at the end, however the function walks through its rows.
    """
    if not _in_mesh():
        return function

    def total(shared: Array, *rows: Array) -> Array:
        return jax.lax.psum(function(shared, *rows), ROW_AXES)

    def divided(shared: Array, *rows: Array) -> Array:
        specs = (PartitionSpec(), *(PartitionSpec(ROW_AXES) for _ in rows))
        return jax.shard_map(total, in_specs=specs, out_specs=PartitionSpec(), check_vma=False)(shared, *rows)

    return divided


def _in_mesh() -> bool:
    return ROW_AXES[0] in jax.sharding.get_abstract_mesh().axis_names
