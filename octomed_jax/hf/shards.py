"""Weights as safetensors files of a bounded size, planned from the names and shapes before a weight is read."""

import dataclasses
import math
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from safetensors.numpy import save_file

from octomed_jax import progress, storage
from octomed_jax.errors import UserError
from octomed_jax.hf.load import INDEX_NAME, SINGLE_NAME
from octomed_jax.hf.names import HubTensor

DTYPES = {"float32": np.dtype(np.float32), "bfloat16": np.dtype(jnp.bfloat16)}


@dataclasses.dataclass(frozen=True)
class Shard:
    """One file.

    Attributes:
        name: of the file.
        tensors: what it holds, in the order of the published index.
        size: bytes of the tensors.
    """

    name: str
    tensors: tuple[HubTensor, ...]
    size: int


def plan_shards(tensors: Iterable[HubTensor], dtype: np.dtype, most: int) -> list[Shard]:
    """Fill files in order with tensors, at most ``most`` bytes in each; a larger tensor gets a file of its own."""
    groups: list[list[HubTensor]] = [[]]
    room = most
    for tensor in tensors:
        size = _bytes(tensor, dtype)
        if size > room and groups[-1]:
            groups.append([])
            room = most
        groups[-1].append(tensor)
        room -= size
    return [
        Shard(_name(number, len(groups)), tuple(group), sum(_bytes(tensor, dtype) for tensor in group))
        for number, group in enumerate(groups, 1)
    ]


def write_shards(
    folder: Path, shards: list[Shard], dtype: np.dtype, read: Callable[[HubTensor], np.ndarray]
) -> dict[str, int]:
    """Write the files one after the other, and the index where there are several.

    Args:
        folder: exists.
        shards: of ``plan_shards``.
        dtype: of the files.
        read: returns a tensor in the published shape; called once for each, when its file is written.

    Returns:
        the numbers of tensors, parameters, files and bytes.

    Raises:
        UserError: the disk has no room for all of them; nothing is written.
    """
    total = sum(shard.size for shard in shards)
    if (free := shutil.disk_usage(folder).free) < total:
        raise UserError(f"the weights take {total / 1e9:.1f} GB, but {folder} has {free / 1e9:.1f} GB free")
    with progress.bar("export", sum(len(shard.tensors) for shard in shards), "tensors") as bar:
        for shard in shards:
            arrays = {tensor.name: np.ascontiguousarray(read(tensor).astype(dtype)) for tensor in shard.tensors}
            save_file(arrays, folder / shard.name, metadata={"format": "pt"})
            bar.advance(len(shard.tensors))
    if len(shards) > 1:
        weight_map = {tensor.name: shard.name for shard in shards for tensor in shard.tensors}
        storage.write_json(folder / INDEX_NAME, {"metadata": {"total_size": total}, "weight_map": weight_map})
    return {
        "tensors": sum(len(shard.tensors) for shard in shards),
        "parameters": total // dtype.itemsize,
        "files": len(shards),
        "bytes": total,
    }


def _bytes(tensor: HubTensor, dtype: np.dtype) -> int:
    return math.prod(tensor.shape) * dtype.itemsize


def _name(number: int, count: int) -> str:
    return SINGLE_NAME if count == 1 else f"model-{number:05}-of-{count:05}.safetensors"
