"""Runs a command on this machine: output into a file, and a lock by which it is known to run, whoever started it."""

import contextlib
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from octomed_jax.os_errors import making
from octomed_jax.storage import locked

TAIL_BYTES = 4096


class LocalProcess:
    """A command that runs on this machine, also where this process is killed: it writes straight into its log."""

    def __init__(self, command: Sequence[str], log: Path, lock: Path | None = None):
        """Start it.

        Args:
            command: program and arguments; no shell is involved.
            log: file for stdout and stderr, appended to.
            lock: file that stays locked as long as the command or a child of it lives, even without this process.

        Raises:
            Locked: ``lock`` is held by another process.
        """
        with contextlib.ExitStack() as stack:
            held = stack.enter_context(locked(lock)) if lock else None
            with making(log):
                log.parent.mkdir(parents=True, exist_ok=True)
                output = stack.enter_context(log.open("ab"))
            self._process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # The lock belongs to the open file: the command inherits it and holds it until it ends.
                pass_fds=() if held is None else (held,),
            )

    def poll(self) -> int | None:
        """Return the exit code (128 + signal if a signal ended it), None as long as it runs."""
        code = self._process.poll()
        return 128 - code if code is not None and code < 0 else code

    def terminate(self) -> None:
        """Ask it to save and end."""
        self._process.terminate()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()


def last_line(log: Path, start: int = 0) -> str:
    """Return the last line with text in it of what was written to ``log`` after byte ``start``, or an empty string."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(start, size - TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    lines = [line.strip() for line in text.replace("\r", "\n").split("\n")]
    return next((line for line in reversed(lines) if line), "")
