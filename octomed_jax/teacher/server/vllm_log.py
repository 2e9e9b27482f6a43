"""What vLLM's log says: where it is now, and why it ended."""

import re
from pathlib import Path

from octomed_jax.teacher.server.blocking import one_line

MAX_READ = 4 * 2**20  # bytes of the log
# Of a line in its log: the process, and for an error the level, time and place. What else is logged keeps its level.
_PREFIX = re.compile(r"^(\([^)]*\) )?((ERROR|CRITICAL) [\d-]+ [\d:]+ \[[^]]*\] )?")
_PLACE = re.compile(r"^(\([^)]*\) )?([A-Z]+ [\d-]+ [\d:]+ \[[^]]*\] )?")
_FAILURE = re.compile(r"^([\w.]*(Error|Exception)\b|vllm: error:)")


def failure(log: Path, start: int = 0) -> str:
    """Return the line that says what went wrong: the first exception, since later ones only pass it on.

    Where there is none, the last line with text in it.

    Args:
        log: the file.
        start: byte from which on it is read; of a long rest only the end is.
    """
    return failure_in(_read(log, start))


def failure_in(text: str) -> str:
    """Return the line of a text that says what went wrong, as ``failure`` does."""
    lines = [line for line in (_PREFIX.sub("", line) for line in _lines(text)) if line.strip(" ^")]
    for before, line, after in zip(["", *lines], lines, [*lines[1:], ""], strict=False):
        if _FAILURE.match(line):
            if ":" not in line:  # a bare assertion: the line of code says more
                return one_line(f"{line} at {before}")
            return one_line(f"{line} {after}" if after.startswith(" ") else line)
    return one_line(lines[-1]) if lines else "it printed nothing"


def now(log: Path) -> str:
    """Return the last line with text in it, without process, time and place."""
    lines = [line for line in _lines(_read(log, size(log) - 4096)) if line.strip()]
    return one_line(_PLACE.sub("", lines[-1]))[:100] if lines else ""


def size(log: Path) -> int:
    """Return the size in bytes."""
    return log.stat().st_size


def _read(log: Path, start: int) -> str:
    with log.open("rb") as file:
        file.seek(max(start, size(log) - MAX_READ, 0))
        return file.read(MAX_READ).decode(errors="replace")


def _lines(text: str) -> list[str]:
    return text.replace("\r", "\n").split("\n")
