"""The replies of a judge model, kept in a file: what stands in it is never asked again, and so never paid for twice."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from octomed_jax.errors import StopAndLook
from octomed_jax.os_errors import making

AT_ONCE = 64  # requests whose replies are written down together: what a kill costs

Messages = list[dict[str, Any]]
Ask = Callable[[Sequence[Messages]], Sequence[str | None]]  # None: a request that failed for good


class Replies:
    """What a judge has said, by key; asks it for what is missing."""

    def __init__(self, ask: Ask, judge: str, memory: Path, held: Callable[[str], str] = str):
        """Begin.

        Args:
            ask: sends messages to the model.
            judge: its name, with the version of what it is asked; replies of others are passed over.
            memory: file of replies.
            held: what of a reply is held in memory; the file has all of it.

        Raises:
            StopAndLook: the file is damaged.
        """
        self._ask, self._judge, self._memory, self._held = ask, judge, memory, held
        self._replies = {key: held(reply) for key, reply in _remembered(memory, judge)}

    def __contains__(self, key: str) -> bool:
        return key in self._replies

    def get(self, key: str) -> str | None:
        """Return a reply; None where the request failed for good."""
        return self._replies.get(key)

    def ask_for(self, asked: Mapping[str, Messages]) -> None:
        """Ask for the replies of those keys that have none yet."""
        missing = {key: messages for key, messages in asked.items() if key not in self._replies}
        for start in range(0, len(missing), AT_ONCE):
            some = list(missing)[start : start + AT_ONCE]
            self._remember(dict(zip(some, self._ask([missing[key] for key in some]), strict=True)))

    def _remember(self, replies: Mapping[str, str | None]) -> None:
        with making(self._memory):
            self._memory.parent.mkdir(parents=True, exist_ok=True)
            memory = self._memory.open("a", encoding="utf-8")
        with memory as file:
            for key, reply in replies.items():
                if reply is not None:
                    self._replies[key] = self._held(reply)
                    file.write(json.dumps({"key": key, "judge": self._judge, "reply": reply}) + "\n")


def count_remembered(memory: Path, judge: str) -> int:
    """Return how many replies of a judge a file holds.

    Raises:
        StopAndLook: the file is damaged.
    """
    return sum(1 for _ in _remembered(memory, judge))


def _remembered(memory: Path, judge: str) -> Iterator[tuple[str, str]]:
    """Yield a judge's replies in a file with their keys; a last line that a kill cut off is taken out of it."""
    if not memory.exists():
        return
    with memory.open("r+b") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):  # even where what is there is whole
                file.truncate(file.tell() - len(line))
                return
            try:
                entry = json.loads(line) if line.strip() else None
                if entry and entry["judge"] == judge:
                    yield str(entry["key"]), str(entry["reply"])
            except (ValueError, KeyError, TypeError) as error:
                raise StopAndLook(f"{memory} line {number} is damaged; remove that line") from error
