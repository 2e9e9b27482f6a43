"""Whether shards hold what is chosen of the lake, no more and no less, and renderings what is in the shards."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from octomed_jax.errors import StopAndLook
from octomed_jax.lineage.check_questions import Advance
from octomed_jax.lineage.findings import Findings
from octomed_jax.lineage.folders import Folders, Found
from octomed_jax.lineage.learned import index_of
from octomed_jax.lineage.records import count_records, shard_names, wanted_of
from octomed_jax.lineage.rows import parts, tables, without_images
from octomed_jax.schema import Record
from octomed_jax.storage import sha256_bytes
from octomed_jax.traces.grouped import LAKE
from octomed_jax.traces.shards import ShardReader

COUNTED = ("records", "examples", "images")


def count_shards(findings: Findings) -> None:
    """Compare only the number of records with the manifest."""
    found = findings.found
    records = sum(count_records(Path(found.folder) / name) for name in shard_names(found))
    if records != found.manifest.counts.get("records"):
        findings.problem(
            "counts",
            f"{found.folder} holds {records} records, its manifest says {found.manifest.counts.get('records')}",
        )
    findings.prove(f"number of records: {records:,}", ("counts",))


def check_shards(findings: Findings, folders: Folders, advance: Advance) -> None:
    """Check a folder of shards; ``advance`` is called with each number of records that are done."""
    found = findings.found
    before = folders.named(found.manifest.inputs.get("verify", ""))
    counts = dict.fromkeys(COUNTED, 0)
    chosen = _chosen(found, before) if before else None
    wanted = next(chosen, None) if chosen else None
    last = ""
    for number, record in _records(findings):
        advance(1)
        question = record.question
        counts["records"] += 1
        counts["examples"] += len(record.responses)
        counts["images"] += len(question.images)
        if question.id <= last:
            findings.problem("order", f"{found.folder}: record {number} ({question.id}) does not follow {last}")
        last = max(last, question.id)
        _check_images(findings, number, record)
        while chosen and wanted and wanted.question.id < question.id:
            findings.problem("lost", f"{found.folder} lacks question {wanted.question.id}, which the lake gives")
            wanted = next(chosen, None)
        if chosen and wanted and wanted.question.id == question.id:
            _compare(findings, number, record, wanted)
            wanted = next(chosen, None)
        elif chosen:
            findings.problem("unknown", f"{found.folder}: the lake gives no record {number} ({question.id})")
    while chosen and wanted and "damaged" not in findings.kinds:
        findings.problem("lost", f"{found.folder} lacks question {wanted.question.id}, which the lake gives")
        wanted = next(chosen, None)
    for name, count in counts.items():
        if name in found.manifest.counts and found.manifest.counts[name] != count:
            said = found.manifest.counts[name]
            findings.problem("counts", f"{found.folder} holds {count} {name}, and its manifest says {said}")
    shown = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    findings.prove(shown, ("counts", "damaged", "order"))
    findings.prove("images are those of their hashes", ("image", "damaged"))
    if chosen:
        findings.prove("all that is chosen of the lake, and nothing else", ("lost", "unknown", "changed", "damaged"))


def _records(findings: Findings) -> Iterator[tuple[int, Record]]:
    """Yield the records with their numbers; the first that is damaged ends them."""
    reader = ShardReader(Path(findings.found.folder))
    for number in range(len(reader)):
        try:
            record = reader[number]
        except StopAndLook as error:
            findings.problem("damaged", f"{error}; the records after it were not looked into")
            return
        yield number, record


def _chosen(found: Found, traces: Found) -> Iterator[Record]:
    """Yield what is trained on of a lake, without the images."""
    for path in parts(traces.folder / LAKE):
        for table in tables(path, without_images(path)):
            for row in table.to_pylist():
                if record := wanted_of(found, row):
                    yield record


def _check_images(findings: Findings, number: int, record: Record) -> None:
    question = record.question
    digests = tuple(map(sha256_bytes, question.images))
    if digests != tuple(question.image_hashes):
        findings.problem(
            "image",
            f"{findings.found.folder}: an image of record {number} ({question.id}) is not the one of its image_hash",
        )


def _compare(findings: Findings, number: int, record: Record, wanted: Record) -> None:
    question = dataclasses.replace(record.question, images=())
    expected = dataclasses.replace(wanted.question, images=())
    changed = [
        field.name
        for field in dataclasses.fields(question)
        if _plain(getattr(question, field.name)) != _plain(getattr(expected, field.name))
    ]
    changed += [
        name for name in ("responses", "option_orders", "samples") if getattr(record, name) != getattr(wanted, name)
    ]
    if changed:
        findings.problem(
            "changed",
            f"{findings.found.folder}: record {number} ({question.id}) has other {' and '.join(changed)} than the lake",
        )


def _plain(value: Any) -> Any:
    return value or None  # an empty text or list is as good as none


def check_rendering(findings: Findings, folders: Folders, advance: Advance) -> None:
    """Check the index of a rendering against the shards that it is of."""
    found = findings.found
    index = index_of(found)
    counts = {
        "examples": len(index),
        "tokens": int(index.tokens.sum(dtype=np.int64)),
        "longest": int(index.tokens.max(initial=0)),
    }
    for name, count in counts.items():
        if name in found.manifest.counts and found.manifest.counts[name] != count:
            said = found.manifest.counts[name]
            findings.problem("counts", f"{found.folder}: the index says {count} {name}, and the manifest {said}")
    findings.prove(f"index of {len(index):,} examples", ("counts",))
    findings.prove("rendered by the student beside it", ())
    if shards := folders.named(found.manifest.inputs.get("shard", "")):
        _check_index(findings, Path(shards.folder), index, advance)


def _check_index(findings: Findings, shards: Path, index: Any, advance: Advance) -> None:
    """Check that each row of an index belongs to a record and one of its responses, and that none is missing."""
    reader = ShardReader(shards)
    keys = index.record.astype(np.int64) << 32 | index.response
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    if len(keys) > 1 and (keys[1:] == keys[:-1]).any():
        findings.problem("index", f"{findings.found.folder}: the index names a response twice")
    ends = np.searchsorted(keys, np.arange(len(reader) + 1, dtype=np.int64) << 32)
    if int(ends[-1]) != len(keys) or int(ends[0]):
        findings.problem("index", f"{findings.found.folder}: the index names records that {shards} does not hold")
    sources = np.asarray(index.sources, dtype=object)
    for number in range(len(reader)):
        record = reader[number]
        mine = order[ends[number] : ends[number + 1]]
        advance(len(mine))
        responses = index.response[mine].tolist()
        wrong = ""
        if responses != list(range(len(record.responses))):
            wrong = f"has {len(record.responses)} responses, and the index {len(responses)}"
        elif (index.images[mine] != len(record.question.images)).any():
            wrong = f"has {len(record.question.images)} images, and the index says otherwise"
        elif set(sources[index.source[mine]]) - {record.question.benchmark, record.question.source}:
            wrong = f"is of {record.question.benchmark}, and the index says otherwise"
        if wrong:
            findings.problem("index", f"{findings.found.folder}: record {number} of {shards} {wrong}")
    findings.prove("each row of the index is of a record and a response, and none is missing", ("index",))
