"""MedQA (USMLE): exam questions with four or five options, the gold as a letter and as a text."""

from collections.abc import Iterator

from octomed_jax.questions.adapter import Adapter, Cells, Row, Split
from octomed_jax.questions.reading.forms import gold_cells

COLUMNS = ("question", "options", "answer", "answer_idx")


def cells(row: Row, split: str) -> Iterator[Cells]:  # noqa: ARG001
    """Yield the question of a row; ``options`` is a dict of letters, and the two forms of the gold must agree."""
    gold = gold_cells(row["options"], row["answer_idx"], row["answer"], ("answer_idx", "answer"))
    yield {"question": row["question"], "task": "mcq", **gold}


FOUR = Adapter(
    name="medqa",
    title="USMLE questions with four options",
    kind="text",
    home="https://huggingface.co/datasets/GBaker/MedQA-USMLE-4-options",
    licence="CC-BY-4.0",
    citation="Jin et al. 2021, arXiv:2009.13081",
    splits={
        "train": Split(("phrases_no_exclude_train.jsonl", "data/train-*.parquet", "train*"), 10_178),
        "test": Split(("phrases_no_exclude_test.jsonl", "data/test-*.parquet", "test*"), 1_273, "test"),
    },
    cells=cells,
    columns=COLUMNS,
    hub="GBaker/MedQA-USMLE-4-options",
)
FIVE = Adapter(
    name="medqa-5options",
    title="USMLE questions with five options",
    kind="text",
    home="https://github.com/jind11/MedQA",
    licence="MIT",
    citation="Jin et al. 2021, arXiv:2009.13081",
    splits={
        "train": Split(("questions/US/train.jsonl", "train.jsonl", "data/train-*.parquet", "train*"), 10_178),
        "dev": Split(("questions/US/dev.jsonl", "dev.jsonl", "data/validation-*.parquet"), 1_272, chosen=False),
        "test": Split(("questions/US/test.jsonl", "test.jsonl", "data/test-*.parquet", "test*"), 1_273, "test"),
    },
    cells=cells,
    columns=COLUMNS,
)
SOURCES = (FOUR, FIVE)
