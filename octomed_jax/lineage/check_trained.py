"""Whether a training run and an export are of the shards that they say."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from etils import epath

from octomed_jax import storage
from octomed_jax.errors import StopAndLook
from octomed_jax.lineage.check_questions import Advance
from octomed_jax.lineage.findings import Findings
from octomed_jax.lineage.folders import Folders
from octomed_jax.lineage.learned import student_folders
from octomed_jax.manifests import Manifest, hash_files, request_of

CLAIM, DATA, METRICS, STUDENT, PROVENANCE = "config.json", "data.json", "metrics.jsonl", "student", "provenance.json"
WEIGHTS = ".safetensors"


def check_run(findings: Findings, folders: Folders, advance: Advance) -> None:
    """Check a finished training run: its settings, the data and the student that it names, and its steps."""
    found, manifest = findings.found, findings.found.manifest
    claim = _read(findings, CLAIM)
    request = request_of("train", manifest.config, manifest.inputs)
    if claim and (claim.get("request") != manifest.request or claim.get("request") != request):
        findings.problem("claim", f"{found.folder / CLAIM} is of another run than its manifest")
    data = _read(findings, DATA)
    if data and _identity(data) != manifest.inputs.get("shard"):
        findings.problem("data", f"{found.folder / DATA} is the manifest of other shards than the run was trained on")
    steps = _steps(found.folder / METRICS)
    if steps != list(range(1, manifest.counts["steps"] + 1)):
        findings.problem(
            "metrics",
            f"{found.folder / METRICS} has {len(steps)} steps, and not each of the {manifest.counts['steps']} once",
        )
    if not any(path.name.isdigit() for path in (found.folder / "checkpoints").glob("*")):
        findings.problem("checkpoints", f"{found.folder} holds no checkpoint")
    findings.prove(f"{len(steps):,} steps, settings and data of one run", ("claim", "data", "metrics"))
    if rendering := folders.named(manifest.inputs.get("render", "")):
        _check_student(findings, student_folders(Path(rendering.folder)))
    advance(1)


def _check_student(findings: Findings, students: Sequence[Path]) -> None:
    """Check that the student of a run is one of those of its rendering."""
    own = findings.found.folder / STUDENT
    mine = hash_files(own) if own.exists() else {}
    others = [hash_files(folder) for folder in students]
    if others and mine not in others:
        known = [name for name in sorted(others[0].keys() | mine.keys()) if others[0].get(name) != mine.get(name)]
        findings.problem("student", f"{own / known[0]} is not that of the rendering, {students[0]}")
    if others:
        findings.prove("the rendering's student", ("student",))


def check_export(findings: Findings, folders: Folders, advance: Advance) -> None:
    """Check an export: its weights, and the run and the data that it names."""
    found, manifest = findings.found, findings.found.manifest
    provenance = _read(findings, PROVENANCE)
    if provenance:
        if storage.fingerprint(dict(provenance["checkpoint"])) != manifest.inputs.get("checkpoint"):
            findings.problem("provenance", f"{found.folder / PROVENANCE} names another checkpoint than the manifest")
        if dict(provenance["files"]) != dict(manifest.files):
            findings.problem("provenance", f"{found.folder / PROVENANCE} names other files than the manifest")
        _check_run_of(findings, folders, provenance)
        findings.prove("the checkpoint and the data that it names", ("provenance", "link"))
    if not manifest.config.get("adapter"):
        _check_weights(findings)
    advance(1)


def _check_run_of(findings: Findings, folders: Folders, provenance: dict[str, Any]) -> None:
    """Check that the run that an export names is at hand; an import names no run of ours."""
    request = provenance["checkpoint"].get("run")
    runs = folders.of("train")
    if request and runs and request not in [run.manifest.request for run in runs]:
        findings.problem(
            "link",
            f"{findings.found.folder} is the export of another run than {runs[0].folder}",
            "put the one back that belongs there, or export that run into another folder",
        )
    data = provenance.get("data")
    shards = folders.of("shard")
    if data and shards and folders.named(_identity(data)) is None:
        findings.problem(
            "link",
            f"{findings.found.folder} was trained on shards of identity {_identity(data)}, which are not at hand",
            "give the folder that holds them too",
        )


def _check_weights(findings: Findings) -> None:
    """Compare the tensors that the files name in their heads with the manifest."""
    found = findings.found
    tensors = size = 0
    for name in found.manifest.files:
        if name.endswith(WEIGHTS) and name not in findings.broken:
            head = _head(found.folder / name)
            tensors += len(head)
            size += sum(one["data_offsets"][1] - one["data_offsets"][0] for one in head.values())
    if any(name.endswith(WEIGHTS) for name in findings.broken):
        return
    for name, count in (("tensors", tensors), ("bytes", size)):
        if found.manifest.counts.get(name) != count:
            said = found.manifest.counts.get(name)
            findings.problem("counts", f"{found.folder} holds {count} {name} of weights, and its manifest says {said}")
    findings.prove(f"{tensors:,} tensors", ("counts",))


def _head(path: epath.Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            fields = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        fields.pop("__metadata__", None)
        return fields
    except (ValueError, OSError, AttributeError) as error:
        raise StopAndLook(f"{path} is no safetensors file ({error})") from error


def _read(findings: Findings, name: str) -> dict[str, Any]:
    path = findings.found.folder / name
    if not path.exists():
        findings.problem("missing file", f"{path} is missing")
        return {}
    return storage.read_json(path)


def _identity(fields: dict[str, Any]) -> str:
    return Manifest(**{**fields, "licences": tuple(fields["licences"])}).identity


def _steps(path: epath.Path) -> list[int]:
    if not path.exists():
        return []
    lines = Path(path).read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line)["step"] for line in lines if line.endswith("\n")]
