"""Files past the system's page cache, for bytes that are read or written once.

The system copies what passes through its cache and clears and finds room for every page: on a machine with few
processors that takes longer than a fast disk. Where a file system knows no such way (O_DIRECT, of Linux), files are
read and written as always; only the speed differs.
"""

import os
from pathlib import Path
from types import TracebackType

import numpy as np

BLOCK = 4096  # bytes; places, lengths and addresses are multiples of it
WINDOW = 2**23  # bytes that are read or written at once


def takes_direct(file: Path) -> bool:
    """Return whether a file, which exists, can be opened past the cache."""
    try:
        os.close(os.open(file, os.O_RDONLY | os.O_DIRECT))
    except (OSError, AttributeError):  # the file system, or the operating system, knows no such way
        return False
    return True


class _Direct:
    """A file that is open past the cache, where that is possible, and an aligned window of it."""

    def __init__(self, path: Path, flags: int):
        flags |= os.O_DIRECT if takes_direct(path) else 0
        self._file = os.open(path, flags)
        space = np.empty(WINDOW + BLOCK, np.uint8)
        self._window = space[-space.ctypes.data % BLOCK :][:WINDOW]

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        os.close(self._file)


class DirectReader(_Direct):
    """Reads a piece of a file in order."""

    def __init__(self, path: Path, start: int, size: int):
        """Open a file, to read ``size`` bytes from the place ``start`` on."""
        super().__init__(path, os.O_RDONLY)
        self._next = start // BLOCK * BLOCK  # the file's block that follows the window
        self._end = min(start + size, os.fstat(self._file).st_size)
        self._held = self._window[:0]  # of the window, what has not been read yet
        self._skipped = start % BLOCK

    def __enter__(self) -> "DirectReader":
        return self

    def readinto(self, target: memoryview) -> int:
        """Fill ``target`` and return its size; fewer bytes only where the piece or the file ends."""
        into, done = np.frombuffer(target, np.uint8), 0
        while done < len(into):
            if not len(self._held):
                self._fill()
            part = self._held[: len(into) - done]
            if not len(part):
                break
            into[done : done + len(part)] = part
            self._held = self._held[len(part) :]
            done += len(part)
        return done

    def _fill(self) -> None:
        wanted = min(WINDOW, max(self._end - self._next, 0))
        blocks = self._window[: -(-wanted // BLOCK) * BLOCK]
        count = min(os.preadv(self._file, [blocks.data], self._next), wanted) if wanted else 0
        if count < wanted:  # fewer than asked for: the next reading begins with a whole block again
            count -= count % BLOCK
            if not count:
                raise OSError(f"reading {wanted} bytes gave less than a block of them")
        self._held = self._window[self._skipped : count]
        self._next += count
        self._skipped = 0


class DirectWriter(_Direct):
    """Writes a new file from its start; all of it is on the disk when the block ends."""

    def __init__(self, path: Path):
        path.write_bytes(b"")
        super().__init__(path, os.O_WRONLY)
        self._filled = self._size = 0

    def __enter__(self) -> "DirectWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            if kind is None:
                self._flush(-(-self._filled // BLOCK) * BLOCK)  # up to a whole block, which is cut off again
                os.ftruncate(self._file, self._size)
                os.fsync(self._file)
        finally:
            super().__exit__(kind, error, _)

    def write(self, data: memoryview) -> None:
        """Append bytes."""
        values, done = np.frombuffer(data, np.uint8), 0
        self._size += len(values)
        while done < len(values):
            count = min(len(values) - done, WINDOW - self._filled)
            self._window[self._filled : self._filled + count] = values[done : done + count]
            self._filled += count
            done += count
            if self._filled == WINDOW:
                self._flush(WINDOW)

    def _flush(self, count: int) -> None:
        written = 0
        while written < count:
            written += os.write(self._file, self._window[written:count].data)
        self._filled = 0
