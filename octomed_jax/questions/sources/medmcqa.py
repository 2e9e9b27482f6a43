"""MedMCQA: entrance exams with four options; ``cop`` is the right one.

The release (train.json, dev.json, test.json: JSON lines) counts ``cop`` from 1, the hub's Parquet files from 0, with
the same columns. So the values of a whole split say which it is: only counting from 0 gives a 0, only from 1 a 4.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from octomed_jax.errors import UserError
from octomed_jax.questions.adapter import Adapter, Cells, PassedOver, Row, Split
from octomed_jax.questions.reading.folder import Folder, Place
from octomed_jax.verification.rows import RowError

COLUMNS = ("id", "question", "opa", "opb", "opc", "opd", "cop", "exp")
OPTIONS = ("opa", "opb", "opc", "opd")
FIRST = "cop counts from"  # our own column


def places(folder: Folder, name: str, files: Sequence[str]) -> Iterator[Place]:
    """Yield the rows of a split, each with the number from which its ``cop`` counts.

    Raises:
        UserError: the split does not say it.
    """
    tables = folder.tables(name, Split(tuple(files)))
    found = {_cop(place.row) for path in tables for place in folder.rows(path, ("cop",)) if place.row}
    if (0 in found) == (4 in found):
        says = "holds both 0 and 4" if 0 in found else "holds neither 0 nor 4"
        raise UserError(f"the split {name} of {folder.root} does not say whether cop counts from 0 or 1: it {says}")
    first = 0 if 0 in found else 1
    for path in tables:
        for place in folder.rows(path, COLUMNS):
            yield replace(place, row=place.row and {**place.row, FIRST: first})


def _cop(row: Row) -> int:
    """Return a row's gold; -1 where it has none, as the hub spells it."""
    value = str(row.get("cop")).strip()
    return int(value) if value in ("0", "1", "2", "3", "4") else -1


def cells(row: Row, split: str) -> Iterator[Cells]:  # noqa: ARG001
    """Yield the question of a row; an option without a text is none."""
    place = _cop(row) - row[FIRST]
    if row.get("cop") in (None, -1, "-1"):
        raise PassedOver("its gold is not published")
    if not 0 <= place < len(OPTIONS):
        raise RowError(f"cop is {row['cop']!r}, but counts from {row[FIRST]} to {row[FIRST] + 3}", "answer")
    texts = [(row[name] or "").strip() for name in OPTIONS]
    if not texts[place]:
        raise RowError(f"cop is {row['cop']!r}, but {OPTIONS[place]} has no text", "answer")
    yield {
        "id": f"medmcqa:{row['id']}",
        "question": row["question"],
        "task": "mcq",
        "options": [text for text in texts if text],
        "answer": texts[place],
        "explanation": row.get("exp"),
    }


MEDMCQA = Adapter(
    name="medmcqa",
    title="Indian medical entrance exams with four options",
    kind="text",
    home="https://huggingface.co/datasets/openlifescienceai/medmcqa",
    licence="Apache-2.0",
    citation="Pal, Umapathi and Sankarasubbu 2022, arXiv:2203.14371",
    splits={
        "train": Split(("data/train-*.parquet", "train.json", "train*.parquet", "train.jsonl"), 182_822),
        "validation": Split(
            ("data/validation-*.parquet", "dev.json", "validation*.parquet", "validation.json*"), 4_183, "test"
        ),
        "test": Split(("data/test-*.parquet", "test.json"), 6_150, "test", chosen=False, gold=False),
    },
    cells=cells,
    places=places,
    hub="openlifescienceai/medmcqa",
)
SOURCES = (MEDMCQA,)
