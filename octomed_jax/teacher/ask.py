"""Chat messages in, texts out: what a judge model is asked with."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from types import TracebackType

from octomed_jax.teacher.client import Messages
from octomed_jax.teacher.pool import Pool
from octomed_jax.teacher.reply import RequestFailed
from octomed_jax.teacher.requests import LIVENESS, Sampling, messages_with


class Asker:
    """Sends lists of messages to an endpoint, all at once; used as a block.

    Attributes:
        failures: reason to how many requests failed for good.

    Raises:
        TryAgain: the endpoint does not answer.
        UserError: it does not accept such requests.
    """

    def __init__(self, endpoint: str, model: str, api_key_env: str, in_flight: int, max_tokens: int, settings: str):
        self._pool = Pool([endpoint], model, api_key_env, in_flight, settings=settings)
        self._sampling = Sampling(n=1, seed=0, temperature=0.0, top_p=1.0, max_tokens=max_tokens)
        self._runner = asyncio.Runner()
        self._probed = False
        self.failures: Counter[str] = Counter()

    def __enter__(self) -> "Asker":
        self._runner.run(self._pool.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._runner.run(self._pool.__aexit__(kind, error, trace))
        self._runner.close()

    def check(self) -> None:
        """Ask for one token, to see whether the endpoint answers at all; it raises what the block may raise."""
        self._runner.run(self._pool.check(messages_with(LIVENESS, []), self._sampling))

    def ask(self, asked: Sequence[list[dict]]) -> list[str | None]:
        """Return a text for each, or None for a request that failed for good."""
        return self._runner.run(self._ask_all(asked))

    async def _ask_all(self, asked: Sequence[list[dict]]) -> list[str | None]:
        if asked and not self._probed:
            await self._pool.check(asked[0], self._sampling)
            self._probed = True
        return await asyncio.gather(*[self._ask(messages) for messages in asked])

    async def _ask(self, messages: Messages) -> str | None:
        try:
            async with self._pool.completing(messages, self._sampling) as completion:
                return completion.choices[0].response
        except RequestFailed as error:
            self.failures[str(error)] += 1
            return None
