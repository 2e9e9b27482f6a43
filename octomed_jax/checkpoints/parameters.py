"""The parameters of a checkpoint, a layer at a time: written as they come, read where they are wanted.

Orbax saves and restores whole trees. An import or an export holds one matrix of one layer at a time, so that a model
larger than the memory passes through; the files are Orbax' own, and TensorStore, which Orbax writes them with, opens
them array by array.
"""

import asyncio
import contextlib
import dataclasses
import json
import math
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
import tensorstore
from etils import epath

from octomed_jax.checkpoints.direct import takes_direct
from octomed_jax.errors import StopAndLook, TryAgain, UserError
from octomed_jax.models.place import Index
from octomed_jax.models.trees import STACKS, flatten_names, unflatten_names

CHUNK_BYTES = 2**24  # what TensorStore reads and writes at once; larger memory is new each time, and is cleared first
# How TensorStore reads past the system's page cache; it writes through it, whatever it is told.
DIRECT = {"file_io_mode": {"mode": "direct"}}
SETTLE_S = 0.1  # between two looks for files that are written
PIECE_BYTES = 2**27  # of a part that is read at once
IN_FLIGHT_BYTES = 2**29  # of the pieces that are read and written at the same time; a larger one is held alone


@dataclasses.dataclass(frozen=True)
class Streamed:
    """A parameter that is read, part by part, when it is written.

    Attributes:
        shape: of the whole; a stack of layers has them first.
        dtype: of the parts.
        stacked: whether it is a stack; each layer is read by itself.
        axis: of the parameter, or of a layer: along it, pieces are read one after the other.
        read: returns the piece of a layer (None where there is no stack) from a place of the axis to another.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    stacked: bool
    axis: int
    read: Callable[[int | None, int, int], np.ndarray]

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)


class _Room:
    """Lets tasks hold so many bytes together, in the order in which they ask; one that needs more holds it alone."""

    def __init__(self, most: int):
        self._most, self._held = most, 0
        self._turn, self._changed = asyncio.Lock(), asyncio.Condition()

    async def take(self, size: int) -> None:
        async with self._turn, self._changed:
            await self._changed.wait_for(lambda: not self._held or self._held + size <= self._most)
            self._held += size

    async def give_back(self, size: int) -> None:
        async with self._changed:
            self._held -= size
            self._changed.notify_all()


class _StreamedHandler(ocp.type_handlers.NumpyHandler):
    """Lets Orbax write a ``Streamed`` as it writes a host array; only the moment at which values are made differs."""

    def __init__(self) -> None:
        super().__init__(deepcopy_host_arrays=False)
        self._room = _Room(IN_FLIGHT_BYTES)

    # Overrides Orbax' own, which writes the whole array; a name that Orbax does not promise to keep.
    assert hasattr(ocp.type_handlers.NumpyHandler, "_open_and_write"), "another Orbax than this was written for"

    async def _open_and_write(self, value: Streamed, tspec: dict[str, Any], ts_context: tensorstore.Context) -> None:
        # Not waiting for the disk after each piece: _settled sees to it, beside the writing.
        context = tensorstore.Context({"file_io_sync": False}, ts_context)
        store = await tensorstore.open(tensorstore.Spec(tspec), create=True, open=True, context=context)
        layers = range(value.shape[0]) if value.stacked else (None,)
        shape = value.shape[1:] if value.stacked else value.shape
        chunk = [int(size or 1) for size in store.chunk_layout.write_chunk.shape or ()][-len(shape) :]

        async def pass_through(layer: int | None) -> None:
            """Read the pieces in their order; each is written while the next ones are read."""
            whole = store if layer is None else store[layer]
            writing = []
            for start, stop in _pieces(value, shape, chunk):
                size = (stop - start) * math.prod(shape) // (shape[value.axis] if shape else 1) * value.dtype.itemsize
                await self._room.take(size)
                try:
                    part = await asyncio.to_thread(value.read, layer, start, stop)
                except BaseException:
                    await self._room.give_back(size)
                    raise
                place = whole[(slice(None),) * value.axis + (slice(start, stop),)] if shape else whole
                writing.append(asyncio.create_task(self._write(place, part)))
                del part
            await asyncio.gather(*writing)

        await asyncio.gather(*map(pass_through, layers))

    async def _write(self, place: tensorstore.TensorStore, part: np.ndarray) -> None:
        try:
            await place.write(part, can_reference_source_data_indefinitely=True)
        finally:
            await self._room.give_back(part.nbytes)


def _pieces(value: Streamed, shape: tuple[int, ...], chunk: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield from where to where a part is read at once: whole chunks, PIECE_BYTES of them or a little less."""
    if not shape:
        yield 0, 1
        return
    length = shape[value.axis]
    bytes_of_chunks = math.prod(shape) // length * chunk[value.axis] * value.dtype.itemsize
    step = max(1, PIECE_BYTES // bytes_of_chunks) * chunk[value.axis]
    for start in range(0, length, step):
        yield start, min(start + step, length)


def save_arguments(tree: Any) -> Any:
    """Return how Orbax lays out each array of a tree: in chunks of CHUNK_BYTES, none of more than one layer of a stack.

    Only a stack is divided along its first axis to the end: an embedding would be in as many chunks as it has rows.
    """

    def chunks(path: Any, leaf: Any) -> ocp.SaveArgs:
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        stack = any(f".{prefix}" in f".{name}" for prefix in STACKS) and len(leaf.shape) > 1
        return ocp.SaveArgs(chunk_byte_size=CHUNK_BYTES, shard_axes=(0,) if stack else ())

    return jax.tree_util.tree_map_with_path(chunks, tree)


def write_parameters(folder: Path, parameters: Mapping[str, Streamed]) -> None:
    """Write parameters, given by dotted name, as a checkpoint of their nested tree."""
    tree = unflatten_names(parameters)
    registry = ocp.type_handlers.create_type_handler_registry(
        (Streamed, _StreamedHandler()), (jax.Array, ocp.type_handlers.ArrayHandler())
    )
    # Weights hardly shrink, and zstd would be slower than the disk.
    handler = ocp.PyTreeCheckpointHandler(type_handler_registry=registry, use_compression=False)
    with _settled(folder), ocp.Checkpointer(handler) as checkpointer:
        checkpointer.save(folder.resolve(), ocp.args.PyTreeSave(tree, save_args=save_arguments(tree)))
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())


@contextlib.contextmanager
def _settled(folder: Path) -> Iterator[None]:
    """Bring files that the block writes for a checkpoint to the disk, one by one, and out of the system's page cache.

    What is written once would otherwise fill the cache, and each new page of it has to be found and cleared; and the
    disk would wait until the last file is written.
    """
    ended, done = threading.Event(), set[str]()

    def look() -> None:
        # Orbax writes beside the folder and renames it; TensorStore does so with each file.
        for path in folder.parent.glob(f"{folder.name}*/ocdbt.process_*/d/*"):
            if path.name not in done and "lock" not in path.name:
                with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
                    os.fsync(file.fileno())
                    if hasattr(os, "posix_fadvise"):
                        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                    done.add(path.name)

    def keep_looking() -> None:
        while not ended.wait(SETTLE_S):
            look()

    thread = threading.Thread(target=keep_looking, name="settle")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


class SavedParameters:
    """The parameters in a checkpoint's folder, by dotted name."""

    def __init__(self, folder: Path, below: str | None = None, once: bool = False):
        """Open a checkpoint; no value is read.

        Args:
            folder: what Orbax wrote.
            below: the part of the tree that holds them, None where it is the whole.
            once: read past the system's page cache, as what is not read again soon.

        Raises:
            UserError: there is no such checkpoint.
            StopAndLook: it is damaged.
        """
        self._folder = folder.resolve()
        if not (self._folder / "_METADATA").is_file():
            raise UserError(f"no checkpoint in {folder}")
        try:
            tree = dict(ocp.PyTreeCheckpointHandler().metadata(epath.Path(self._folder)).tree)
            written = json.loads((self._folder / "_METADATA").read_text())
        except (ValueError, KeyError, TypeError) as error:
            raise StopAndLook(f"the checkpoint {folder} is damaged ({str(error)[:200]})") from error
        self.shapes: dict[str, jax.ShapeDtypeStruct] = {
            name: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)
            for name, leaf in flatten_names(tree[below] if below else tree).items()
        }
        self._prefix = f"{below}." if below else ""
        self._driver = "zarr3" if written.get("use_zarr3") else "zarr"
        self._opened: dict[str, tensorstore.TensorStore] = {}
        # Where chunks lie is looked up for each; the chunks themselves are not kept.
        direct = DIRECT if once and takes_direct(self._folder / "_METADATA") else {}
        self._context = tensorstore.Context({"cache_pool#places": {"total_bytes_limit": 10**8}} | direct)

    def read(self, name: str, layer: int | None = None, index: Index = ...) -> np.ndarray:
        """Return a parameter, or the region ``index`` of it or of one layer of it.

        Raises:
            StopAndLook: its bytes cannot be read.
            TryAgain: the checkpoint has been deleted since it was opened, as a run deletes its older ones.
        """
        try:
            store = self._open(name)
            return (store if layer is None else store[layer])[index].read().result()
        except ValueError as error:
            if not (self._folder / "_METADATA").is_file():
                raise TryAgain(
                    f"the checkpoint {self._folder} was deleted while it was read; take a newer one"
                ) from error
            raise StopAndLook(f"{name} in the checkpoint {self._folder} is damaged ({str(error)[:200]})") from error

    def _open(self, name: str) -> tensorstore.TensorStore:
        if name not in self._opened:
            base = {"driver": "file", "path": f"{self._folder}/"}  # a URL would read a # or % of the path otherwise
            kvstore = {
                "driver": "ocdbt",
                "base": base,
                "path": f"{self._prefix}{name}/",
                "cache_pool": "cache_pool#places",
            }
            # Orbax writes every chunk, also one of zeros: a missing one has been deleted.
            spec = {"driver": self._driver, "kvstore": kvstore, "fill_missing_data_reads": False}
            self._opened[name] = tensorstore.open(spec, open=True, read=True, context=self._context).result()
        return self._opened[name]
