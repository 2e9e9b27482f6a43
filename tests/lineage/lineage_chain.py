"""A whole small chain, made by the stages: own questions, curated, asked of two teachers, verified and sharded."""

import base64
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from ml_collections import ConfigDict
from PIL import Image

from octomed_jax import manifests, storage
from octomed_jax.cli.shard import make_shards
from octomed_jax.curation.curate import curate
from octomed_jax.questions.reading.build import build_from
from octomed_jax.questions.reading.request import Request
from octomed_jax.questions.registry import find_adapter
from octomed_jax.teacher.distill import distill
from octomed_jax.teacher.script import Rates
from octomed_jax.teacher.scripted import scripted_teacher
from octomed_jax.verification.verify import verify
from tests.tiny import tiny_config

FOLDERS = ("questions", "curated", "attempts", "traces", "shards")
HELD_OUT = "a man of forty five has had chest pain for two days, and it gets worse whenever he lies down flat at night"


def picture(seed: int, side: int = 64) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def rows(first: int = 0) -> list[dict[str, Any]]:
    """Return questions with options, images and numbers; also a copy, and one that shares words with a held-out one."""
    made: list[dict[str, Any]] = []
    for number in range(first, first + 18):
        row: dict[str, Any] = {
            "id": f"own:{number:03d}",
            "licence": "CC0-1.0",
            "benchmark": ("name", "sum", "plane")[number % 3],
        }
        if number % 3 == 0:
            options = [f"Disease {number + step}" for step in range(4)]
            row |= {"question": f"Which is number {number}?", "options": options, "answer": options[1], "task": "mcq"}
        elif number % 3 == 1:
            row |= {"question": f"What is {number} plus 2?", "answer": str(number + 2), "task": "numeric"}
        else:
            # Larger than the transform lets through.
            image = picture(number, 128 if number == first + 2 else 64)
            row |= {"question": f"Is organ {number} seen?", "answer": "yes", "task": "yes_no", "image": image}
        made.append(row)
    copy = {**made[0], "id": "own:copy", "question": made[0]["question"]}
    shared = {"id": "own:shared", "question": f"{HELD_OUT}?", "answer": "pericarditis", "task": "short_answer"}
    held_out = {
        "id": "own:test",
        "question": f"In clinic {HELD_OUT}!",
        "answer": "pericarditis",
        "task": "short_answer",
    }
    common = {"licence": "MIT", "benchmark": "cases"}
    return [*made, copy, {**shared, **common}, {**held_out, **common, "split": "test"}]


def settings() -> ConfigDict:
    config = tiny_config()
    config.curate.steps = ("decontaminate", "deduplicate", "metadata", "transform")
    config.curate.transform.max_pixels = 64 * 64
    config.shard.bytes = 30_000  # several shards
    return config


def make_chain(run: Path, first: int = 0) -> Path:
    """Make all folders from the questions to the shards and their rendering, and return the run."""
    config, source = settings(), run / "source" / "own.jsonl"
    source.parent.mkdir(parents=True)
    lines = [
        {**row, "image": base64.b64encode(row["image"]).decode()} if "image" in row else row for row in rows(first)
    ]
    source.write_text("".join(json.dumps(line) + "\n" for line in lines))
    build_from(Request(find_adapter("octomed"), source), run / "questions")
    curate(config, [run / "questions"], run / "curated", workers=1)
    with scripted_teacher(run / "curated", Rates(0.4, 0.15, 0.15), config.distill.max_pixels) as url:
        teacher = config.distill.teachers.teacher.to_dict() | {"endpoints": (url,)}
        with config.unlocked():
            config.distill.teachers = {
                "big": {**teacher, "model": "big-1"},
                "small": {**teacher, "model": "small-1", "takes": "text"},
            }
        distill(config, run / "curated", run / "attempts")
    verify(run / "attempts", run / "traces")
    make_shards(config, run / "traces", run / "shards")
    return run


def copy_of(run: Path, folder: Path) -> Path:
    """Return a copy of a run, to be damaged."""
    return Path(shutil.copytree(run, folder / "run"))


def edit_table(path: Path, edit: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> None:
    """Write a Parquet file again with other rows, in row groups of the same size."""
    with pq.ParquetFile(path) as file:
        table, size = file.read(), file.metadata.row_group(0).num_rows
    changed = pa.Table.from_pylist(edit(table.to_pylist()), schema=table.schema)
    pq.write_table(changed, path, compression="zstd", row_group_size=size)


def forge(run: Path, folder: str, edit: Callable[[dict[str, Any]], Any] = dict) -> None:
    """Make the manifest of a folder fit its files as they are now, and those after it the new manifest.

    So that damage is found by what the folders hold, and not by checksums.
    """
    where = run / folder
    old = _identity(where)
    path = where / manifests.MANIFEST
    fields = storage.read_json(path)
    fields["files"] = {name: storage.sha256_file(where / name) for name in fields["files"] if (where / name).exists()}
    edit(fields)
    storage.write_json(path, fields)
    _replace(run, old, _identity(where))


def _identity(folder: Path) -> str:
    fields = storage.read_json(folder / manifests.MANIFEST)
    return manifests.Manifest(**{**fields, "licences": tuple(fields["licences"])}).identity


def _replace(run: Path, old: str, new: str) -> None:
    """Let the folders that were made from one know it by its new identity."""
    for path in run.rglob(manifests.MANIFEST):
        fields = storage.read_json(path)
        if old in fields["inputs"].values():
            before = _identity(path.parent)
            fields["inputs"] = {name: new if value == old else value for name, value in fields["inputs"].items()}
            storage.write_json(path, fields)
            _replace(run, before, _identity(path.parent))
