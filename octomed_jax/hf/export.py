"""From a checkpoint to an ordinary Hugging Face folder in the hub's layout, one file at a time."""

import dataclasses
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from octomed_jax import manifests, places, storage
from octomed_jax.errors import UserError
from octomed_jax.hf.adapter import write_adapter
from octomed_jax.hf.base import both_template_forms, copy_side_files, side_names, state_dtype
from octomed_jax.hf.card import model_card
from octomed_jax.hf.checkpoint import Checkpoint, open_checkpoint
from octomed_jax.hf.settings import Settings
from octomed_jax.hf.shards import DTYPES, Shard, forget_marks, plan_shards, shards_of_index, write_shards
from octomed_jax.hf.verify import check_levels, verify
from octomed_jax.hf.weights import INDEX_NAME
from octomed_jax.models.runtime import start_jax

MAX_SHARD_GB = 5.0  # as others cut them
CARD, PROVENANCE = "README.md", "provenance.json"


def export(
    checkpoint: storage.PathLike,
    output: storage.PathLike,
    settings: Settings,
    metrics: storage.PathLike | None = None,
    chosen: Sequence[str] = (),
) -> dict[str, Any]:
    """Export a checkpoint. What an interrupted export finished is kept, and the next call goes on after it.

    Args:
        checkpoint: of ``octomed train`` (its newest, or ``WORKDIR/checkpoints/STEP``) or ``octomed import``.
        output: the new folder. One that is finished is only verified at levels that it has not passed yet, and gets a
            new card where there are ``metrics``.
        settings: dtype, sizes of files, levels of verification.
        metrics: a folder of ``octomed eval run``, for the model card.
        chosen: how it was chosen out of several, a sentence each, for the card.

    Returns:
        counts of tensors, parameters, files and bytes, and the figures of each level.

    Raises:
        UserError: no such checkpoint, settings that make no sense, or a disk without room; nothing is written.
        StopAndLook: a verification failed; a new folder is not written.
    """
    source = open_checkpoint(Path(checkpoint))
    settings = _complete(settings, source)
    check_levels(settings, source)
    measured = _measured(Path(metrics), Path(output)) if metrics else None
    request = {"dtype": settings.dtype, "max_shard_gb": settings.max_shard_gb, "adapter": settings.adapter}
    inputs = {"checkpoint": storage.fingerprint(dict(source.request))}
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # a GPU is left to vLLM
    start_jax()
    if manifest := manifests.finished(output, "export", request, inputs):
        return _again(Path(output), manifest, source, settings, measured, chosen)
    _check_room(Path(output), source, settings)
    with storage.staged_folder(output, manifests.request_of("export", request, inputs)) as staged:
        folder = Path(staged)
        files, counts = (write_adapter if settings.adapter else _write)(folder, source, settings)
        manifest = manifests.Manifest(
            stage="export",
            config=request,
            inputs=inputs,
            counts=counts,
            files=files,
            licences=source.licences,
            access=source.access,
        )
        figures = verify(settings.verify, folder, source, settings)
        _describe(folder, manifest, source, figures, measured, chosen)
        manifests.write_manifest(folder, manifest)
        forget_marks(folder)
    return {**counts, "figures": figures}


def _write(folder: Path, source: Checkpoint, settings: Settings) -> tuple[dict[str, str], dict[str, int]]:
    """Write all but manifest, card and provenance; return hashes of the files, and counts."""
    assert settings.dtype
    copy_side_files(source.student, folder)
    state_dtype(folder / "config.json", settings.dtype)
    both_template_forms(folder)
    files = {name: storage.sha256_file(folder / name) for name in side_names(folder)}
    shards, dtype = _shards(source, settings), DTYPES[settings.dtype]
    files |= write_shards(folder, shards, dtype, source.read)
    total = sum(shard.size for shard in shards)
    if settings.max_shard_gb is None and _stated_size(source.student / INDEX_NAME) == total:
        # As it was imported, in the same dtype: its index may say more than ours.
        shutil.copyfile(source.student / INDEX_NAME, folder / INDEX_NAME)
        files[INDEX_NAME] = storage.sha256_file(folder / INDEX_NAME)
    counts = {
        "tensors": sum(len(shard.tensors) for shard in shards),
        "parameters": total // dtype.itemsize,
        "files": len(shards),
        "bytes": total,
    }
    return dict(sorted(files.items())), counts


def _again(
    folder: Path,
    manifest: manifests.Manifest,
    source: Checkpoint,
    settings: Settings,
    metrics: Mapping | None,
    chosen: Sequence[str],
) -> dict[str, Any]:
    """Verify a finished folder at new levels, and write its card anew where there is something new to say."""
    provenance = storage.read_json(folder / PROVENANCE)
    figures = provenance["figures"]
    missing = tuple(level for level in settings.verify if level not in figures)
    if missing or metrics or chosen:
        figures |= verify(missing, folder, source, settings)
        told = chosen or provenance.get("chosen", ())
        _describe(folder, manifest, source, figures, metrics or provenance["metrics"], told)
    return {**manifest.counts, "figures": figures}


def _describe(
    folder: Path,
    manifest: manifests.Manifest,
    source: Checkpoint,
    figures: Mapping,
    metrics: Mapping | None,
    chosen: Sequence[str],
) -> None:
    """Write the card and the provenance; neither is part of what names the folder, so that figures may follow."""
    provenance = {
        "checkpoint": source.request,
        "run": source.run,
        "base": source.base,
        "data": source.data,
        "mixture": source.mixture,
        "code_version": manifest.code_version,
        "code_commit": manifest.code_commit,
        "figures": figures,
        "metrics": metrics,
        **({"chosen": list(chosen)} if chosen else {}),
        "files": manifest.files,
    }
    storage.write_json(folder / PROVENANCE, provenance)
    storage.write_text(folder / CARD, model_card(source, manifest, figures, metrics, chosen))


def _stated_size(index: Path) -> int | None:
    metadata = storage.read_json(index).get("metadata")
    return metadata.get("total_size") if isinstance(metadata, dict) else None


def _measured(evaluation: Path, output: Path) -> dict[str, Any]:
    """Return the results of an evaluation.

    Raises:
        UserError: it is none, or one of another model than the export in ``output``.
    """
    manifest = manifests.read_manifest(evaluation, "eval")
    if manifest.config.get("random_weights"):
        raise UserError(f"{evaluation} measured random weights; give the evaluation of this model")
    if (output / manifests.MANIFEST).is_file():
        exported = manifests.read_manifest(output, "export").identity
        if manifest.inputs["model"] != exported:
            raise UserError(f"{evaluation} measured another model than {output} holds; evaluate this one")
    return storage.read_json(evaluation / "results.json")


def _complete(settings: Settings, source: Checkpoint) -> Settings:
    """Return the settings with what the checkpoint decides.

    Raises:
        UserError: a value that does not go with it.
    """
    if settings.adapter and not source.lora:
        raise UserError("the checkpoint has no LoRA adapters to write; leave out --adapter")
    dtype = settings.dtype or source.dtype
    if dtype not in DTYPES:
        raise UserError(f"the student's config.json says {dtype!r}; choose --dtype of {', '.join(DTYPES)}")
    size = settings.max_shard_gb
    if size is None and shards_of_index(source.student / INDEX_NAME, source.tensors(), DTYPES[dtype]) is None:
        size = MAX_SHARD_GB
    return dataclasses.replace(settings, dtype=dtype, max_shard_gb=size)


def _shards(source: Checkpoint, settings: Settings) -> list[Shard]:
    assert settings.dtype
    tensors, dtype = source.tensors(), DTYPES[settings.dtype]
    if settings.max_shard_gb is not None:
        return plan_shards(tensors, dtype, int(settings.max_shard_gb * 1e9))
    planned = shards_of_index(source.student / INDEX_NAME, tensors, dtype)
    assert planned
    return planned


def _check_room(output: Path, source: Checkpoint, settings: Settings) -> None:
    if settings.adapter:
        return
    staged = output.parent / f".{output.name}.partial"
    there = sum(path.stat().st_size for path in staged.glob("*.safetensors")) if staged.is_dir() else 0
    places.check_room(output, sum(shard.size for shard in _shards(source, settings)) - there)
