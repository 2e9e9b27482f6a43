"""Where stages put their results: files and folders, written whole or not at all.

This is the only module that knows that a folder may lie in a bucket. Paths are ``etils.epath.Path``, which reads
``gs://`` names and ordinary ones alike. A folder is staged beside its final place and renamed when it is complete,
so that a killed stage leaves nothing that looks finished.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from etils import epath

from octomed_jax.errors import StopAndLook, TryAgain, UserError
from octomed_jax.os_errors import explain_os_error, making

PathLike = str | os.PathLike[str]
FINGERPRINT_DIGITS = 16


class Locked(TryAgain):
    """Another process holds a lock."""


def sha256_bytes(data: bytes | memoryview) -> str:
    """Return the SHA-256 of ``data`` in hex."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: PathLike) -> str:
    """Return the SHA-256 of a file in hex, read in pieces."""
    digest = hashlib.sha256()
    with epath.Path(path).open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def canonical_json(value: Any) -> str:
    """Return ``value`` as JSON with one spelling only: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def fingerprint(value: Any) -> str:
    """Return a 16-digit hex name for plain data, equal for equal data."""
    return sha256_bytes(canonical_json(value).encode())[:FINGERPRINT_DIGITS]


def write_bytes(path: PathLike, data: bytes) -> None:
    """Write a file whole or not at all.

    Raises:
        TryAgain: the disk is full.
    """
    with whole_file(path) as file:
        file.write(data)


@contextlib.contextmanager
def whole_file(path: PathLike) -> Iterator[IO[bytes]]:
    """Yield a file to write, which appears at ``path`` when the block ends without an error.

    On a disk it is renamed. In a bucket an object appears whole, and renaming is copying: it is sent at the end.

    Raises:
        TryAgain: the disk is full.
        UserError: the folder cannot be written.
    """
    target = epath.Path(path)
    try:
        if in_bucket(target):
            with tempfile.TemporaryFile() as file:
                yield file
                file.seek(0)
                _upload(file, target)
            return
        partial = partial_of(target)
        try:
            with making(path):
                target.parent.mkdir(parents=True, exist_ok=True)
                begun = partial.open("wb")
            with begun as file:
                yield file
            partial.replace(target)
        except BaseException:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise explain_os_error(error, path) from error


@contextlib.contextmanager
def whole_path(path: PathLike) -> Iterator[Path]:
    """Yield a local name for what writes files itself; as ``whole_file``, the file appears when the block ends.

    For a bucket it lies among the temporary files of this machine, which need room for it, and is sent at the end.

    Raises:
        TryAgain: the disk is full.
        UserError: the folder cannot be written.
    """
    target = epath.Path(path)
    try:
        if in_bucket(target):
            with scratch_folder(target.parent) as scratch:
                yield scratch / target.name
                with (scratch / target.name).open("rb") as file:
                    _upload(file, target)
            return
        partial = Path(partial_of(target))
        with making(path):
            partial.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield partial
            partial.replace(target)
        finally:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
    except OSError as error:
        raise explain_os_error(error, path) from error


def _upload(file: IO[bytes], target: epath.Path) -> None:
    there = target.open("wb")
    try:
        shutil.copyfileobj(file, there, 1 << 20)
    except BaseException:
        with contextlib.suppress(Exception):
            there.discard()  # closing would keep what has been sent
            there.closed = True
        raise
    there.close()


def partial_of(target: Any) -> Any:
    """Return a name beside ``target`` for what is not whole yet, which no other process has."""
    return target.parent / f".{target.name}.{uuid.uuid4().hex[:8]}.partial"


class TextLog:
    """A text file that grows. On a disk each piece is there at once.

    In a bucket objects appear whole, so it is sent again as a whole: at most once in ``SEND_SECONDS``, and when asked
    to. What a killed process had not sent is lost.
    """

    SEND_SECONDS = 60.0

    def __init__(self, path: PathLike, text: str = ""):
        """Begin the file with ``text``."""
        self._path = epath.Path(path)
        self._file: IO[str] | None = None
        self._parts, self._sent = [text], time.monotonic()
        write_text(path, text)
        if not in_bucket(path):
            self._file = Path(path).open("a", encoding="utf-8")  # noqa: SIM115 - open as long as this object

    def write(self, text: str) -> None:
        """Append some text."""
        if self._file:
            self._file.write(text)
            self._file.flush()
            return
        self._parts.append(text)
        if time.monotonic() - self._sent > self.SEND_SECONDS:
            self.send()

    def send(self) -> None:
        """Send what is not in the bucket yet."""
        if self._file or len(self._parts) == 1:
            return
        self._parts, self._sent = ["".join(self._parts)], time.monotonic()
        write_text(self._path, self._parts[0])

    def close(self) -> None:
        """Send the rest and close it."""
        self.send()
        if self._file:
            self._file.close()


def copy_folder(source: PathLike, target: PathLike) -> None:
    """Copy a folder of this machine in the place of ``target``: whole or not at all; in a bucket, file by file."""
    final = _absolute(target)
    staged = final if in_bucket(final) else final.parent / f".{final.name}.partial"
    for old in {staged, final}:
        if old.exists():
            old.rmtree()
    for path in sorted(Path(source).rglob("*")):
        if path.is_file():
            write_bytes(staged / path.relative_to(source).as_posix(), path.read_bytes())
    if staged != final:
        staged.rename(final)


def move_folder(source: PathLike, target: PathLike) -> None:
    """Move a folder to ``target``, in the place of what lies there; in a bucket, file by file."""
    old, new = _absolute(source), _absolute(target)
    if new.exists():
        new.rmtree()
    if not in_bucket(old):
        new.parent.mkdir(parents=True, exist_ok=True)
        old.rename(new)
        return
    for path in list(_files_under(old)):
        path.copy(new / path.relative_to(old).as_posix())
    old.rmtree()


def _files_under(folder: epath.Path) -> Iterator[epath.Path]:
    for path in folder.iterdir():
        if path.is_dir():
            yield from _files_under(path)
        else:
            yield path


def path_of(path: PathLike) -> Path:
    """Return a path with the methods of ``pathlib.Path``, wherever it leads; Path itself makes ``gs:/`` of ``gs://``."""
    return epath.Path(path) if in_bucket(path) else Path(path)


def sync(path: PathLike) -> None:
    """Wait until a file and its name are on the disk; in a bucket they are."""
    if in_bucket(path):
        return
    for place in (Path(path), Path(path).parent):
        descriptor = os.open(place, os.O_RDONLY)
        try:
            with contextlib.suppress(OSError):  # some mounts know no such thing of a folder
                os.fsync(descriptor)
        finally:
            os.close(descriptor)


def in_bucket(path: PathLike) -> bool:
    """Return whether a path lies in a bucket."""
    return "://" in str(path)


def see_what_others_write() -> None:
    """Let listings of buckets be asked for each time: by default they are kept, and other processes write too."""
    import fsspec.config

    for protocol in ("gcs", "s3", "az"):
        fsspec.config.conf.setdefault(protocol, {})["use_listings_cache"] = False


def write_text(path: PathLike, text: str) -> None:
    """Write a UTF-8 text file whole or not at all."""
    write_bytes(path, text.encode())


def write_json(path: PathLike, value: Any) -> None:
    """Write indented JSON with a closing newline, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, sort_keys=False, ensure_ascii=False) + "\n")


def read_json(path: PathLike) -> Any:
    """Read a JSON file.

    Raises:
        UserError: there is no such file.
        StopAndLook: the file is not JSON.
    """
    try:
        return json.loads(epath.Path(path).read_text())
    except FileNotFoundError as error:
        raise UserError(f"no such file: {path}") from error
    except json.JSONDecodeError as error:
        raise StopAndLook(
            f"{path} is not valid JSON (line {error.lineno}); remove it and run the stage again"
        ) from error


@contextlib.contextmanager
def staged_folder(folder: PathLike, request: str | None = None, replaces: bool = False) -> Iterator[epath.Path]:
    """Yield an empty folder beside ``folder`` that takes its place when the block ends without an error.

    Args:
        folder: the final place.
        request: name of the work. With it, what was done before a kill or an error is kept, and the next block of the
            same request finds it in its folder; not after an error that says that it is wrong, as StopAndLook does.
        replaces: what lies in ``folder`` goes when the new one takes its place.

    Raises:
        UserError: ``folder`` exists and is not empty (nothing is overwritten unless ``replaces``).
        TryAgain: another process is writing it.
    """
    final = _absolute(folder)
    if not replaces and final.exists() and any(final.iterdir()):
        raise UserError(f"{final} already exists and is not empty; remove it or choose another folder")
    staging = final.parent / f".{final.name}.partial"
    mark = staging / ".request"
    with contextlib.ExitStack() as held:
        with making(final):
            staging.mkdir(parents=True, exist_ok=True)
        if not in_bucket(staging):  # a bucket has no locks
            held.enter_context(locked(Path(staging)))
        try:
            if not (request and mark.exists() and mark.read_text() == request):
                _empty(staging)
            if request:
                mark.write_text(request)
            yield staging
            mark.unlink(missing_ok=True)
            if replaces:
                final.rename(_replaced(final))
            elif final.exists():
                final.rmdir()
            staging.rename(final)
            if replaces:
                _replaced(final).rmtree()
        except BaseException as error:
            kept = request and getattr(error, "keeps_work", True) and len(list(staging.iterdir())) > 1
            if not kept:
                with contextlib.suppress(OSError):
                    staging.rmtree()
            if isinstance(error, OSError):
                raise explain_os_error(error, final) from error
            raise


@contextlib.contextmanager
def scratch_folder(folder: PathLike) -> Iterator[Path]:
    """Yield an empty folder of this machine for what is thrown away when the block ends.

    It lies in ``folder``, so that what a killed process leaves goes with it, and where a bucket is meant, among the
    temporary files of the machine.
    """
    local = None if in_bucket(folder) else Path(folder)
    with tempfile.TemporaryDirectory(prefix=".scratch-", dir=local) as name:
        yield Path(name)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[int]:
    """Hold an exclusive lock on a file, which is made, or on a folder; it ends with the processes that hold it.

    Yields:
        the descriptor, which children may inherit.

    Raises:
        Locked: another process holds it.
    """
    with making(path):
        if not path.is_dir():
            path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT
        descriptor = os.open(path, flags | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Locked(f"another process still works there (it holds {path}); wait for it or end it") from error
        yield descriptor
    finally:
        os.close(descriptor)


def put_back(folder: PathLike) -> None:
    """Put back what ``staged_folder`` was about to replace when it was killed; nothing where it was not."""
    final = _absolute(folder)
    old = _replaced(final)
    if old.exists() and not final.exists():
        old.rename(final)
    elif old.exists():
        old.rmtree()


def _replaced(final: epath.Path) -> epath.Path:
    return final.parent / f".{final.name}.replaced"


def _empty(folder: epath.Path) -> None:
    for path in folder.iterdir():
        path.rmtree() if path.is_dir() else path.unlink()


def _absolute(folder: PathLike) -> epath.Path:
    """Return a folder by a name that has a parent: ``.`` has none."""
    return epath.Path(folder) if in_bucket(folder) else epath.Path(Path(folder).absolute())
