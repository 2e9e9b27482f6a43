"""The sets that the paper's authors publish under OctoMed on the hub with a test split, for measuring on the same rows.

``--source=octomed`` reads them too, but knows neither their name nor what a report calls them. The authors' splits are
not always those of the set that they were made of: Messidor-2 has none, and of PMC-VQA's second version 2,000
questions are held out. Their rows are in OctoMed's schema; VQA-RAD and SLAKE keep the columns that they came with, of
which ``answer_type`` (OPEN or CLOSED) says how an answer is scored.
"""

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial

from octomed_jax.questions.adapter import Adapter, Cells, Row, Split
from octomed_jax.questions.reading.forms import short_answer
from octomed_jax.questions.sources.octomed import OWN
from octomed_jax.verification.rows import RowError

ANSWERED = ("image", "question", "answer", "answer_type")  # of the sets without options


def cells(benchmark: str, row: Row, split: str) -> Iterator[Cells]:  # noqa: ARG001
    """Yield the row itself, with the name under which results are reported."""
    yield {**row, "benchmark": benchmark}


def answered(benchmark: str, row: Row, split: str) -> Iterator[Cells]:  # noqa: ARG001
    """Yield the question of a row of VQA-RAD or SLAKE."""
    kind = row["answer_type"].strip().upper()
    if kind not in ("CLOSED", "OPEN"):
        raise RowError(f"answer_type is {row['answer_type']!r}, neither CLOSED nor OPEN", "answer_type")
    asked = short_answer(row["question"], row["answer"])
    yield {**asked, "image": row["image"], "benchmark": f"{benchmark}-{kind.lower()}"}


def _adapter(
    published: str,
    benchmark: str,
    kind: str,
    train: int,
    test: int,
    licence: str = "unknown",
    of: Callable[..., Iterator[Cells]] = cells,
    columns: tuple[str, ...] = OWN.columns,
) -> Adapter:
    return dataclasses.replace(
        OWN,
        name=f"octomed-{benchmark}",
        title=f"{published} in the splits of the paper's authors",
        kind=kind,
        home=f"https://huggingface.co/datasets/OctoMed/{published}",
        licence=licence,
        splits={
            "train": Split(("data/train-*.parquet", "train*.parquet"), train),
            "test": Split(("data/test-*.parquet", "test*.parquet"), test, "test"),
        },
        cells=partial(of, benchmark),
        columns=columns,
        content_ids=False,
        hub=f"OctoMed/{published}",
    )


SOURCES = (
    _adapter("MedQA-5options", "medqa-5options", "text", 10_178, 1_273),
    _adapter("PMC-VQA", "pmc-vqa", "images", 176_948, 2_000),
    _adapter("Messidor2", "messidor2", "classification", 1_394, 350),
    _adapter("VQA-RAD", "vqa-rad", "images", 3_064, 451, "CC0-1.0", answered, ANSWERED),
    _adapter("SLAKE", "slake", "images", 5_972, 1_061, "CC-BY-4.0", answered, ANSWERED),
)
