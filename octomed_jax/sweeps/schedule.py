"""What a sweep has to do next: the state of its works, and what follows from it for its points. No files, no clock."""

from collections.abc import Collection, Mapping, Sequence

from octomed_jax.errors import TryAgain
from octomed_jax.sweeps.stages import Work

WAITING, RUNNING, DONE, FAILED = "waiting", "running", "done", "failed"
BLOCKED = "blocked"  # a work before it failed
DROPPED = "dropped"  # every point that asks for it was stopped before
SETTLED = (DONE, FAILED, BLOCKED, DROPPED)
STOPPED = "stopped"  # of a point
MOST_TRIES = 4  # of a work whose command ends with "try again"


class Schedule:
    """The works of all points, each once, in the order in which the points ask for them."""

    def __init__(self, plans: Mapping[str, Sequence[Work]], done: Collection[str] = ()):
        """Begin.

        Args:
            plans: point id to its works, each after those that it needs.
            done: names of works that were finished before.
        """
        self.plans = {point: tuple(works) for point, works in plans.items()}
        self.works: dict[str, Work] = {}
        self.owners: dict[str, list[str]] = {}
        for point, works in self.plans.items():
            for work in works:
                assert self.works.setdefault(work.name, work) == work, f"two works are called {work.name}"
                self.owners.setdefault(work.name, []).append(point)
        self.state = {name: DONE if name in done else WAITING for name in self.works}
        self.codes: dict[str, int] = {}
        self.tries: dict[str, int] = {}
        self.stopped: dict[str, int] = {}  # point to the rung
        self._passed: set[tuple[str, int]] = set()
        self._left_out: dict[str, set[str]] = {}  # point to the works that it does not need, since it was stopped

    def start(self, name: str) -> None:
        """A work was started."""
        self.state[name] = RUNNING
        self.tries[name] = self.tries.get(name, 0) + 1

    def end(self, name: str, code: int) -> str:
        """A work ended with an exit code; return its state, which is WAITING where it is to be tried again."""
        if code == 0:
            self.state[name] = DONE
        elif code == TryAgain.exit_code and self.tries.get(name, 0) < MOST_TRIES:
            self.state[name] = WAITING
        else:
            self.state[name] = FAILED
            self.codes[name] = code
        self._settle()
        return self.state[name]

    def let_pass(self, point: str, rung: int) -> None:
        """A point's training goes on after a rung."""
        self._passed.add((point, rung))

    def stop(self, point: str, rung: int) -> None:
        """A point's training ends at a rung."""
        if point in self.stopped:
            return
        self.stopped[point] = rung
        left_out: set[str] = set()
        for work in self.plans[point]:
            if self.rung_before(work) == rung or left_out & set(work.needs):
                left_out.add(work.name)
        self._left_out[point] = left_out
        self._settle()

    def rung_before(self, work: Work) -> int:
        """Return the rung at which a part of training begins, 0 where it begins at none."""
        for name in work.needs:
            before = self.works[name]
            if before.key == work.key:
                return before.until
        return 0

    def ready(self) -> list[str]:
        """Return the works that can be started now, in order."""
        return [name for name, work in self.works.items() if self.state[name] == WAITING and self._can_start(work)]

    def unfinished(self) -> list[str]:
        """Return the works that are neither done nor given up."""
        return [name for name, state in self.state.items() if state not in SETTLED]

    def at_rung(self, point: str) -> list[int]:
        """Return the rungs that a point's training has come to."""
        return [work.until for work in self.plans[point] if work.until and self.state[work.name] == DONE]

    def lost(self, point: str) -> bool:
        """Return whether a point's training, or what comes before it, failed."""
        return any(work.stage == "train" and self.state[work.name] in (FAILED, BLOCKED) for work in self.plans[point])

    def state_of(self, point: str) -> str | None:
        """Return DONE, FAILED or STOPPED; None as long as there is something left to do for a point."""
        left_out = self._left_out.get(point, set())
        states = [self.state[work.name] for work in self.plans[point] if work.name not in left_out]
        if any(state not in SETTLED for state in states):
            return None
        if any(state != DONE for state in states):
            return FAILED
        return STOPPED if point in self.stopped else DONE

    def failed_in(self, point: str) -> Work:
        """Return the first work of a failed point that failed."""
        return next(work for work in self.plans[point] if self.state[work.name] == FAILED)

    def _can_start(self, work: Work) -> bool:
        if any(self.state[name] != DONE for name in work.needs):
            return False
        rung = self.rung_before(work)
        return not rung or any((point, rung) in self._passed for point in self.owners[work.name])

    def _settle(self) -> None:
        """Give up works that cannot be done any more, and those that nobody needs."""
        for name, work in self.works.items():  # each stands after those that it needs
            if self.state[name] != WAITING:
                continue
            if any(self.state[before] in (FAILED, BLOCKED) for before in work.needs):
                self.state[name] = BLOCKED
            elif self.stopped and all(name in self._left_out.get(point, ()) for point in self.owners[name]):
                self.state[name] = DROPPED
