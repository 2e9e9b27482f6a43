"""The distill stage: asks teachers for several samples of every question, and records every attempt.

Killing it at any moment and running it again finishes the work, with the same bytes: a request's seed and content
depend on the config and the question only, and what came back is not asked again. Several workers may share it out.
"""

import asyncio
import contextlib
import ctypes
import dataclasses
import gc
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from etils import epath
from ml_collections import ConfigDict

from octomed_jax import configuration, manifests, progress, storage
from octomed_jax.errors import TryAgain, UserError
from octomed_jax.executor import run_pieces
from octomed_jax.manifests import Manifest
from octomed_jax.os_errors import making
from octomed_jax.storage import PathLike
from octomed_jax.teacher.card import write_card
from octomed_jax.teacher.ownership import DEAD_SECONDS, owned
from octomed_jax.teacher.plan import check_access, most_requests
from octomed_jax.teacher.prompts import PROMPTS
from octomed_jax.teacher.run import Run
from octomed_jax.teacher.script import Rates
from octomed_jax.teacher.scripted import scripted_teacher
from octomed_jax.teacher.settings import Teacher, check_settings, groups_each, result_settings, teacher_name
from octomed_jax.teacher.shards import QUESTIONS, Shards, begin, carry
from octomed_jax.teacher.status import FOLDER as STATUS
from octomed_jax.teacher.status import Status
from octomed_jax.teacher.tally import Tally
from octomed_jax.traces import lake
from octomed_jax.verification.check import VERIFIER_VERSION

STAGE = "distill"
CARD = "card.md"
GARBAGE_AFTER = 50_000  # objects more


@dataclasses.dataclass(frozen=True)
class Piece:
    """What one process is to do of a run; plain data, so that it can be sent to any machine.

    Attributes:
        config: as plain data.
        questions, folder: of the run.
        count: of the logical shards.
        work: the hash of what is asked for.
        numbers: the shards to be done.
        worker, workers: how it is called in the status.
    """

    config: dict[str, Any]
    questions: str
    folder: str
    count: int
    work: str
    numbers: tuple[int, ...]
    worker: int
    workers: int


def distill(
    config: ConfigDict,
    questions: PathLike,
    output: PathLike,
    worker: int = 0,
    workers: int = 1,
    engine: str = "local",
) -> Manifest | None:
    """Ask the teachers about every question of a finished questions folder.

    Args:
        config: uses ``distill`` and ``seed``.
        questions: the folder.
        output: of the attempts; begun anew or gone on with.
        worker, workers: this one's share of the logical shards, ``worker`` of ``workers``.
        engine: ``local``: all of the share in this process; ``ray``: a task for each shard.

    Returns:
        the manifest, or None where this worker's share is done and that of others is not.

    Raises:
        UserError: the config or the input is wrong, an access class is not approved, an endpoint refuses the request,
            or ``output`` holds other work.
        TryAgain: no endpoint of a teacher answers, another process works on a shard of these, or it was told to end.
        StopAndLook: too many requests failed for good.
    """
    settings = config.distill
    teachers = check_settings(settings)
    before = manifests.read_manifest(questions, *manifests.QUESTION_STAGES)
    asked_for, inputs = result_settings(config), {"questions": before.identity}
    if done := manifests.finished(output, STAGE, asked_for, inputs):
        return done
    source = epath.Path(questions) / QUESTIONS
    counts = check_access(source, teachers)
    folder = epath.Path(output)
    new = not folder.exists() and workers == 1
    if storage.in_bucket(output):
        storage.see_what_others_write()
    else:
        with making(folder):
            folder.mkdir(parents=True, exist_ok=True)
    shards = begin(folder, asked_for, inputs, counts.total(), workers, settings.shards)
    if not (folder / QUESTIONS).exists():
        carry(source, folder / QUESTIONS)
    share = shards.share(worker, workers)
    shards.reopen_failed(share)
    missing = [number for number in share if not shards.is_done(number)]
    if not share:
        progress.say(f"{folder} was begun with {shards.count} shards, none of them for worker {worker} of {workers}")
    if missing:
        shards.split(missing)
        plain = {"seed": int(config.seed), "distill": configuration.plain(settings)}
        where = (_absolute(questions), _absolute(folder))
        try:
            _ask(Piece(plain, *where, shards.count, shards.work, tuple(missing), worker, workers), share, engine)
        except UserError:
            if new and not shards.hold_attempts():
                folder.rmtree()  # nothing in it is worth another command
            raise
    if done := manifests.finished(output, STAGE, asked_for, inputs):  # by another process, meanwhile
        return done
    if shards.missing():
        return None
    _give_back_memory()
    with _owned_in_time(folder):
        if done := manifests.finished(output, STAGE, asked_for, inputs):  # another worker was faster
            return done
        return _finish(config, shards, before, asked_for, inputs, counts, teachers)


@contextlib.contextmanager
def _owned_in_time(folder: epath.Path) -> Iterator[None]:
    """Own a folder, which another worker may be about to finish, or may have died with: wait for it."""
    limit = time.monotonic() + 1.5 * DEAD_SECONDS
    with contextlib.ExitStack() as owner:
        while True:
            try:
                owner.enter_context(owned(folder))
                break
            except TryAgain:
                if time.monotonic() > limit:
                    raise
                time.sleep(1.0)
        yield


def _give_back_memory() -> None:
    """Give what asking has left of freed memory back to the system: merging needs large pieces, and would come on top.

    C libraries other than glibc have no such call, and do so by themselves.
    """
    gc.collect()
    pa.default_memory_pool().release_unused()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _absolute(path: PathLike) -> str:
    return str(path) if storage.in_bucket(path) else str(Path(path).absolute())


def _ask(piece: Piece, share: Sequence[int], engine: str) -> None:
    if engine == "local":
        ask_piece(piece, share)
        return
    pieces = [
        dataclasses.replace(piece, numbers=(number,), worker=number, workers=piece.count) for number in piece.numbers
    ]
    with progress.bar("asking the teacher", len(share), "shards", len(share) - len(pieces)) as line:
        for _ in run_pieces(ask_piece, pieces, engine):
            line.advance()


def ask_piece(piece: Piece, share: Sequence[int] = ()) -> None:
    """Do one process's part of a run; ``share`` are the shards that it counts, done or not. Errors as ``distill``."""
    if storage.in_bucket(piece.folder):
        storage.see_what_others_write()
    config = ConfigDict(piece.config)
    settings = config.distill
    teachers = check_settings(settings)
    shards = Shards(epath.Path(piece.folder), piece.count, piece.work)
    missing = [number for number in piece.numbers if not shards.is_done(number)]
    total, done = _attempts(settings, teachers, shards, share or piece.numbers, missing)
    with (
        _with_endpoints(teachers, settings, piece.questions) as ready,
        progress.bar("asking the teacher", total, "attempts", done) as line,
    ):
        status = Status(shards.folder, piece.worker, piece.workers, line, settings.temperature)
        most = total // settings.samples * groups_each(settings)
        with _fewer_collections():
            asyncio.run(Run(config, ready, shards, missing, status, most).work())


@contextlib.contextmanager
def _fewer_collections() -> Iterator[None]:
    """Look for circular garbage more seldom: a run makes thousands of short-lived objects a second, and few circles.

    With the interpreter's own thresholds, that search takes a tenth of a fast run.
    """
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(GARBAGE_AFTER, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def _attempts(
    settings: ConfigDict, teachers: Sequence[Teacher], shards: Shards, share: Sequence[int], missing: Sequence[int]
) -> tuple[int, int]:
    """Return how many attempts there are at most in shards, and how many of them in those that are done."""
    sizes: Counter[int] = Counter()
    for row in lake.iterate_rows(shards.folder / "questions.parquet", ("id", "image_hash")):
        taking = sum(teacher.takes_question(bool(row["image_hash"])) for teacher in teachers)
        sizes[shards.of(row["id"])] += taking * settings.samples
    total = sum(sizes[number] for number in share)
    return total, total - sum(sizes[number] for number in missing)


@contextlib.contextmanager
def _with_endpoints(teachers: Sequence[Teacher], settings: ConfigDict, questions: PathLike) -> Iterator[list[Teacher]]:
    """Yield the teachers, each with endpoints; the programmatic teacher runs for the time of the block."""
    with contextlib.ExitStack() as servers:
        url = ""
        if any(teacher.programmatic for teacher in teachers):
            rates = Rates(**configuration.plain(settings.scripted))
            url = servers.enter_context(scripted_teacher(questions, rates, settings.max_pixels))
        yield [
            dataclasses.replace(teacher, endpoints=(url,)) if teacher.programmatic else teacher for teacher in teachers
        ]


def _finish(
    config: ConfigDict,
    shards: Shards,
    before: Manifest,
    asked_for: dict[str, Any],
    inputs: dict[str, str],
    questions: "Counter[bool]",
    teachers: Sequence[Teacher],
) -> Manifest:
    """Merge the shards, and write the card and the manifest."""
    folder, tally = shards.folder, Tally()
    parts = shards.merge(tally.add)
    most = most_requests(config.distill, teachers, questions)
    dollars = round(sum(map(tally.dollars, {teacher.model: teacher for teacher in teachers}.values())), 4)
    prompt = PROMPTS[config.distill.answer_format]
    manifest = Manifest(
        stage=STAGE,
        config=asked_for,
        inputs=inputs,
        counts={
            "questions": questions.total(),
            **tally.told(),
            "saved_requests": most - tally.counts["requests"],
        },
        files={
            **{path.relative_to(folder).as_posix(): storage.sha256_file(path) for path in parts},
            QUESTIONS: before.files.get(QUESTIONS) or storage.sha256_file(folder / QUESTIONS),
        },
        licences=before.licences,
        access=before.access,
        extra={
            "teacher": teacher_name(config.distill),
            "teachers": [
                {"name": one.name, "model": one.model, "takes": one.takes, "terms": one.terms, "prompt": prompt.name}
                | {"programmatic": one.programmatic}
                for one in teachers
            ],
            "verifier": VERIFIER_VERSION,
            **({"cost": {"dollars": dollars}} if dollars else {}),
        },
    )
    storage.write_text(folder / CARD, write_card(manifest, prompt))
    manifests.write_manifest(folder, manifest)
    shards.clear()
    for torn in folder.glob(".*.partial"):  # of a process that was killed at that moment
        torn.unlink(missing_ok=True)
    if (folder / STATUS).exists():
        (folder / STATUS).rmtree()
    return manifest
