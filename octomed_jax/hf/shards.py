"""Weights as safetensors files of a bounded size, planned from the names and shapes before a weight is read."""

import dataclasses
import hashlib
import itertools
import json
import math
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from octomed_jax import progress, storage
from octomed_jax.checkpoints.direct import DirectWriter
from octomed_jax.hf.names import HubTensor
from octomed_jax.hf.weights import FLOATS, INDEX_NAME, SINGLE_NAME

DTYPES = {"float32": np.dtype(np.float32), "bfloat16": np.dtype(jnp.bfloat16), "float16": np.dtype(np.float16)}
PIECES_AHEAD = 8  # that are turned and not yet written, of names.PIECE bytes each


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


def shards_of_index(path: Path, tensors: Iterable[HubTensor], dtype: np.dtype) -> list[Shard] | None:
    """Return the files of an index, None where there is none, or where it names other tensors or odd files."""
    if not path.is_file():
        return None
    weight_map, wanted = storage.read_json(path)["weight_map"], list(tensors)
    if weight_map.keys() != {tensor.name for tensor in wanted}:
        return None
    if not all(re.fullmatch(r"[\w-]+(\.[\w-]+)*\.safetensors", name) for name in weight_map.values()):
        return None
    groups: dict[str, list[HubTensor]] = {name: [] for name in sorted(set(weight_map.values()))}
    for tensor in wanted:
        groups[weight_map[tensor.name]].append(tensor)
    return [Shard(name, tuple(group), sum(_bytes(tensor, dtype) for tensor in group)) for name, group in groups.items()]


def write_shards(
    folder: Path, shards: list[Shard], dtype: np.dtype, read: Callable[[HubTensor], np.ndarray]
) -> dict[str, str]:
    """Write the files one after the other, and the index where there are several.

    A file gets its name when its bytes are on disk, and its hash beside it (until ``forget_marks``): one that is there
    from an earlier, interrupted call is not written again. Two tensors are held, however large the files: one that is
    written, and the next, which another thread reads.

    Args:
        folder: exists.
        shards: of ``plan_shards``.
        dtype: of the files.
        read: returns what a tensor is in our layout; called once for each, in another thread.

    Returns:
        the SHA-256 of each file.
    """
    hashes: dict[str, str] = {}
    with progress.bar("export", sum(len(shard.tensors) for shard in shards), "tensors") as bar:
        for shard in shards:
            mark = folder / f".{shard.name}.sha256"
            if not ((folder / shard.name).is_file() and mark.is_file()):
                storage.write_text(mark, _write(folder / shard.name, shard, dtype, read))
            hashes[shard.name] = mark.read_text()
            bar.advance(len(shard.tensors))
    if len(shards) > 1 or shards[0].name != SINGLE_NAME:
        total = sum(shard.size for shard in shards)
        weight_map = {tensor.name: shard.name for shard in shards for tensor in shard.tensors}
        storage.write_json(folder / INDEX_NAME, {"metadata": {"total_size": total}, "weight_map": weight_map})
        hashes[INDEX_NAME] = storage.sha256_file(folder / INDEX_NAME)
    return hashes


def forget_marks(folder: Path) -> None:
    """Remove the hashes beside the files; call it when nothing is left to do."""
    for mark in folder.glob(".*.sha256"):
        mark.unlink()


def _write(path: Path, shard: Shard, dtype: np.dtype, read: Callable[[HubTensor], np.ndarray]) -> str:
    """Write one file whole or not at all, piece by piece; return its SHA-256."""
    partial = path.with_name(f".{path.name}.partial")
    tensors = sorted(shard.tensors, key=lambda tensor: tensor.name)  # as safetensors' own writer does
    digest = hashlib.sha256()
    # A thread for each of the three that take time: the pieces are turned here, hashed and written there.
    with DirectWriter(partial) as file, ThreadPoolExecutor(1) as hashing, ThreadPoolExecutor(1) as writing:
        unfinished: deque[Future] = deque()
        for piece in itertools.chain([_header(tensors, dtype)], _values(tensors, dtype, read)):
            data = piece.view(np.uint8).data
            unfinished += hashing.submit(digest.update, data), writing.submit(file.write, data)
            while len(unfinished) > 2 * PIECES_AHEAD:
                unfinished.popleft().result()
        for one in unfinished:
            one.result()
    partial.rename(path)
    return digest.hexdigest()


def _values(tensors: list[HubTensor], dtype: np.dtype, read: Callable[[HubTensor], np.ndarray]) -> Iterator[np.ndarray]:
    """Yield what a file holds in pieces; while one tensor's are used, another thread reads the next tensor."""
    with ThreadPoolExecutor(1) as pool:
        coming = [pool.submit(read, tensors[0])]
        for tensor, following in itertools.zip_longest(tensors, tensors[1:]):
            part = coming.pop().result()
            if following:
                coming.append(pool.submit(read, following))
            yield from tensor.pieces(part, dtype)


def _header(tensors: list[HubTensor], dtype: np.dtype) -> np.ndarray:
    """Return what stands before the values: its own length, then names, dtypes, shapes and places as JSON."""
    name = next(name for name, known in FLOATS.items() if dtype == known)
    fields: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for tensor in tensors:
        start, end = end, end + _bytes(tensor, dtype)
        fields[tensor.name] = {"dtype": name, "shape": tensor.shape, "data_offsets": [start, end]}
    text = json.dumps(fields, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # so that the values are aligned
    return np.frombuffer(len(text).to_bytes(8, "little") + text, np.uint8)


def _bytes(tensor: HubTensor, dtype: np.dtype) -> int:
    return math.prod(tensor.shape) * dtype.itemsize


def _name(number: int, count: int) -> str:
    return SINGLE_NAME if count == 1 else f"model-{number:05}-of-{count:05}.safetensors"
