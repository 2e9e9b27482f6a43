"""The writing of one shard, in a process of its own: its rows of the lake, its file, and what is told of it.

The receipt is written last; a shard that has one, and whose file is as long as that says, is done.
"""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from etils import epath

from octomed_jax import storage
from octomed_jax.errors import StopAndLook
from octomed_jax.schema import ACCESS_CLASSES, Record
from octomed_jax.storage import read_json, sha256_file, whole_path, write_json
from octomed_jax.traces import lake
from octomed_jax.traces.choose import training_record
from octomed_jax.traces.record import pack_record
from octomed_jax.traces.shard_plan import ShardRows
from octomed_jax.traces.shards import write_shard


@dataclasses.dataclass(frozen=True)
class ShardPiece:
    """A shard to be written.

    Attributes:
        target: its file.
        receipt: file for what is told of it.
        rows: what goes there.
        settings: which responses of a row are taken, ``config.traces``.
    """

    target: str
    receipt: str
    rows: ShardRows
    settings: Mapping[str, Any]


def write_piece(piece: ShardPiece) -> None:
    """Write a shard, whole or not at all, and its receipt.

    Raises:
        StopAndLook: the lake is damaged, or is not what it was when it was measured.
        TryAgain: the disk is full.
    """
    with whole_path(piece.target) as path:
        told = write_records(path, _records(piece), piece.rows.has_images)
        if told["records"] != piece.rows.records:
            raise StopAndLook(
                f"the lake gives {told['records']} records for {piece.target}, not {piece.rows.records}: it has "
                "changed; run the same command again when nothing writes there"
            )
        storage.sync(path)
    write_json(piece.receipt, told)


def write_records(path: Path, records: Iterable[Record], has_images: bool) -> dict[str, Any]:
    """Write a local file of records and return what is told of it: counts, sizes, its SHA-256."""
    told: dict[str, Any] = {"records": 0, "examples": 0, "images": 0, "record_bytes": 0, "sources": {}}

    def packed() -> Iterator[bytes]:
        for record in records:
            data = pack_record(record)
            _count(told, record, len(data))
            yield data

    write_shard(path, packed(), has_images)
    return told | {"bytes": path.stat().st_size, "sha256": sha256_file(path)}


def _records(piece: ShardPiece) -> Iterator[Record]:
    for span in piece.rows.spans:
        for row in lake.iterate_rows(span.path, None, span.first, span.last):
            record = training_record(row, piece.settings)
            if record is not None:
                _check_images(record, span.path)
                yield record


def _check_images(record: Record, path: str) -> None:
    """Refuse images that are not what their question was built with: Parquet writes no checksum of its own.

    Raises:
        StopAndLook: one is not.
    """
    question = record.question
    found = [storage.sha256_bytes(data) for data in question.images]
    for number, (one, told) in enumerate(itertools.zip_longest(found, question.image_hashes)):
        if one != told:
            raise StopAndLook(
                f"image {number} of question {question.id} in {path} is not as it was written; put that file back, or "
                "move its folder away and verify again"
            )


def _count(told: dict[str, Any], record: Record, size: int) -> None:
    told["records"] += 1
    told["examples"] += len(record.responses)
    told["images"] += len(record.question.images)
    told["record_bytes"] += size
    question = record.question
    found: dict[str, Any] = {"questions": 1, "responses": len(record.responses)}
    found |= {"licences": {question.licence: 1}, "access": question.access}
    if question.without_gold:
        found["published"] = len(record.responses)
    merge_count(told["sources"].setdefault(question.source, {}), found)


def merge_count(total: dict[str, Any], found: Mapping[str, Any]) -> None:
    """Add what was counted of a source: numbers and numbers by licence; of access classes the strictest stays."""
    for name, value in found.items():
        if isinstance(value, Mapping):
            merge_count(total.setdefault(name, {}), value)
        elif name == "access":
            total[name] = max(total.get(name, value), value, key=ACCESS_CLASSES.index)
        else:
            total[name] = total.get(name, 0) + value


def is_written(piece: ShardPiece) -> bool:
    """Return whether a shard is done."""
    target, receipt = epath.Path(piece.target), epath.Path(piece.receipt)
    return receipt.exists() and target.exists() and target.stat().length == read_json(receipt)["bytes"]
