"""Runs one command on this machine: output into a file, signals passed on, and nothing left running unnoticed."""

import contextlib
import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from octomed_jax.os_errors import making
from octomed_jax.signals import sigterm_raised
from octomed_jax.storage import locked

TAIL_BYTES = 4096


def run_local(
    command: Sequence[str],
    log: Path,
    *,
    lock: Path | None = None,
    on_line: Callable[[str], None] | None = None,
    grace_seconds: float = 60.0,
    poll_seconds: float = 0.25,
) -> int:
    """Run ``command`` to its end and return its exit code (128 + signal if a signal ended it).

    Output goes straight into ``log`` (appended), so that the command goes on undisturbed where this process is killed.

    Args:
        command: program and arguments; no shell is involved.
        log: file for stdout and stderr.
        lock: file that stays locked as long as the command or a child of it lives, even without this process.
        on_line: called with the last line of the log whenever it changed.
        grace_seconds: time between passing on an interruption and killing.
        poll_seconds: how often the command and its log are looked at.

    Raises:
        TryAgain: this process was asked to end (SIGTERM) and passed that on; or ``lock`` is held by another process.
    """
    with contextlib.ExitStack() as stack:
        held = stack.enter_context(locked(lock)) if lock else None
        with making(log):
            log.parent.mkdir(parents=True, exist_ok=True)
            output = stack.enter_context(log.open("ab"))
        start = output.tell()
        stack.enter_context(sigterm_raised())
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # The lock belongs to the open file: the command inherits it and holds it until it ends.
            pass_fds=() if held is None else (held,),
        )
        try:
            shown = ""
            while (code := _wait(process, poll_seconds)) is None:
                line = last_line(log, start) if on_line else ""
                if on_line and line and line != shown:
                    shown = line
                    on_line(line)
        except BaseException:
            _end(process, grace_seconds)
            raise
    return code if code >= 0 else 128 - code


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


def _wait(process: subprocess.Popen[bytes], seconds: float) -> int | None:
    try:
        return process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        return None


def _end(process: subprocess.Popen[bytes], grace_seconds: float) -> None:
    process.terminate()
    if _wait(process, grace_seconds) is None:
        process.kill()
        process.wait()
