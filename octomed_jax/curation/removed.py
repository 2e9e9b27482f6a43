"""What a step removes, and why: one row a question, from which counts, the list of all and the examples are made."""

import dataclasses
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Int64

UNREADABLE = "unreadable_image"  # the reason of a question with an image that a step has to decode and cannot
MOST_LEFT_OUT = 0.001  # share of a step's questions that may go for it; of fewer than a thousand, none

SCHEMA = pa.schema(
    [
        ("place", pa.int64()),
        ("reason", pa.string()),
        ("match", pa.int64()),  # place of the question that it is like, in the corpus or among the held-out; -1: none
        ("held_out", pa.bool_()),  # which of the two
        ("detail", pa.string()),
    ]
)


@dataclasses.dataclass(frozen=True)
class Removed:
    """The questions that one step removes, as a table of SCHEMA sorted by place, each once."""

    table: pa.Table

    def __len__(self) -> int:
        return self.table.num_rows

    @property
    def places(self) -> Int64[np.ndarray, " M"]:
        """The places of the questions."""
        return self.table["place"].to_numpy()

    @property
    def reasons(self) -> dict[str, int]:
        """Reason to number of questions, sorted."""
        return dict(sorted(Counter(self.table["reason"].to_pylist()).items()))

    def leave(self, kept: Bool[np.ndarray, " N"]) -> None:
        """Take its questions out of what is kept."""
        kept[self.places] = False


def removed_columns(
    places: Sequence[int] | np.ndarray,
    reasons: Sequence[str],
    matches: Sequence[int] | np.ndarray | None = None,
    details: Sequence[str] | None = None,
) -> Removed:
    """Return the record of questions that are like others of the corpus, or like none."""
    count = len(places)
    columns = {
        "place": pa.array(np.asarray(places, dtype=np.int64)),
        "reason": pa.array(list(reasons), pa.string()),
        "match": pa.array(np.full(count, -1) if matches is None else np.asarray(matches, dtype=np.int64)),
        "held_out": pa.array(np.zeros(count, dtype=bool)),
        "detail": pa.array([""] * count if details is None else list(details), pa.string()),
    }
    return removed_table(pa.table(columns, schema=SCHEMA))


def unreadable(places: Sequence[int] | np.ndarray, details: Sequence[str]) -> Removed:
    """Return the record of questions whose images cannot be read, each with what is wrong."""
    return removed_columns(places, [UNREADABLE] * len(places), None, details)


def joined(*removed: Removed) -> Removed:
    """Return the record of all; of a question that several have, what the first one says."""
    return removed_table(pa.concat_tables([one.table for one in removed]))


def removed_table(table: pa.Table) -> Removed:
    """Return a table sorted by place, with the first row of each."""
    places = table["place"].to_numpy()
    _, first = np.unique(places, return_index=True)
    return Removed(table.take(pa.array(first)).combine_chunks())
