"""Questions with rendered images, made by several processes; the result does not depend on how many."""

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from octomed_jax.errors import TryAgain
from octomed_jax.progress import track
from octomed_jax.schema import Question

POOL_FROM = 200  # renderings from which processes pay


def render_all(
    title: str,
    render: Callable[[Any], Question],
    jobs: Sequence[Any],
    start: Callable[..., None],
    state: tuple[Any, ...],
    workers: int,
) -> list[Question]:
    """Return ``render`` of every job, in order.

    Args:
        title: of the progress line.
        render, jobs: one question each; both can be sent to another process.
        start, state: what hands a process the volumes, and with which arguments.
        workers: processes.

    Raises:
        TryAgain: a process was killed.
    """
    if workers < 2 or len(jobs) < POOL_FROM:
        start(*state)
        return [render(job) for job in track(jobs, title, len(jobs), "images")]
    try:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, mp_context=context, initializer=start, initargs=state) as pool:
            return list(track(pool.map(render, jobs, chunksize=25), title, len(jobs), "images"))
    except BrokenProcessPool as error:
        raise TryAgain(f"a process that rendered {title} was killed; run the same command again") from error
