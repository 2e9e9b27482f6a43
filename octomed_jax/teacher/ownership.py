"""Who may write into a folder: one process at a time, on a disk, a network mount or in a bucket."""

import contextlib
import fcntl
import os
import re
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
from etils import epath

from octomed_jax.errors import TryAgain, UserError
from octomed_jax.os_errors import explain_os_error
from octomed_jax.storage import in_bucket

LOCK, OWNERS = ".lock", "owners"
BEAT_SECONDS = 15.0
DEAD_SECONDS = 120.0  # without a beat; far more than the clocks of two hosts differ


@contextlib.contextmanager
def owned(folder: epath.Path) -> Iterator[str]:
    """Own a folder for the time of a block.

    Yields:
        what files written there are to have in their names: empty, but in a bucket a name of this owner, so that one
        that was thought dead overwrites nothing of the next.

    Raises:
        TryAgain: another process owns it.
    """
    if in_bucket(folder):
        with _claimed(folder / OWNERS) as token:
            yield f"-{token}"
    else:
        with _locked(Path(folder) / LOCK):
            yield ""


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Lock a file; the operating system frees it with the process, so a dead one's is taken over."""
    lock = _take(path)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()
        os.close(lock)


def _take(path: Path) -> int:
    while True:
        try:
            lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise explain_os_error(error, path) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(lock, 200).decode("utf-8", "replace").strip()
            os.close(lock)
            raise _in_use(path.parent, owner or "another process") from None
        except OSError as error:
            os.close(lock)
            raise UserError(f"{path.parent} knows no locks ({error.strerror}); choose a folder elsewhere") from error
        try:
            mine = path.stat().st_ino == os.fstat(lock).st_ino
        except OSError:
            mine = False
        if mine:
            try:
                os.ftruncate(lock, 0)
                os.write(lock, f"{_here()}\n".encode())
            except OSError as error:
                os.close(lock)
                raise explain_os_error(error, path) from error
            return lock
        os.close(lock)  # its last owner removed it just now


@contextlib.contextmanager
def _claimed(owners: epath.Path) -> Iterator[str]:
    """Claim a folder of a bucket, which has no locks, by a file that is written again while the block goes on.

    Two that come at the same moment see each other, and neither gets it.
    """
    token = uuid.uuid4().hex[:8]
    mine, ended = owners / f"{token}.txt", threading.Event()

    def beat() -> None:
        while not ended.wait(BEAT_SECONDS):
            with contextlib.suppress(OSError):
                mine.write_text(f"{time.time():.0f} {_here()}")

    owners.mkdir(parents=True, exist_ok=True)
    mine.write_text(f"{time.time():.0f} {_here()}")
    beating = threading.Thread(target=beat, daemon=True)
    try:
        for path in owners.glob("*.txt"):
            if path.name != mine.name and (owner := _alive(path)):
                raise _in_use(owners.parent, owner)
        beating.start()
        yield token
    finally:
        ended.set()
        if beating.ident:
            beating.join()
        with contextlib.suppress(OSError):
            mine.unlink()


def _alive(path: epath.Path) -> str:
    """Return the owner that a claim names, if it has been written lately; remove it if not."""
    try:
        beat, _, owner = path.read_text().partition(" ")
    except OSError:
        return ""
    if time.time() - float(beat) < DEAD_SECONDS and not _ended_here(owner):
        return owner
    with contextlib.suppress(OSError):
        path.unlink()
    return ""


def _ended_here(owner: str) -> bool:
    """Return whether an owner was a process of this machine that is no more."""
    match = re.fullmatch(r"process (\d+) on (.+)", owner)
    return match is not None and match[2] == socket.gethostname() and not psutil.pid_exists(int(match[1]))


def _here() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"


def _in_use(folder: object, owner: str) -> TryAgain:
    return TryAgain(f"{folder} is in use by {owner}; wait for it or end it first")
