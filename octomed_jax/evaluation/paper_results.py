"""What the paper reports (arXiv 2511.23269, Table 2 and Figure 8): to be set beside what is measured here.

All figures are the paper's, none is ours. Its cells are accuracies in per cent, means over 5 seeds, and some of OctoMed
are majority votes of 10 samples: one is marked so, others are seen to be so because Figure 8 prints the plain mean of
the same runs. Compare plain means with ``FIGURE_8``, and votes with the table.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

TABLE, FIGURE = "arXiv 2511.23269, Table 2", "arXiv 2511.23269, Figure 8"
STUDENT = "OctoMed-7B"
MODELS = (
    "Qwen2.5-VL-7B", "HuatuoGPT-V-7B", "MedVLThinker-7B", "InternVL3.5-8B", "GLM-4.1V-9B", "QoQ-Med-7B", "LingShu-7B",
    STUDENT, "MedGemma-27B", "GPT-4o", "DeepSeek-R1",
)  # fmt: skip
WITHOUT_IMAGES = ("DeepSeek-R1",)  # it has no cell where there are images
# Benchmark (of benchmarks.py) to a cell for each of MODELS; the last is missing where there are images.
TABLE_2: dict[str, tuple[float, ...]] = {
    "medqa": (57.99, 55.40, 58.56, 73.37, 76.83, 58.30, 62.09, 90.81, 85.17, 90.72, 93.16),
    "headqa": (69.61, 67.14, 71.00, 81.00, 81.73, 70.94, 69.23, 82.36, 84.56, 89.56, 90.93),
    "medmcqa": (51.45, 50.74, 54.87, 60.72, 64.64, 53.11, 53.16, 72.70, 70.34, 77.21, 79.36),
    "medxpertqa-text": (12.16, 10.85, 12.91, 12.82, 17.67, 11.72, 12.54, 24.51, 21.89, 30.31, 37.30),
    "mmlu-pro-health": (49.32, 44.77, 52.13, 62.96, 68.33, 49.93, 50.73, 68.75, 70.83, 76.06, 79.39),
    "mmmu-pro": (32.87, 30.00, 38.95, 47.90, 49.65, 33.29, 36.78, 42.52, 40.77, 57.76),
    "nejm-image-challenge": (43.76, 44.06, 44.31, 52.90, 54.81, 44.01, 48.43, 61.14, 57.06, 69.99),
    "pmc-vqa": (49.66, 51.46, 49.88, 59.55, 57.05, 49.79, 58.76, 61.13, 46.08, 60.14),
    "medxpertqa-mm": (22.47, 22.63, 24.81, 26.10, 28.65, 22.74, 26.19, 36.65, 33.13, 44.38),
    "brain-tumor-mri": (27.82, 37.16, 31.07, 64.47, 47.72, 55.33, 78.99, 80.86, 58.33, 65.99),
    "coronahack": (34.17, 42.76, 36.41, 38.62, 39.90, 50.13, 42.24, 71.22, 58.27, 41.70),
    "aptos": (26.71, 40.95, 25.08, 51.96, 42.76, 64.60, 56.83, 75.43, 49.20, 66.58),
    "messidor2": (20.63, 33.66, 22.40, 27.71, 26.86, 59.14, 42.86, 55.20, 53.09, 45.26),
    "bcss": (43.12, 43.72, 48.01, 50.95, 52.84, 52.02, 52.40, 53.72, 35.95, 50.28),
}
OVERALL: dict[str, tuple[float, ...]] = {  # as the table prints it
    "text": (48.10, 45.78, 49.89, 58.17, 61.84, 48.80, 49.55, 67.83, 66.56, 72.77, 76.05),
    "reasoning on images": (37.19, 37.04, 39.49, 46.61, 47.54, 37.46, 42.54, 50.36, 44.25, 58.07),
    "classification": (30.49, 46.39, 32.59, 46.39, 41.76, 56.24, 54.66, 67.29, 50.97, 53.96),
}
# Cells of OVERALL that are not the mean of the cells above them: a slip in the paper, or in the copy that was read.
NOT_THE_MEAN = frozenset(
    {
        ("classification", "HuatuoGPT-V-7B"),
        ("classification", "InternVL3.5-8B"),
        ("classification", "GLM-4.1V-9B"),
    }
)
MAJORITY_OF = 10
DAGGERS = frozenset({("medqa", STUDENT)})  # marked in the table as a majority vote
# Not marked, but Figure 8 has less by more than rounding and seeds would give.
LIKE_A_VOTE = frozenset({("mmlu-pro-health", STUDENT), ("mmmu-pro", STUDENT)})


@dataclasses.dataclass(frozen=True)
class Length:
    """A row of Figure 8: mean tokens of a response and accuracy in per cent, of two models."""

    other_tokens: int
    tokens: int
    other_accuracy: float
    accuracy: float


OTHER = "QoQ-Med-7B"  # in the figure as QoQ-Med-VL-7B
FIGURE_8: dict[str, Length] = {
    "mmmu-pro": Length(699, 1506, 33.3, 42.1),
    "nejm-image-challenge": Length(720, 944, 44.0, 61.1),
    "pmc-vqa": Length(615, 320, 49.8, 61.1),
    "medxpertqa-mm": Length(801, 1855, 22.7, 36.6),
    "medqa": Length(739, 1453, 58.3, 88.3),
    "headqa": Length(582, 1298, 70.9, 82.3),
    "medmcqa": Length(572, 528, 53.1, 72.7),
    "medxpertqa-text": Length(857, 3700, 11.7, 24.4),
    "mmlu-pro-health": Length(716, 1725, 49.9, 67.1),
    "brain-tumor-mri": Length(640, 297, 55.3, 80.9),
    "coronahack": Length(652, 308, 50.1, 71.2),
    "aptos": Length(733, 357, 64.6, 75.4),
    "messidor2": Length(713, 348, 59.1, 55.2),
    "bcss": Length(643, 317, 52.0, 53.7),
}
# Of the model's card, not of the paper: per cent, by the tokens of GPT-2 where the answer is open.
LEGACY_SOURCE = "model card of OctoMed-7B"
LEGACY = {
    "vqa-rad": {"open_token_f1": 64.23, "closed_accuracy": 85.66},
    "slake": {"open_token_f1": 84.96, "closed_accuracy": 89.66},
}


def mark_of(row: str, model: str) -> str:
    """Return what is to be said of a cell: "majority of 10", "looks like a majority vote", "not the mean of its rows".

    Args:
        row: a benchmark, or a category for its overall.
        model: one of MODELS.
    """
    if (row, model) in DAGGERS:
        return f"majority of {MAJORITY_OF}"
    if (row, model) in LIKE_A_VOTE:
        return "looks like a majority vote"
    return "not the mean of its rows" if (row, model) in NOT_THE_MEAN else ""


def cell(row: str, model: str) -> float | None:
    """Return a cell of Table 2, of a benchmark or of a category's overall; None where the paper has none.

    Raises:
        ValueError: no such model.
    """
    if model not in MODELS:
        raise ValueError(f"Table 2 has no model {model!r}; it has {', '.join(MODELS)}")
    values: Sequence[float] = TABLE_2.get(row) or OVERALL.get(row) or ()
    place = MODELS.index(model)
    return values[place] if place < len(values) else None


def table() -> list[dict[str, Any]]:
    """Return Table 2 as rows of plain data, a benchmark or an overall each: ``row, source, cells``.

    ``cells`` has of each model that has one its accuracy in per cent and a mark, "" where nothing is to be said.
    """
    return [
        {
            "row": row,
            "source": TABLE,
            "overall": row in OVERALL,
            "cells": {
                model: {"accuracy": value, "mark": mark_of(row, model)}
                for model, value in zip(MODELS, values, strict=False)
            },
        }
        for row, values in (TABLE_2 | OVERALL).items()
    ]


def lengths() -> list[dict[str, Any]]:
    """Return Figure 8 as rows of plain data: of each benchmark the two models' mean tokens and accuracies."""
    return [
        {
            "benchmark": name,
            "source": FIGURE,
            OTHER: {"tokens": one.other_tokens, "accuracy": one.other_accuracy},
            STUDENT: {"tokens": one.tokens, "accuracy": one.accuracy},
        }
        for name, one in FIGURE_8.items()
    ]
