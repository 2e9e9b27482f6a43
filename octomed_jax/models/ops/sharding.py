"""Where activations and weights lie while they are used: rows and pieces of rows spread over devices, weights gathered.

Parameters rest in pieces (models/mesh.py). Said here once a layer, the compiler gathers one layer's weights at a
time and scatters their gradients, and never moves activations instead. Along "tensor" a layer's matrices stay divided,
by heads and features. Along "sequence" the tokens of a row are divided, and so are the window slots of its images.
Along "data" the step (training/step.py) may be on its own; such an axis is not named here then. Without a mesh these
are the identity.
"""

import math
from collections.abc import Callable
from typing import Any, TypeVar

import jax
from jax.sharding import PartitionSpec
from jax.typing import DTypeLike
from jaxtyping import Array

from octomed_jax.models.mesh import AXES, ROW_AXES, axes_of, fitting

T = TypeVar("T")
# Rows of a tile of bfloat16 on a TPU. Over one matrix that ends within a tile, the vision tower's [3,420, 1,280], XLA's
# TPU compiler spends five minutes when it is gathered in bfloat16, and none when it is in float32.
TILE_ROWS = 16


def by_place(x: Array) -> Array:
    """Spread rows over devices, and the tokens (or patches) of a row, its second axis, along "sequence"."""
    return _constrained(x, rows(len(x)), dividing("sequence", x.shape[1]))


def by_heads(x: Array) -> Array:
    """As ``by_place``, and the heads, the axis before the last, along "tensor"."""
    spec = rows(len(x)), dividing("sequence", x.shape[1])
    return _constrained(x, *spec, *[None] * (x.ndim - 4), dividing("tensor", x.shape[-2]), None)


def by_row(x: Array) -> Array:
    """Spread the first axis of an activation over the devices of the mesh, and nothing else of it."""
    return _constrained(x, rows(len(x)))


def gathered(weights: T, name: str, dtype: DTypeLike) -> T:
    """Make weights whole on every device for the time of their use, but for what lies along "tensor".

    Matrices travel in the dtype in which they are used, half the bytes of their masters. Of their gradients each device
    gets the part that it keeps, added up over the devices in the dtype of use or in the masters', as the compiler will.

    Args:
        weights: an array, or a tree of them.
        name: dotted, of the array or of what the tree is below; mesh.RULES has the axes of its parameters.
        dtype: of their use.
    """
    if not _in_mesh():
        return weights

    def whole(path: tuple, leaf: Array) -> Array:
        key = ".".join([name, *(str(getattr(entry, "key", getattr(entry, "name", entry))) for entry in path)])
        axes = axes_of(key.removesuffix(".value"))
        if axes is None or len(axes) != leaf.ndim:
            return _constrained(leaf)
        used = [
            dividing("tensor", size) if axis == "tensor" else None for axis, size in zip(axes, leaf.shape, strict=True)
        ]
        rest = fitting(jax.sharding.get_abstract_mesh().shape, axes, leaf.shape)
        travels = dtype if leaf.shape[0] % TILE_ROWS == 0 else leaf.dtype
        return _travelled(leaf, travels, PartitionSpec(*used), PartitionSpec(*rest))

    return jax.tree_util.tree_map_with_path(whole, weights)


def _travelled(x: Array, dtype: DTypeLike, used: PartitionSpec, rest: PartitionSpec) -> Array:
    own = x.dtype

    @jax.custom_vjp
    def travel(x: Array) -> Array:
        return _constrained(x.astype(dtype), *used)

    def back(_: None, gradient: Array) -> tuple[Array]:
        # Laid out as at rest at once: else the compiler adds up the whole gradient on every device, and then cuts it.
        return (_constrained(gradient.astype(own), *rest),)

    travel.defvjp(lambda x: (travel(x), None), back)
    return travel(x)


def each_device(function: Callable[..., Array], *specs: PartitionSpec, out: PartitionSpec) -> Callable[..., Array]:
    """Let every device compute ``function`` on its own part of the arguments: for what the compiler cannot divide."""
    if not _in_mesh():
        return function
    return jax.shard_map(function, in_specs=specs, out_specs=out, axis_names=set(mesh_axes()), check_vma=False)


def rows(count: int) -> tuple[str, ...] | None:
    """Return the axes along which so many rows can be spread."""
    axes = tuple(axis for axis in ROW_AXES if axis in mesh_axes())
    return axes if axes and count % size_of(*axes) == 0 else None


def dividing(axis: str, size: int) -> str | None:
    """Return the axis where it is one of the mesh that divides a dimension of this size."""
    return axis if axis in mesh_axes() and size % size_of(axis) == 0 else None


def place_of(*axes: str) -> Array | int:
    """Return the device's place along some axes, within ``each_device``; the first is the slowest."""
    place: Array | int = 0
    for axis in axes:
        place = place * size_of(axis) + (jax.lax.axis_index(axis) if size_of(axis) > 1 else 0)
    return place


def size_of(*axes: str) -> int:
    """Return over how many devices some axes spread things; 1 without a mesh."""
    shape = jax.sharding.get_abstract_mesh().shape
    return math.prod(shape.get(axis, 1) for axis in axes)


def _constrained(x: Array, *spec: Any) -> Array:
    return jax.lax.with_sharding_constraint(x, PartitionSpec(*spec)) if _in_mesh() else x


def mesh_axes() -> tuple[str, ...]:
    """Return the axes of the mesh, without those that are on their own here; none without a mesh."""
    mesh = jax.sharding.get_abstract_mesh()
    return tuple(axis for axis in mesh.axis_names if axis in AXES and axis not in mesh.manual_axes)


def _in_mesh() -> bool:
    return bool(mesh_axes())
