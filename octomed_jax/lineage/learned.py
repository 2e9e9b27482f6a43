"""What became of a record of the shards after them: how it is rendered, and what training runs did with it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from etils import epath

from octomed_jax import storage
from octomed_jax.errors import StopAndLook, UserError
from octomed_jax.inputs.held_out import held_examples
from octomed_jax.inputs.mixture import kept_examples, read_mixture
from octomed_jax.inputs.plan import ExampleIndex
from octomed_jax.inputs.render import read_index
from octomed_jax.lineage.folders import Folders, Found
from octomed_jax.manifests import MANIFEST

STUDENT = "student"
BAD_RECORDS = "bad_records-*.jsonl"


def learned_from(folders: Folders, shards: Found, record: int) -> list[dict[str, Any]]:
    """Return what renderings and training runs of a folder of shards know of one of its records, the last one first."""
    told = []
    for rendering in folders.made_from(shards, "render"):
        index = index_of(rendering)
        told += [
            {**run.about(), "row": _of_run(run, index, record)}
            for run in folders.of("train")
            if run.manifest.inputs.get("render") == rendering.manifest.identity
        ]
        told.append({**rendering.about(), "row": _of_index(index, record)})
    return told


def index_of(rendering: Found) -> ExampleIndex:
    """Return the index of a rendering.

    Raises:
        StopAndLook: it is damaged, or of another rendering.
    """
    folder = Path(rendering.folder)
    students = student_folders(folder)
    if not students:
        raise StopAndLook(f"{folder} has no student's folder, by whose tokenizer it was measured")
    try:
        return read_index(folder, students[0], rendering.manifest.config["answer_format"])
    except UserError as error:
        raise StopAndLook(str(error)) from error


def student_folders(rendering: Path) -> list[Path]:
    """Return the students' folders of a rendering: in it, or beside all renderings in a folder that names it."""
    own = [rendering / STUDENT] if (rendering / STUDENT).is_dir() else []
    beside = [
        path.parent / STUDENT
        for path in sorted((rendering.parent.parent / "students").glob(f"*/{MANIFEST}"))
        if storage.read_json(path)["inputs"].get("render") == rendering.name
    ]
    return own + beside


def _of_index(index: ExampleIndex, record: int) -> dict[str, Any]:
    mine = np.flatnonzero(index.record == record)
    examples = {
        str(int(index.response[one])): {
            name: int(getattr(index, name)[one]) for name in ("tokens", "patches", "images")
        }
        for one in mine
    }
    return {"examples": examples}


def _of_run(run: Found, index: ExampleIndex, record: int) -> dict[str, Any]:
    """Return whether a run has learned from a record: not held out, short enough for a row, and readable."""
    config = run.manifest.config
    mine = index.record == record
    long = index.response[mine & (index.tokens > int(config["train"]["tokens_per_row"]))]
    told: dict[str, Any] = {"held_out": bool(np.isin(record, _held_out(config, index)))}
    if not _kept(config, index)[mine].any():
        told["left_out_by_mixture"] = True
    if len(long):
        told["longer_than_a_row"] = [int(one) for one in long]
    if bad := _bad(run.folder, record):
        told["could_not_be_read"] = bad
    return told


def _held_out(config: Mapping[str, Any], index: ExampleIndex) -> np.ndarray:
    """Return the records that a run holds out, by the settings in its manifest."""
    return index.record[held_examples(index, _kept(config, index), int(config.get("held_out", 0)), int(config["seed"]))]


def _kept(config: Mapping[str, Any], index: ExampleIndex) -> np.ndarray:
    """Return which examples are of sources that a run's mixture does not leave out."""
    return kept_examples(index, read_mixture(config.get("mixture", {})))


def _bad(folder: epath.Path, record: int) -> list[dict[str, Any]]:
    """Return the steps that left a record out because it could not be read."""
    found = []
    for path in sorted(folder.glob(BAD_RECORDS)):
        for line in path.read_text().splitlines(keepends=True):
            if line.endswith("\n") and (one := json.loads(line))["record"] == record:
                found.append({name: one[name] for name in ("step", "response", "problem")})
    return found
