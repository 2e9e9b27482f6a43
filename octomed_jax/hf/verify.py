"""Checks of an exported folder, each a level: is it what was meant, and do others read the same model out of it?"""

import importlib.util
import math
import shutil
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from safetensors import safe_open

from octomed_jax import manifests, progress, storage
from octomed_jax.errors import StopAndLook, UserError
from octomed_jax.hf.adapter import CONFIG, WEIGHTS, adapter_tensors
from octomed_jax.hf.base import SIDE_FILES, check_side_files
from octomed_jax.hf.checkpoint import Checkpoint
from octomed_jax.hf.names import HubTensor
from octomed_jax.hf.settings import Settings
from octomed_jax.hf.shards import DTYPES
from octomed_jax.hf.weights import FLOATS, INDEX_NAME, HubWeights, tensor_files
from octomed_jax.teacher.server.vllm import vllm_version

DTYPE_FIELDS = {"dtype", "torch_dtype"}
READERS = 6  # tensors that are read at the same time
AHEAD_BYTES = 2**29  # of tensors that are read before their turn; a larger one is read alone
ROOM = 1.15  # memory that a model takes while it is loaded, for each byte of its weights


def check_levels(settings: Settings, source: Checkpoint | None = None) -> None:
    """Refuse levels that cannot be run, before anything is written.

    Args:
        settings: of the export.
        source: what is exported; None where it is not there yet.

    Raises:
        UserError: a level lacks its package, its command or the memory for it.
    """
    if "transformers" in settings.verify:
        if importlib.util.find_spec("torch") is None:
            raise UserError("verify level 'transformers' needs torch: pip install octomed-jax[parity], or leave it out")
        if source:
            verification_dtype(source)
    if "vllm" in settings.verify:
        if shutil.which(settings.vllm) is None:
            raise UserError(f"verify level 'vllm' needs the vLLM command {settings.vllm!r}; give its path with --vllm")
        vllm_version(settings.vllm)


def verify(levels: tuple[str, ...], folder: Path, source: Checkpoint, settings: Settings) -> dict[str, Any]:
    """Run levels, say their figures and return them.

    Raises:
        StopAndLook: one failed.
    """
    figures: dict[str, Any] = {}
    for level in levels:
        figures[level] = result = _RUN[level](folder, source, settings)
        progress.say(f"export: {level} verified: " + ", ".join(f"{name} {_short(one)}" for name, one in result.items()))
    return figures


def verification_dtype(source: Checkpoint) -> str:
    """Return the precision of the comparison with transformers: float64 where the model fits the memory, or float32.

    In float64 the rounding of a trained student, as large as the bound, hides no mistake.

    Raises:
        UserError: it fits in neither.
    """
    parameters = sum(int(np.prod(tensor.shape)) for tensor in source.tensors())
    free = psutil.virtual_memory().available
    for dtype, size in (("float64", 8), ("float32", 4)):
        if parameters * size * ROOM < free:
            return dtype
    raise UserError(
        f"verify level 'transformers' needs {parameters * 4 * ROOM / 1e9:.0f} GB of memory, {free / 1e9:.0f} GB are "
        "free; leave it out here and run the same export with it on a larger machine"
    )


def _structure(folder: Path, source: Checkpoint, settings: Settings) -> dict[str, Any]:
    """Names, shapes, dtypes, index, side files and config are those of the student."""
    if settings.adapter:
        return _adapter_structure(folder, source, settings)
    try:
        weights = HubWeights(folder)
    except UserError as error:
        raise StopAndLook(str(error)) from error
    files = tensor_files(folder)
    wanted = [tensor.name for tensor in source.tensors()]
    _expect(set(files) == set(wanted), folder, "has other tensors than the published layout")
    _expect(
        set(weights.dtypes.values()) == {DTYPES[settings.dtype or "float32"]},
        folder,
        f"is not {settings.dtype} throughout",
    )
    for path in sorted(set(files.values())):
        with safe_open(path, framework="numpy", backend="pread") as file:
            _expect(file.metadata() == {"format": "pt"}, folder, f"lacks 'format: pt' in {path.name}")
    if (folder / INDEX_NAME).is_file():
        total = sum(leaf.size for leaf in weights.shapes.values()) * DTYPES[settings.dtype or "float32"].itemsize
        stated = (storage.read_json(folder / INDEX_NAME).get("metadata") or {}).get("total_size")
        _expect(stated == total, folder, f"has an index with total_size {stated}, not {total}")
    sides = [name for name in SIDE_FILES if name != "config.json" and (source.student / name).is_file()]
    for name in {"chat_template.jinja", "chat_template.json", *sides}:
        _expect((folder / name).is_file(), folder, f"lacks {name}")
    for name in sides:
        _expect((folder / name).read_bytes() == (source.student / name).read_bytes(), folder, f"changed {name}")
    check_side_files(folder)
    _same_config(storage.read_json(folder / "config.json"), storage.read_json(source.student / "config.json"), folder)
    return {"tensors": len(files), "files": len(set(files.values())), "side_files": len(sides)}


def _adapter_structure(folder: Path, source: Checkpoint, settings: Settings) -> dict[str, Any]:
    wanted = {name: (part.shape, DTYPES[settings.dtype or "float32"]) for name, part in adapter_tensors(source)}
    with safe_open(folder / WEIGHTS, framework="numpy", backend="pread") as file:
        _expect(set(file.keys()) == set(wanted), folder, "holds other adapters")
        _expect(file.metadata() == {"format": "pt"}, folder, f"lacks 'format: pt' in {WEIGHTS}")
        for name, (shape, dtype) in wanted.items():
            part = file.get_slice(name)
            found = tuple(part.get_shape()), np.dtype(FLOATS[part.get_dtype()])
            _expect(found == (shape, dtype), folder, f"holds {name} as {found}, not {(shape, dtype)}")
    _expect((folder / CONFIG).is_file(), folder, f"lacks {CONFIG}")
    return {"tensors": len(wanted), "files": 1}


def _roundtrip(folder: Path, source: Checkpoint, settings: Settings) -> dict[str, Any]:
    """Every tensor, read as an import reads it, has the bits of the checkpoint's in the folder's dtype."""
    dtype, compared = DTYPES[settings.dtype or "float32"], 0
    if settings.adapter:
        with safe_open(folder / WEIGHTS, framework="numpy", backend="pread") as file:
            for name, part in adapter_tensors(source):
                _expect(_same_bits(file.get_tensor(name), part.astype(dtype)), folder, f"differs in {name}")
                compared += part.size
        return {"parameters": compared}
    weights = HubWeights(folder, once=True)
    with progress.bar("verify roundtrip", len(weights.tensors), "tensors") as bar:
        for tensor, (ours, back) in _pairs(weights, source):
            same = _same_bits(back, ours.astype(dtype, copy=False))
            _expect(same, folder, f"differs from the checkpoint in {tensor.name}")
            compared += ours.size
            del ours, back  # before others are read in their place
            bar.advance()
    return {"parameters": compared}


def _pairs(weights: HubWeights, source: Checkpoint) -> Iterator[tuple[HubTensor, list[np.ndarray]]]:
    """Yield each tensor as the checkpoint and as the folder has it; the next ones are read meanwhile."""
    with ThreadPoolExecutor(READERS) as pool:
        reading: deque[tuple[HubTensor, int, list[Future[np.ndarray]]]] = deque()

        def results() -> list[np.ndarray]:
            return [part.result() for part in reading.popleft()[2]]

        for tensor in weights.tensors:
            size = math.prod(tensor.shape) * weights.dtypes[tensor.name].itemsize
            while reading and sum(one[1] for one in reading) + size > AHEAD_BYTES:
                yield reading[0][0], results()
            reads = (source.read, tensor), (weights.read, tensor.ours, tensor.layer)
            reading.append((tensor, size, [pool.submit(*one) for one in reads]))
        while reading:
            yield reading[0][0], results()


def _transformers(folder: Path, source: Checkpoint, _: Settings) -> dict[str, Any]:
    from octomed_jax.hf.verify_transformers import verify_transformers

    return verify_transformers(folder, verification_dtype(source))


def _vllm(folder: Path, _: Checkpoint, settings: Settings) -> dict[str, Any]:
    from octomed_jax.hf.verify_vllm import verify_vllm

    return verify_vllm(folder, settings.vllm)


_RUN = {"structure": _structure, "roundtrip": _roundtrip, "transformers": _transformers, "vllm": _vllm}


def _same_bits(one: np.ndarray, other: np.ndarray) -> bool:
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    # Not by value, which NaN is not equal to, nor -0 different from 0.
    bits, others = [np.ascontiguousarray(array).view(f"u{array.itemsize}") for array in (one, other)]
    return np.array_equal(bits, others)


def _same_config(ours: Mapping[str, Any], base: Mapping[str, Any], folder: Path) -> None:
    """Compare two configs but for what they say of the dtype."""
    one, other = [
        {name: value for name, value in manifests.flatten(fields).items() if name.split(".")[-1] not in DTYPE_FIELDS}
        for fields in (ours, base)
    ]
    changed = sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
    _expect(not changed, folder, f"changed {', '.join(changed[:3])} in config.json")


def _expect(good: bool, folder: Path, what: str) -> None:
    if not good:
        raise StopAndLook(f"{folder} {what}")


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.1e}"
    return f"{value:,}" if isinstance(value, int) else str(value)
