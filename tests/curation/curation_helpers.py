"""Questions, folders and configs that the tests of curation share."""

import io
import random
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from octomed_jax import manifests, storage
from octomed_jax.curation.curate import curate
from octomed_jax.curation.settings import defaults
from octomed_jax.schema import ATTEMPT_SCHEMA, QUESTION_SCHEMA, Question, question_to_row
from octomed_jax.traces import lake

WORDS = [
    "patient", "fever", "cough", "lesion", "nodule", "artery", "valve", "graft", "tremor", "ulcer", "tendon",
    "cortex", "marrow", "plasma", "enzyme", "receptor", "biopsy", "rash", "oedema", "murmur", "vertigo",
    "seizure", "anaemia", "jaundice", "dyspnoea", "syncope", "ataxia", "fibrosis", "stenosis", "embolism", "with",
    "without", "after", "before", "during", "shows", "reports", "denies", "develops", "presents", "notes", "left",
    "right", "upper", "lower", "mild", "severe",
]  # fmt: skip
FILES = ("questions.parquet", "heldout.parquet", "removed.parquet", "examples.parquet", "card.md", "manifest.json")


def words(seed, count):
    """Return so many words: no two texts of other seeds share a run of six."""
    draw = random.Random(seed)
    return [f"{draw.choice(WORDS)}{draw.choice('abcdefghij')}{draw.choice('klmnopqrst')}" for _ in range(count)]


def text(seed, count=30):
    return " ".join(words(seed, count))


def picture(seed):
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (8, 8), dtype=np.uint8)
    Image.fromarray(pixels).save(file, format="PNG")
    return file.getvalue()


def make(name, question, images=(), **fields):
    """Return a question; ``images`` are seeds of pictures."""
    pictures = tuple(map(picture, images))
    plain = {
        "id": f"made:{name}",
        "source": "made",
        "benchmark": "made",
        "split": "train",
        "task": "mcq" if fields.get("options") else "short_answer",
        "question": question,
        "answer": "aspirin",
        "images": pictures,
        "image_hashes": tuple(map(storage.sha256_bytes, pictures)),
        "licence": "CC0-1.0",
    }
    return Question(**{**plain, **fields})


def held(name, question, images=(), **fields):
    return make(name, question, images, split="test", **fields)


def write_folder(folder, questions, row_group=lake.ROW_GROUP):
    """Write a finished folder of questions, sorted as a stage would."""
    folder, counts = Path(folder), {}
    for split, file in (("train", "questions.parquet"), ("test", "heldout.parquet")):
        some = sorted((one for one in questions if one.split == split), key=lambda one: one.id)
        lake.write_rows(folder / file, map(question_to_row, some), QUESTION_SCHEMA, row_group)
        counts[split] = len(some)
    access = "credentialed" if any(one.access == "credentialed" for one in questions) else "open"
    files = manifests.hash_files(folder)
    manifest = manifests.Manifest(stage="questions", config={}, counts=counts, files=files, access=access)
    manifests.write_manifest(folder, manifest)
    return folder


def make_config(steps=("decontaminate", "deduplicate"), seed=0, **settings):
    """Return a config with these steps; what is given for one changes fields of it."""
    config = ConfigDict({"seed": seed, "curate": defaults()})
    config.curate.steps = tuple(steps)
    for name, fields in settings.items():
        config.curate[name].update(fields)
    return config


def curated(output, questions, config=None, **how):
    """Curate; return the questions that are left by id, the rows of those that went by id, and the manifest."""
    folders = questions if isinstance(questions, list) else [questions]
    manifest = curate(config or make_config(), folders, output, **{"workers": 1, **how})
    left = {one.id: one for one in lake.iterate_questions(Path(output) / "questions.parquet")}
    gone = {row["id"]: row for row in lake.iterate_rows(Path(output) / "removed.parquet")}
    return left, gone, manifest


def reasons(gone):
    """Return id to reason without the source's name."""
    return {name.removeprefix("made:"): row["reason"] for name, row in gone.items()}


def folder_bytes(folder):
    return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


def mixed(count=60):
    """Return questions of which every kind of step takes some: copies, overlaps, images, classes, metadata."""
    questions = []
    for index in range(count):
        name = f"{index:04d}"
        kind = index % 6
        if kind == 0:
            questions.append(make(name, text(index // 12, 90)))  # twice each
        elif kind == 1:
            questions.append(make(name, f"{text(index)} {text('held 0', 20)}" if index % 4 == 1 else text(index)))
        elif kind == 2:
            questions.append(make(name, f"Is {text(index, 9)} seen on this chest x-ray?", images=[index % 8]))
        elif kind == 3:
            word = ("today", "tonight")[index % 4 == 3]
            questions.append(make(name, f"{text(index // 12, 90)} {word}", options=("a b", "c d"), answer="c d"))
        else:
            answer = ("yes", "no", "no", "no", "yes")[index % 5]
            questions.append(make(name, f"{text(index)}?", task="yes_no", answer=answer, benchmark=f"seen {kind}"))
    questions += [held(f"held {index}", text(f"held {index}")) for index in range(4)]
    return [*questions, held("held image", text("held image"), images=[4])]


ALL_STEPS = ("metadata", "decontaminate", "deduplicate", "balance")


def write_attempts(folder, right, samples=16, teachers=("student",)):
    """Write a finished folder of attempts: of each question, of each teacher, so many right of the samples."""
    folder = Path(folder)
    rows = [
        {
            **{field.name: "" if field.type == "string" else 0 for field in ATTEMPT_SCHEMA},
            "question_id": question,
            "sample_index": sample,
            "teacher": teacher,
            "verdict": "correct" if sample < count else ("wrong", "unparsed", "truncated")[sample % 3],
            "option_order": [],
        }
        for question, count in sorted(right.items())
        for teacher in teachers
        for sample in range(samples)
    ]
    lake.write_rows(folder / "attempts" / "part-00000.parquet", rows, ATTEMPT_SCHEMA)
    manifests.write_manifest(folder, manifests.Manifest(stage="distill", config={"right": right}))
    return folder
