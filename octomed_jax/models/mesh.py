"""The device mesh, and which axis of it each parameter and each batch is laid along."""

import re
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from octomed_jax.errors import UserError
from octomed_jax.models.trees import flatten_names, unflatten_names

AXES = ("data", "fsdp")

# Parameter name (after the stack's axis, if it has one) -> axis of the mesh for each of its dimensions.
# The first rule that matches counts; what matches none is small and replicated.
RULES: tuple[tuple[str, tuple[str | None, ...]], ...] = (
    (r"text\.embedding", ("fsdp", None)),
    (r".*\.kernel", ("fsdp", None)),
)


def make_mesh(sizes: Mapping[str, int]) -> Mesh:
    """Return the mesh over all devices; one size may be -1 and takes what is left.

    Raises:
        UserError: the sizes do not multiply to the number of devices.
    """
    unknown = set(sizes) - set(AXES)
    if unknown:
        raise UserError(f"the mesh has no axis {sorted(unknown)[0]!r}; it has {', '.join(AXES)}")
    shape = [sizes.get(axis, 1) for axis in AXES]
    if 0 in shape:
        raise UserError(f"the mesh {dict(sizes)} has an axis of no device")
    devices = jax.device_count()
    known = int(np.prod([size for size in shape if size != -1]))
    if shape.count(-1) == 1 and devices % known == 0:
        shape[shape.index(-1)] = devices // known
    if int(np.prod(shape)) != devices or min(shape) < 1:
        raise UserError(f"mesh {dict(sizes)} does not multiply to the {devices} devices there are")
    return jax.make_mesh(tuple(shape), AXES, axis_types=(AxisType.Auto,) * len(AXES))


def one_device(backend: str | None = None) -> Mesh:
    """Return the mesh of this process's first device alone, of the default back end or a named one."""
    devices = jax.local_devices(backend=backend)[:1]
    return jax.make_mesh((1,) * len(AXES), AXES, (AxisType.Auto,) * len(AXES), devices=devices)


def parameter_shardings(mesh: Mesh, abstract: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sharding of every parameter, as a tree like ``abstract``."""
    flat = flatten_names(abstract)
    return unflatten_names({name: NamedSharding(mesh, _spec(mesh, name, leaf.shape)) for name, leaf in flat.items()})


def _spec(mesh: Mesh, name: str, shape: tuple[int, ...]) -> PartitionSpec:
    for pattern, axes in RULES:
        if re.fullmatch(pattern, name):
            stacked = len(shape) - len(axes)
            return PartitionSpec(*[None] * stacked, *_fitting(mesh, axes, shape[stacked:]))
    return PartitionSpec()


def _fitting(mesh: Mesh, axes: tuple[str | None, ...], shape: tuple[int, ...]) -> list[str | None]:
    """Return the axis of each dimension; one that does not divide its own goes to another (3,420 by 8, for example).

    One that divides none is left out, and the parameter is replicated (small models on many devices).
    """
    fitting: list[str | None] = [None] * len(axes)
    for own, axis in enumerate(axes):
        if axis:
            order = [own, *(other for other in range(len(axes)) if not axes[other])]
            place = next((at for at in order if not fitting[at] and shape[at] % mesh.shape[axis] == 0), None)
            if place is not None:
                fitting[place] = axis
    return fitting


def batch_devices(mesh: Mesh) -> int:
    """Return over how many devices the rows of a batch are spread."""
    return int(np.prod([mesh.shape[axis] for axis in AXES]))


def to_devices(mesh: Mesh, batch: Any, rows: int = 0) -> Any:
    """Return global arrays from this process's share of the rows (a tree of arrays; ``rows`` is the axis of these)."""
    sharding = NamedSharding(mesh, PartitionSpec(*[None] * rows, AXES))
    return jax.tree.map(lambda array: jax.make_array_from_process_local_data(sharding, array), batch)
