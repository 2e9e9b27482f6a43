"""A small folder of finished traces for tests of the stages after it: made questions, real images, right answers."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from octomed_jax import manifests, storage
from octomed_jax.schema import Question, question_to_row
from octomed_jax.traces import lake


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


def write_traces(folder: Path, count: int = 24) -> Path:
    """Write what ``octomed verify`` writes."""
    rows = [
        {
            **question_to_row(item),
            "responses": [f"<think>Trace {n}.</think>\n\n\\boxed{{{item.answer}}}" for n in range(2)],
        }
        for item in questions(count)
    ]
    lake.write_rows(folder / "traces.parquet", rows, lake.RECORD_SCHEMA)
    manifest = manifests.Manifest(stage="verify", config={}, files=manifests.hash_files(folder), licences=("CC0-1.0",))
    manifests.write_manifest(folder, manifest)
    return folder
