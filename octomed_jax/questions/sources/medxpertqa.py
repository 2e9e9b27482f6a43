"""MedXpertQA: exam questions for specialists, Text with ten options and MM with five and images.

The options stand in the question's text once more. Published on the hub with ``options`` by letter and ``label`` as a
letter; in its makers' repository the options of Text are a list of letter and content, the label a list of one letter.

Both have a split ``dev`` of five questions, for prompts with examples. It is held out as ``test`` is: the set was made
for measuring alone and is not to be trained on, as its makers say (issue 4 of their repository).
"""

import re
from collections.abc import Iterator, Mapping

from octomed_jax.questions.adapter import Adapter, Cells, Row, Split
from octomed_jax.questions.reading.forms import at_letter
from octomed_jax.verification.rows import RowError

MARK = "Answer Choices:"
HOME, HUB = "https://huggingface.co/datasets/TsinghuaC3I/MedXpertQA", "TsinghuaC3I/MedXpertQA"
LICENCE, CITATION = "MIT", "Zuo et al. 2025, arXiv:2501.18362"


def text_cells(row: Row, split: str) -> Iterator[Cells]:
    """Yield the question of a row of Text."""
    label = row["label"] if isinstance(row["label"], str) else "".join(row["label"])
    yield {"id": f"medxpertqa-text:{split}:{row['id']}".lower(), **_asked(row, label)}


def mm_cells(row: Row, split: str) -> Iterator[Cells]:  # noqa: ARG001
    """Yield the question of a row of MM, with the names of its image files."""
    yield {**_asked(row, row["label"]), "image": list(row["images"])}


def _asked(row: Row, label: str) -> Cells:
    given = row["options"]
    if not isinstance(given, Mapping):
        given = {option["letter"]: option["content"] for option in given}
    options = {letter: text.strip() for letter, text in sorted(given.items()) if text is not None}
    return {
        "question": without_choices(row["question"], options),
        "task": "mcq",
        "options": list(options.values()),
        "answer": at_letter(options, label, "label"),
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


TEXT = Adapter(
    name="medxpertqa-text",
    title="questions for specialists with ten options",
    kind="text",
    home=HOME,
    licence=LICENCE,
    citation=CITATION,
    splits={
        "dev": Split(("Text/dev.jsonl", "dev.jsonl"), 5, "test", chosen=False),
        "test": Split(
            ("Text/test.jsonl", "test.jsonl", "eval/data/medxpertqa/input/medxpertqa_text_input.jsonl"), 2_450, "test"
        ),
    },
    cells=text_cells,
    columns=("id", "question", "options", "label"),
    hub=HUB,
)
MM = Adapter(
    name="medxpertqa-mm",
    title="exam questions with images and five options",
    kind="images",
    home=HOME,
    licence=LICENCE,
    citation=CITATION,
    splits={
        "dev": Split(("MM/dev.jsonl", "MM/dev/*.parquet", "dev.jsonl"), 5, "test", chosen=False),
        "test": Split(("MM/test.jsonl", "MM/test/*.parquet", "test.jsonl"), 2_000, "test"),
    },
    cells=mm_cells,
    columns=("question", "options", "label", "images"),
    image_folders=("images", ""),
    archives=("images.zip",),
    hub=HUB,
)
SOURCES = (TEXT, MM)
