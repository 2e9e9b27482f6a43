"""MMLU-Pro, of which only the questions on health are asked; up to ten options, the gold as a letter and from 0."""

from collections.abc import Iterator

from octomed_jax.prompts import LETTERS
from octomed_jax.questions.adapter import Adapter, Cells, PassedOver, Row, Split
from octomed_jax.verification.rows import RowError

COLUMNS = ("question", "options", "answer", "answer_index", "category")
PADDING = "N/A"  # stands for an option that there is not


def cells(row: Row, split: str) -> Iterator[Cells]:  # noqa: ARG001
    """Yield the question of a row; the two forms of the gold must agree."""
    if row["category"] != "health":
        raise PassedOver(f"its category is {row['category']}")
    options, index = row["options"], int(row["answer_index"])
    if not 0 <= index < len(options) or options[index] == PADDING:
        raise RowError(f"answer_index {index} is none of its {len(options)} options", "answer")
    if row["answer"] != LETTERS[index]:
        raise RowError(f"answer_index {index} is {LETTERS[index]}, but answer is {row['answer']!r}", "answer")
    yield {
        "question": row["question"],
        "task": "mcq",
        "options": [option for option in options if option != PADDING],
        "answer": options[index],
    }


HEALTH = Adapter(
    name="mmlu-pro-health",
    title="MMLU-Pro's questions on health, with up to ten options",
    kind="text",
    home="https://huggingface.co/datasets/TIGER-Lab/MMLU-Pro",
    licence="MIT",
    citation="Wang et al. 2024, arXiv:2406.01574",
    splits={
        "validation": Split(("data/validation-*.parquet", "validation*"), 70, chosen=False),
        "test": Split(("data/test-*.parquet", "test*"), 12_032, "test"),
    },
    cells=cells,
    columns=COLUMNS,
    hub="TIGER-Lab/MMLU-Pro",
)
SOURCES = (HEALTH,)
