"""The zip files of a data set: where a member lies, and its bytes. Nothing is ever unpacked to a file."""

import contextlib
import hashlib
import lzma
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from octomed_jax.errors import UserError
from octomed_jax.images.decode import MAX_BYTES

# What zipfile runs into; its messages hold names of members.
DAMAGE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, NotImplementedError, RuntimeError, EOFError)


class Member(NamedTuple):
    """A file in an archive."""

    archive: zipfile.ZipFile
    info: zipfile.ZipInfo

    @property
    def print(self) -> str:
        """What changes where the file does: its checksum and size."""
        return f"{self.info.CRC:08x}-{self.info.file_size}"


class Archives:
    """Zip files, open for reading. Use as ``with Archives(paths, by_base_name) as archives``."""

    def __init__(self, paths: Iterable[Path], by_base_name: bool):
        """Open them.

        Args:
            paths: of the files.
            by_base_name: find a member that lies elsewhere by the last part of its path, as ``unzip -j`` would.

        Raises:
            UserError: one is no zip file.
        """
        with contextlib.ExitStack() as opened:
            self._zips = [opened.enter_context(_opened(path)) for path in paths]
            self._base_names = _BaseNames(self._zips) if by_base_name else None
            self._open = opened.pop_all()

    def close(self) -> None:
        """Close them."""
        self._open.close()

    def find(self, names: Sequence[str], called: str) -> Member | None:
        """Return the member with the first of some names, of the first archive that has any; None where none has.

        Args:
            names: paths in an archive.
            called: what an error calls it.

        Raises:
            UserError: none lies there, and several files have its base name.
        """
        for archive in self._zips:
            for name in names:
                with contextlib.suppress(KeyError):
                    return Member(archive, archive.getinfo(name))
        return self._base_names.find(_base(names[0]), called) if self._base_names and names else None


def read_member(member: Member) -> bytes:
    """Return the bytes of a member.

    Raises:
        UserError: it is too large or damaged; the message does not name it.
    """
    archive, info = member
    if info.file_size > MAX_BYTES:
        raise UserError(f"unpacks to {info.file_size} bytes, over the limit of {MAX_BYTES}")
    try:
        with archive.open(info) as file:
            data = file.read(MAX_BYTES + 1)  # the size that an archive names is only a claim
    except DAMAGE as error:
        problem = "it has a password" if info.flag_bits & 1 else type(error).__name__
        raise UserError(f"cannot be unpacked from {archive.filename} ({problem}); get it again") from error
    if len(data) > MAX_BYTES:
        raise UserError(f"unpacks to more than {MAX_BYTES} bytes")
    return data


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, OSError) as error:
        raise UserError(f"{path} is no readable zip file ({error}); get it again") from error


class _BaseNames:
    """Members by base name: 16 bytes for each, far fewer than zipfile itself holds, since sets have a million."""

    def __init__(self, archives: Sequence[zipfile.ZipFile]):
        self._archives = archives
        self._ends = np.cumsum([len(archive.infolist()) for archive in archives])
        members = (info for archive in archives for info in archive.infolist())
        hashes = np.fromiter((_hash(_base(info.filename)) for info in members), np.uint64)
        self._order = np.argsort(hashes, kind="stable")
        self._hashes = hashes[self._order]

    def find(self, name: str, called: str) -> Member | None:
        """Return the file of a base name; of several that are equal the first.

        Raises:
            UserError: there are several, and two of them differ.
        """
        members = self._named(name) if name else iter(())  # what ends with a slash is a folder
        if first := next(members, None):
            for other in members:
                if other.print != first.print:
                    where = " and in ".join(dict.fromkeys(str(one.archive.filename) for one in (first, other)))
                    raise UserError(f"{called} is ambiguous: two files of its base name differ, in {where}; remove one")
        return first

    def _named(self, name: str) -> Iterator[Member]:
        wanted = np.uint64(_hash(name))
        span = slice(*(int(np.searchsorted(self._hashes, wanted, side)) for side in ("left", "right")))
        for place in map(int, self._order[span]):
            which = int(np.searchsorted(self._ends, place, "right"))
            members = self._archives[which].infolist()
            info = members[place - int(self._ends[which])]  # counted from the end
            if _base(info.filename) == name:
                yield Member(self._archives[which], info)


def _base(path: str) -> str:
    return path.rpartition("/")[2]


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
