"""Reads a finished attempts folder a question at a time: the question's row and every attempt at it.

Both files are sorted by question, so they are read side by side; what is held is one question with its attempts, and
BATCH rows of either file.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from etils import epath

from octomed_jax.errors import StopAndLook, UserError
from octomed_jax.evaluation.report_data import attempt_files, damaged
from octomed_jax.schema import VERDICTS

QUESTION_COLUMNS = ("id", "source", "task", "options", "answer", "licence", "access")  # no images
ATTEMPT_COLUMNS = (
    "question_id", "sample_index", "teacher", "response", "reasoning", "finish_reason", "completion_tokens", "verdict",
    "extracted", "reason", "option_order", "error",
)  # fmt: skip
BATCH = 500  # rows decoded at once; attempts of 32 KB are 16 MB
IMAGE_BATCH = 16  # questions with their images

Row = Mapping[str, Any]


def each_question(folder: epath.Path) -> Iterator[tuple[Row, list[Row]]]:
    """Yield every question with the attempts at it, of which there may be none, in the order of their ids.

    Raises:
        UserError: a column is missing.
        StopAndLook: a file is missing, damaged or out of order, or an attempt belongs to no question.
    """
    path = folder / "questions.parquet"
    attempts = _attempts(folder)
    attempt = next(attempts, None)
    last = ""
    for question in _rows(path, QUESTION_COLUMNS):
        if question["id"] <= last:
            raise StopAndLook(f"{path} is not sorted by id at {question['id']!r}; make the folder again")
        last = question["id"]
        here: list[Row] = []
        while attempt is not None and attempt["question_id"] == last:
            here.append(attempt)
            attempt = next(attempts, None)
        yield question, here
    if attempt is not None:
        raise StopAndLook(
            f"{folder / 'attempts'} holds attempts out of order, or at an unknown question, at "
            f"{attempt['question_id']!r}; make the folder again"
        )


def _attempts(folder: epath.Path) -> Iterator[Row]:
    for path in attempt_files(folder):
        for attempt in _rows(path, ATTEMPT_COLUMNS):
            if attempt["verdict"] not in VERDICTS:
                raise StopAndLook(
                    f"{path} holds the verdict {attempt['verdict']!r} on {attempt['question_id']!r}; "
                    f"one of {', '.join(VERDICTS)} is known; make the folder again"
                )
            yield attempt


def _rows(path: epath.Path, columns: Sequence[str]) -> Iterator[Row]:
    try:
        with path.open("rb") as source, pq.ParquetFile(source) as file:
            missing = [name for name in columns if name not in file.schema_arrow.names]
            if missing:
                raise UserError(
                    f"{path} has no column {missing[0]!r}, so an earlier version made it; "
                    "run `octomed distill` again into another folder"
                )
            for group in range(file.num_row_groups):  # read together, all of them would stay in memory to the end
                for batch in file.iter_batches(BATCH, row_groups=[group], columns=list(columns)):
                    values = [batch.column(name).to_pylist() for name in columns]
                    for row in zip(*values, strict=True):
                        yield dict(zip(columns, row, strict=True))
    except (OSError, pa.ArrowException) as error:
        raise damaged(path) from error


def options_shown(question: Row, attempt: Row) -> list[str]:
    """Return the options of a question in the order in which the teacher saw them at this attempt.

    Raises:
        StopAndLook: ``option_order`` is no order of the question's options.
    """
    options, order = list(question["options"] or ()), attempt["option_order"]
    if not order:
        return options
    if sorted(order) != list(range(len(options))):
        raise StopAndLook(
            f"attempt {attempt['sample_index']} at {attempt['question_id']} has option_order {order}, "
            f"which is no order of {len(options)} options; make the folder again"
        )
    return [options[index] for index in order]


def find_questions(path: epath.Path, ids: frozenset[str]) -> dict[str, Row]:
    """Return whole rows of a file of questions, with their images, by id; holds few others at a time.

    Raises:
        StopAndLook: the file is damaged.
    """
    found: dict[str, Row] = {}
    try:
        with path.open("rb") as source, pq.ParquetFile(source) as file:
            for group in range(file.num_row_groups if ids else 0):
                names = file.read_row_group(group, columns=["id"])["id"].to_pylist()
                if ids.isdisjoint(names):
                    continue
                for batch in file.iter_batches(IMAGE_BATCH, row_groups=[group]):
                    wanted = [index for index, name in enumerate(batch.column("id").to_pylist()) if name in ids]
                    found.update({row["id"]: row for row in batch.take(pa.array(wanted, pa.int64())).to_pylist()})
    except (OSError, pa.ArrowException) as error:
        raise damaged(path) from error
    return found
