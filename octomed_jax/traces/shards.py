"""Training shards: ArrayRecord files of Records, one record a group, uncompressed (images are compressed already).

A record is msgpack of plain fields: the question with its encoded images once, and its accepted responses. msgpack
carries data only; nothing in it can run.
"""

import bisect
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgpack
from array_record.python.array_record_module import ArrayRecordReader, ArrayRecordWriter

from octomed_jax import schema
from octomed_jax.errors import StopAndLook, UserError

WRITER_OPTIONS = "group_size:1,uncompressed"


def shard_name(number: int, total: int) -> str:
    """Return the file name of a shard."""
    return f"shard-{number:05d}-of-{total:05d}.array_record"


def write_shards(records: Iterable[schema.Record], count: int, folder: Path, records_per_shard: int) -> list[str]:
    """Write ``count`` records into shards of ``records_per_shard`` and return the file names."""
    total = max(1, -(-count // records_per_shard))
    names = [shard_name(number, total) for number in range(total)]
    remaining = iter(records)
    for name in names:
        writer = ArrayRecordWriter(str(folder / name), WRITER_OPTIONS)
        for _, record in zip(range(records_per_shard), remaining, strict=False):
            writer.write(pack_record(record))
        writer.close()
    return names


def pack_record(record: schema.Record) -> bytes:
    """Return a record as bytes."""
    row = schema.question_to_row(record.question)
    row["image"] = [image["bytes"] for image in row["image"]]
    orders = [list(order) for order in record.option_orders]
    fields = {"question": row, "responses": list(record.responses), "option_orders": orders}
    return msgpack.packb({**fields, "samples": list(record.samples)})


def unpack_record(data: bytes) -> schema.Record:
    """Return the record of ``pack_record``."""
    fields = msgpack.unpackb(data)
    row = fields["question"]
    row["image"] = [{"bytes": image} for image in row["image"]]
    orders = tuple(map(tuple, fields["option_orders"]))
    return schema.Record(schema.question_from_row(row), tuple(fields["responses"]), orders, tuple(fields["samples"]))


class ShardReader:
    """Random access to the records of a folder of shards; safe to copy to another process."""

    def __init__(self, folder: str | Path):
        self._paths = sorted(str(path) for path in Path(folder).glob("shard-*.array_record"))
        if not self._paths:
            raise UserError(f"no shards in {folder}; make them with `octomed shard`")
        self._open()

    def _open(self) -> None:
        try:
            self._readers = [ArrayRecordReader(path) for path in self._paths]
            counts = [reader.num_records() for reader in self._readers]
        except (RuntimeError, ValueError) as error:
            raise StopAndLook(
                f"a shard in {Path(self._paths[0]).parent} is damaged ({error}); write the shards again"
            ) from error
        self._ends = [sum(counts[: i + 1]) for i in range(len(counts))]

    def __getstate__(self) -> list[str]:
        return self._paths

    def __setstate__(self, paths: list[str]) -> None:
        self._paths = paths
        self._open()

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, number: int) -> schema.Record:
        shard = bisect.bisect_right(self._ends, number)
        first = self._ends[shard - 1] if shard else 0
        try:
            [data] = self._readers[shard].read([number - first])
        except (RuntimeError, ValueError) as error:
            raise StopAndLook(f"record {number - first} of {self._paths[shard]} is damaged ({error})") from error
        try:
            return unpack_record(data)
        except (ValueError, KeyError, TypeError, msgpack.UnpackException) as error:
            raise StopAndLook(f"record {number - first} of {self._paths[shard]} is no record ({error!r})") from error

    def __iter__(self) -> Iterator[schema.Record]:
        return (self[number] for number in range(len(self)))
