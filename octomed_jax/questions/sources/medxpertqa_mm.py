"""MedXpertQA MM: exam questions with five options and one or more images; the choices stand in the question too."""

import re
from collections.abc import Iterator, Mapping

from octomed_jax.questions.adapter import Adapter, Cells, Row, Split
from octomed_jax.questions.reading.forms import at_letter
from octomed_jax.verification.rows import RowError

MARK = "Answer Choices:"


def cells(row: Row, split: str) -> Iterator[Cells]:  # noqa: ARG001
    """Yield the question of a row: a dict of options, a letter as ``label``, and names of image files."""
    options = {letter: text.strip() for letter, text in sorted(row["options"].items()) if text is not None}
    yield {
        "question": without_choices(row["question"], options),
        "task": "mcq",
        "options": list(options.values()),
        "answer": at_letter(options, row["label"], "label"),
        "image": list(row["images"]),
    }


def without_choices(question: str, options: Mapping[str, str]) -> str:
    """Return a question without the choices at its end: ``Answer Choices: (A) Edema (B) Gout``.

    Raises:
        RowError: they are not the options.
    """
    asked, mark, choices = question.rpartition(MARK)
    if not mark:
        return question.strip()
    shown = "".join(f"({letter}){text}" for letter, text in options.items())
    if re.sub(r"\s", "", choices) != re.sub(r"\s", "", shown):
        raise RowError(f"the choices in the question are not its options ({choices.strip()[:60]!r})", "question")
    return asked.strip()


SOURCES = (
    Adapter(
        name="medxpertqa-mm",
        title="exam questions with images and five options",
        kind="images",
        home="https://huggingface.co/datasets/TsinghuaC3I/MedXpertQA",
        licence="MIT",
        citation="Zuo et al. 2025, arXiv:2501.18362",
        splits={
            "dev": Split(("MM/dev.jsonl", "MM/dev/*.parquet", "dev.jsonl"), 5, "test", chosen=False),
            "test": Split(("MM/test.jsonl", "MM/test/*.parquet", "test.jsonl"), 2_000, "test"),
        },
        cells=cells,
        columns=("question", "options", "label", "images"),
        image_folders=("images", ""),
        archives=("images.zip",),
        hub="TsinghuaC3I/MedXpertQA",
    ),
)
