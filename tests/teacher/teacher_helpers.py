"""Questions, configs and folders that the teacher's tests share."""

import io
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from octomed_jax import manifests, storage
from octomed_jax.schema import Question
from octomed_jax.teacher.settings import DISTILL, TEACHER
from octomed_jax.traces import lake


def png(seed, side=32):
    pixels = np.random.default_rng(seed).integers(0, 255, (side, side), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return file.getvalue()


def make_question(index, side=32, **fields):
    kind = index % 4
    image = png(index, side) if kind < 2 else b""
    common = {
        "id": f"made:{index:05d}",
        "source": "made" if kind < 2 else "told",
        "split": "train",
        "images": (image,) if image else (),
        "image_hashes": (storage.sha256_bytes(image),) if image else (),
        "licence": "CC0-1.0",
    }
    planes = ("axial", "coronal", "sagittal")
    if kind == 0:
        special = {
            "task": "classification",
            "benchmark": "plane",
            "question": "Which plane?",
            "options": planes,
            "answer": planes[index % 3],
            "explanation": f"This is {planes[index % 3]}.",
        }
    elif kind == 1:
        special = {
            "task": "yes_no",
            "benchmark": "seen",
            "question": "Is it seen?",
            "answer": ("yes", "no")[index // 4 % 2],
        }
    elif kind == 2:
        special = {
            "task": "numeric",
            "benchmark": "sum",
            "question": f"What is {index} plus 2?",
            "answer": str(index + 2),
            "explanation": f"{index} plus 2 is {index + 2}.",
        }
    else:
        names = [f"Disease {index + step}" for step in range(4)]
        special = {
            "task": "mcq",
            "benchmark": "name",
            "question": f"Which is number {index + 1}?",
            "options": tuple(names),
            "answer": names[1],
            "explanation": "Counting on gives it.",
        }
    return Question(**{**common, **special, **fields})


def write_folder(folder, questions):
    """Write a finished questions folder."""
    folder = Path(folder)
    lake.write_questions(folder / "questions.parquet", questions)
    manifest = manifests.Manifest(
        stage="questions",
        config={},
        counts={"train": len(questions)},
        files=manifests.hash_files(folder),
        licences=("CC0-1.0",),
    )
    manifests.write_manifest(folder, manifest)
    return folder


def make_config(endpoint="", teachers=None, **distill):
    """Return a config; what is a field of a teacher becomes one of the only teacher."""
    teacher = {name: distill.pop(name) for name in list(distill) if name in TEACHER}
    if endpoint:
        teacher["endpoints"] = (endpoint,) if isinstance(endpoint, str) else tuple(endpoint)
    teachers = teachers or {"teacher": teacher}
    settings = {
        **DISTILL,
        "samples": 4,
        "samples_per_request": 2,
        "max_tokens": 1024,
        "in_flight": 16,
        "patience_seconds": 0.0,
        "scripted": {"wrong": 0.1, "malformed": 0.1, "truncated": 0.05},
        **distill,
        "teachers": {name: {**TEACHER, **fields} for name, fields in teachers.items()},
    }
    return ConfigDict({"seed": 0, "distill": settings, "traces": {"per_question": 2}})


def folder_bytes(folder):
    """Return what must not depend on faults, order or restarts: the attempts, and the manifest."""
    folder = Path(folder)
    names = ("attempts/part-00000.parquet", "questions.parquet", "card.md", "manifest.json")
    return {name: (folder / name).read_bytes() for name in names}
