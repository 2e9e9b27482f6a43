"""From a checkpoint to an ordinary Hugging Face folder in the hub's layout, one file at a time."""

import dataclasses
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from octomed_jax import storage
from octomed_jax.errors import UserError, did_you_mean
from octomed_jax.hf.adapter import write_adapter
from octomed_jax.hf.base import both_template_forms, copy_side_files
from octomed_jax.hf.card import model_card
from octomed_jax.hf.checkpoint import Checkpoint, open_checkpoint
from octomed_jax.hf.importing import check_room
from octomed_jax.hf.shards import DTYPES, Shard, plan_shards, shards_of_index, write_shards
from octomed_jax.hf.verify import check_levels, verify
from octomed_jax.hf.weights import INDEX_NAME
from octomed_jax.models.runtime import start_jax

MAX_SHARD_GB = 5.0  # as others cut them
CARD, PROVENANCE = "README.md", "provenance.json"


@dataclasses.dataclass(frozen=True)
class Settings:
    """How a checkpoint is exported.

    Attributes:
        dtype: of the weights, ``float32`` or ``bfloat16``; None: what the student's config.json says.
        max_shard_gb: most GB (10^9 bytes) of a file; None: 5, or as an imported model's own files were cut.
        verify: levels, of ``hf.verify.LEVELS``.
        adapter: write LoRA adapters as a PEFT folder instead of merging them.
        vllm: the ``vllm`` command, for the level of that name.
    """

    dtype: str | None = None
    max_shard_gb: float | None = None
    verify: tuple[str, ...] = ("structure", "roundtrip")
    adapter: bool = False
    vllm: str = "vllm"


def export(
    checkpoint: storage.PathLike,
    output: storage.PathLike,
    settings: Settings,
    metrics: storage.PathLike | None = None,
) -> dict[str, Any]:
    """Export a checkpoint. What an interrupted export finished is kept, and the next call goes on after it.

    Args:
        checkpoint: of ``octomed train`` (its newest, or ``WORKDIR/checkpoints/STEP``) or ``octomed import``.
        output: the new folder. One that is finished is only verified at levels that it has not passed yet, and gets a
            new card where there are ``metrics``.
        settings: dtype, sizes of files, levels of verification.
        metrics: a folder of ``octomed eval run``, for the model card.

    Returns:
        counts of tensors, parameters, files and bytes, and the figures of each level.

    Raises:
        UserError: no such checkpoint, settings that make no sense, or a disk without room; nothing is written.
        StopAndLook: a verification failed; a new folder is not written.
    """
    source = open_checkpoint(Path(checkpoint))
    settings = _complete(settings, source)
    check_levels(settings, source)
    measured = storage.read_json(Path(metrics) / "results.json") if metrics else None
    request = {"dtype": settings.dtype, "max_shard_gb": settings.max_shard_gb, "adapter": settings.adapter}
    inputs = {"checkpoint": storage.fingerprint(dict(source.request))}
    start_jax()
    if manifest := storage.finished(output, "export", request, inputs):
        return _again(Path(output), manifest, source, settings, measured)
    _check_room(Path(output), source, settings)
    with storage.staged_folder(output, storage.request_of("export", request, inputs)) as staged:
        folder = Path(staged)
        files, counts = (write_adapter if settings.adapter else _write)(folder, source, settings)
        manifest = storage.Manifest(
            stage="export",
            config=request,
            inputs=inputs,
            counts=counts,
            files=files,
            licences=tuple(source.data.get("licences", ())),
            access=source.data.get("access", "open"),
        )
        figures = verify(settings.verify, folder, source, settings)
        _describe(folder, manifest, source, figures, measured)
        storage.write_manifest(folder, manifest)
    return {**counts, "figures": figures}


def _write(folder: Path, source: Checkpoint, settings: Settings) -> tuple[dict[str, str], dict[str, int]]:
    """Write all but manifest, card and provenance; return hashes of the files, and counts."""
    assert settings.dtype
    copy_side_files(source.student, folder)
    state_dtype(folder / "config.json", settings.dtype)
    both_template_forms(folder)
    files = {path.name: storage.sha256_file(path) for path in sorted(folder.iterdir()) if _is_side(path)}
    shards, dtype = _shards(source, settings), DTYPES[settings.dtype]
    files |= write_shards(folder, shards, dtype, source.read)
    if settings.max_shard_gb is None and len(shards) > 1:  # as it was imported: its index says more than ours
        shutil.copyfile(source.student / INDEX_NAME, folder / INDEX_NAME)
        files[INDEX_NAME] = storage.sha256_file(folder / INDEX_NAME)
    total = sum(shard.size for shard in shards)
    counts = {
        "tensors": sum(len(shard.tensors) for shard in shards),
        "parameters": total // dtype.itemsize,
        "files": len(shards),
        "bytes": total,
    }
    return dict(sorted(files.items())), counts


def _again(
    folder: Path, manifest: storage.Manifest, source: Checkpoint, settings: Settings, metrics: Mapping | None
) -> dict[str, Any]:
    """Verify a finished folder at new levels, and write its card anew where there is something new to say."""
    provenance = storage.read_json(folder / PROVENANCE)
    figures = provenance["figures"]
    missing = tuple(level for level in settings.verify if level not in figures)
    if missing or metrics:
        figures |= verify(missing, folder, source, settings)
        _describe(folder, manifest, source, figures, metrics or provenance["metrics"])
    return {**manifest.counts, "figures": figures}


def _describe(
    folder: Path, manifest: storage.Manifest, source: Checkpoint, figures: Mapping, metrics: Mapping | None
) -> None:
    """Write the card and the provenance; neither is part of what names the folder, so that figures may follow."""
    provenance = {
        "checkpoint": source.request,
        "run": source.run,
        "base": source.base,
        "data": source.data,
        "code_version": manifest.code_version,
        "code_commit": manifest.code_commit,
        "figures": figures,
        "metrics": metrics,
        "files": manifest.files,
    }
    storage.write_json(folder / PROVENANCE, provenance)
    storage.write_text(folder / CARD, model_card(source, manifest, figures, metrics))


def _complete(settings: Settings, source: Checkpoint) -> Settings:
    """Return the settings with what the checkpoint decides.

    Raises:
        UserError: a value that makes no sense.
    """
    if settings.adapter and not source.lora:
        raise UserError("the checkpoint has no LoRA adapters to write; leave out --adapter")
    fields = storage.read_json(source.student / "config.json")
    dtype = settings.dtype or fields.get("dtype") or fields.get("torch_dtype") or "bfloat16"
    if dtype not in DTYPES:
        raise UserError(
            f"dtype {dtype!r} is not supported{did_you_mean(dtype, tuple(DTYPES))}; one of: {', '.join(DTYPES)}"
        )
    size = settings.max_shard_gb
    if size is not None and size <= 0:
        raise UserError(f"max_shard_gb={size} must be more than 0")
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
    check_room(output, sum(shard.size for shard in _shards(source, settings)) - there)


def _is_side(path: Path) -> bool:
    return not path.name.startswith(".") and path.suffix != ".safetensors" and path.name != INDEX_NAME


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
