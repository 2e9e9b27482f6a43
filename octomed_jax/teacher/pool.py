"""Several endpoints of one model, used as one: which is given a request, which is trusted, what is sent again.

An endpoint that fails several times in a row gets no more until a real token has come back from it. A try waits for the
next without holding a slot. A request that takes far longer than others did is sent again, and the first reply counts.
"""

import asyncio
import contextlib
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from types import TracebackType
from typing import Any

from octomed_jax.progress import say
from octomed_jax.teacher.client import Body, ChatClient, Messages
from octomed_jax.teacher.endpoint import Endpoint
from octomed_jax.teacher.reply import Completion, RequestFailed, WrongChoices
from octomed_jax.teacher.requests import LIVENESS, Sampling, messages_with

TRIES = 8  # of a request that fails for what it is
MOST_TRIES = 40  # of any; while an endpoint is gone or overloaded, requests wait
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0  # seconds, doubled with every further try
LEAST_PATIENCE = 120.0  # seconds of refusals alone
PROBE_SECONDS = 120.0  # for one token, also of a server under load
KNOWN_AFTER = 8  # replies after which it is known how long one takes
STUCK_UNKNOWN, STUCK_LEAST, STUCK_TIMES = 900.0, 30.0, 3.0  # seconds, seconds, times the slowest of late


class Pool:
    """Endpoints of one model. Use as ``async with Pool(...) as pool``, then ``check`` first.

    Args:
        endpoints: URLs.
        model: the name that all of them know.
        api_key_env: name of the variable with the key, or empty.
        in_flight: most requests at a time, over all endpoints.
        patience: seconds without any reply after which it is given up.
        settings: the part of the config that an error names.
    """

    def __init__(
        self,
        endpoints: Sequence[str],
        model: str,
        api_key_env: str = "",
        in_flight: int = 64,
        patience: float = 0.0,
        settings: str = "config.distill",
    ):
        clients = [ChatClient(url, model, api_key_env, settings=settings) for url in endpoints]
        self.endpoints = [Endpoint(client, in_flight) for client in clients]
        self._in_flight, self._patience = in_flight, patience
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._background: set[asyncio.Task[None]] = set()
        self._seconds: deque[float] = deque(maxlen=256)  # that late replies took
        self._last_reply = time.monotonic()
        self._over: Exception | None = None
        self._probe: Messages = []

    async def __aenter__(self) -> "Pool":
        for endpoint in self.endpoints:
            await endpoint.client.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        for endpoint in self.endpoints:
            await endpoint.client.__aexit__(kind, error, trace)

    async def check(self, messages: Messages, sampling: Sampling) -> None:
        """Ask each endpoint for one real token, by a request of the kind that will follow.

        Where that is refused, by a plain request of our own: one question that an endpoint does not accept is not to
        stand in the way of all others. An endpoint that does not answer is left out until it does, if another answers.

        Raises:
            TryAgain: none of them answers.
            UserError: one answers, and will accept neither, or does not give as many choices as are asked for.
        """
        for self._probe in (messages, messages_with(LIVENESS, [])):
            tries = [self._probe_three_times(endpoint, sampling) for endpoint in self.endpoints]
            results = await asyncio.gather(*tries)
            if not any(failure and failure.of_request for failure in results):
                break
        down = [(endpoint, failure) for endpoint, failure in zip(self.endpoints, results, strict=True) if failure]
        for endpoint, failure in down:
            if not failure.transient or isinstance(failure, WrongChoices) or len(down) == len(self.endpoints):
                raise endpoint.client.explain(failure)
        for endpoint, failure in down:
            self._distrust(endpoint, str(failure))
        self._last_reply = time.monotonic()

    async def _probe_three_times(self, endpoint: Endpoint, sampling: Sampling) -> RequestFailed | None:
        """Return why it gave no token; other than the number of choices if it was that once."""
        failures = []
        for attempt in range(3):
            if attempt:
                await asyncio.sleep(min(1.0, FIRST_WAIT) * attempt)
            try:
                await endpoint.client.probe(self._probe, PROBE_SECONDS, sampling)
                return None
            except RequestFailed as error:
                failures.append(error)
                if not error.transient:
                    break
        return min(reversed(failures), key=lambda failure: isinstance(failure, WrongChoices))

    @contextlib.asynccontextmanager
    async def completing(
        self, messages: Messages, sampling: Sampling, more: Mapping[str, Any] | None = None
    ) -> AsyncIterator[Completion]:
        """Ask for ``sampling.n`` responses; yield them. ``more`` are further fields of the request.

        The request counts as in flight until the block ends: what is kept within it is lost in no kill beyond those.

        Raises:
            RequestFailed: for good, or after all tries.
            TryAgain: no endpoint has answered for as long as patience lasts.
            UserError: an endpoint has come to refuse such requests.
        """
        body = self.endpoints[0].client.body(messages, sampling, more)
        avoid: Endpoint | None = None
        own_fault = 0
        for attempt in range(MOST_TRIES):
            endpoint = await self._slot(avoid)
            try:
                endpoint, completion = await self._hedged(
                    endpoint, body, sampling.n, self._stuck_after() * 2**own_fault
                )
                break
            except RequestFailed as failure:
                own_fault += not (failure.of_endpoint or failure.of_settings)
                self._end_if_hopeless(endpoint, failure)
                may_pass = failure.transient or failure.of_settings
                if not may_pass or own_fault >= TRIES or attempt == MOST_TRIES - 1:
                    raise
                avoid = endpoint
                wait = max(failure.wait, min(LONGEST_WAIT, FIRST_WAIT * 2**attempt) * random.uniform(0.5, 1.0))
            await asyncio.sleep(wait)
        try:
            yield completion
        finally:
            self._release(endpoint)

    async def _slot(self, avoid: Endpoint | None = None) -> Endpoint:
        """Take a slot of the least loaded endpoint, another one than ``avoid`` if there is one; wait for it."""
        while True:
            if self._over:
                raise self._over
            if (endpoint := self._choose(avoid)) is not None:
                endpoint.in_flight += 1
                return endpoint
            freed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(freed)
            try:
                await freed
            except asyncio.CancelledError:
                self._wake()  # it may have been this one's turn
                raise

    def _choose(self, avoid: Endpoint | None) -> Endpoint | None:
        if sum(endpoint.in_flight for endpoint in self.endpoints) >= self._in_flight:
            return None
        free = [endpoint for endpoint in self.endpoints if endpoint.free]
        return min(free, key=lambda one: (one is avoid, one.in_flight / one.limit), default=None)

    def _wake(self) -> None:
        """Let as many go on as there are slots; all of them where it is over."""
        slots = sum(max(0, int(one.limit) - one.in_flight) for one in self.endpoints if one.trusted)
        slots = min(slots, self._in_flight - sum(one.in_flight for one in self.endpoints))
        while self._waiting and (slots > 0 or self._over):
            freed = self._waiting.popleft()
            if not freed.done():
                freed.set_result(None)
                slots -= 1

    def _release(self, endpoint: Endpoint) -> None:
        endpoint.in_flight -= 1
        self._wake()

    async def _hedged(self, endpoint: Endpoint, body: Body, n: int, stuck_after: float) -> tuple[Endpoint, Completion]:
        """Send a request by a slot that is held; a second time, elsewhere if it can be, where it seems stuck.

        Returns:
            the endpoint that replied, whose slot is still held, and what it replied.

        Raises:
            RequestFailed: both failed, or neither came to an end in another such time. The next try is given twice as
                long: it may be that it takes so long.
        """
        first = asyncio.create_task(self._send(endpoint, body, n))
        tasks, everyone, chosen = {first}, {first}, None
        try:
            done, _ = await asyncio.wait(tasks, timeout=stuck_after)
            if done:
                chosen = first
                return first.result()
            endpoint.counts["hedged"] += 1
            self._suspect(endpoint)
            tasks.add(asyncio.create_task(self._send_elsewhere(endpoint, body, n)))
            everyone |= tasks
            while True:
                done, running = await asyncio.wait(tasks, timeout=stuck_after, return_when=asyncio.FIRST_COMPLETED)
                if not done:
                    raise RequestFailed(f"no reply in {2 * stuck_after:.0f} s", transient=True)
                for task in done:
                    if not task.exception():
                        chosen = task
                        return task.result()
                if not running:
                    return done.pop().result()
                tasks = running
        finally:
            others = everyone - {chosen}
            for task in others:
                task.cancel()
            if others:
                await asyncio.gather(*others, return_exceptions=True)
            for task in others:
                if not task.cancelled() and not task.exception():
                    self._release(task.result()[0])  # it replied too, at the same moment

    async def _send_elsewhere(self, avoid: Endpoint, body: Body, n: int) -> tuple[Endpoint, Completion]:
        return await self._send(await self._slot(avoid), body, n)

    async def _send(self, endpoint: Endpoint, body: Body, n: int) -> tuple[Endpoint, Completion]:
        """Send a request by a slot that is held; with a reply it stays held."""
        started = time.monotonic()
        try:
            completion = await endpoint.client.send(body, n)
        except BaseException as error:
            if isinstance(error, RequestFailed) and endpoint.failed(error, started):
                self._distrust(endpoint, str(error))
            self._release(endpoint)
            raise
        endpoint.succeeded(completion, wanted=bool(self._waiting))
        self._last_reply = time.monotonic()
        self._seconds.append(self._last_reply - started)
        return endpoint, completion

    def _stuck_after(self) -> float:
        if len(self._seconds) < KNOWN_AFTER:
            return STUCK_UNKNOWN
        return max(STUCK_LEAST, STUCK_TIMES * max(self._seconds))

    def _suspect(self, endpoint: Endpoint) -> None:
        """Find out in the background whether an endpoint still gives tokens."""

        async def find_out() -> None:
            try:
                await endpoint.client.probe(self._probe, PROBE_SECONDS)
            except RequestFailed as failure:
                if endpoint.trusted:
                    self._distrust(endpoint, str(failure))
            finally:
                endpoint.suspected = False

        if not endpoint.suspected and endpoint.trusted:
            endpoint.suspected = True
            self._start(find_out())

    def _distrust(self, endpoint: Endpoint, why: str) -> None:
        """Give an endpoint nothing until a token has come back from it."""
        endpoint.trusted = False
        say(f"{endpoint.client.url} is left alone until it gives a token again ({why})")
        self._start(self._recover(endpoint))

    async def _recover(self, endpoint: Endpoint) -> None:
        wait = FIRST_WAIT
        while not self._over:
            await asyncio.sleep(wait)
            try:
                await endpoint.client.probe(self._probe, PROBE_SECONDS)
            except RequestFailed as failure:
                wait = min(LONGEST_WAIT, 2 * wait)
                self._give_up_after_patience(endpoint.client.explain(failure))
                continue
            endpoint.trust()
            say(f"{endpoint.client.url} gives tokens again")
            self._wake()
            return

    def _end_if_hopeless(self, endpoint: Endpoint, failure: RequestFailed) -> None:
        """End it all where no endpoint takes the key or the model, or nothing but refusals has come for long.

        Raises:
            UserError, TryAgain: what it means to the user.
        """
        if failure.of_settings and endpoint.trusted:
            self._distrust(endpoint, str(failure))
        refused = failure.status in (401, 403) and not any(one.trusted for one in self.endpoints)
        silent = time.monotonic() - self._last_reply
        if refused or (failure.of_endpoint and silent > max(self._patience, LEAST_PATIENCE)):
            self._end(endpoint.client.explain(failure))
            assert self._over
            raise self._over

    def _give_up_after_patience(self, error: Exception) -> None:
        silent = time.monotonic() - self._last_reply
        if silent > self._patience and not any(endpoint.trusted for endpoint in self.endpoints):
            self._end(error)

    def _end(self, error: Exception) -> None:
        self._over = self._over or error
        self._wake()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
