"""The marks of metadata that no source gave: of each value who filled it in, rules or a judge, here or before.

A folder that is curated again hands the marks of its questions on, as long as they stay. Where a value is filled in
anew, the new one counts.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from etils import epath
from jaxtyping import Bool

from octomed_jax import progress
from octomed_jax.curation.corpus import Corpus, Piece, by_id, open_corpus
from octomed_jax.curation.metadata import FIELDS, Filled, values
from octomed_jax.traces import lake

METADATA_FILE = "metadata.parquet"
METADATA_SCHEMA = pa.schema([("id", pa.string()), ("field", pa.string()), ("value", pa.string()), ("by", pa.string())])
_MARK = pa.struct([METADATA_SCHEMA.field(name) for name in ("field", "value", "by")])
_MARKS = pa.schema([("id", pa.string()), ("marks", pa.list_(_MARK))])


def has_marks(corpus: Corpus) -> bool:
    """Return whether a folder of the corpus has metadata that no source gave."""
    return any(_beside(path).exists() for path in {group.path for group in corpus.groups})


def write_metadata(
    path: epath.Path, corpus: Corpus, kept: Bool[np.ndarray, " N"], filled: Filled | None
) -> dict[str, dict[str, int]]:
    """Write what was filled in, here or in the folders before, a row a value, sorted by id and field.

    Args:
        path: of the file.
        corpus, kept: the questions, and which of them stay.
        filled: what was filled in here; None: nothing was.

    Returns:
        who filled in how many values of each field.

    Raises:
        StopAndLook: a file is damaged.
    """
    paths = dict.fromkeys(group.path for group in corpus.groups)
    counts: dict[str, dict[str, int]] = {}
    with (
        lake.open_writer(path, METADATA_SCHEMA) as writer,
        progress.bar("writing metadata", len(corpus), "questions") as line,
    ):
        groups = ([group for group in corpus.groups if group.path == one] for one in paths)
        for table in by_id([_marks_of(some, kept, filled, line) for some in groups]):
            for row in table.to_pylist():
                for mark in row["marks"]:
                    writer.write({"id": row["id"], **mark})
                    given = counts.setdefault(mark["by"], dict.fromkeys(FIELDS, 0))
                    given[mark["field"]] += 1
    return dict(sorted(counts.items()))


def _marks_of(
    groups: Sequence[Piece], kept: Bool[np.ndarray, " N"], filled: Filled | None, line: progress.Bar
) -> Iterator[pa.Table]:
    """Yield the questions of a file that stay and have marks, sorted by id, with them; holds a row group."""
    before = _marks_before(_beside(groups[0].path))
    held = next(before, None)
    for group in groups:
        for table in group.tables(["id"]):
            rows = []
            for place, name in enumerate(table["id"].to_pylist(), group.first):
                marks: dict[str, Mapping[str, Any]] = {}
                while held is not None and held["id"] <= name:
                    if held["id"] == name:
                        marks[held["field"]] = held
                    held = next(before, None)
                for field in FIELDS:
                    if filled and (code := filled.codes[field][place]):
                        marks[field] = {"field": field, "value": values(field)[code - 1], "by": filled.by(field, place)}
                if marks and kept[place]:
                    rows.append({"id": name, "marks": [marks[field] for field in sorted(marks)]})
            yield pa.Table.from_pylist(rows, _MARKS)
            line.advance(table.num_rows)


def _marks_before(path: epath.Path) -> Iterator[dict[str, Any]]:
    """Yield the marks of a folder, sorted by id; none where it has no such file."""
    for group in open_corpus([path]).groups if path.exists() else ():
        for table in group.tables(METADATA_SCHEMA.names):
            yield from table.to_pylist()


def _beside(path: str) -> epath.Path:
    return epath.Path(path).parent / METADATA_FILE
