"""From a Hugging Face folder, or the hub, to an Orbax checkpoint, one tensor at a time."""

import hashlib
import re
import shutil
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from etils import epath

from octomed_jax import manifests, places, progress, storage
from octomed_jax.checkpoints.parameters import Streamed, write_parameters
from octomed_jax.errors import TryAgain, UserError
from octomed_jax.hf.base import SIDE_FILES, STUDENT, check_side_files, copy_base, describe_base, side_names
from octomed_jax.hf.names import HubTensor
from octomed_jax.hf.source import PARAMETERS
from octomed_jax.hf.weights import INDEX_NAME, HubWeights
from octomed_jax.models.trees import is_stack

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
COMPARED = 8  # pieces in which a tensor is read again to be compared
# No pickle, no code. An export of ours says in its manifest on which data it was trained.
WANTED = (*SIDE_FILES, "README.md", manifests.MANIFEST, "*.safetensors", "model.safetensors.index.json")


def import_model(model: str, output: storage.PathLike) -> manifests.Manifest:
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
    weights = HubWeights(folder, once=True)
    dtypes = sorted({str(dtype) for dtype in weights.dtypes.values()})
    if len(dtypes) > 1:
        raise UserError(
            f"the weights of {folder} are of several dtypes ({', '.join(dtypes)}); convert them to one first"
        )
    check_side_files(folder)
    base = describe_base(folder)
    request = {"model": base["model"], "revision": base["revision"], "files": _identity(folder)}
    if (epath.Path(output) / manifests.MANIFEST).exists():
        # Finished; but of these weights? Two trainings of one model differ in nothing else.
        with progress.bar("import: comparing", len(weights.tensors), "tensors") as bar:
            digests = _digests(weights, bar)
        if done := manifests.finished(output, "import", request | {"weights": _fingerprint(digests)}, {}, STUDENT):
            return done
    total = sum(weights.dtypes[tensor.name].itemsize * int(np.prod(tensor.shape)) for tensor in weights.tensors)
    read: dict[tuple[str, int | None], Any] = {}
    with storage.staged_folder(output) as staged:
        target = Path(staged)
        places.check_room(target, total)
        copy_base(folder, target / STUDENT)
        if (folder / INDEX_NAME).is_file():  # an export cuts its files in the same places
            shutil.copyfile(places.inside(folder, INDEX_NAME), target / STUDENT / INDEX_NAME)
        with progress.bar("import", len(weights.tensors), "tensors") as bar:
            write_parameters(target / PARAMETERS, _streamed(weights, bar, read))
        digests = {key: digest.hexdigest() for key, digest in read.items()}
        manifest = manifests.Manifest(
            stage="import",
            config=request | {"weights": _fingerprint(digests)},
            counts={
                "tensors": len(weights.tensors),
                "parameters": sum(leaf.size for leaf in weights.shapes.values()),
                "bytes": total,
            },
            files=manifests.hash_files(target / STUDENT),
            licences=tuple(base["data_licences"]),
            access=base["access"],
            extra={"dtype": dtypes[0]},
        )
        manifests.write_manifest(target, manifest)
    return manifest


def _digests(weights: HubWeights, bar: progress.Bar) -> dict[tuple[str, int | None], str]:
    """Return the hash of each tensor's bytes in the files."""
    digests = {}
    for tensor in weights.tensors:
        digest = hashlib.sha256()
        for start in range(0, tensor.shape[0], rows := max(1, tensor.shape[0] // COMPARED)):
            stop = min(start + rows, tensor.shape[0])
            weights.read_rows(tensor.ours, tensor.layer, start, stop, digest.update)
        digests[tensor.ours, tensor.layer] = digest.hexdigest()
        bar.advance()
    return digests


def _fingerprint(digests: Mapping[tuple[str, int | None], str]) -> str:
    return storage.fingerprint(
        sorted([name, -1 if layer is None else layer, one] for (name, layer), one in digests.items())
    )


def _streamed(
    weights: HubWeights, bar: progress.Bar, digests: dict[tuple[str, int | None], Any]
) -> dict[str, Streamed]:
    """Return the parameters as they are read when they are written; what is read is hashed on the way."""
    lock = threading.Lock()

    def streamed(tensor: HubTensor) -> Streamed:
        name = tensor.ours
        leaf = weights.shapes[name]

        def read(layer: int | None, start: int, stop: int) -> np.ndarray:
            with lock:
                digest = digests.setdefault((name, layer), hashlib.sha256())
            part = weights.read_rows(name, layer, start, stop, digest.update)
            if stop == tensor.shape[0]:
                with lock:
                    bar.advance()
            return part

        # Rows of the file are columns of ours where it is transposed.
        axis = 1 if tensor.transposed else 0
        return Streamed(leaf.shape, np.dtype(leaf.dtype), is_stack(name), axis, read)

    return {tensor.ours: streamed(tensor) for tensor in weights.tensors}


def _folder(model: str) -> Path:
    """Return a local folder as it is, or fetch a model from the hub."""
    if Path(model).is_dir():
        return Path(model)
    if not HUB_ID.fullmatch(model):
        raise UserError(
            f"--model={model!r} is neither a folder nor an id of the hub such as Qwen/Qwen2.5-VL-7B-Instruct"
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

    try:
        return Path(snapshot_download(model, allow_patterns=list(WANTED)))
    except HFValidationError as error:
        raise UserError(f"--model={model!r} is no id of the hub") from error
    except RepositoryNotFoundError as error:
        raise UserError(f"the hub has no model {model!r}, or HF_TOKEN may not read it") from error
    except Exception as error:  # of whichever HTTP library it uses
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise TryAgain(f"{model} cannot be fetched ({first}); download it elsewhere and give its folder") from error


def _identity(folder: Path) -> str:
    """Return a hash of the files but weights."""
    return storage.fingerprint([[name, storage.sha256_file(folder / name)] for name in side_names(folder)])
