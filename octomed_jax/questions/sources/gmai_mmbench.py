"""GMAI-MMBench: multiple-choice questions on medical images of many kinds, in a table with the images in base64.

The eleven parts of its test split are published without answers, by what projects say that evaluate on it. One of them
takes ``category`` for the gold, with its full stops taken out; that is a guess, and is not made here.
"""

from collections.abc import Iterator

from octomed_jax.questions.adapter import Adapter, Cells, Row, Split
from octomed_jax.questions.reading.forms import at_letter, lettered

CHOICES = {letter: letter for letter in "ABCDE"}


def cells(row: Row, split: str) -> Iterator[Cells]:  # noqa: ARG001
    """Yield the question of a row; of its five columns of options some are empty."""
    options = lettered(row, CHOICES)
    yield {
        "question": row["question"].strip(),
        "task": "mcq",
        "options": list(options.values()),
        "answer": at_letter(options, row["answer"], "answer"),
        "image": {"bytes": row["image"], "path": None},
    }


SOURCES = (
    Adapter(
        name="gmai-mmbench",
        title="multiple-choice questions on medical images of many kinds",
        kind="images",
        home="https://huggingface.co/datasets/OpenGVLab/GMAI-MMBench",
        licence="Apache-2.0",  # of the set; its images come from many others
        citation="Chen et al. 2024, arXiv:2408.03361",
        splits={
            "validation": Split(("GMAI_mm_bench_VAL.tsv", "GMAI-MMBench_VAL.tsv"), goes_to="test"),
            "test": Split(("GMAI_mm_bench_TEST_part_*.tsv",), goes_to="test", chosen=False, gold=False),
        },
        cells=cells,
        hub="OpenGVLab/GMAI-MMBench",
    ),
)
