"""Makes finished questions folders for the tests of their page: several benchmarks, tasks and access classes."""

import io
from pathlib import Path

import numpy as np
from PIL import Image
from report_run import PLANTED

from octomed_jax.manifests import Manifest, hash_files, write_manifest
from octomed_jax.schema import Question
from octomed_jax.storage import sha256_bytes
from octomed_jax.traces.lake import write_questions

# benchmark: task, options, answer, images a question, access
BENCHMARKS = {
    "exam": ("mcq", ("Atrophy", "Fibrosis", "Necrosis"), "Fibrosis", 0, "open"),
    "findings": ("multi_label", ("effusion", "nodule", "mass"), "effusion;mass", 1, "open"),
    "scores": ("numeric", (), "4.5", 0, "open"),
    "slides": ("yes_no", ("yes", "no"), "no", 3, "open"),
    "wards": ("short_answer", (), "gout", 1, "credentialed"),
    "with a long name " + "x" * 40: ("short_answer", (), "asthma", 9, "open"),
}


def picture(seed: int, size: tuple[int, int], kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(file, format=kind)
    return file.getvalue()


def questions(each: int = 8, size: tuple[int, int] = (40, 30)) -> list[Question]:
    """Return ``each`` questions of every benchmark, a quarter of them held out."""
    made = []
    for place, (benchmark, (task, options, answer, n_images, access)) in enumerate(BENCHMARKS.items()):
        for number in range(each):
            images = tuple(picture(place * 1000 + number * 10 + image, size) for image in range(n_images))
            made.append(
                Question(
                    id=f"{benchmark.split()[0]}:{number:03d}",
                    source="several",
                    benchmark=benchmark,
                    split="test" if number % 4 == 3 else "train",
                    task=task,
                    question=f"Question {number}: what do you see?{PLANTED}",
                    answer=answer,
                    options=options,
                    aliases=("podagra",) if answer == "gout" else (),
                    lower_limit=4.0 if task == "numeric" else None,
                    upper_limit=5.25 if task == "numeric" else None,
                    images=images,
                    image_hashes=tuple(map(sha256_bytes, images)),
                    explanation=f"Because.{PLANTED}",
                    modality="CT",
                    body_region="abdomen",
                    licence="CC-BY-4.0 <b>",
                    access=access,
                )
            )
    return sorted(made, key=lambda question: question.id)


def make_questions(folder: Path, given: list[Question] | None = None) -> Path:
    """Write a folder and return it."""
    given = questions() if given is None else given
    for split, name in (("train", "questions.parquet"), ("test", "heldout.parquet")):
        write_questions(folder / name, [question for question in given if question.split == split])
    access = "credentialed" if any(question.access != "open" for question in given) else "open"
    counts = {split: sum(question.split == split for question in given) for split in ("train", "test")}
    manifest = Manifest(stage="questions", config={}, counts=counts, access=access, files=hash_files(folder))
    write_manifest(folder, manifest)
    return folder
