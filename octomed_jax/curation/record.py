"""What is written beside the questions that stay: every question that went, with its reason, and examples of them."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from etils import epath

from octomed_jax import progress
from octomed_jax.curation.corpus import Corpus
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
        ("detail", pa.string()),
    ]
)
# The questions themselves: a removed one, and after it the one that it is like, if there is one.
EXAMPLES_SCHEMA = pa.schema(
    [("step", pa.string()), ("reason", pa.string()), ("detail", pa.string()), ("role", pa.string()), *QUESTION_SCHEMA]
)

Steps = Sequence[tuple[str, Removed]]


def write_removed(path: epath.Path, corpus: Corpus, held_out: Corpus, steps: Steps) -> None:
    """Write a row for each question that went, in the order of the steps and in each by place."""
    count = sum(len(gone) for _, gone in steps)
    with (
        lake.open_table_writer(path, REMOVED_SCHEMA) as writer,
        progress.bar("writing what was taken out", count, "questions") as line,
    ):
        for name, gone in steps:
            for first in range(0, len(gone), AT_ONCE):
                some = gone.table.slice(first, AT_ONCE)
                writer.write_table(_rows(name, some, corpus, held_out))
                line.advance(some.num_rows)


def _rows(step: str, gone: pa.Table, corpus: Corpus, held_out: Corpus) -> pa.Table:
    told = corpus.read(gone["place"].to_numpy(), ("id", "source", "benchmark"))
    matches = np.full(gone.num_rows, "", dtype=object)
    for which, others in ((False, corpus), (True, held_out)):
        match = gone["match"].to_numpy()
        mine = np.flatnonzero((match >= 0) & (gone["held_out"].to_numpy() == which))
        places, numbers = np.unique(match[mine], return_inverse=True)
        matches[mine] = np.array(others.read(places, ["id"])["id"].to_pylist(), dtype=object)[numbers]
    columns = {
        **{name: told[name] for name in told.column_names},
        "step": pa.array([step] * gone.num_rows),
        "reason": gone["reason"],
        "match": pa.array(matches.tolist(), pa.string()),
        "detail": gone["detail"],
    }
    return pa.table(columns, schema=REMOVED_SCHEMA)


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
