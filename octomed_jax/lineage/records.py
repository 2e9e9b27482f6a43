"""Records of a folder of shards: found by their question, and where they lie."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from array_record.python.array_record_module import ArrayRecordReader

from octomed_jax.errors import StopAndLook
from octomed_jax.lineage.folders import Found
from octomed_jax.schema import Record
from octomed_jax.traces.choose import training_record
from octomed_jax.traces.shards import ShardReader

KIND = ".array_record"  # in the names of shards


class Placed(NamedTuple):
    """A record and its number, counted over all shards as the index and the training run count them."""

    number: int
    record: Record


def find_record(reader: ShardReader, question_id: str) -> Placed | None:
    """Return the record of a question: records are sorted by its id, as the lake is."""
    first, end = 0, len(reader)
    while first < end:
        middle = (first + end) // 2
        record = reader[middle]
        if record.question.id == question_id:
            return Placed(middle, record)
        if record.question.id < question_id:
            first = middle + 1
        else:
            end = middle
    return None


def shard_names(found: Found) -> list[str]:
    """Return the names of the shards in the order of their records."""
    return sorted(name for name in found.manifest.files if KIND in name)


def wanted_of(found: Found, row: Mapping[str, Any]) -> Record | None:
    """Return what a row of the lake gives to a folder of shards, by the settings that its manifest has."""
    return training_record(row, found.manifest.config["traces"])


def shard_of(found: Found, number: int) -> tuple[str, int]:
    """Return the file that a record lies in, and its number there.

    Raises:
        StopAndLook: a shard is missing or damaged.
    """
    for name in shard_names(found):
        count = count_records(Path(found.folder) / name)
        if number < count:
            return name, number
        number -= count
    raise StopAndLook(f"{found.folder} has fewer records than its manifest says; `octomed data check` says which")


def count_records(path: Path) -> int:
    """Return how many records a shard holds.

    Raises:
        StopAndLook: it is missing or damaged.
    """
    if not path.is_file():
        raise StopAndLook(f"{path} is missing")
    try:
        reader = ArrayRecordReader(str(path))
        try:
            return reader.num_records()
        finally:
            reader.close()
    except (RuntimeError, ValueError) as error:
        raise StopAndLook(f"{path} is damaged ({str(error).splitlines()[0][:120]})") from error
