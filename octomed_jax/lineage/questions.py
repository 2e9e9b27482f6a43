"""What folders of questions know of one question: curated ones, and before them those that were made of a source."""

import re
from typing import Any

from octomed_jax.curation.curate import TEST_FILE, TRAIN_FILE
from octomed_jax.curation.metadata_marks import METADATA_FILE
from octomed_jax.curation.record import REMOVED_FILE
from octomed_jax.lineage.folders import Folders, Found
from octomed_jax.lineage.rows import find_rows
from octomed_jax.manifests import QUESTION_STAGES
from octomed_jax.questions.registry import ADAPTERS

TEXT_CHARACTERS = 200
_COLUMNS = (
    "id", "source", "benchmark", "split", "task", "question", "cluster", "modality", "body_region", "licence", "access",
    "image_hash",
)  # fmt: skip


def asked_by(folders: Folders, found: Found, question: str, missing: list[str] | None = None) -> list[dict[str, Any]]:
    """Return what a folder of questions and those before it know of a question, the last stage first.

    Args:
        folders: in which those before it are looked for.
        found: the folder.
        question: its id.
        missing: folders that are not at hand are added to it.

    Returns:
        of each folder that knows it what ``Found.about`` says, and ``row``; nothing where none does.
    """
    row = _row(found, question)
    if found.stage == "questions":
        return [{**found.about(), "row": {**row, **_source(found, question, row)}}] if row else []
    row |= _curated(found, question)
    before: list[dict[str, Any]] = []
    for name, identity, folder in folders.inputs(found, *QUESTION_STAGES):
        if name.startswith("against"):
            continue
        if folder:
            before += asked_by(folders, folder, question, missing)
        elif missing is not None:
            missing.append(f"not at hand: questions folder of identity {identity}, of which {found.folder} is made")
    if row and before and "images" in row and "images" in before[0]["row"]:
        row["images_changed"] = row["images"] != before[0]["row"]["images"]
    return [{**found.about(), "row": row}, *before] if row or before else []


def _row(found: Found, question: str) -> dict[str, Any]:
    """Return the question as it stands in a folder."""
    for name in (TRAIN_FILE, TEST_FILE):
        for row in find_rows([found.folder / name], "id", question, _COLUMNS):
            fields = {key: row.fields[key] for key in _COLUMNS if row.fields[key]}
            fields["images"] = fields.pop("image_hash", [])
            if fields["access"] != "open":
                fields.pop("question")  # its text is bound to its terms
            elif len(fields["question"]) > TEXT_CHARACTERS:
                fields["question"] = fields["question"][: TEXT_CHARACTERS - 3] + "..."
            return {"file": name, "row": row.number, **fields}
    return {}


def _curated(found: Found, question: str) -> dict[str, Any]:
    """Return what curation has done to a question: filled in, or taken it out."""
    told: dict[str, Any] = {}
    marks = found.folder / METADATA_FILE
    if METADATA_FILE in found.manifest.files:
        rows = find_rows([marks], "id", question, ("field", "value", "by"))
        if rows:
            told["filled"] = {
                row.fields["field"]: {"value": row.fields["value"], "by": row.fields["by"]} for row in rows
            }
    columns = ("step", "reason", "match", "detail")
    for row in find_rows([found.folder / REMOVED_FILE], "id", question, columns):
        told["removed"] = dict(row.fields)
    return told


def _source(found: Found, question: str, row: dict[str, Any]) -> dict[str, Any]:
    """Return what is known of the row of its source that a question was made of.

    A question without an id of its own has its place as id. Of the others only the files and their hashes are known.
    """
    config = found.manifest.config
    if "questions" in config:  # made by a package source
        settings = config["questions"].get(row["source"], {})
        return {"made_by": row["source"], "settings": settings, "seed": config.get("seed")}
    adapter = ADAPTERS.get(config.get("source", ""))
    told: dict[str, Any] = {"adapter": config.get("source", ""), "input": dict(config.get("input", {}))}
    if adapter is None or adapter.content_ids:
        told["source_row"] = "not recorded: the id is the row's own, or a hash of what it asks"
        return told
    place = re.fullmatch(rf"{re.escape(adapter.name)}:([^:]+):(?:(.+):)?(\d{{7,}})(?:-(\d+))?", question)
    if place and place[1] in adapter.splits:
        told["published_split"], told["published_row"] = place[1], int(place[3])
        if place[2]:
            told["published_file"] = place[2]
        if place[4]:
            told["part_of_row"] = int(place[4])
    return told
