"""What a person sees while a command runs: a progress line with an ETA, plain lines where there is no terminal."""

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

T = TypeVar("T")

# Progress goes to stderr, so that --json on stdout stays machine readable.
console = Console(stderr=True, highlight=False, soft_wrap=True)


class Bar:
    """One bar: ``advance`` it, and ``note`` what stands beside it."""

    PLAIN_SECONDS = 15.0

    def __init__(self, title: str, total: int, unit: str, done: int = 0):
        self.title, self.total, self.unit = title, total, unit
        self.first, self.done, self.noted = done, done, ""
        self._start = self._last = time.monotonic()
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def advance(self, count: int = 1) -> None:
        """Count ``count`` more units as done."""
        self.done += count
        self._show()

    def note(self, text: str) -> None:
        """Set the text at the end of the line, such as a loss."""
        self.noted = text
        self._show()

    def _show(self) -> None:
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=self.done, note=self.noted)
        elif time.monotonic() - self._last >= self.PLAIN_SECONDS:
            self._last = time.monotonic()
            elapsed = self._last - self._start
            left = elapsed / max(self.done - self.first, 1) * (self.total - self.done)
            console.print(
                f"  {self.title}: {self.done}/{self.total} {self.unit}, about {left:.0f} s left  {self.noted}".rstrip(),
                markup=False,
            )


@contextmanager
def bar(title: str, total: int, unit: str = "", done: int = 0) -> Iterator[Bar]:
    """Show a progress line with an ETA while the block runs; a line every 15 s where stderr is no terminal.

    ``done`` units were finished by an earlier run.
    """
    line = Bar(title, total, unit, done)
    if not sys.stderr.isatty():
        yield line
        return
    columns = (
        TextColumn("  {task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        line._progress = progress
        line._task = progress.add_task(title, total=total, completed=done, note="")
        yield line


def track(items: Iterable[T], title: str, total: int, unit: str = "") -> Iterator[T]:
    """Yield ``items`` with a progress line."""
    with bar(title, total, unit) as line:
        for item in items:
            yield item
            line.advance()


def say(text: str) -> None:
    """Print one plain line for the person watching."""
    console.print(text, markup=False)
