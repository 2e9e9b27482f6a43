"""What is told of a run while it goes on: a progress line, and a file that ``octomed distill --status`` reads."""

import os
import socket
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import Any

import psutil
from etils import epath

from octomed_jax import storage
from octomed_jax.progress import Bar, duration
from octomed_jax.schema import Attempt
from octomed_jax.teacher.copies import Copies, alarm, alarming
from octomed_jax.teacher.pool import Pool
from octomed_jax.teacher.settings import Teacher

WRITE_SECONDS = 2.0
WINDOW_SECONDS = 60.0  # over which rates are taken
FOLDER = "status"


class Status:
    """Counts what one worker of a run does.

    Args:
        folder: of the run.
        worker, workers: this one's number, and how many there are.
        line: its progress line, in attempts.
        temperature: of sampling; at 0 copies are no wonder.

    Attributes:
        owns: whether it owns a shard; before that, another process's file may be there.
    """

    def __init__(self, folder: epath.Path, worker: int, workers: int, line: Bar, temperature: float):
        self._path = folder / FOLDER / f"worker-{worker:05d}-of-{workers:05d}.json"
        self._worker, self._workers, self._line = worker, workers, line
        self.ended, self.owns = False, False
        self._temperature, self._copies = temperature, Copies()
        for other in self._path.parent.glob("worker-*.json") if self._path.parent.exists() else ():
            if not other.name.endswith(f"-of-{workers:05d}.json"):  # of a run that was shared out otherwise
                other.unlink(missing_ok=True)
        self.pools: dict[str, tuple[Teacher, Pool]] = {}
        self.counts: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self._dollars = 0.0
        self._started = time.time()
        self._written = 0.0
        self._recent: deque[tuple[float, int, int]] = deque([(time.monotonic(), 0, 0)])

    def found(self, attempts: int) -> None:
        """Count attempts that are not asked for: held from before, or saved."""
        self._line.advance(attempts)

    def saved(self, requests: int, attempts: int) -> None:
        """Count requests that need not be made, since enough attempts are correct."""
        self.counts["saved_requests"] += requests
        self._line.advance(attempts)

    def record(self, teacher: Teacher, attempts: Sequence[Attempt]) -> None:
        """Count the attempts of one request."""
        first = attempts[0]
        self.counts["requests"] += 1
        self.counts["attempts"] += len(attempts)
        self._line.advance(len(attempts))
        if first.error:
            self.failures[first.error[:80]] += 1
            return
        tokens = sum(attempt.completion_tokens for attempt in attempts)
        self.counts["correct"] += sum(attempt.verdict == "correct" for attempt in attempts)
        self.counts["prompt_tokens"] += first.prompt_tokens
        self.counts["completion_tokens"] += tokens
        if self._temperature and not teacher.programmatic:
            self._copies.add(
                (first.question_id, teacher.name), [attempt.reasoning + attempt.response for attempt in attempts]
            )
        self._dollars += teacher.dollars(first.prompt_tokens, tokens)

    def show(self, force: bool = False) -> None:
        """Show what was counted beside the progress line, and write it into the file every few seconds."""
        now = time.monotonic()
        self._recent.append((now, self.counts["attempts"], self.counts["completion_tokens"]))
        while len(self._recent) > 2 and now - self._recent[0][0] > WINDOW_SECONDS:
            self._recent.popleft()
        told = self.told()
        self._line.note(told_briefly(told))
        if self.owns and (force or now - self._written >= WRITE_SECONDS):
            self._written = now
            storage.write_json(self._path, told)

    def told(self) -> dict[str, Any]:
        """Return what the file holds."""
        then, attempts, tokens = self._recent[0]
        now, attempts_now, tokens_now = self._recent[-1]
        seconds = max(now - then, 1e-3)
        rate, left = (attempts_now - attempts) / seconds, self._line.total - self._line.done
        return {
            "worker": self._worker,
            "workers": self._workers,
            "process": os.getpid(),
            "host": socket.gethostname(),
            "started": round(self._started),
            "updated": round(time.time()),
            "ended": self.ended,
            "done": self._line.done,
            "of": self._line.total,
            **{name: self.counts[name] for name in COUNTS},
            "long_samples": self._copies.samples,
            "copies": self._copies.copies,
            "failed_requests": self.failures.total(),
            "failures": dict(self.failures.most_common(10)),
            "attempts_per_second": round(rate, 2),
            "tokens_per_second": round((tokens_now - tokens) / seconds, 1),
            "seconds_left": round(left / rate) if rate else None,
            "dollars": round(self._dollars, 4),
            "teachers": {
                name: {"model": teacher.model, "endpoints": [endpoint.told() for endpoint in pool.endpoints]}
                for name, (teacher, pool) in self.pools.items()
            },
        }

    def end(self) -> None:
        """Write the file a last time."""
        self.ended = True
        self.show(force=True)


COUNTS = ("requests", "attempts", "correct", "saved_requests", "prompt_tokens", "completion_tokens")


def told_briefly(told: Mapping[str, Any]) -> str:
    """Return a status as the end of a progress line."""
    accepted = f", {told['correct'] / told['attempts']:.0%} correct" if told["attempts"] else ""
    cost = f", ${told['dollars']:.2f}" if told["dollars"] else ""
    failed = f", {told['failed_requests']} failed" if told["failed_requests"] else ""
    down = sum(one["state"] != "up" for teacher in told["teachers"].values() for one in teacher["endpoints"])
    gone = f", {down} endpoints down" if down else ""
    return f"{told['attempts_per_second']:.0f}/s, {told['tokens_per_second']:.0f} tok/s{accepted}{cost}{failed}{gone}"


def read_status(folder: storage.PathLike) -> list[dict[str, Any]]:
    """Return what the workers of a run have told last, in order."""
    files = epath.Path(folder) / FOLDER
    return [storage.read_json(path) for path in sorted(files.glob("worker-*.json"))] if files.exists() else []


def is_working(told: Mapping[str, Any], now: float) -> bool:
    """Return whether a worker has been heard of lately, has not ended, and was not killed as far as it can be seen."""
    killed = told["host"] == socket.gethostname() and not psutil.pid_exists(told["process"])
    return not told["ended"] and not killed and now - told["updated"] < 15 * WRITE_SECONDS


def status_lines(told: Sequence[Mapping[str, Any]], now: float) -> list[str]:
    """Return a status of all workers for a person to read."""
    total = {
        name: sum(one[name] for one in told)
        for name in ("done", "of", "failed_requests", "long_samples", "copies", *COUNTS)
    }
    working = [one for one in told if is_working(one, now)]
    rates = {name: sum(one[name] for one in working) for name in ("attempts_per_second", "tokens_per_second")}
    dollars = sum(one["dollars"] for one in told)
    left = max((one["seconds_left"] or 0 for one in working), default=0)
    lines = [f"{total['done']:,} of {total['of']:,} attempts done, about {duration(left)} left" if left else
             f"{total['done']:,} of {total['of']:,} attempts done"]  # fmt: skip
    lines.append(
        f"since it was started: {total['requests']:,} requests, {total['attempts']:,} attempts, "
        f"{total['correct']:,} correct, {total['failed_requests']:,} requests failed, "
        f"{total['saved_requests']:,} saved; {total['completion_tokens']:,} tokens"
        + (f", ${dollars:.2f}" if dollars else "")
    )
    lines.append(f"now: {rates['attempts_per_second']:.1f} attempts/s, {rates['tokens_per_second']:,.0f} tokens/s")
    if alarming(total["long_samples"], total["copies"]):
        lines.append(alarm(total["long_samples"], total["copies"]))
    for one in told:
        lost = f"GONE without a word {duration(now - one['updated'])} ago"
        state = "works" if is_working(one, now) else "has ended" if one["ended"] else lost
        lines.append(
            f"worker {one['worker']} of {one['workers']} (process {one['process']} on {one['host']}): {state}, "
            f"{one['done']:,} of {one['of']:,}"
        )
        for name, teacher in one["teachers"].items():
            for endpoint in teacher["endpoints"]:
                failed = ", ".join(f"{count} x {kind}" for kind, count in sorted(endpoint["failures"].items()))
                lines.append(
                    f"  {name} {teacher['model']} {endpoint['url']}: {endpoint['state']}, {endpoint['in_flight']} of "
                    f"{endpoint['limit']} in flight, {endpoint['replies']:,} replies, {endpoint['hedged']} sent twice"
                    + (f"; failed tries: {failed}" if failed else "")
                )
        for reason, count in one["failures"].items():
            lines.append(f"  failed for good: {count} x {reason}")
    return lines
