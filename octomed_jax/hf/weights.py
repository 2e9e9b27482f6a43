"""Weights of a Hugging Face folder as our parameters: strict, safetensors only, both published layouts."""

import json
import math
import threading
from collections.abc import Callable
from io import BufferedReader
from pathlib import Path
from typing import Any

import jax
import numpy as np
from safetensors import SafetensorError, safe_open

from octomed_jax.checkpoints.direct import DirectReader
from octomed_jax.errors import StopAndLook, UserError
from octomed_jax.hf.names import BLOCK, HubTensor, hub_tensors, modern_name, transpose_into
from octomed_jax.models.place import Index
from octomed_jax.models.qwen2_5_vl.config import read_config
from octomed_jax.models.qwen2_5_vl.model import split_model
from octomed_jax.models.trees import flatten_names
from octomed_jax.places import inside
from octomed_jax.storage import read_json

INDEX_NAME = "model.safetensors.index.json"
SINGLE_NAME = "model.safetensors"
FLOATS = {"F32": np.float32, "BF16": jax.numpy.bfloat16, "F16": np.float16}  # how safetensors calls them


def has_weights(folder: Path) -> bool:
    """Return whether a folder holds safetensors weights."""
    return (folder / SINGLE_NAME).is_file() or (folder / INDEX_NAME).is_file()


def tensor_files(folder: Path) -> dict[str, Path]:
    """Return the file of every tensor.

    Raises:
        UserError: no weights, a file of the index is missing, or a name leads out of the folder.
        StopAndLook: the index or the file is damaged.
    """
    if (folder / INDEX_NAME).is_file():
        index = read_json(folder / INDEX_NAME)
        weight_map = index.get("weight_map") if isinstance(index, dict) else None
        if not isinstance(weight_map, dict) or not all(isinstance(file, str) for file in weight_map.values()):
            raise UserError(f"{folder / INDEX_NAME} has no weight_map of tensor names to file names")
        files = {name: inside(folder, file) for name, file in weight_map.items()}
        missing = sorted({path.name for path in files.values() if not path.is_file()})
        if missing:
            raise UserError(f"{folder} lacks {', '.join(missing)}, which its index names; download it again")
        return files
    if not (folder / SINGLE_NAME).is_file():
        raise UserError(f"no safetensors weights in {folder}; expected {SINGLE_NAME} or {INDEX_NAME}")
    path = inside(folder, SINGLE_NAME)
    return dict.fromkeys(_open(path).keys(), path)


class HubWeights:
    """The tensors of a folder, checked against its config before any is read, and read one by one.

    Attributes:
        config: the architecture.
        abstract: shapes of our parameters, a nested tree.
        shapes: our parameters by dotted name, in the dtype of the files.
        tensors: those of the hub's layout, in the order of the published index.
        dtypes: of the files, by published name.
    """

    def __init__(self, folder: Path, once: bool = False):
        """Open a folder.

        Args:
            folder: a Hugging Face one.
            once: read past the system's page cache, as what is not read again soon.

        Raises:
            UserError: missing, unexpected or misshapen tensors, which are listed; or a dtype that is none of a weight.
            StopAndLook: a file is damaged.
        """
        self.config, self._once = read_config(folder), once
        _, self.abstract = split_model(self.config)
        self.tensors = list(hub_tensors(self.config, self.abstract))
        files = tensor_files(folder)
        modern = any(name.startswith("model.language_model.") for name in files)
        self._names = {tensor.name: modern_name(tensor.name) if modern else tensor.name for tensor in self.tensors}
        opened = {path: _open(path) for path in sorted(set(files.values()))}
        starts = {path: _starts(path) for path in opened}
        self._starts = {name: (path, starts[path].get(name, 0)) for name, path in files.items()}
        self._opened = {tensor: opened[files[name]] for tensor, name in self._names.items() if name in files}
        self._check(folder, set(files), {path: set(file.keys()) for path, file in opened.items()}, files)
        self.dtypes = {tensor.name: np.dtype(FLOATS[self._slice(tensor).get_dtype()]) for tensor in self.tensors}
        self._places = {(tensor.ours, tensor.layer): tensor for tensor in self.tensors}
        self.shapes = {
            name: jax.ShapeDtypeStruct(leaf.shape, self.dtypes[self._first(name).name])
            for name, leaf in flatten_names(self.abstract).items()
        }
        self._lock = threading.Lock()

    def read(self, name: str, layer: int | None = None, index: Index = ...) -> np.ndarray:
        """Return one of our parameters, or one layer of a stack of them, or a region of it, in the file's dtype."""
        tensor = self._places[name, layer]
        if index is ... or len(tensor.shape) > 2:  # no region of the convolution's is one of ours
            return self._whole(tensor)[index]
        region = index[::-1] if tensor.transposed else index
        if all(part.indices(size) == (0, size, 1) for part, size in zip(region, tensor.shape, strict=True)):
            return self._whole(tensor)
        with self._lock:
            return tensor.to_ours(self._slice(tensor)[region])

    def read_rows(
        self, name: str, layer: int | None, start: int, stop: int, seen: Callable[[memoryview], None] | None = None
    ) -> np.ndarray:
        """Return rows of a tensor of the files as ours: they are columns of ours where it is transposed.

        It reads where the file has the bytes: safetensors stops other threads while it reads.

        Args:
            name, layer: of our parameter.
            start, stop: rows of the tensor as it lies in the file, of all its axes but the first together.
            seen: gets the bytes as they come out of the file, in its order.
        """
        tensor = self._places[name, layer]
        path, begin = self._starts[self._names[tensor.name]]
        dtype, width = self.dtypes[tensor.name], math.prod(tensor.shape[1:])

        def fill(values: np.ndarray) -> np.ndarray:
            data = values.reshape(-1).view(np.uint8).data
            if file.readinto(data) != values.nbytes:
                raise StopAndLook(f"{path} ends within {tensor.name}; download or export it again")
            if seen:
                seen(data)
            return values

        with self._file(path, begin + start * width * dtype.itemsize, (stop - start) * width * dtype.itemsize) as file:
            if not tensor.transposed:
                return fill(np.empty((stop - start, *tensor.shape[1:]), dtype))
            ours = np.empty((width, stop - start), dtype)
            strip = np.empty((BLOCK, width), dtype)
            for row in range(0, stop - start, BLOCK):
                transpose_into(ours[:, row : row + BLOCK], fill(strip[: stop - start - row]))
            return ours

    def _file(self, path: Path, start: int, size: int) -> DirectReader | BufferedReader:
        if self._once:
            return DirectReader(path, start, size)
        file = path.open("rb")
        file.seek(start)
        return file

    def _whole(self, tensor: HubTensor) -> np.ndarray:
        return self.read_rows(tensor.ours, tensor.layer, 0, tensor.shape[0])

    def _first(self, name: str) -> HubTensor:
        return self._places.get((name, None)) or self._places[name, 0]

    def _slice(self, tensor: HubTensor) -> Any:
        return self._opened[tensor.name].get_slice(self._names[tensor.name])

    def _check(self, folder: Path, names: set[str], held: dict[Path, set[str]], files: dict[str, Path]) -> None:
        problems = [f"missing {name}" for name in self._names.values() if name not in names]
        # A tied model may still carry its head; anything else that we do not know is refused.
        extra = names - set(self._names.values())
        extra -= {"lm_head.weight"} if self.config.text.tie_word_embeddings else set()
        problems += [f"unexpected {name}" for name in sorted(extra)]
        problems += [f"{name} is not in {path.name}" for name, path in files.items() if name not in held[path]]
        for tensor in self.tensors:
            name = self._names[tensor.name]
            if name in names and name in held[files[name]]:
                found = self._slice(tensor)
                shape, dtype = tuple(found.get_shape()), found.get_dtype()
                if shape != tensor.shape:
                    problems.append(f"{name} has shape {shape}, not {tensor.shape}")
                if dtype not in FLOATS:
                    problems.append(f"{name} is {dtype}, not one of {', '.join(FLOATS)}")
        if problems:
            more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
            raise UserError(f"{folder} does not fit its config.json: {', '.join(problems[:5])}{more}")


def _open(path: Path) -> Any:
    try:
        # Read, not mapped: mapped files count as memory while they are held.
        return safe_open(path, framework="numpy", backend="pread")
    except SafetensorError as error:
        raise StopAndLook(f"{path} is damaged ({error}); download or export it again") from error


def _starts(path: Path) -> dict[str, int]:
    """Return where the bytes of each tensor begin in a file whose header safetensors has accepted."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        fields = json.loads(file.read(size))
    return {name: 8 + size + one["data_offsets"][0] for name, one in fields.items() if name != "__metadata__"}
