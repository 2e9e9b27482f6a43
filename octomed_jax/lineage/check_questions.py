"""Whether a folder of questions holds what its manifest says, and a curated one what it was made of."""

import heapq
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa
from etils import epath

from octomed_jax.curation.contents import Contents
from octomed_jax.curation.curate import TEST_FILE, TRAIN_FILE
from octomed_jax.curation.record import REMOVED_FILE
from octomed_jax.lineage.findings import Findings
from octomed_jax.lineage.folders import Folders, Found
from octomed_jax.lineage.images import wrong_images
from octomed_jax.lineage.rows import open_table, tables, unsorted
from octomed_jax.manifests import QUESTION_STAGES
from octomed_jax.schema import ACCESS_CLASSES, QUESTION_SCHEMA

COUNTED = ("train", "test", "benchmarks")
# What curation may change of a question that stays, by the step that does it.
CHANGED_BY = {"metadata": ("modality", "body_region"), "transform": ("image_hash",)}

Advance = Callable[[int], None]


def rows_of_questions(found: Found) -> int:
    """Return how many questions a folder holds, by the ends of its files."""
    return sum(_count(found.folder / name) for name in (TRAIN_FILE, TEST_FILE))


def _count(path: epath.Path) -> int:
    with open_table(path) as file:
        return file.metadata.num_rows


def count_questions(findings: Findings) -> None:
    """Compare only the numbers of questions with the manifest."""
    found = findings.found
    for name, split in ((TRAIN_FILE, "train"), (TEST_FILE, "test")):
        _compare(findings, f"{found.folder / name} holds", _count(found.folder / name), split)
    findings.prove("numbers of questions", ("counts",))


def check_questions(findings: Findings, folders: Folders, advance: Advance) -> None:
    """Check the questions of a folder; ``advance`` is called with each number of rows that are done."""
    found, contents = findings.found, Contents()
    with ThreadPoolExecutor() as pool:
        for name, split in ((TRAIN_FILE, "train"), (TEST_FILE, "test")):
            last = ""
            for table in tables(found.folder / name):
                _check_table(findings, found.folder / name, table, split, last, pool)
                last = table["id"][-1].as_py() if table.num_rows else last
                contents.add(table)
                advance(table.num_rows)
    for name in COUNTED:
        _compare(findings, f"{found.folder}: the questions are", contents.table()[name], name)
    _check_terms(findings, contents)
    total = contents.table()
    findings.prove(f"{total['train']:,} + {total['test']:,} questions", ("counts", "order", "split"))
    findings.prove("images are those of their hashes", ("image",))
    if found.stage == "curate":
        _check_curated(findings, folders)


def _compare(findings: Findings, what: str, counted: Any, name: str) -> None:
    said = findings.found.manifest.counts.get(name)
    if counted != said:
        shown = _difference(counted, said) if isinstance(counted, Mapping) and isinstance(said, Mapping) else ""
        findings.problem(
            "counts", f"{what} {shown or counted} ({name}), and its manifest says {'otherwise' if shown else said}"
        )


def _difference(counted: Mapping[str, Any], said: Mapping[str, Any]) -> str:
    name = next(name for name in sorted({*counted, *said}) if counted.get(name) != said.get(name))
    return f"{name}: {counted.get(name, 0)}, not {said.get(name, 0)}"


def _check_table(
    findings: Findings, path: epath.Path, table: pa.Table, split: str, last: str, pool: ThreadPoolExecutor
) -> None:
    if wrong := unsorted(table["id"], last):
        findings.problem("order", f"{path} is not sorted by id, or has one twice, at {wrong!r}")
    for name, row in zip(table["id"].to_pylist(), table["split"].to_pylist(), strict=True):
        if row != split:
            findings.problem("split", f"{path}: question {name} is of the split {row}")
    for name, what in wrong_images(table, pool):
        findings.problem("image", f"{path}: question {name} {what}")


def _check_terms(findings: Findings, contents: Contents) -> None:
    """Compare licences and access class; those of a curated folder may be stricter, by what it was compared with."""
    manifest = findings.found.manifest
    if (licences := tuple(sorted(contents.licences))) != tuple(manifest.licences):
        findings.problem(
            "licences",
            f"{findings.found.folder}: its questions have the licences {list(licences)}, its manifest others",
        )
    strictest = max(contents.access, key=ACCESS_CLASSES.index, default="open")
    if ACCESS_CLASSES.index(strictest) > ACCESS_CLASSES.index(manifest.access):
        findings.problem(
            "access", f"{findings.found.folder} holds {strictest} questions, and its manifest says {manifest.access}"
        )
    findings.prove("licences and access class", ("licences", "access"))


def _check_curated(findings: Findings, folders: Folders) -> None:
    """Check that every question before curation has either stayed, as it was, or is named as removed."""
    found = findings.found
    removed = _removed(findings)
    inputs = [one for name, _, one in folders.inputs(found, *QUESTION_STAGES) if name.startswith("questions")]
    if any(one is None for one in inputs):
        return  # named where the links are checked
    steps = [step["step"] for step in found.manifest.config.get("steps", ())]
    changed = {"image", *(name for step in steps for name in CHANGED_BY.get(step, ()))}
    columns = [name for name in QUESTION_SCHEMA.names if name not in changed]
    for name in (TRAIN_FILE, TEST_FILE):
        paths = [one.folder / name for one in inputs if one]
        before = heapq.merge(*(_rows(path, columns) for path in paths), key=lambda row: row["id"])
        _check_stayed(findings, name, before, _rows(found.folder / name, columns), removed)
    for extra in sorted(removed):
        findings.problem("removed", f"{found.folder / REMOVED_FILE} names {extra}, which was in no folder before it")
    findings.prove("every question before it has stayed or is named as removed", ("removed", "changed", "lost"))


def _removed(findings: Findings) -> set[str]:
    """Return the ids of removed questions; compare their numbers with what the manifest says of each step."""
    counts: Counter[tuple[str, str]] = Counter()
    names: set[str] = set()
    path = findings.found.folder / REMOVED_FILE
    for table in tables(path, ["id", "step", "reason"]):
        names.update(table["id"].to_pylist())
        counts.update(zip(table["step"].to_pylist(), table["reason"].to_pylist(), strict=True))
    steps = findings.found.manifest.counts.get("steps", ())
    said = {(step["step"], reason): count for step in steps for reason, count in step["reasons"].items()}
    for key in sorted(counts.keys() | said.keys()):
        if counts[key] != said.get(key, 0):
            findings.problem(
                "counts", f"{path} names {counts[key]} of {' '.join(key)}, the manifest {said.get(key, 0)}"
            )
    return names


def _rows(path: epath.Path, columns: list[str]) -> Iterator[dict[str, Any]]:
    for table in tables(path, columns):
        yield from table.to_pylist()


def _check_stayed(
    findings: Findings, name: str, before: Iterator[dict[str, Any]], after: Iterator[dict[str, Any]], removed: set[str]
) -> None:
    folder = findings.found.folder
    stayed = next(after, None)
    for row in before:
        while stayed is not None and stayed["id"] < row["id"]:
            findings.problem("lost", f"{folder / name} holds question {stayed['id']}, which was in no folder before it")
            stayed = next(after, None)
        if stayed is not None and stayed["id"] == row["id"]:
            if stayed != row:
                what = next(column for column in row if stayed[column] != row[column])
                findings.problem("changed", f"{folder / name}: question {row['id']} has another {what} than before")
            if row["id"] in removed and name == TRAIN_FILE:
                findings.problem("removed", f"{folder / name} holds {row['id']}, which is named as removed")
                removed.discard(row["id"])
            stayed = next(after, None)
        elif name == TRAIN_FILE and row["id"] in removed:
            removed.discard(row["id"])
        else:
            findings.problem("lost", f"{folder / name} lacks question {row['id']}, which is not named as removed")
    for left in ([stayed] if stayed else []) + list(after):
        findings.problem("lost", f"{folder / name} holds question {left['id']}, which was in no folder before it")
