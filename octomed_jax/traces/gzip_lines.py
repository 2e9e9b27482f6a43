"""Lines of a gzip file, unpacked a little at a time: what it unpacks to never lies in memory, however much that is."""

import gzip
import zlib
from pathlib import Path
from types import TracebackType
from typing import Protocol

from octomed_jax.errors import StopAndLook, UserError

MAGIC = b"\x1f\x8b"


class Lines(Protocol):
    """What is read of a file that holds a row a line."""

    def readline(self, size: int = -1, /) -> bytes:
        """Return the next line, or its next ``size`` bytes; nothing at the end."""

    def tell(self) -> int:
        """Return how much of the file was read."""


class GzipLines:
    """A gzip file of lines. Use as ``with GzipLines(path) as lines``."""

    def __init__(self, path: Path):
        """Open a file.

        Raises:
            UserError: it is no gzip file.
        """
        self._path = path
        self._packed = path.open("rb")
        try:
            if self._packed.read(len(MAGIC)) != MAGIC:
                raise UserError(f"{path} is no gzip file; name it by what it holds")
            self._packed.seek(0)
        except BaseException:
            self._packed.close()
            raise
        self._file = gzip.GzipFile(fileobj=self._packed, mode="rb")

    def __enter__(self) -> "GzipLines":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._packed.close()

    def readline(self, size: int = -1, /) -> bytes:
        """Return the next line, or its next ``size`` bytes; nothing at the end.

        Raises:
            StopAndLook: the file is damaged, or cut off.
        """
        try:
            return self._file.readline(size)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise StopAndLook(f"{self._path} is damaged ({error}); get it again") from error

    def tell(self) -> int:
        """Return how much of the packed file was read; how long it unpacked is not known before its end."""
        return self._packed.tell()
