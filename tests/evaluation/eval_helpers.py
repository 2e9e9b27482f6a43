"""Folders of held-out questions, and configs, for the back ends' tests."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from configs.demo import get_config
from octomed_jax import manifests, storage
from octomed_jax.schema import Question
from octomed_jax.traces import lake


def png(side, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 255, (side, side, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return file.getvalue()


def make_question(number, images=(), **fields):
    given = {
        "id": f"made:{number}",
        "source": "made",
        "benchmark": "letters" if number % 2 else "signs",
        "split": "test",
        "task": "mcq",
        "question": f"Which one is number {number}?",
        "options": ("this", "that"),
        "answer": "that",
        "images": tuple(images),
        "image_hashes": tuple(storage.sha256_bytes(data) for data in images),
        "cluster": f"made:{number}",
    }
    return Question(**{**given, **fields})


def write_heldout(folder, questions):
    """Write a finished folder with these held-out questions."""
    folder = Path(folder)
    lake.write_questions(folder / "questions.parquet", [])
    lake.write_questions(folder / "heldout.parquet", questions)
    manifests.write_manifest(
        folder, manifests.Manifest("questions", {}, counts={"test": len(questions)}, files=manifests.hash_files(folder))
    )
    return folder


def make_config(**fields):
    """Return the demo's tiny config with these fields of ``config.eval``."""
    config = get_config("tiny")
    config.eval.update({"patience_seconds": 0.0, "in_flight": 8, **fields})
    return config


def at(server, **fields):
    """Return a config that measures the model behind a fake server."""
    return make_config(backend="endpoint", endpoint=server.url, model="made/model", **fields)


def result_bytes(folder):
    """Return all of a finished folder, by name."""
    folder = Path(folder)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
