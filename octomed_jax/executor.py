"""Runs the same function on many pieces of work: in processes of this machine, or on a Ray cluster.

The pieces are independent, and each finds out by itself what of it is done, so that a piece may be run again after its
process was lost. Engines differ in where they run, never in the result.
"""

import contextlib
import logging
import multiprocessing
import multiprocessing.connection
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from octomed_jax.errors import TryAgain, UserError

ENGINES = ("local", "ray")
RETRIES = 3  # of a piece whose process was lost
# There is a process for each core: with as many threads each they would mostly wait for one another, and spin. Arrow's
# own memory pool keeps 40 MB of what is freed, or more.
SMALL = {"OMP_NUM_THREADS": "1", "ARROW_DEFAULT_MEMORY_POOL": "system"}

_kept_pools: list[ProcessPoolExecutor] = []  # of engine_started

T = TypeVar("T")
R = TypeVar("R")


def run_pieces(
    work: Callable[[T], R], pieces: Sequence[T], engine: str = "local", workers: int = 0
) -> Iterator[tuple[T, R]]:
    """Yield each piece with its result, as they come to an end.

    Args:
        work: a function of a module; it and the pieces are sent to other processes.
        pieces: small; data lie in files.
        engine: one of ENGINES. ``ray`` uses the cluster that RAY_ADDRESS names, or one of this machine alone.
        workers: pieces at a time; 0: as many as there are cores, here or in the cluster.

    Raises:
        UserError: no such engine, or it is not installed.
        TryAgain: a process was lost, several times in a row.
    """
    if engine not in ENGINES:
        raise UserError(f"unknown engine {engine!r}; one of {', '.join(ENGINES)}")
    yield from (_on_ray if engine == "ray" else _in_processes)(work, pieces, workers)


def _in_processes(work: Callable[[T], R], pieces: Sequence[T], workers: int) -> Iterator[tuple[T, R]]:
    workers = min(len(pieces), workers or os.cpu_count() or 1)
    if workers <= 1:
        for piece in pieces:
            yield piece, work(piece)
        return
    with contextlib.ExitStack() as stack:
        pool = _kept_pools[-1] if _kept_pools else stack.enter_context(_pool(workers))
        with _small_processes():  # processes are started as pieces are handed in
            futures = {pool.submit(work, piece): piece for piece in pieces}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenProcessPool as error:
            raise TryAgain("a process was lost; run the same command again") from error
        finally:
            for future in futures:
                future.cancel()
            wait(futures)


def _pool(workers: int, prepare: Callable[[], None] | None = None) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _begin, (prepare,))


def _begin(prepare: Callable[[], None] | None) -> None:
    end_with_parent()
    if prepare:
        prepare()


@contextlib.contextmanager
def _small_processes() -> Iterator[None]:
    """Let processes that are started in the block take what SMALL says, unless somebody said something else."""
    new = {name: value for name, value in SMALL.items() if name not in os.environ}
    os.environ.update(new)
    try:
        yield
    finally:
        for name in new:
            del os.environ[name]


def end_with_parent() -> None:
    """Let this process end as soon as the one that started it has, however that ended.

    A process of a pool waits for work that nobody will send once its parent was killed, and what it is at would write
    where the next run is already at work. The parent holds the other end of a pipe, which the system closes: that needs
    no signal, and is the same on every system.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)  # nothing is to be finished: what is not whole is made again

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()


@contextlib.contextmanager
def engine_started(engine: str, workers: int = 0, prepare: Callable[[], None] | None = None) -> Iterator[None]:
    """Keep what an engine needs while the block runs, for all calls of ``run_pieces`` in it.

    A cluster of this machine takes ten seconds to start, and a process one or two of its core's. Processes are started
    when there is work for them.

    Args:
        engine, workers: as in ``run_pieces``.
        prepare: what each process here does first; a cluster's are not ours alone.

    Raises:
        UserError: the engine is not installed.
    """
    if engine == "local":
        with _pool(workers or os.cpu_count() or 1, prepare) as pool:
            _kept_pools.append(pool)
            try:
                yield
            finally:
                _kept_pools.remove(pool)
        return
    try:
        import ray
    except ImportError as error:
        raise UserError("the engine ray is not installed; `pip install octomed-jax[ray]` adds it") from error
    started = not ray.is_initialized()
    if started:
        ray.init(logging_level=logging.WARNING, log_to_driver=False, include_dashboard=False)
    try:
        yield
    finally:
        if started:
            ray.shutdown()


def _on_ray(work: Callable[[T], R], pieces: Sequence[T], workers: int) -> Iterator[tuple[T, R]]:
    with engine_started("ray"):
        import ray

        yield from _ray_results(ray, work, pieces, workers or int(ray.cluster_resources().get("CPU", 1)))


def _ray_results(ray: Any, work: Callable[[T], R], pieces: Sequence[T], workers: int) -> Iterator[tuple[T, R]]:
    # A process that was lost may hold its files for a moment longer: TryAgain is tried again too.
    task = ray.remote(work).options(num_cpus=1, max_retries=RETRIES, retry_exceptions=[TryAgain])
    waiting = list(reversed(pieces))
    running: dict[Any, T] = {}
    while waiting or running:
        while waiting and len(running) < workers:
            piece = waiting.pop()
            running[task.remote(piece)] = piece
        [done], _ = ray.wait(list(running), num_returns=1)
        piece = running.pop(done)
        try:
            yield piece, ray.get(done)
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except ray.exceptions.RayError as error:
            raise TryAgain(f"a process of Ray was lost ({type(error).__name__}); run the same command again") from None
