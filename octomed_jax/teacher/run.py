"""One process's part of a distillation: asks its teachers about the questions of its shards, and records what comes.

Every teacher has its own pool of endpoints and goes through the shards at its own pace. A shard is finished when all
teachers are through with it; the next one is begun before, so that no endpoint waits for the slowest reply of a shard.
"""

import asyncio
import contextlib
import dataclasses
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ml_collections import ConfigDict

from octomed_jax.errors import StopAndLook, TryAgain
from octomed_jax.schema import Question
from octomed_jax.teacher.ledger import Ledger
from octomed_jax.teacher.plan import Work, attempts_of, due, missing_work, samples_in
from octomed_jax.teacher.pool import Pool
from octomed_jax.teacher.prepare import Preparer
from octomed_jax.teacher.prompts import PROMPTS
from octomed_jax.teacher.reply import Completion, RequestFailed
from octomed_jax.teacher.settings import Teacher, groups_each
from octomed_jax.teacher.shards import Shards
from octomed_jax.teacher.status import Status
from octomed_jax.traces import lake

TICK_SECONDS = 1.0
MOST_OPEN = 32  # shards at a time
MOST_FINISHING = 2  # of them; where the disk is slower than the teacher, what waits for it would fill the memory
AHEAD = 2  # requests begun for each that may be in flight: some are prepared, some wait for their next try


@dataclasses.dataclass
class OpenShard:
    """A shard that is worked on: ``open_ends`` are the teachers that go through it and the requests under way."""

    number: int
    ledger: Ledger
    open_ends: int


class Run:
    """The work of one process on some of the shards of a run.

    Args:
        config: uses ``distill`` and ``seed``.
        teachers: each with endpoints.
        shards, numbers: which of them are to be done here.
        status: what is told while it goes on.
        most_requests: of these shards, of which only a share may fail.
    """

    def __init__(
        self,
        config: ConfigDict,
        teachers: Sequence[Teacher],
        shards: Shards,
        numbers: Sequence[int],
        status: Status,
        most_requests: int,
    ):
        self._config, self._settings, self._teachers = config, config.distill, teachers
        self._shards, self._numbers, self._status = shards, numbers, status
        self._most_requests = most_requests
        self._open: dict[int, OpenShard] = {}
        self._finishing: dict[int, OpenShard] = {}
        self._finished = asyncio.Event()
        self._places = asyncio.Semaphore(MOST_OPEN)
        self._failures: Counter[str] = Counter()
        self._disk = ThreadPoolExecutor(1, "disk")  # seals and sorts while requests go on

    async def work(self) -> None:
        """Do all of it.

        Raises:
            TryAgain: no endpoint of a teacher answers, another process owns a shard, or it was told to end.
            UserError: an endpoint refuses such requests, or an image cannot be read.
            StopAndLook: too many requests failed for good.
        """
        told_to_end = _end_on_sigterm()
        try:
            async with asyncio.TaskGroup() as group:
                ticking = group.create_task(self._tick())
                for asking in [group.create_task(self._ask_all(teacher)) for teacher in self._teachers]:
                    await asking
                ticking.cancel()
        except asyncio.CancelledError:
            if not told_to_end.is_set():
                raise
            raise TryAgain("told to end; what came back so far is kept, run the same command again to go on") from None
        except BaseExceptionGroup as errors:
            raise first_of(errors) from None
        finally:
            self._disk.shutdown()
            with contextlib.ExitStack() as ending:  # each is closed, whatever becomes of the others
                ending.callback(self._status.end)
                for shard in [*self._open.values(), *self._finishing.values()]:
                    ending.callback(shard.ledger.close)

    async def _tick(self) -> None:
        while True:
            for number in list(self._open):
                # Only while it is open: what is taken from one that is being finished would be missing there.
                if number in self._open and self._open[number].ledger.due():
                    await self._on_disk(self._open[number].ledger.begin_seal())
            self._status.show()
            await asyncio.sleep(TICK_SECONDS)

    async def _on_disk(self, write: Callable[..., None], *arguments: Any) -> None:
        """Write in the other thread; what is begun is written also where this task is cancelled."""
        await asyncio.shield(asyncio.wrap_future(self._disk.submit(write, *arguments)))

    async def _ask_all(self, teacher: Teacher) -> None:
        """Ask one teacher everything that is missing."""
        settings = self._settings
        prompt = PROMPTS[settings.answer_format]
        pool = Pool(
            teacher.endpoints, teacher.model, teacher.api_key_env, settings.in_flight, settings.patience_seconds,
            teacher.settings,
        )  # fmt: skip
        room = asyncio.Semaphore(AHEAD * settings.in_flight)
        with Preparer(prompt, settings.max_pixels) as preparer:
            async with pool, asyncio.TaskGroup() as group:
                asker = Asking(self, teacher, pool, preparer)
                checked = False
                for number in self._numbers:
                    shard = await self._shard(number)
                    if shard is None:
                        continue
                    for question in lake.iterate_questions(self._shards.questions(number)):
                        if not teacher.takes_question(bool(question.images)):
                            continue
                        for work in self._missing(question, teacher, shard):
                            if not checked:
                                await pool.check(await preparer.messages(work.shown), work.sampling)
                                self._status.pools[teacher.name] = teacher, pool
                                checked = True
                            await room.acquire()
                            shard.open_ends += 1
                            task = group.create_task(asker.ask(work, shard))
                            task.add_done_callback(lambda _: room.release())
                    await self.close_end(shard)

    async def _shard(self, number: int) -> OpenShard | None:
        """Return a shard, opened for all teachers by the first of them that comes to it.

        A teacher that is far ahead of another one waits here. None: another process has done it meanwhile.
        """
        if number not in self._open:
            await self._places.acquire()
            while len(self._finishing) >= MOST_FINISHING:
                self._finished.clear()
                await self._finished.wait()
            if number in self._open:  # by another teacher, meanwhile
                self._places.release()
            else:
                ledger = self._shards.ledger(number)
                ledger.open()
                if not self._shards.is_wanted(number):  # any more; only now, when it is owned, is that sure
                    ledger.close()
                    self._places.release()
                    return None
                self._status.owns = True
                self._open[number] = OpenShard(number, ledger, len(self._teachers))
        return self._open[number]

    async def close_end(self, shard: OpenShard) -> None:
        """Count an end that is closed; with the last one the shard is finished."""
        shard.open_ends -= 1
        if not shard.open_ends:
            self._finishing[shard.number] = self._open.pop(shard.number)
            await self._on_disk(self._shards.finish, shard.number, shard.ledger)
            self._finishing.pop(shard.number).ledger.close()
            self._finished.set()
            self._places.release()

    def _missing(self, question: Question, teacher: Teacher, shard: OpenShard) -> Iterator[Work]:
        """Yield the requests to begin with, and count what is held already."""
        held = shard.ledger.held.get(question.id, {})
        groups = teacher.groups(bool(question.images), groups_each(self._settings))
        self._status.found(
            sum(samples_in(self._settings, place) for place, group in enumerate(groups) if group in held)
        )
        yield from missing_work(self._config, question, teacher, shard.ledger)
        self.count_saved(question, teacher, shard)

    def count_saved(self, question: Question, teacher: Teacher, shard: OpenShard) -> None:
        """Count the requests that are not made because enough attempts are correct."""
        held = shard.ledger.held.get(question.id, {})
        groups = teacher.groups(bool(question.images), groups_each(self._settings))
        if self._settings.accept and held and not due(groups, held, self._settings.accept):
            left = [place for place, group in enumerate(groups) if group not in held]
            self._status.saved(len(left), sum(samples_in(self._settings, place) for place in left))

    def record(self, work: Work, result: Completion | RequestFailed, shard: OpenShard) -> Work | None:
        """Record one request's attempts; return the next request to the question, if there is to be one now.

        Raises:
            StopAndLook: too many of all requests have failed for good.
        """
        attempts = attempts_of(work, result)
        shard.ledger.add(attempts)
        self._status.record(work.teacher, attempts)
        if isinstance(result, RequestFailed):
            self._failures[str(result)] += 1
            self._stop_if_too_many_failed()
        if not self._settings.accept:
            return None
        again = next(missing_work(self._config, work.question, work.teacher, shard.ledger), None)
        if again is None:
            self.count_saved(work.question, work.teacher, shard)
        return again

    def _stop_if_too_many_failed(self) -> None:
        failed = self._failures.total()
        if failed > self._settings.most_failed * self._most_requests:
            reason, count = self._failures.most_common(1)[0]
            raise StopAndLook(
                f"{failed} of {self._most_requests} requests failed for good, {count} of them with: {reason}; "
                "mend that and run the same command again (what came back is kept)"
            )


@dataclasses.dataclass
class Asking:
    """One teacher at work."""

    run: Run
    teacher: Teacher
    pool: Pool
    preparer: Preparer

    async def ask(self, work: Work, shard: OpenShard) -> None:
        """Make a request, and those to the same question that follow from its result."""
        again: Work | None = work
        while again is not None:
            asked = again
            messages = await self.preparer.messages(asked.shown)
            try:
                async with self.pool.completing(messages, asked.sampling) as completion:
                    again = self.run.record(asked, completion, shard)
            except RequestFailed as failure:
                again = self.run.record(asked, failure, shard)
        await self.run.close_end(shard)


def _end_on_sigterm() -> asyncio.Event:
    """Let SIGTERM end the run cleanly, with everything that came back sealed."""
    event, task = asyncio.Event(), asyncio.current_task()
    assert task

    def end() -> None:
        event.set()
        task.cancel()

    with contextlib.suppress(ValueError, NotImplementedError, RuntimeError):  # not in the main thread
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end)
    return event


def first_of(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first error of a group that is no group itself."""
    first = errors.exceptions[0]
    return first_of(first) if isinstance(first, BaseExceptionGroup) else first
