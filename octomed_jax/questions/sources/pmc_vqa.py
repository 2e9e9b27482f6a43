"""PMC-VQA: questions on figures of papers with four options; the gold of version 1 is a text, of version 2 a letter."""

import re
from collections.abc import Iterator

from octomed_jax.questions.adapter import Adapter, Cells, Row, Split
from octomed_jax.questions.reading.forms import agreed, at_letter, lettered

CHOICES = {letter: f"Choice {letter}" for letter in "ABCD"}
HOME = "https://huggingface.co/datasets/RadGenome/PMC-VQA"
LICENCE = "CC-BY-SA-4.0"  # as a mirror of the set says
CITATION = "Zhang et al. 2023, arXiv:2305.10415"


def first(row: Row, split: str) -> Iterator[Cells]:  # noqa: ARG001
    """Yield the question of a row of version 1; ``Answer`` is a text, and must be that of ``Answer_label``.

    The first upload had the letter before that text too; a copy without that column has the text alone.
    """
    options, text = lettered(row, CHOICES), re.sub(r"^[A-D]\s*:\s*", "", row["Answer"].strip())
    label = row.get("Answer_label")
    gold = agreed(options, label, text, ("Answer_label", "Answer")) if label else text
    yield {**_asked(row), "options": list(options.values()), "answer": gold}


def second(row: Row, split: str) -> Iterator[Cells]:  # noqa: ARG001
    """Yield the question of a row of version 2; ``Answer`` is a letter."""
    options = lettered(row, CHOICES)
    yield {**_asked(row), "options": list(options.values()), "answer": at_letter(options, row["Answer"], "Answer")}


def _asked(row: Row) -> Cells:
    return {"question": row["Question"].strip(), "task": "mcq", "image": row["Figure_path"].strip()}


FIRST = Adapter(
    name="pmc-vqa",
    title="questions on figures of papers (PMC-VQA version 1)",
    kind="images",
    home=HOME,
    licence=LICENCE,
    citation=CITATION,
    splits={
        "train": Split(("train.csv",), 152_603),
        "test": Split(("test.csv",), 33_430, "test", chosen=False),
        "test_clean": Split(("test_clean.csv",), 2_000, "test"),  # of ``test``, those that people have checked
    },
    cells=first,
    columns=("Figure_path", "Question", "Answer", *CHOICES.values(), "Answer_label"),
    image_folders=("images", "figures", ""),
    archives=("images.zip",),
    hub="RadGenome/PMC-VQA",
)
SECOND = Adapter(
    name="pmc-vqa-2",
    title="questions on figures of papers with one panel (PMC-VQA version 2)",
    kind="images",
    home=HOME,
    licence=LICENCE,
    citation=CITATION,
    splits={"train": Split(("train_2.csv",)), "test": Split(("test_2.csv",), goes_to="test")},
    cells=second,
    columns=("Figure_path", "Question", *CHOICES.values(), "Answer"),
    image_folders=("images_2", "figures", "images", ""),
    archives=("images_2.zip",),
    hub="RadGenome/PMC-VQA",
)
SOURCES = (FIRST, SECOND)
