"""Parameters straight from a file to the devices they belong on, one matrix of one layer at a time."""

import functools
from collections.abc import Mapping
from types import EllipsisType
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from octomed_jax.errors import UserError
from octomed_jax.models.trees import is_stack

Index = tuple[slice, ...] | EllipsisType


class Source(Protocol):
    """Where parameters are read: a checkpoint (checkpoints/parameters.py) or a Hugging Face folder (hf/weights.py).

    Attributes:
        shapes: of the parameters, by dotted name.
    """

    shapes: dict[str, jax.ShapeDtypeStruct]

    def read(self, name: str, layer: int | None = None, index: Index = ...) -> np.ndarray:
        """Return a parameter, one layer of a stack of them, or a region of either."""


def place_parameters(source: Source, wanted: Mapping[str, jax.ShapeDtypeStruct]) -> dict[str, jax.Array]:
    """Return parameters by dotted name, laid out as wanted.

    A process reads only what its own devices hold, and holds one matrix of one layer beside what lies on them.

    Args:
        source: has all of them.
        wanted: shape, dtype and sharding (along a mesh, layers of a stack undivided) of each.

    Raises:
        UserError: the source has a parameter in another shape, or not at all.
    """
    for name, leaf in wanted.items():
        found = source.shapes[name].shape if name in source.shapes else None
        if found != leaf.shape:
            raise UserError(f"the weights have {name} in shape {found}, not {leaf.shape}: they are of another model")
    return {name: (_stack if is_stack(name) else _whole)(source, name, leaf) for name, leaf in wanted.items()}


def _whole(source: Source, name: str, wanted: jax.ShapeDtypeStruct) -> jax.Array:
    return _part(source, name, None, wanted.shape, wanted.sharding).astype(wanted.dtype)


def _stack(source: Source, name: str, wanted: jax.ShapeDtypeStruct) -> jax.Array:
    depth, *shape = wanted.shape
    assert wanted.sharding.spec[:1] in ((), (None,)), "layers of a stack lie together"
    below = NamedSharding(wanted.sharding.mesh, PartitionSpec(*wanted.sharding.spec[1:]))
    stack = jnp.zeros(wanted.shape, wanted.dtype, device=wanted.sharding)
    for layer in range(depth):
        stack = _put(stack, _part(source, name, layer, tuple(shape), below), layer)
    return stack


@functools.partial(jax.jit, donate_argnums=0)
def _put(stack: jax.Array, part: jax.Array, layer: int) -> jax.Array:
    return jax.lax.dynamic_update_index_in_dim(stack, part.astype(stack.dtype), layer, 0)


def _part(source: Source, name: str, layer: int | None, shape: tuple[int, ...], sharding: NamedSharding) -> jax.Array:
    """Read one matrix, each region once, and put every region where it belongs."""
    read = functools.cache(lambda bounds: source.read(name, layer, tuple(slice(*bound) for bound in bounds)))

    def region(index: tuple[slice, ...]) -> np.ndarray:
        return read(tuple(part.indices(size)[:2] for part, size in zip(index, shape, strict=True)))

    return jax.make_array_from_callback(shape, sharding, region)
