"""ReXVQA: multiple-choice questions on the chest X-rays of ReXGradient-160K, some studies with several images.

The cluster is a patient, by a hash of the set's number: a pseudonym, and no anonymity.
"""

import dataclasses
from collections.abc import Iterator, Sequence

from octomed_jax.questions.adapter import Adapter, Cells, Row, Split
from octomed_jax.questions.pseudonyms import pseudonym
from octomed_jax.questions.reading.folder import Folder, Place
from octomed_jax.questions.reading.forms import at_letter, by_letter
from octomed_jax.questions.reading.objects import is_keyed, keyed_rows
from octomed_jax.verification.rows import RowError, without_letters


def cells(row: Row, split: str) -> Iterator[Cells]:  # noqa: ARG001
    """Yield the question of a row: ``options`` have their letters ("A. Edema"), ``correct_answer`` is one."""
    texts, lettered = without_letters(row["options"])
    if not lettered:
        raise RowError("options do not begin with A., B. and so on", "options")
    images = [path.removeprefix("../") for path in row["ImagePath"]]  # as seen from the folder metadata/
    if not images:
        raise RowError("ImagePath names no image", "ImagePath")
    yield {
        "question": row["question"].strip(),
        "task": "mcq",
        "options": list(texts),
        "answer": at_letter(by_letter(texts), row["correct_answer"], "correct_answer"),
        "image": images,
        "explanation": row.get("correct_answer_explanation"),
        "cluster": pseudonym("rexvqa", row.get("PatientID") or ""),
    }


def places(folder: Folder, name: str, files: Sequence[str]) -> Iterator[Place]:
    """Yield the rows of a split: a file is one JSON object, question id to row, of up to a gigabyte."""
    for path in folder.tables(name, Split(tuple(files))):
        if not is_keyed(path):
            yield from (dataclasses.replace(place, size=1) for place in folder.rows(path))
            continue
        for number, (_, row) in enumerate(keyed_rows(path), 1):
            problem = "" if isinstance(row, dict) else f"is no row but {type(row).__name__}"
            yield Place(folder.shown(path), number, "question", None if problem else row, problem)


def _files(split: str) -> tuple[str, ...]:
    return tuple(f"{folder}{split}_vqa_data.json" for folder in ("metadata/", "QA_json/", ""))


SOURCES = (
    Adapter(
        name="rexvqa",
        title="multiple-choice questions on chest X-rays",
        kind="images",
        home="https://huggingface.co/datasets/rajpurkarlab/ReXVQA",
        licence="ReXGradient-160K Non-Commercial Data Access and Use Agreement",
        citation="Pal et al. 2025, arXiv:2506.04353",
        splits={
            "train": Split(_files("train")),
            "validation": Split(_files("valid"), chosen=False),
            "test": Split(_files("test"), goes_to="test"),
        },
        cells=cells,
        columns=("question", "options", "correct_answer", "ImagePath"),
        access="credentialed",
        modality="X-ray",
        body_region="chest",
        places=places,
        image_folders=("", "images"),  # below it deid_png/, of rajpurkarlab/ReXGradient-160K
        archives=("deid_png.zip",),
    ),
)
