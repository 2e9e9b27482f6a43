"""A small folder of finished traces for tests of the stages after it: made questions, real images, right answers."""

import dataclasses
import io
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from octomed_jax import manifests, storage
from octomed_jax.schema import Attempt, Question, Record, Verdict, question_to_row
from octomed_jax.traces.grouped import accepted, iterate_lake, lake_row, record_of, write_lake
from octomed_jax.traces.record import pack_record
from octomed_jax.traces.shards import ShardReader, write_shard


def png(seed: int, height: int = 112, width: int = 112) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def questions(count: int = 24) -> list[Question]:
    made = []
    for number in range(count):
        image = (png(number, 112, 84 if number % 6 else 112),) if number % 3 else ()
        made.append(
            Question(
                id=f"made:{number:03d}",
                source="made",
                benchmark="plane" if image else "sum",
                split="train",
                task="classification" if image else "numeric",
                question="Which plane?" if image else f"What is {number} plus one?",
                answer="axial" if image else str(number + 1),
                options=("axial", "coronal") if image else (),
                images=image,
                image_hashes=tuple(storage.sha256_bytes(data) for data in image),
                licence="CC0-1.0",
            )
        )
    return made


def row_of(record: Record) -> dict[str, Any]:
    """Return the row of the lake that a record is read from, all of its attempts being right."""
    orders = record.option_orders or ((),) * len(record.responses)
    samples = record.samples or range(len(record.responses))
    judged = [
        (
            dataclasses.asdict(
                Attempt(
                    record.question.id, sample, "t", response, "", "stop", 5, 5, "", "", "", "", tuple(order), 0, 1, "h"
                )
            ),
            Verdict("correct", record.question.answer, "match"),
        )
        for sample, response, order in zip(samples, record.responses, orders, strict=True)
    ]
    return lake_row(question_to_row(record.question), judged, "1")


def write_traces(folder: Path, count: int = 24) -> Path:
    """Write what ``octomed verify`` writes."""
    texts = [f"<think>Trace {n}.</think>\n\n\\boxed{{%s}}" for n in range(2)]
    made = [Record(item, tuple(text % item.answer for text in texts), (), (0, 1)) for item in questions(count)]
    return write_records(folder, made)


def write_records(folder: Path, records: Iterable[Record]) -> Path:
    """Write what ``octomed verify`` writes, of records sorted by id."""
    return write_rows(folder, map(row_of, records))


def write_rows(folder: Path, rows: Iterable[dict[str, Any]]) -> Path:
    """Write what ``octomed verify`` writes, of rows of the lake sorted by id."""
    rows = list(rows)
    write_lake(folder, rows)
    kept = Counter(row["source"] for row in rows for verdict in row["verdicts"] if verdict["verdict"] == "correct")
    sources = {source: {"kept": kept[source]} for source in sorted({row["source"] for row in rows})}
    storage.write_json(folder / "funnel.json", {"sources": sources})
    manifest = manifests.Manifest(stage="verify", config={}, files=manifests.hash_files(folder), licences=("CC0-1.0",))
    manifests.write_manifest(folder, manifest)
    return folder


def spoil_image(shards: Path, number: int) -> Record:
    """Write the shard of a record again, its first image blank after 200 bytes; return the record as it then is."""
    records = list(ShardReader(shards))
    image, *others = records[number].question.images
    blank = (image[:200] + bytes(len(image) - 200), *others)
    question = dataclasses.replace(records[number].question, images=blank)
    spoilt = records[number] = dataclasses.replace(records[number], question=question)
    first = 0
    for name, shard in manifests.read_manifest(shards, "shard").extra["shards"].items():
        end = first + shard["records"]
        if first <= number < end:
            write_shard(shards / name, map(pack_record, records[first:end]), True)
        first = end
    return spoilt


def iterate_records(traces: storage.PathLike) -> Iterator[Record]:
    """Yield the questions of a folder of traces that have an accepted response, with all of these."""
    for row in iterate_lake(traces):
        if places := accepted(row):
            yield record_of(row, places)
