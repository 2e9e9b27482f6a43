"""MedXpertQA, the part without images: ten options, which stand in the question's text once more.

Published on the hub with ``options`` by letter and ``label`` as a letter; in its makers' repository the options are a
list of letter and content, the label a list of one letter.
"""

from collections.abc import Iterator, Mapping

from octomed_jax.questions.adapter import Adapter, Cells, Row, Split
from octomed_jax.verification.rows import RowError

COLUMNS = ("id", "question", "options", "label")
HEAD = "\nAnswer Choices: "


def cells(row: Row, split: str) -> Iterator[Cells]:
    """Yield the question of a row, without the options in its text."""
    options = row["options"]
    if not isinstance(options, Mapping):
        options = {option["letter"]: option["content"] for option in options}
    options = {letter: text for letter, text in sorted(options.items()) if text is not None}
    label = row["label"] if isinstance(row["label"], str) else "".join(row["label"])
    if label not in options:
        raise RowError(f"label is {label!r}, but the options are {', '.join(options)}", "answer")
    yield {
        "id": f"medxpertqa-text:{split}:{row['id']}".lower(),
        "question": without_choices(row["question"], options),
        "task": "mcq",
        "options": list(options.values()),
        "answer": options[label],
    }


def without_choices(question: str, options: Mapping[str, str]) -> str:
    """Return a question without the options at its end.

    Raises:
        RowError: it ends with others.
    """
    asked, head, choices = question.rpartition(HEAD)
    if not head:
        return question
    said = " ".join(f"({letter}) {text}" for letter, text in options.items())
    if choices.split() != said.split():
        raise RowError("the choices in the question are not its options", "options")
    return asked.rstrip()


TEXT = Adapter(
    name="medxpertqa-text",
    title="questions for specialists with ten options",
    kind="text",
    home="https://huggingface.co/datasets/TsinghuaC3I/MedXpertQA",
    licence="MIT",
    citation="Zuo et al. 2025, arXiv:2501.18362",
    splits={
        "dev": Split(("Text/dev.jsonl", "dev.jsonl"), 5, chosen=False),
        "test": Split(
            ("Text/test.jsonl", "test.jsonl", "eval/data/medxpertqa/input/medxpertqa_text_input.jsonl"), 2_450, "test"
        ),
    },
    cells=cells,
    columns=COLUMNS,
    hub="TsinghuaC3I/MedXpertQA",
)
SOURCES = (TEXT,)
