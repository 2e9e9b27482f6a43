"""The lake: what `octomed verify` found, one row a question with all that was answered to it.

``traces/lake/part-00000.parquet`` and so on. The first columns are those of OctoMed's published sets (``image,
image_hash, question, options, answer, responses``), then come the others of a Question. ``responses`` are all
texts that the teachers wrote, right and wrong; ``attempts`` and ``verdicts`` stand beside them, place by place. What is
trained on is derived from a row, never stored beside it.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
from etils import epath

from octomed_jax import manifests
from octomed_jax.errors import StopAndLook
from octomed_jax.schema import QUESTION_SCHEMA, Record, Verdict, question_from_row
from octomed_jax.storage import PathLike
from octomed_jax.traces import lake
from octomed_jax.traces.features import with_features

LAKE = "lake"
PART_BYTES = 512 * 2**20  # of images and responses in a part, about

_ATTEMPT = pa.struct(
    [
        ("sample_index", pa.int32()),
        ("teacher", pa.string()),
        ("finish_reason", pa.string()),
        ("prompt_tokens", pa.int32()),
        ("completion_tokens", pa.int32()),
        ("option_order", pa.list_(pa.int8())),
        ("group", pa.int32()),
        ("seed", pa.int64()),
        ("request_hash", pa.string()),
        ("error", pa.string()),
    ]
)
_VERDICT = pa.struct(
    [
        ("verdict", pa.string()),
        ("extracted", pa.string()),
        ("reason", pa.string()),
        ("judge", pa.bool_()),
        ("verifier", pa.string()),
    ]
)
_OCTOMED = ("image", "image_hash", "question", "options", "answer")  # in the order of its published sets
LAKE_SCHEMA = with_features(
    pa.schema(
        [
            *(QUESTION_SCHEMA.field(name) for name in _OCTOMED),
            ("responses", pa.list_(pa.string())),
            *(field for field in QUESTION_SCHEMA if field.name not in _OCTOMED),
            ("attempts", pa.list_(_ATTEMPT)),
            ("verdicts", pa.list_(_VERDICT)),
        ]
    )
)
WITHOUT_IMAGES = tuple(name for name in LAKE_SCHEMA.names if name != "image")


def lake_row(
    question: Mapping[str, Any], judged: Sequence[tuple[Mapping[str, Any], Verdict]], verifier: str
) -> dict[str, Any]:
    """Return a row of LAKE_SCHEMA.

    Args:
        question: a row of QUESTION_SCHEMA.
        judged: its attempts, rows of ATTEMPT_SCHEMA in the order of their samples, each with its verdict.
        verifier: the version that judged.
    """
    facts = [{field.name: attempt[field.name] for field in _ATTEMPT} for attempt, _ in judged]
    verdicts = [
        {
            "verdict": verdict.verdict,
            "extracted": verdict.extracted,
            "reason": verdict.reason,
            "judge": verdict.judge,
            "verifier": verifier,
        }
        for _, verdict in judged
    ]
    responses = [attempt["response"] for attempt, _ in judged]
    return {**question, "responses": responses, "attempts": facts, "verdicts": verdicts}


class LakeWriter:
    """Takes rows of LAKE_SCHEMA one by one; made by ``open_lake``."""

    def __init__(self, folder: epath.Path, stack: contextlib.ExitStack):
        self._folder, self._stack = folder, stack
        self._bytes = self._parts = 0
        self._writer = self._next()

    def _next(self) -> lake.RowWriter:
        self._stack.close()
        path = self._folder / f"part-{self._parts:05d}.parquet"
        self._bytes, self._parts = 0, self._parts + 1
        return self._stack.enter_context(lake.open_writer(path, LAKE_SCHEMA))

    def write(self, row: Mapping[str, Any]) -> None:
        """Add a row; a part that is full ends before it."""
        images = sum(len(image["bytes"]) for image in row["image"] or ())
        size = images + sum(map(len, row["responses"]))
        if self._bytes and self._bytes + size > PART_BYTES:
            self._writer = self._next()
        self._writer.write(row, size)
        self._bytes += size


@contextlib.contextmanager
def open_lake(traces: PathLike) -> Iterator[LakeWriter]:
    """Yield a writer of the lake of a staged folder of traces; the bytes depend on the rows only.

    Raises:
        TryAgain: the disk is full.
        UserError: the folder cannot be written.
    """
    with contextlib.ExitStack() as stack:
        yield LakeWriter(epath.Path(traces) / LAKE, stack)


def parts_of(traces: PathLike, files: Iterable[str]) -> list[epath.Path]:
    """Return the parts of the lake of a folder of traces, in order, as its manifest names them; they may be gone.

    Args:
        traces: what ``octomed verify`` wrote.
        files: of its manifest.

    Raises:
        StopAndLook: it names none.
    """
    names = sorted(name for name in files if name.startswith(f"{LAKE}/"))
    if not names:
        raise StopAndLook(f"the manifest of {traces} names no part of a lake; move the folder away and verify again")
    return [epath.Path(traces) / name for name in names]


def iterate_lake(traces: PathLike, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
    """Yield the rows of a finished folder of traces, a row group in memory at a time.

    Raises:
        UserError: the folder is not finished, or a part of its lake is gone.
        StopAndLook: a part is damaged.
    """
    for path in parts_of(traces, manifests.read_manifest(traces, "verify").files):
        yield from lake.iterate_rows(path, columns)


def accepted(row: Mapping[str, Any]) -> list[int]:
    """Return the places in ``responses`` of the attempts that the verifier accepted."""
    return [place for place, verdict in enumerate(row["verdicts"] or ()) if verdict["verdict"] == "correct"]


def record_of(row: Mapping[str, Any], places: Sequence[int]) -> Record:
    """Return a question with the responses at those places of its row."""
    attempts = [row["attempts"][place] for place in places]
    orders = tuple(tuple(attempt["option_order"] or ()) for attempt in attempts)
    return Record(
        question_from_row(row),
        tuple(row["responses"][place] for place in places),
        orders if any(orders) else (),
        tuple(attempt["sample_index"] for attempt in attempts),
    )


def trained_on(traces: PathLike, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield those columns of the questions that have an accepted response, with the ``verdicts``."""
    return (row for row in iterate_lake(traces, [*columns, "verdicts"]) if accepted(row))


def write_lake(traces: PathLike, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows of LAKE_SCHEMA into a folder of traces."""
    with open_lake(traces) as writer:
        for row in rows:
            writer.write(row)
