"""Weights of a Hugging Face folder as our parameters: strict, safetensors only, both published layouts."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open

from octomed_jax.errors import UserError
from octomed_jax.hf.names import hub_tensors, modern_name, parameters_from_hub
from octomed_jax.models.qwen2_5_vl.config import Qwen25VLConfig, read_config
from octomed_jax.models.qwen2_5_vl.model import split_model
from octomed_jax.storage import inside

INDEX_NAME = "model.safetensors.index.json"
SINGLE_NAME = "model.safetensors"


def has_weights(folder: Path) -> bool:
    """Return whether a folder holds safetensors weights."""
    return (folder / SINGLE_NAME).is_file() or (folder / INDEX_NAME).is_file()


def tensor_files(folder: Path) -> dict[str, Path]:
    """Return the file of every tensor.

    Raises:
        UserError: no weights, a file of the index is missing, or a name leads out of the folder.
    """
    if (folder / INDEX_NAME).is_file():
        weight_map = json.loads((folder / INDEX_NAME).read_text())["weight_map"]
        files = {name: inside(folder, file) for name, file in weight_map.items()}
        missing = sorted({path.name for path in files.values() if not path.is_file()})
        if missing:
            raise UserError(f"{folder} lacks {', '.join(missing)}, which its index names; download it again")
        return files
    path = folder / SINGLE_NAME
    if not path.is_file():
        raise UserError(f"no safetensors weights in {folder}; expected {SINGLE_NAME} or {INDEX_NAME}")
    with safe_open(path, framework="numpy") as file:
        return dict.fromkeys(file.keys(), path)


def load_parameters(folder: Path) -> tuple[Qwen25VLConfig, dict[str, Any]]:
    """Return the config and the parameters (float32, on the host).

    Raises:
        UserError: missing, unexpected or misshapen tensors, which are listed.
    """
    config = read_config(folder)
    _, abstract = split_model(config)
    files = tensor_files(folder)
    wanted = list(hub_tensors(config, abstract))
    rename = modern_name if any(name.startswith("model.language_model.") for name in files) else str
    names = {tensor.name: rename(tensor.name) for tensor in wanted}
    problems = [f"missing {name}" for name in names.values() if name not in files]
    # A tied model may still carry its head; anything else that we do not know is refused.
    extra = set(files) - set(names.values()) - ({"lm_head.weight"} if config.text.tie_word_embeddings else set())
    problems += [f"unexpected {name}" for name in sorted(extra)]
    opened = {path: safe_open(path, framework="numpy") for path in set(files.values())}
    for tensor in wanted:
        name = names[tensor.name]
        if name in files and (shape := tuple(opened[files[name]].get_slice(name).get_shape())) != tensor.shape:
            problems.append(f"{name} has shape {shape}, not {tensor.shape}")
    if problems:
        more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise UserError(f"{folder} does not fit its config.json: {', '.join(problems[:5])}{more}")

    def read(name: str) -> np.ndarray:
        path = files[names[name]]
        return opened[path].get_tensor(names[name])

    return config, parameters_from_hub(config, abstract, read)
