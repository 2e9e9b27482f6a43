"""What a look at one thing found."""

import dataclasses

GOOD, BAD, DOUBT, UNKNOWN = "good", "bad", "doubt", "unknown"


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: of it.
        state: GOOD; BAD: the job could not start; DOUBT: it may wait or go slowly; UNKNOWN: it cannot be told here.
        text: what was found.
        cure: what to do about it.
    """

    name: str
    state: str
    text: str
    cure: str = ""
