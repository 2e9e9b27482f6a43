"""PathVQA: questions on figures of pathology textbooks, yes or no and open."""

from collections.abc import Iterator

from octomed_jax.questions.adapter import Adapter, Cells, Row, Split
from octomed_jax.questions.reading.forms import short_answer


def cells(row: Row, split: str) -> Iterator[Cells]:  # noqa: ARG001
    """Yield the question of a row."""
    yield {**short_answer(row["question"], row["answer"]), "image": row["image"]}


SOURCES = (
    Adapter(
        name="pathvqa",
        title="questions on figures of pathology textbooks",
        kind="images",
        home="https://huggingface.co/datasets/flaviagiammarino/path-vqa",
        licence="MIT",  # of the set; the card says that the rights in the images are the books' publishers'
        citation="He et al. 2020, arXiv:2003.10286",
        splits={
            "train": Split(("data/train-*.parquet", "train*.parquet"), 19_654),
            "validation": Split(("data/validation-*.parquet", "validation*.parquet"), 6_259, chosen=False),
            "test": Split(("data/test-*.parquet", "test*.parquet"), 6_719, "test"),
        },
        cells=cells,
        columns=("image", "question", "answer"),
        hub="flaviagiammarino/path-vqa",
    ),
)
