"""One endpoint as a pool sees it: what it has replied, whether it is trusted, and how many requests it is given.

Its share of requests in flight grows while it keeps up, and is cut where it says that it is overloaded.
"""

import time
from collections import Counter
from typing import Any

from octomed_jax.teacher.client import ChatClient
from octomed_jax.teacher.reply import Completion, RequestFailed

BREAK_AFTER = 5  # failures in a row
FIRST_LIMIT = 16  # requests in flight, before anything is known of an endpoint
GROWTH, CUT = 0.2, 0.7  # of the limit: by how much with a reply, after the first cut, and to which share
REFUSED, LATELY = 0.4, 24  # share of the latest replies, about so many, that may be refusals before the limit is cut


class Endpoint:
    """One endpoint of a pool.

    Attributes:
        limit: how many requests it is given at a time, now.
        in_flight: how many it has.
        trusted: whether it gets any.
        counts: replies, tokens and failures by kind.
    """

    def __init__(self, client: ChatClient, most: int):
        self.client, self._most = client, most
        self.limit = float(min(FIRST_LIMIT, most))
        self.in_flight, self.trusted, self.suspected = 0, True, False
        self.counts: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self._in_a_row, self._cut_at, self._cut_before, self._refused = 0, 0.0, False, 0.0

    @property
    def free(self) -> bool:
        """Whether it can be given a request now."""
        return self.trusted and self.in_flight < int(self.limit)

    def succeeded(self, completion: Completion, wanted: bool) -> None:
        """Count a reply; let the limit grow if more is ``wanted``: doubled in a round at first, more slowly later."""
        self._in_a_row = 0
        self._refused -= self._refused / LATELY
        if wanted:
            self.limit = min(self._most, self.limit + (GROWTH if self._cut_before else 1.0))
        self.counts["replies"] += 1
        self.counts["prompt_tokens"] += completion.prompt_tokens
        self.counts["completion_tokens"] += sum(choice.completion_tokens for choice in completion.choices)

    def failed(self, failure: RequestFailed, started: float) -> bool:
        """Count a failure; return whether the endpoint is to be trusted no more."""
        self.failures[failure.kind] += 1
        if not failure.transient:
            return False
        if failure.of_endpoint:
            self._refused += (1 - self._refused) / LATELY
            if self._refused > REFUSED and started > self._cut_at:  # not for one that was sent before the last cut
                self.limit, self._cut_at, self._cut_before = max(1.0, self.limit * CUT), time.monotonic(), True
        self._in_a_row += failure.status != 429  # too much is not broken
        return self.trusted and self._in_a_row >= BREAK_AFTER

    def trust(self) -> None:
        """Give it requests again."""
        self.trusted, self._in_a_row = True, 0

    def told(self) -> dict[str, Any]:
        """Return what is shown of it while a run goes on."""
        state = "up" if self.trusted else "down"
        counts = {name: self.counts[name] for name in ("replies", "prompt_tokens", "completion_tokens", "hedged")}
        shown = {"in_flight": self.in_flight, "limit": int(self.limit), **counts, "failures": dict(self.failures)}
        return {"url": self.client.url, "state": state, **shown}
