"""Rows of the arrays of an .npz file, which is a zip of .npy files: a few at a time, and nothing is ever unpickled.

Headers are read in the one form in which NumPy writes them for arrays of numbers; everything else is refused. What a
header claims must be as long as its file in the zip, before any of it is unpacked.
"""

import dataclasses
import errno
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np

from octomed_jax.errors import StopAndLook, UserError

BLOCK_BYTES = 4 * 2**20  # in memory at once, or one row where that is more
MOST_ROW_BYTES = 64 * 2**20
# What zipfile runs into: names that are no UTF-8 are a ValueError, places before the file's start an OSError.
DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError)
_START = struct.Struct("<6sBBH")  # of version 1.0, which NumPy writes where the header has less than 64 KiB
_MAGIC = b"\x93NUMPY"
_HEADER = re.compile(
    r"\{'descr': (?P<descr>'[^']{0,40}'|\[.*\]), 'fortran_order': (?P<fortran>True|False), "
    r"'shape': \((?P<shape>[0-9, ]{0,400})\), \} *\n",
    re.DOTALL,
)
_NUMBERS = re.compile(r"'([<>|](?:b1|[iu][1248]|f[248]))'")


@dataclasses.dataclass(frozen=True)
class ArrayHeader:
    """What an array is.

    Attributes:
        rows: its length along the first axis.
        shape, dtype: of one row.
    """

    rows: int
    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return math.prod(self.shape) * self.dtype.itemsize


class Npz:
    """The arrays of an .npz file. Use as ``with Npz(path) as npz``.

    Attributes:
        names: of its arrays.
    """

    def __init__(self, path: Path):
        """Open a file.

        Raises:
            UserError: it is no zip file.
        """
        self._path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except (*DAMAGE, NotImplementedError) as error:
            _check_system(error)
            raise UserError(f"{path} is no readable .npz file ({error}); get it again") from error
        members = [name for name in self._zip.namelist() if name.endswith(".npy")]
        self.names = tuple(name.removesuffix(".npy") for name in members)

    def __enter__(self) -> "Npz":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._zip.close()

    def header(self, name: str) -> ArrayHeader:
        """Return what an array is, checked against the size of its file.

        Raises:
            UserError: there is none of that name, or it is not to be read: an array of objects or of records, in
                Fortran order, without rows or values, with rows that are too large, or not as long as it claims.
            StopAndLook: the file is damaged.
        """
        with self._open(name) as file:
            return self._read_header(name, file)

    def rows(self, name: str, block_bytes: int = BLOCK_BYTES) -> Iterator[np.ndarray]:
        """Yield the rows of an array in their order; they are not to be written to. Errors as ``header``."""
        with self._open(name) as file:
            header = self._read_header(name, file)
            at_once = max(1, block_bytes // header.row_bytes)
            for first in range(0, header.rows, at_once):
                count = min(at_once, header.rows - first)
                data = self._read(name, file, count * header.row_bytes)
                yield from np.frombuffer(data, header.dtype).reshape(count, *header.shape)

    def _open(self, name: str) -> IO[bytes]:
        if name not in self.names:
            raise UserError(f"{self._path} has no array {name!r}; it has {', '.join(self.names[:20]) or 'none'}")
        try:
            return self._zip.open(f"{name}.npy")
        except DAMAGE as error:
            _check_system(error)
            raise StopAndLook(f"{self._shown(name)} is damaged ({error}); get it again") from error
        except (NotImplementedError, RuntimeError) as error:  # a packing that is not here, or a password
            raise UserError(f"{self._shown(name)} cannot be unpacked ({error}); pack it with numpy.savez") from error

    def _read_header(self, name: str, file: IO[bytes]) -> ArrayHeader:
        shown = self._shown(name)
        magic, major, minor, length = _START.unpack(self._read(name, file, _START.size))
        if magic != _MAGIC or (major, minor) != (1, 0):
            raise UserError(f"{shown} is no array of .npy version 1.0; save it with numpy.save again")
        text = self._read(name, file, length).decode("latin-1")
        if not (match := _HEADER.fullmatch(text)):
            raise UserError(f"{shown} has the header {text[:80]!r}, which NumPy does not write; save it again")
        if not (numbers := _NUMBERS.fullmatch(match["descr"])):
            raise UserError(f"{shown} holds {match['descr'][:40]}, which is no plain number; it is not read")
        if match["fortran"] == "True":
            raise UserError(f"{shown} is in Fortran order; save it with numpy.ascontiguousarray")
        shape = tuple(int(size) for size in match["shape"].split(",") if size.strip())
        if not shape or 0 in shape[1:]:
            raise UserError(f"{shown} has the shape {shape}, which has no rows with values; save it by rows")
        header = ArrayHeader(shape[0], shape[1:], np.dtype(numbers[1]))
        if header.row_bytes > MOST_ROW_BYTES:
            raise UserError(f"a row of {shown} has {header.row_bytes} bytes, over the limit of {MOST_ROW_BYTES}")
        claimed = _START.size + length + header.rows * header.row_bytes
        if claimed != (size := self._zip.getinfo(f"{name}.npy").file_size):
            raise UserError(f"{shown} claims the shape {shape}, {claimed} bytes, but has {size}; get it again")
        return header

    def _read(self, name: str, file: IO[bytes], size: int) -> bytes:
        try:
            data = file.read(size)
        except DAMAGE as error:
            _check_system(error)
            raise StopAndLook(f"{self._shown(name)} is damaged ({error}); get it again") from error
        if len(data) < size:
            raise StopAndLook(f"{self._shown(name)} is cut short; get it again")
        return data

    def _shown(self, name: str) -> str:
        return f"{name} of {self._path}"


def _check_system(error: Exception) -> None:
    """Raise an error of the system, such as one about permissions, as it is."""
    if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
        raise error
