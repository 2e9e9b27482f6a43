"""Members of wheels (zip) and Debian packages (ar, then tar.xz), read into memory; no path is ever extracted."""

import io
import lzma
import tarfile
import zipfile
from collections.abc import Sequence

from octomed_jax.errors import UserError

MEMBER_LIMIT = 64 * 2**20
TAR_LIMIT = 512 * 2**20
_AR_MAGIC = b"!<arch>\n"
_AR_HEADER = 60


def wheel_members(data: bytes, names: Sequence[str], label: str, limit: int = MEMBER_LIMIT) -> dict[str, bytes]:
    """Return the named members of a wheel.

    Args:
        data: the wheel.
        names: exact member names.
        label: what to call the wheel in a message.
        limit: most bytes a member may unpack to.

    Raises:
        UserError: not a zip, no such member, or a member over the limit.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return {name: _zip_member(archive, name, label, limit) for name in names}
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise UserError(f"{label} is not a readable zip file ({error}); delete it and fetch it again") from error


def unreadable_item(member: str, label: str) -> UserError:
    """Return the error of a member with an item that does not read as the others do: it is not the one that was pinned.

    Args:
        member: its name.
        label: what to call the package in a message.
    """
    return UserError(f"{member} has an item that cannot be read; delete {label} from the cache")


def wheel_names(data: bytes, label: str) -> list[str]:
    """Return the member names of a wheel, sorted.

    Raises:
        UserError: not a zip.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return sorted(archive.namelist())
    except zipfile.BadZipFile as error:
        raise UserError(f"{label} is not a readable zip file ({error}); delete it and fetch it again") from error


def _zip_member(archive: zipfile.ZipFile, name: str, label: str, limit: int) -> bytes:
    try:
        info = archive.getinfo(name)
    except KeyError as error:
        raise UserError(f"{label} has no member {name}; delete it and fetch it again") from error
    if info.file_size > limit:
        raise UserError(f"{name} of {label} unpacks to {info.file_size} bytes, over the limit of {limit}")
    with archive.open(info) as file:
        # The size in the directory is only a claim; never read past the limit.
        content = file.read(limit + 1)
    if len(content) > limit:
        raise UserError(f"{name} of {label} unpacks to over {limit} bytes, more than its header says")
    return content


def ar_members(data: bytes, label: str) -> dict[str, bytes]:
    """Return the members of a Unix ar archive (the outer layer of a .deb) by name.

    Raises:
        UserError: not an ar archive, or one that is cut short.
    """
    if not data.startswith(_AR_MAGIC):
        raise UserError(f"{label} is not a Debian package (no ar header); delete it and fetch it again")
    members, at = {}, len(_AR_MAGIC)
    while at < len(data):
        header = data[at : at + _AR_HEADER]
        size_field = header[48:58].strip()
        if len(header) < _AR_HEADER or header[58:60] != b"`\n" or not size_field.isdigit():
            raise UserError(f"{label} has a broken ar header at byte {at}; delete it and fetch it again")
        size, start = int(size_field), at + _AR_HEADER
        if start + size > len(data):
            raise UserError(f"{label} is cut short in its ar member at byte {at}; delete it and fetch it again")
        members[header[:16].decode("ascii", "replace").strip().rstrip("/")] = data[start : start + size]
        at = start + size + size % 2  # members start at even offsets
    return members


def deb_members(data: bytes, names: Sequence[str], label: str, limit: int = MEMBER_LIMIT) -> dict[str, bytes]:
    """Return the named files of a Debian package (names as in ``data.tar.xz``, with or without ``./``).

    Raises:
        UserError: not a Debian package with a ``data.tar.xz``, no such file, or a file over the limit.
    """
    members = ar_members(data, label)
    if "data.tar.xz" not in members:
        raise UserError(f"{label} has no data.tar.xz (it has {', '.join(sorted(members)) or 'nothing'})")
    wanted = {name.removeprefix("./"): name for name in names}
    found: dict[str, bytes] = {}
    try:
        unpacked = _xz_limited(members["data.tar.xz"], label)
        with tarfile.open(fileobj=io.BytesIO(unpacked), mode="r:") as archive:
            for info in archive:
                name = wanted.get(info.name.removeprefix("./"))
                if name is None or not info.isfile():
                    continue
                if info.size > limit:
                    raise UserError(f"{name} of {label} has {info.size} bytes, over the limit of {limit}")
                file = archive.extractfile(info)
                assert file is not None
                found[name] = file.read()
    except (lzma.LZMAError, tarfile.TarError, EOFError) as error:
        raise UserError(f"{label} cannot be unpacked ({error}); delete it and fetch it again") from error
    missing = [name for name in names if name not in found]
    if missing:
        raise UserError(f"{label} has no file {missing[0]}; delete it and fetch it again")
    return found


def _xz_limited(data: bytes, label: str) -> bytes:
    decoder = lzma.LZMADecompressor()
    unpacked = decoder.decompress(data, TAR_LIMIT)
    if not decoder.eof:
        big = len(unpacked) >= TAR_LIMIT
        raise UserError(f"{label} " + (f"unpacks to over {TAR_LIMIT} bytes" if big else "is cut short in data.tar.xz"))
    return unpacked
