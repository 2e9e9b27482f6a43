"""Training shards: ArrayRecord files of records, one record a group, so that each is read alone.

Images are compressed already: a shard with images is written as it is, one of texts alone with zstd.
"""

import bisect
import errno
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any

from array_record.python.array_record_module import ArrayRecordReader, ArrayRecordWriter

from octomed_jax import manifests, storage
from octomed_jax.errors import StopAndLook, UserError
from octomed_jax.schema import Record
from octomed_jax.storage import PathLike
from octomed_jax.traces.record import unpack_record

WITH_IMAGES, OF_TEXTS = "group_size:1,uncompressed", "group_size:1,zstd:3"
FOR_PLACES = "readahead_buffer_size:0,max_parallelism:1"  # records are read one here, one there
MOST_OPEN = 256  # files of a reader: a process may have 1,024


def write_shard(path: Path, records: Iterable[bytes], has_images: bool) -> None:
    """Write packed records to a local file; the bytes depend on the records and the version of array_record only.

    Raises:
        OSError: the file cannot be written.
    """
    writer = _telling(ArrayRecordWriter, str(path), WITH_IMAGES if has_images else OF_TEXTS)
    for record in records:
        _telling(writer.write, record)
    _telling(writer.close)


def _telling(call: Callable, *arguments: Any) -> Any:
    """Return what a call of ArrayRecord's writer returns, its errors as those that the system had."""
    try:
        return call(*arguments)
    except RuntimeError as error:
        raise _os_error(error) from error


def _os_error(error: RuntimeError) -> Exception:
    """Return the error of the system that the writer of ArrayRecord tells of in words."""
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS):
        if os.strerror(number) in str(error):
            return OSError(number, os.strerror(number))
    return error


def check_on_disk(folder: PathLike) -> None:
    """Refuse shards that lie in a bucket.

    Raises:
        UserError: they do.
    """
    if storage.in_bucket(folder):
        raise UserError(f"{folder}: shards are read from a disk; mount the bucket or copy them (docs/shards.md)")


class ShardReader:
    """Random access to the records of a finished folder of shards; safe to use in threads and to send to a process."""

    def __init__(self, folder: PathLike):
        """Look whether all shards are there; they are opened when they are read.

        Raises:
            UserError: the folder holds no finished shards, or lies in a bucket.
            StopAndLook: a shard is gone, or is longer or shorter than it was written.
        """
        check_on_disk(folder)
        shards = manifests.read_manifest(folder, "shard").extra["shards"]
        self._cure = f"put that file back, or move {folder} away and write the shards again"
        self._paths = [str(Path(folder) / name) for name in shards]
        self._counts = [shard["records"] for shard in shards.values()]
        for path, shard in zip(self._paths, shards.values(), strict=True):
            self._check_size(path, shard["bytes"])
        self._begin()

    def _check_size(self, path: str, size: int) -> None:
        try:
            found = Path(path).stat().st_size
        except FileNotFoundError as error:
            raise StopAndLook(f"{path} is missing, which belongs to finished work; {self._cure}") from error
        if found != size:
            raise StopAndLook(f"{path} is damaged: it has {found:,} bytes, not {size:,}; {self._cure}")

    def _begin(self) -> None:
        self._ends = list(accumulate(self._counts))
        self._open: OrderedDict[int, ArrayRecordReader] = OrderedDict()
        self._lock = threading.Lock()

    def __getstate__(self) -> tuple[list[str], list[int], str]:
        return self._paths, self._counts, self._cure

    def __setstate__(self, state: tuple[list[str], list[int], str]) -> None:
        self._paths, self._counts, self._cure = state
        self._begin()

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, number: int) -> Record:
        """Return a record.

        Raises:
            StopAndLook: it is damaged.
        """
        if not 0 <= number < len(self):
            raise IndexError(number)
        shard = bisect.bisect_right(self._ends, number)
        place = number - self._ends[shard] + self._counts[shard]
        reader = self._reader(shard)
        try:
            [data] = reader.read([place])  # checks the sum that was written with the record
            return unpack_record(data)
        except (RuntimeError, ValueError) as error:
            raise StopAndLook(
                f"record {place} of {self._paths[shard]} is damaged ({_brief(error)}); {self._cure}"
            ) from error

    def _reader(self, shard: int) -> ArrayRecordReader:
        with self._lock:
            reader = self._open.pop(shard, None) or self._opened(shard)
            self._open[shard] = reader
            if len(self._open) > MOST_OPEN:
                self._open.popitem(last=False)  # a thread that reads it holds it
        return reader

    def _opened(self, shard: int) -> ArrayRecordReader:
        path = self._paths[shard]
        try:
            reader = ArrayRecordReader(path, FOR_PLACES)
            found = reader.num_records()
        except (RuntimeError, ValueError) as error:
            raise StopAndLook(f"{path} is damaged ({_brief(error)}); {self._cure}") from error
        if found != self._counts[shard]:  # of a file whose end is not what it was, none at all are found
            raise StopAndLook(f"{path} is damaged: of {self._counts[shard]} records {found} are found; {self._cure}")
        return reader

    def __iter__(self) -> Iterator[Record]:
        return (self[number] for number in range(len(self)))


def _brief(error: Exception) -> str:
    """Return the first part of an error; ArrayRecord's go on with places in its own files."""
    return str(error).split(";")[0].splitlines()[0]
