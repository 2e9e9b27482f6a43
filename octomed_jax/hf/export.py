"""From an Orbax checkpoint to an ordinary Hugging Face folder in the hub's layout."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from octomed_jax import progress, storage
from octomed_jax.checkpoints.store import CheckpointStore
from octomed_jax.errors import StopAndLook, UserError
from octomed_jax.hf.card import model_card
from octomed_jax.hf.names import hub_tensors
from octomed_jax.hf.shards import DTYPES, plan_shards, write_shards
from octomed_jax.hf.student import copy_side_files
from octomed_jax.hf.verify import verify_structure, verify_transformers
from octomed_jax.models.lora import merge_lora
from octomed_jax.models.options import trained_of
from octomed_jax.models.qwen2_5_vl.config import read_config
from octomed_jax.models.runtime import start_jax
from octomed_jax.models.trees import flatten_names

LEVELS = ("structure", "transformers")


def export(
    config: ConfigDict, workdir: storage.PathLike, student: storage.PathLike, output: storage.PathLike
) -> storage.Manifest:
    """Export the newest checkpoint of a training run.

    Args:
        config: uses ``export``.
        workdir: of ``octomed train``.
        student: the student folder the run started from; its tokenizer and processor files are copied byte for byte.
        output: the new folder.

    Raises:
        UserError: no finished run in ``workdir``, or an unknown verification level.
        StopAndLook: a verification failed; the folder is not written.
    """
    workdir, student = Path(workdir), Path(student)
    unknown = [level for level in config.export.verify if level not in LEVELS]
    if unknown:
        raise UserError(f"export.verify knows no level {unknown[0]!r}; one of: {', '.join(LEVELS)}")
    trained = storage.read_manifest(workdir, "train")
    request = {
        "dtype": config.export.dtype,
        "max_shard_gb": config.export.max_shard_gb,
        "verify": list(config.export.verify),
    }
    inputs = {"train": trained.identity}
    if done := storage.finished(output, "export", request, inputs):
        return done
    if config.export.dtype not in DTYPES:
        raise UserError(f"export.dtype={config.export.dtype!r} is not supported; one of: {', '.join(DTYPES)}")
    start_jax()
    model_config = read_config(student)
    parameters = newest_parameters(workdir, trained)
    with storage.staged_folder(output) as folder:
        target = Path(folder)
        copy_side_files(student, target)
        state_dtype(target / "config.json", config.export.dtype)
        flat, dtype = flatten_names(parameters), DTYPES[config.export.dtype]
        shards = plan_shards(hub_tensors(model_config, parameters), dtype, int(config.export.max_shard_gb * 1e9))
        counts = write_shards(target, shards, dtype, lambda tensor: tensor.from_ours(flat[tensor.ours]))
        figures = _verify(config.export.verify, target, parameters, dtype)
        storage.write_text(target / "README.md", model_card(trained, figures))
        storage.write_json(
            target / "provenance.json",
            {
                "trained_from": trained.inputs,
                "plan": trained.extra.get("plan"),
                "figures": figures,
                "files": storage.hash_files(target),
            },
        )
        manifest = storage.Manifest(
            stage="export",
            config=request,
            inputs=inputs,
            counts=counts,
            files=storage.hash_files(target),
            extra=figures,
        )
        storage.write_manifest(target, manifest)
    return manifest


def newest_parameters(workdir: Path, trained: storage.Manifest) -> dict[str, Any]:
    """Return the parameters of the newest checkpoint as host arrays, adapters merged.

    Raises:
        UserError: there is none.
    """
    store = CheckpointStore(workdir / "checkpoints", keep=1)
    try:
        step = store.latest
        if step is None:
            raise UserError(f"no checkpoint in {workdir}; train first with `octomed train`")
        parameters = store.restore_parameters(step)
    finally:
        store.close()
    lora = trained_of(trained.config["train"]).lora
    return merge_lora(parameters, lora) if lora else parameters


def state_dtype(path: Path, dtype: str) -> None:
    """Say in ``config.json`` which dtype the weights have, wherever it says one; unchanged, the file stays as it is."""
    fields = storage.read_json(path)
    before = storage.canonical_json(fields)
    if not {"torch_dtype", "dtype"} & fields.keys():
        fields["torch_dtype"] = dtype
    for part in (fields, fields.get("text_config", {}), fields.get("vision_config", {})):
        part.update(dict.fromkeys({"torch_dtype", "dtype"} & part.keys(), dtype))
    if storage.canonical_json(fields) != before:
        storage.write_text(path, json.dumps(fields, indent=2, ensure_ascii=False) + "\n")


def _verify(levels: tuple[str, ...], folder: Path, parameters: Mapping[str, Any], dtype: np.dtype) -> dict[str, Any]:
    """Run the verification levels asked for and return their figures."""
    figures: dict[str, Any] = {"max_logit_diff": None}
    if "structure" in levels:
        figures |= verify_structure(folder, parameters, dtype)
        progress.say(f"export: structure verified, {figures['tensors']} tensors as written")
    if "transformers" in levels:
        result = verify_transformers(folder)
        if result is None:
            progress.say("export: torch is not installed, so the logits were not compared with transformers")
        else:
            figures |= result
            progress.say(
                f"export: transformers {result['transformers']} gives the same logits to "
                f"{result['max_logit_diff']:.1e} on {result['prompt_tokens']} tokens with two images"
            )
            if result["max_logit_diff"] > 1e-4:
                raise StopAndLook(
                    f"logits differ from transformers by {result['max_logit_diff']:.2e} (bound 1e-4); nothing written"
                )
    return figures
