"""What is written beside the questions that stay: every question that went, with its reason, and examples of them."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from etils import epath

from octomed_jax import progress
from octomed_jax.curation.corpus import Corpus
from octomed_jax.curation.evaluation_sets import SetPlaces
from octomed_jax.curation.removed import Removed
from octomed_jax.schema import QUESTION_SCHEMA
from octomed_jax.traces import lake

REMOVED_FILE, EXAMPLES_FILE = "removed.parquet", "examples.parquet"
EXAMPLES_EACH = 3  # of a step and reason
AT_ONCE = 20_000  # rows

REMOVED_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("source", pa.string()),
        ("benchmark", pa.string()),
        ("step", pa.string()),
        ("reason", pa.string()),
        ("match", pa.string()),  # id of the question that it is like; empty: none
        ("match_benchmark", pa.string()),  # of that question
        ("match_set", pa.string()),  # the evaluation set that it is of; empty: it is none that is held out
        ("detail", pa.string()),
    ]
)
# The questions themselves: a removed one, and after it the one that it is like, if there is one.
EXAMPLES_SCHEMA = pa.schema(
    [("step", pa.string()), ("reason", pa.string()), ("detail", pa.string()), ("role", pa.string()), *QUESTION_SCHEMA]
)

Steps = Sequence[tuple[str, Removed]]


def write_removed(path: epath.Path, corpus: Corpus, held_out: Corpus, sets: SetPlaces, steps: Steps) -> tuple[str, ...]:
    """Write a row for each question that went, in the order of the steps and in each by place.

    Returns:
        the licences of those questions and of those that they are like, whose words stand there and in the examples.
    """
    licences: set[str] = set()
    count = sum(len(gone) for _, gone in steps)
    with (
        lake.open_table_writer(path, REMOVED_SCHEMA) as writer,
        progress.bar("writing what was taken out", count, "questions") as line,
    ):
        for name, gone in steps:
            for first in range(0, len(gone), AT_ONCE):
                table = gone.table.slice(first, AT_ONCE)
                told = corpus.read(table["place"].to_numpy(), ("id", "source", "benchmark", "licence"))
                like = _alike(table, corpus, held_out, sets)
                licences.update(told["licence"].to_pylist(), like.pop("licence"))
                columns = {field: told[field] for field in ("id", "source", "benchmark")}
                columns |= {"step": pa.array([name] * table.num_rows), "reason": table["reason"]}
                columns |= {field: pa.array(values.tolist(), pa.string()) for field, values in like.items()}
                writer.write_table(pa.table({**columns, "detail": table["detail"]}, schema=REMOVED_SCHEMA))
                line.advance(table.num_rows)
    return tuple(sorted(licences - {""}))


def _alike(gone: pa.Table, corpus: Corpus, held_out: Corpus, sets: SetPlaces) -> dict[str, np.ndarray]:
    """Return what is told of the questions that those that went are like; empty where there is none."""
    fields = {"match": "id", "match_benchmark": "benchmark", "licence": "licence"}
    columns = {name: np.full(gone.num_rows, "", dtype=object) for name in (*fields, "match_set")}
    match, of_held_out = gone["match"].to_numpy(), gone["held_out"].to_numpy()
    for which, others in ((False, corpus), (True, held_out)):
        mine = np.flatnonzero((match >= 0) & (of_held_out == which))
        places, numbers = np.unique(match[mine], return_inverse=True)
        told = others.read(places, list(fields.values()))
        for name, field in fields.items():
            columns[name][mine] = np.array(told[field].to_pylist(), dtype=object)[numbers]
        if which:
            columns["match_set"][mine] = np.array(sets.names, dtype=object)[sets.of(match[mine])]
    return columns


def write_examples(path: epath.Path, corpus: Corpus, held_out: Corpus, steps: Steps) -> None:
    """Write some removed questions of each step and reason, drawn by a hash, with those that they are like."""
    with lake.open_writer(path, EXAMPLES_SCHEMA, row_group=2 * EXAMPLES_EACH) as writer:
        for name, gone in steps:
            for row in _drawn(gone):
                about = {"step": name, "reason": row["reason"], "detail": row["detail"]}
                writer.write({**about, "role": "removed", **_question(corpus, row["place"])})
                if row["match"] >= 0:
                    other = held_out if row["held_out"] else corpus
                    writer.write(
                        {
                            **about,
                            "role": "held_out" if row["held_out"] else "earlier",
                            **_question(other, row["match"]),
                        }
                    )


def _drawn(gone: Removed) -> Iterator[dict[str, Any]]:
    reasons = np.array(gone.table["reason"].to_pylist(), dtype=object)
    for reason in gone.reasons:
        rows = np.flatnonzero(reasons == reason).tolist()
        drawn = sorted(rows, key=lambda row: hashlib.sha256(f"example|{reason}|{row}".encode()).digest())
        yield from gone.table.take(pa.array(sorted(drawn[:EXAMPLES_EACH]))).to_pylist()


def _question(corpus: Corpus, place: int) -> Mapping[str, Any]:
    return corpus.read(np.array([place]), QUESTION_SCHEMA.names).to_pylist()[0]
