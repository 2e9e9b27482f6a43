"""The device mesh, and which axis of it each parameter and each batch is laid along."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding, PartitionSpec

from octomed_jax.errors import UserError
from octomed_jax.models.qwen2_5_vl.config import Qwen25VLConfig
from octomed_jax.models.trees import flatten_names, unflatten_names

# Slices of a pod and replicas, pieces of the state, pieces of a row, pieces of a layer. Rows of a batch lie along the
# first two, tokens of a row along the third, and heads and features of a layer along the fourth.
AXES = ("data", "fsdp", "sequence", "tensor")
ROW_AXES = ("data", "fsdp")
# Devices that share a replica's rows also share its state: nothing that is trained lies twice within a replica.
STATE_AXES = ("fsdp", "sequence")
PARTS = ("fsdp", "sequence", "tensor")

Axes = str | tuple[str, ...] | None

# Parameter name (after the stack's axis, if it has one) -> axes of the mesh for each of its dimensions, at rest. While
# a matrix is used, only "tensor" stays (ops/sharding.py gathers the rest); training never gathers the vocabulary.
# The first rule that matches counts; what matches none is small and replicated.
RULES: tuple[tuple[str, tuple[Axes, ...]], ...] = (
    (r"text\.embedding", (None, PARTS)),
    (r"head\.kernel", (None, PARTS)),
    (r".*\.(q|k|v|gate|up)\.kernel", (STATE_AXES, "tensor")),
    (r".*\.(o|out|down)\.kernel", ("tensor", STATE_AXES)),
    (r".*\.kernel", (PARTS, None)),
)


def make_mesh(sizes: Mapping[str, int], devices: Sequence[jax.Device] | None = None) -> Mesh:
    """Return the mesh over all devices; one size may be -1 and takes what is left.

    Args:
        sizes: of the axes.
        devices: all that there are, or those of a topology that is planned for.

    Raises:
        UserError: the sizes do not multiply to the number of devices.
    """
    devices = jax.devices() if devices is None else devices
    shape = axis_sizes(sizes, len(devices))
    return Mesh(_laid_out(devices, shape), AXES, axis_types=(AxisType.Auto,) * len(AXES))


def without_devices(shape: tuple[int, ...]) -> AbstractMesh:
    """Return a mesh of these sizes of ``AXES``, to lay out arrays that are never made."""
    return AbstractMesh(shape, AXES, (AxisType.Auto,) * len(AXES))


def axis_sizes(sizes: Mapping[str, int], devices: int) -> tuple[int, ...]:
    """Return the size of each of ``AXES``; one of ``sizes`` may be -1 and takes what is left.

    Raises:
        UserError: the sizes do not multiply to the number of devices.
    """
    unknown = set(sizes) - set(AXES)
    if unknown:
        raise UserError(f"the mesh has no axis {sorted(unknown)[0]!r}; it has {', '.join(AXES)}")
    shape = [sizes.get(axis, 1) for axis in AXES]
    if 0 in shape:
        raise UserError(f"the mesh {dict(sizes)} has an axis of no device")
    known = int(np.prod([size for size in shape if size != -1]))
    if shape.count(-1) == 1 and devices % known == 0:
        shape[shape.index(-1)] = devices // known
    if int(np.prod(shape)) != devices or min(shape) < 1:
        raise UserError(f"mesh {dict(sizes)} does not multiply to the {devices} devices there are")
    return tuple(shape)


def _laid_out(devices: Sequence[jax.Device], shape: tuple[int, ...]) -> np.ndarray:
    """Return the devices by axis; the slices of a pod, between which the network is slow, lie along "data".

    Raises:
        UserError: "data" is not a multiple of the slices.
    """
    slices = len({getattr(device, "slice_index", 0) for device in devices})
    if slices == 1:
        return mesh_utils.create_device_mesh(shape, devices, allow_split_physical_axes=True)
    if shape[0] % slices:
        raise UserError(f"mesh axis data={shape[0]} must be a multiple of the {slices} slices, which lie along it")
    within, between = (shape[0] // slices, *shape[1:]), (slices, *[1] * (len(shape) - 1))
    return mesh_utils.create_hybrid_device_mesh(within, between, devices, allow_split_physical_axes=True)


def one_device(backend: str | None = None) -> Mesh:
    """Return the mesh of this process's first device alone, of the default back end or a named one."""
    devices = jax.local_devices(backend=backend)[:1]
    return jax.make_mesh((1,) * len(AXES), AXES, (AxisType.Auto,) * len(AXES), devices=devices)


def parameter_shardings(mesh: Mesh | AbstractMesh, abstract: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sharding of every parameter, as a tree like ``abstract``."""
    flat = flatten_names(abstract)
    return unflatten_names({name: NamedSharding(mesh, _spec(mesh, name, leaf.shape)) for name, leaf in flat.items()})


def _spec(mesh: Mesh | AbstractMesh, name: str, shape: tuple[int, ...]) -> PartitionSpec:
    axes = axes_of(name)
    if axes is None:
        return PartitionSpec()
    stacked = len(shape) - len(axes)
    return PartitionSpec(*[None] * stacked, *fitting(mesh.shape, axes, shape[stacked:]))


def axes_of(name: str) -> tuple[Axes, ...] | None:
    """Return the axes of each dimension of a parameter at rest, None where it is replicated."""
    return next((axes for pattern, axes in RULES if re.fullmatch(pattern, name)), None)


def fitting(sizes: Mapping[str, int], axes: tuple[Axes, ...], shape: tuple[int, ...]) -> list[Axes]:
    """Return the axes of each dimension; those that do not divide their own go to another (3,420 by 8, for example).

    Where none is divided by all of several axes, the first ones of them are tried, and at last the parameter is
    replicated (small models on many devices).
    """
    found: list[Axes] = [None] * len(axes)
    for own, wanted in sorted(enumerate(axes), key=lambda pair: pair[1] != "tensor"):
        names = (wanted,) if isinstance(wanted, str) else wanted or ()
        order = [own, *(other for other in range(len(axes)) if not axes[other])]
        for count in range(len(names), 0, -1):
            size = math.prod(sizes[name] for name in names[:count])
            place = next((at for at in order if not found[at] and shape[at] % size == 0), None)
            if place is not None:
                found[place] = names[:count] if count > 1 else names[0]
                break
    return found


def check_axes(sizes: Mapping[str, int], model: Qwen25VLConfig, tokens_per_row: int) -> None:
    """Refuse a mesh along whose axes a model's heads and features, or a row's tokens, cannot be divided.

    Args:
        sizes: of the axes.
        model: the architecture.
        tokens_per_row: places of a row.

    Raises:
        UserError: they cannot; the first reason is given.
    """
    tensor, sequence = sizes.get("tensor", 1), sizes.get("sequence", 1)
    text, vision = model.text, model.vision
    divided = {
        "attention heads": text.num_attention_heads,
        "features of an MLP": text.intermediate_size,
        "attention heads of the vision tower": vision.num_heads,
        "features of an MLP of the vision tower": vision.intermediate_size,
    }
    for what, count in divided.items():
        if count % tensor:
            raise UserError(f"mesh axis tensor={tensor} does not divide the {count:,} {what}")
    kv_heads = text.num_key_value_heads
    if kv_heads % tensor and tensor % kv_heads:
        raise UserError(f"mesh axis tensor={tensor} neither divides the {kv_heads} key/value heads nor repeats them")
    if tokens_per_row % sequence:
        raise UserError(f"mesh axis sequence={sequence} does not divide rows of {tokens_per_row:,} tokens")


def device_bytes(tree: Any) -> int:
    """Return the bytes that one device holds of a tree of arrays, or of shapes with their shardings."""
    return sum(math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def batch_devices(mesh: Mesh | AbstractMesh) -> int:
    """Return over how many places the rows of a batch are spread; devices that share a row are one place."""
    return math.prod(mesh.shape[axis] for axis in ROW_AXES)


def row_places(mesh: Mesh) -> tuple[int, ...]:
    """Return which of the places for rows (``batch_devices`` of them) this process has devices of, in order."""
    owners = np.vectorize(lambda device: device.process_index)(mesh.devices).reshape(batch_devices(mesh), -1)
    return tuple(np.flatnonzero((owners == jax.process_index()).any(axis=1)).tolist())


def to_devices(mesh: Mesh, batch: Any, rows: int = 0) -> Any:
    """Return global arrays from this process's rows (a tree of arrays; ``rows`` is the axis of these).

    The rows are those of ``row_places``, one place after the other, as many of each.
    """
    sharding, places = NamedSharding(mesh, PartitionSpec(*[None] * rows, ROW_AXES)), row_places(mesh)

    def placed(array: np.ndarray) -> jax.Array:
        each = array.shape[rows] // len(places)
        shape = (*array.shape[:rows], each * batch_devices(mesh), *array.shape[rows + 1 :])

        def of_device(index: tuple[slice, ...]) -> np.ndarray:
            first = places.index(index[rows].indices(shape[rows])[0] // each) * each
            return array[(*index[:rows], slice(first, first + each))]

        return jax.make_array_from_callback(shape, sharding, of_device)

    return jax.tree.map(placed, batch)
