"""LoRA adapters as a folder that PEFT, and what reads its format, loads beside the base model."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from octomed_jax import storage
from octomed_jax.errors import UserError
from octomed_jax.hf.checkpoint import Checkpoint
from octomed_jax.hf.names import modern_name, transpose
from octomed_jax.hf.settings import Settings
from octomed_jax.hf.shards import DTYPES
from octomed_jax.models.options import trained_of

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"


def write_adapter(folder: Path, source: Checkpoint, settings: Settings) -> tuple[dict[str, str], dict[str, int]]:
    """Write the adapters of a checkpoint; return hashes of the files, and counts.

    Raises:
        UserError: the run trained more than adapters, which this format cannot say.
    """
    groups = trained_of(source.run["train"]).groups
    if groups:
        raise UserError(f"the run trained {', '.join(groups)} beside its adapters; leave out --adapter to merge them")
    arrays = {
        name: part.astype(DTYPES[settings.dtype or "float32"], copy=False) for name, part in adapter_tensors(source)
    }
    save_file(arrays, folder / WEIGHTS, metadata={"format": "pt"})
    storage.write_json(folder / CONFIG, _config(source))
    counts = {
        "tensors": len(arrays),
        "parameters": sum(part.size for part in arrays.values()),
        "files": 1,
        "bytes": sum(part.nbytes for part in arrays.values()),
    }
    return {name: storage.sha256_file(folder / name) for name in (CONFIG, WEIGHTS)}, counts


def adapter_tensors(source: Checkpoint) -> Iterator[tuple[str, np.ndarray]]:
    """Yield PEFT's names and arrays: A as [rank, inputs], B as [outputs, rank]."""
    for tensor in source.tensors():
        ours = tensor.ours.removesuffix("kernel")
        if f"{ours}lora.a" in source.saved.shapes:
            module = modern_name(tensor.name).removesuffix(".weight")
            for side, theirs in (("a", "lora_A"), ("b", "lora_B")):
                part = source.saved.read(f"{ours}lora.{side}", tensor.layer)
                yield f"base_model.model.{module}.{theirs}.weight", transpose(part)


def _config(source: Checkpoint) -> dict[str, Any]:
    assert source.lora
    modules = {
        re.sub(r".*\.layers\.\d+\.", "", modern_name(tensor.name)).removesuffix(".weight")
        for tensor in source.tensors()
        if f"{tensor.ours.removesuffix('kernel')}lora.a" in source.saved.shapes
    }
    # A pattern, because the vision tower's matrices have some of the same names.
    choices = "|".join(sorted(module.replace(".", r"\.") for module in modules))
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": source.base.get("model"),
        "revision": source.base.get("revision"),
        "r": source.lora.rank,
        "lora_alpha": source.lora.alpha,
        "target_modules": rf"model\.language_model\.layers\.\d+\.({choices})",
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "modules_to_save": None,
        "inference_mode": True,
    }
