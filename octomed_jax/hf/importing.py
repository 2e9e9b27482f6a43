"""From a Hugging Face folder, or the hub, to an Orbax checkpoint, one tensor at a time."""

import re
import shutil
import threading
from pathlib import Path

import numpy as np

from octomed_jax import progress, storage
from octomed_jax.checkpoints.parameters import Streamed, write_parameters
from octomed_jax.errors import TryAgain, UserError
from octomed_jax.hf.base import IMPORTED, SIDE_FILES, copy_base, describe_base
from octomed_jax.hf.checkpoint import PARAMETERS
from octomed_jax.hf.weights import INDEX_NAME, HubWeights
from octomed_jax.models.trees import is_stack

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
WANTED = (*SIDE_FILES, "README.md", "*.safetensors", "model.safetensors.index.json")  # no pickle, no code


def import_model(model: str, output: storage.PathLike) -> storage.Manifest:
    """Import a model in the hub's or the newer in-memory layout, in the dtypes of its files.

    Args:
        model: a Hugging Face folder, or an id of the hub (``owner/name``), which is fetched.
        output: a new folder: ``parameters`` (a checkpoint), ``student`` (config, tokenizer, processor) and a manifest.

    Raises:
        UserError: no such model, files that do not fit its config (listed), or too little room; nothing is written.
        TryAgain: the hub does not answer.
        StopAndLook: a file is damaged.
    """
    folder = _folder(model)
    weights = HubWeights(folder)
    base = describe_base(folder)
    request = {"model": base["model"], "revision": base["revision"], "files": _identity(folder)}
    if done := storage.finished(output, "import", request, {}):
        return done
    total = sum(weights.dtypes[tensor.name].itemsize * int(np.prod(tensor.shape)) for tensor in weights.tensors)
    check_room(Path(output), total)
    with storage.staged_folder(output) as staged:
        target = Path(staged)
        copy_base(folder, target / IMPORTED)
        if (folder / INDEX_NAME).is_file():  # an export cuts its files in the same places
            shutil.copyfile(folder / INDEX_NAME, target / IMPORTED / INDEX_NAME)
        with progress.bar("import", len(weights.tensors), "tensors") as bar:
            write_parameters(target / PARAMETERS, _streamed(weights, bar))
        manifest = storage.Manifest(
            stage="import",
            config=request,
            counts={
                "tensors": len(weights.tensors),
                "parameters": sum(leaf.size for leaf in weights.shapes.values()),
                "bytes": total,
            },
            files=storage.hash_files(target / IMPORTED),
            licences=tuple(sorted(base["licence"].values())),
            extra={"dtypes": sorted({str(leaf.dtype) for leaf in weights.shapes.values()})},
        )
        storage.write_manifest(target, manifest)
    return manifest


def check_room(folder: Path, size: int) -> None:
    """Refuse to begin what the disk has no room for.

    Raises:
        UserError: it has not.
    """
    while not folder.exists():
        folder = folder.resolve().parent
    if (free := shutil.disk_usage(folder).free) < size:
        raise UserError(f"the weights take {size / 1e9:.1f} GB, but {folder} has {free / 1e9:.1f} GB free")


def _streamed(weights: HubWeights, bar: progress.Bar) -> dict[str, Streamed]:
    lock = threading.Lock()

    def streamed(name: str) -> Streamed:
        leaf = weights.shapes[name]

        def read(layer: int | None) -> np.ndarray:
            part = weights.read(name, layer)
            with lock:
                bar.advance()
            return part

        return Streamed(leaf.shape, np.dtype(leaf.dtype), is_stack(name), read)

    return {name: streamed(name) for name in weights.shapes}


def _folder(model: str) -> Path:
    """Return a local folder as it is, or fetch a model from the hub."""
    if Path(model).is_dir():
        return Path(model)
    if not HUB_ID.fullmatch(model):
        raise UserError(
            f"--model={model!r} is neither a folder nor an id of the hub such as Qwen/Qwen2.5-VL-7B-Instruct"
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        return Path(snapshot_download(model, allow_patterns=list(WANTED)))
    except RepositoryNotFoundError as error:
        raise UserError(f"the hub has no model {model!r}, or HF_TOKEN may not read it") from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        first = str(error).strip().splitlines()[0]
        raise TryAgain(f"{model} cannot be fetched ({first}); download it elsewhere and give its folder") from error


def _identity(folder: Path) -> str:
    """Return a hash of the files by name, size and, but weights, contents."""
    described = [
        [path.name, path.stat().st_size, "" if path.suffix == ".safetensors" else storage.sha256_file(path)]
        for path in sorted(folder.iterdir())
        if path.name in SIDE_FILES or path.suffix == ".safetensors"
    ]
    return storage.fingerprint(described)
