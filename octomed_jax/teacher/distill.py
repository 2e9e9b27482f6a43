"""The distill stage: asks the teacher for several samples of every question, and records every attempt.

Killing it at any moment and running it again finishes the work, with the same bytes: a request's seed and content
depend on the config and the question only, and what is sealed in the ledger is not asked again.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from ml_collections import ConfigDict

from octomed_jax import configuration, progress, storage
from octomed_jax.errors import StopAndLook, TryAgain
from octomed_jax.progress import Bar
from octomed_jax.storage import Manifest, PathLike
from octomed_jax.teacher.client import ChatClient
from octomed_jax.teacher.ledger import Ledger
from octomed_jax.teacher.plan import (
    Work,
    attempts_of,
    check_access,
    check_settings,
    missing_work,
    result_settings,
    teacher_name,
)
from octomed_jax.teacher.reply import Completion, RequestFailed
from octomed_jax.teacher.requests import user_messages
from octomed_jax.teacher.script import Rates
from octomed_jax.teacher.scripted import scripted_teacher
from octomed_jax.traces import lake

STAGE = "distill"
PART = "attempts/part-00000.parquet"
MOST_FAILED = 0.01  # share of the requests that may fail for good before the run stops
TICK_SECONDS = 5.0


def distill(config: ConfigDict, questions: PathLike, output: PathLike) -> Manifest:
    """Ask the teacher about every question of a finished questions folder.

    Raises:
        UserError: the config or the input is wrong, an access class is not approved, the endpoint refuses the request,
            or ``output`` holds other work.
        TryAgain: the endpoint does not answer, another process is at work here, or the run was told to end.
        StopAndLook: more than 1 % of the requests failed for good.
    """
    settings = config.distill
    check_settings(settings)
    before = storage.read_manifest(questions, "questions")
    asked_for, inputs = result_settings(config), {"questions": before.identity}
    if done := storage.finished(output, STAGE, asked_for, inputs):
        return done
    source = Path(questions) / "questions.parquet"
    ids = check_access(source, settings)
    folder = Path(output)
    with Ledger(folder) as ledger:
        ledger.begin(asked_for, inputs)
        carry(source, folder / "questions.parquet")
        groups = range(-(-settings.samples // settings.samples_per_request))
        missing = sum((name, group) not in ledger.held for name in ids for group in groups)
        if missing:
            with teacher_url(settings, questions) as endpoint, _bar(settings, ids, ledger) as line:
                asyncio.run(_ask_all(config, endpoint, source, ledger, line, len(ids) * len(groups)))
        table = ledger.table()
        assert table.num_rows == len(ids) * settings.samples, "an attempt is missing"
        lake.write_table(folder / PART, table, row_group=20_000)
        failed = sum(1 for error in table["error"].to_pylist() if error)
        finishes = Counter(table["finish_reason"].to_pylist())
        manifest = Manifest(
            stage=STAGE,
            config=asked_for,
            inputs=inputs,
            counts={
                "questions": len(ids),
                "attempts": table.num_rows,
                "failed": failed,
                "finish_reasons": dict(sorted(finishes.items())),
                "completion_tokens": sum(table["completion_tokens"].to_pylist()),
            },
            files={name: storage.sha256_file(folder / name) for name in (PART, "questions.parquet")},
            licences=before.licences,
            access=before.access,
            extra={"teacher": teacher_name(settings)},
        )
        storage.write_manifest(folder, manifest)
    return manifest


def carry(source: Path, target: Path) -> None:
    """Carry a file on into another folder: a hard link where possible, else a copy.

    Raises:
        TryAgain: the disk is full.
    """
    partial = target.parent / f".{target.name}.partial"
    try:
        partial.unlink(missing_ok=True)
        try:
            os.link(source, partial)
        except OSError:
            shutil.copyfile(source, partial)
        partial.replace(target)
        partial.unlink(missing_ok=True)  # replacing a hard link by itself does nothing, and leaves it
    except OSError as error:
        raise storage.explain_os_error(error, target) from error


@contextlib.contextmanager
def teacher_url(settings: ConfigDict, questions: PathLike) -> Iterator[str]:
    """Yield the endpoint's URL; the programmatic teacher runs for the time of the block where none is set."""
    if settings.endpoint:
        yield settings.endpoint
        return
    rates = Rates(**configuration.plain(settings.scripted))
    with scripted_teacher(questions, rates, settings.max_pixels) as url:
        yield url


@contextlib.contextmanager
def _bar(settings: ConfigDict, ids: list[str], ledger: Ledger) -> Iterator[Bar]:
    with progress.bar("asking the teacher", len(ids) * settings.samples, "attempts") as line:
        line.advance(min(len(ids) * settings.samples, len(ledger.held) * settings.samples_per_request))
        yield line


async def _ask_all(config: ConfigDict, endpoint: str, source: Path, ledger: Ledger, line: Bar, total: int) -> None:
    """Send all missing requests, recording what comes back; at most ``in_flight`` at a time."""
    settings = config.distill
    run = _Run(config, ledger, line, total, time.monotonic())
    told_to_end = _end_on_sigterm()
    work = missing_work(config, source, ledger)
    tasks: set[asyncio.Task[tuple[Work, Completion | RequestFailed]]] = set()
    async with ChatClient(endpoint, settings.model, settings.api_key_env, settings.in_flight) as client:
        try:
            first = next(work)
            probe = user_messages(first.question, settings.answer_format, settings.max_pixels)
            await client.probe(probe)
            pending: Iterator[Work] = iter([first])
            exhausted = False
            while tasks or not exhausted:
                while not exhausted and len(tasks) < 2 * settings.in_flight:
                    item = next(pending, None) or next(work, None)
                    if item is None:
                        exhausted = True
                    else:
                        tasks.add(asyncio.create_task(_ask(client, item, settings)))
                if not tasks:
                    break
                done, tasks = await asyncio.wait(tasks, timeout=TICK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    item, result = task.result()
                    if isinstance(result, RequestFailed) and result.connection:
                        await client.probe(probe)  # is it this request, or is the endpoint gone?
                    run.record(item, result)
                ledger.tick()
        except asyncio.CancelledError:
            if not told_to_end.is_set():
                raise
            raise TryAgain("told to end; what came back so far is kept, run the same command again to go on") from None
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


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


async def _ask(client: ChatClient, work: Work, settings: ConfigDict) -> tuple[Work, Completion | RequestFailed]:
    messages = user_messages(work.question, settings.answer_format, settings.max_pixels)
    try:
        return work, await client.complete(messages, work.sampling)
    except RequestFailed as failure:
        return work, failure


class _Run:
    """Records results, and stops the run when too many fail."""

    def __init__(self, config: ConfigDict, ledger: Ledger, line: Bar, total: int, start: float):
        self._settings, self._ledger, self._line, self._total, self._start = config.distill, ledger, line, total, start
        self._failures: Counter[str] = Counter()
        self._done = 0

    def record(self, work: Work, result: Completion | RequestFailed) -> None:
        """Record one group.

        Raises:
            StopAndLook: more than MOST_FAILED of all requests have failed for good.
        """
        attempts = attempts_of(work, result, self._settings)
        self._ledger.add(attempts)
        self._done += len(attempts)
        self._line.advance(len(attempts))
        if isinstance(result, RequestFailed):
            self._failures[str(result)] += 1
        failed = sum(self._failures.values())
        rate = self._done / max(time.monotonic() - self._start, 1e-3)
        self._line.note(f"{rate:.0f}/s, {failed} failed")
        if failed > MOST_FAILED * self._total:
            reason, count = self._failures.most_common(1)[0]
            raise StopAndLook(
                f"{failed} of {self._total} requests failed for good, {count} of them with: {reason}; "
                "mend that and run the same command again (what came back is kept)"
            )
