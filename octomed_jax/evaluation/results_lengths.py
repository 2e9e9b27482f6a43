"""Thinking length against difficulty in a report: rank correlations, and lengths by how often a question is solved."""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from octomed_jax.errors import UserError
from octomed_jax.evaluation import paper_results as paper
from octomed_jax.evaluation.calibration import across, calibrate
from octomed_jax.evaluation.results_data import FAILED, Result

# Upper ends of the classes of solve rates, and what they are called; from the hardest.
CLASSES = (
    (0.0, "never solved"),
    (0.25, "up to 1/4"),
    (0.5, "up to 1/2"),
    (0.75, "up to 3/4"),
    (1 - 1e-9, "above 3/4"),
    (1.0, "always solved"),
)
KEPT = ("benchmark", "id", "seed", "thinking_tokens", "completion_tokens", "cluster")

Sample = Mapping[str, Any]


def kept_of(sample: Sample) -> dict[str, Any] | None:
    """Return the numbers of a sample that are needed here; None of a failed one."""
    if sample["outcome"] == FAILED:
        return None
    return {**{name: sample[name] for name in KEPT}, "verdict": sample["outcome"]}


def calibration(result: Result, samples: Sequence[Sample]) -> dict[str, Any] | None:
    """Return how thinking length goes with difficulty: the figures of the results where they have them.

    Args:
        result: whose samples they are; its accuracies must be theirs.
        samples: of ``kept_of``.

    Returns:
        None where no benchmark has a rule of right and wrong.

    Raises:
        UserError: two samples are one, a length is none, or the accuracies are not those of the results.
    """
    ruled = [row for row in samples if result.benchmarks[row["benchmark"]]["accuracy"] is not None]
    _check_accuracies(result, ruled)
    if not ruled:
        return None
    if (told := result.calibration) and told.get("benchmarks"):
        return {
            **{name: told.get(name) for name in ("unit", "benchmarks", "across", "within")},
            "classes": _classes(ruled),
        }
    try:
        found = calibrate(ruled)
    except ValueError as error:
        raise UserError(f"{result.path}: {error}") from error
    units = {(figures.get("thinking_tokens") or {}).get("unit") for figures in result.benchmarks.values()} - {None}
    unit = " and ".join(sorted(map(str, units))) or "tokens"
    return {"unit": unit, **dataclasses.asdict(found), "classes": _classes(ruled)}


def _check_accuracies(result: Result, samples: Iterable[Sample]) -> None:
    """Refuse samples whose accuracies are not those that the results say."""
    rights: dict[str, dict[str, list[bool]]] = {}
    for sample in samples:
        own = rights.setdefault(sample["benchmark"], {})
        own.setdefault(sample["id"], []).append(sample["verdict"] == "correct")
    for name, questions in rights.items():
        written = result.benchmarks[name]["accuracy"]
        found = math.fsum(sum(right) / len(right) for right in questions.values()) / len(questions)
        if not math.isclose(written, found, abs_tol=1e-6) or len(questions) != result.benchmarks[name]["n"]:
            raise UserError(
                f"{result.path} says {written:.6f} of {name} over {result.benchmarks[name]['n']} questions; "
                f"the samples beside it, {found:.6f} over {len(questions)}: `octomed eval score` makes results of them"
            )


def _classes(samples: Iterable[Sample]) -> list[dict[str, Any]]:
    """Return of each class of solve rates how many questions there are and the quartiles of their mean thoughts."""
    questions: dict[tuple[str, str], tuple[list[bool], list[float]]] = {}
    for sample in samples:
        right, lengths = questions.setdefault((sample["benchmark"], sample["id"]), ([], []))
        right.append(sample["verdict"] == "correct")
        if sample["thinking_tokens"] is not None:
            lengths.append(sample["thinking_tokens"])
    held: list[list[float]] = [[] for _ in CLASSES]
    counts = [0 for _ in CLASSES]
    for right, lengths in questions.values():
        place = next(place for place, (top, _) in enumerate(CLASSES) if sum(right) / len(right) <= top)
        counts[place] += 1
        if lengths:
            held[place].append(sum(lengths) / len(lengths))
    return [
        {"class": words, "questions": count, "timed": len(lengths), "quartiles": _quartiles(lengths)}
        for (_, words), count, lengths in zip(CLASSES, counts, held, strict=True)
    ]


def _quartiles(values: Sequence[float]) -> list[float] | None:
    """Return the smallest values that a quarter, half and three quarters of all do not exceed."""
    ordered = sorted(values)
    return [ordered[math.ceil(share * len(ordered)) - 1] for share in (0.25, 0.5, 0.75)] if ordered else None


def of_paper() -> dict[str, dict[str, Any]]:
    """Return of the two models of Figure 8 their points and the rank correlation over the benchmarks."""
    rows = paper.lengths()
    return {
        model: {
            "points": {row["benchmark"]: row[model] for row in rows},
            "across": dataclasses.asdict(
                across([row[model]["tokens"] for row in rows], [row[model]["accuracy"] for row in rows])
            ),
        }
        for model in (paper.STUDENT, paper.OTHER)
    }
