"""MedVLThinker: four sets in one schema, of multiple choice with and without images; some with a teacher's thought.

``options`` is JSON of letters and texts; the gold stands twice, as a letter and as a text. Where ``reasoning`` is
there, its makers published the thought alone: the response that it was taken from is not there, so there is nothing to
verify, and it is no response here.
"""

import json
import re
from collections.abc import Iterator

from octomed_jax.questions.adapter import Adapter, Cells, Row, Split
from octomed_jax.questions.reading.forms import gold_cells

COLUMNS = ("images", "question", "options", "answer_label", "answer", "dataset_name")


def cells(row: Row, split: str) -> Iterator[Cells]:  # noqa: ARG001
    """Yield the question of a row; the two forms of the gold must agree."""
    yield {
        "question": row["question"],
        "task": "mcq",
        **gold_cells(json.loads(row["options"]), row["answer_label"], row["answer"], ("answer_label", "answer")),
        "image": row.get("images"),
        "benchmark": _name(row["dataset_name"]),
    }


def _name(published: str) -> str:
    """Return the name of the set that a row is of, as a report may spell it: openlifescienceai/medmcqa is medmcqa."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", published.rpartition("/")[2]).strip("._")


def _adapter(name: str, title: str, kind: str, repository: str, split: str = "train") -> Adapter:
    return Adapter(
        name=name,
        title=title,
        kind=kind,
        home=f"https://huggingface.co/datasets/{repository}",
        licence="unknown",
        citation="Huang et al. 2025, arXiv:2508.02669",
        splits={split: Split((f"data/{split}-*.parquet", f"{split}*"), goes_to=split)},
        cells=cells,
        columns=COLUMNS,
        hub=repository,
    )


PMC_VQA = "UCSC-VLAA/MedVLThinker-pmc_vqa"
SOURCES = (
    _adapter("medvlthinker-eval", "multiple choice of six benchmarks", "images", "UCSC-VLAA/MedVLThinker-Eval", "test"),
    _adapter("medvlthinker-m23k", "m23k with R1's thoughts", "traces", "UCSC-VLAA/MedVLThinker-m23k-tokenized"),
    _adapter("medvlthinker-pmc-vqa", "PMC-VQA in MedVLThinker's schema", "images", PMC_VQA),
    _adapter(
        "medvlthinker-gpt-4o", "PMC-VQA with GPT-4o's thoughts", "traces", f"{PMC_VQA}-gpt_4o_reasoning-tokenized"
    ),
)
