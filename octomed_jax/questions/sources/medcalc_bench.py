"""MedCalc-Bench: a patient's note and a value to be computed of it, with the range that is accepted.

Scores and equations have a number with its limits. Two calculators give a date (``12/02/2000``, month first) and one a
gestational age (``('34 weeks', '3 days')``), which are exact and have themselves as limits.
"""

from collections.abc import Iterator, Mapping

from octomed_jax.questions.adapter import Adapter, Cells, Row, Split
from octomed_jax.storage import sha256_bytes
from octomed_jax.verification.dates import gold_date, read_weeks
from octomed_jax.verification.numeric import decimal_of
from octomed_jax.verification.rows import RowError

ANSWER, LOWER, UPPER = "Ground Truth Answer", "Lower Limit", "Upper Limit"
COLUMNS = ("Output Type", "Patient Note", "Question", ANSWER, LOWER, UPPER, "Ground Truth Explanation")


def cells(row: Row, split: str) -> Iterator[Cells]:  # noqa: ARG001
    """Yield the question of a row, below its note; a note is one cluster, whatever is computed of it."""
    note, question = row["Patient Note"].strip(), row["Question"].strip()
    if not note or not question:
        raise RowError("it has no note or no question", "question")
    yield {
        "question": f"{note}\n\n{question}",
        "task": "numeric",  # reads dates and gestational ages too
        "explanation": row["Ground Truth Explanation"],
        "cluster": f"note-{sha256_bytes(note.encode())[:16]}",
        **_gold(row),
    }


def _gold(row: Row) -> Cells:
    """Return the answer, and the limits of a number; those of old releases are swapped below zero."""
    answer, lower, upper = (str(row[name] if row[name] is not None else "").strip() for name in (ANSWER, LOWER, UPPER))
    kind = row["Output Type"]
    if decimal_of(answer) is not None:
        if kind == "date":
            raise RowError(f"{ANSWER} is the number {answer}, but Output Type is date", "answer")
        limits = sorted(float(limit) for limit in (lower, upper))
        return {"answer": answer, "lower_limit": limits[0], "upper_limit": limits[1]}
    exact = gold_date(answer) or read_weeks(answer).value
    if not exact or (gold_date(answer) and kind != "date"):
        raise RowError(f"{ANSWER} {answer[:40]!r} is nothing that Output Type {kind} can be", "answer")
    if {lower, upper} - {answer, ""}:
        raise RowError(f"{ANSWER} is {answer!r}, but its limits are {lower!r} and {upper!r}", "answer")
    return {"answer": exact}


def _files(name: str) -> tuple[str, ...]:
    return (f"data/{name}-*.parquet", f"datasets/{name}_data.csv", f"{name}_data.csv", f"{name}-*.parquet")


def _adapter(name: str, title: str, home: str, hub: str, splits: Mapping[str, Split]) -> Adapter:
    return Adapter(
        name=name,
        title=title,
        kind="text",
        home=home,
        licence="CC-BY-SA-4.0",
        citation="Khandekar et al. 2024, arXiv:2406.12036",
        splits=splits,
        cells=cells,
        columns=COLUMNS,
        hub=hub,
    )


BENCH = _adapter(
    "medcalc-bench",
    "values to be computed of patients' notes (version 1.2)",
    "https://github.com/ncbi-nlp/MedCalc-Bench",
    "ncbi/MedCalc-Bench-v1.2",
    {"train": Split(_files("train"), 10_543), "test": Split(_files("test"), 1_100, "test")},
)
VERIFIED = _adapter(
    "medcalc-bench-verified",
    "values to be computed of patients' notes, checked once more",
    "https://github.com/nikhilk7153/MedCalc-Bench-Verified",
    "nsk7153/MedCalc-Bench-Verified",
    {
        "one_shot": Split(_files("one_shot"), 55, chosen=False),
        "train": Split(_files("train"), 10_538),
        "test": Split(_files("test"), 1_100, "test"),
    },
)
SOURCES = (BENCH, VERIFIED)
