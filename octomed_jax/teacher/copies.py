"""Samples that are copies of another: they cost as much as others, and teach nothing.

An endpoint that ignores the seed, or the temperature, gives them; chance gives only short ones.
"""

from collections import OrderedDict
from collections.abc import Hashable, Iterable

LONG = 200  # characters; shorter texts may be equal by chance
ALARM_SHARE = 0.01  # of the long samples
RECENT = 4096  # questions that are remembered: the requests to one question are made one after another


class Copies:
    """Counts long samples, and those that are copies of another sample of their question by the same teacher.

    Attributes:
        samples: that are long.
        copies: of these, all but the first of each text.
    """

    def __init__(self) -> None:
        self.samples = self.copies = 0
        self._texts: OrderedDict[Hashable, set[int]] = OrderedDict()

    def add(self, key: Hashable, texts: Iterable[str]) -> None:
        """Count some samples of a question; ``key`` is of the question and the teacher."""
        if not (new := [hash(text) for text in texts if len(text) >= LONG]):
            return
        seen = self._texts.setdefault(key, set())
        self._texts.move_to_end(key)
        before = len(seen)
        seen.update(new)
        self.samples += len(new)
        self.copies += len(new) - (len(seen) - before)
        if len(self._texts) > RECENT:
            self._texts.popitem(last=False)


def alarming(samples: int, copies: int) -> bool:
    """Return whether chance does not explain so many copies among long samples drawn at a temperature above 0."""
    return copies > ALARM_SHARE * samples


def alarm(samples: int, copies: int) -> str:
    """Return the alarm for a person to read."""
    return (
        f"ALARM: {copies:,} of {samples:,} long samples are copies of another sample of their question; "
        "the endpoint seems to ignore the seed or the temperature"
    )
