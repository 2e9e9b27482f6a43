"""Checkpoints by Orbax: the state, the hash of the plan that it belongs to and its checksums, saved together."""

from collections.abc import Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils

from octomed_jax import progress
from octomed_jax.checkpoints.checksum import checksums
from octomed_jax.checkpoints.parameters import save_arguments
from octomed_jax.errors import StopAndLook, UserError
from octomed_jax.os_errors import making
from octomed_jax.storage import in_bucket, move_folder, read_json, write_json

LAST_GOOD = "last_good.json"
QUARANTINE = "damaged"  # beside the checkpoints: those that could not be restored


class CheckpointStore:
    """The checkpoints of one run, in ``folder``.

    The newest ``keep`` stay, every ``keep_every``-th step, those of ``kept``, and the last good one: the newest that
    was called so.
    """

    def __init__(self, folder: Path, keep: int, keep_every: int = 0, kept: Collection[int] = ()):
        with making(folder):
            folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._keep, self._keep_every, self._kept = keep, keep_every, frozenset(kept)
        # Beside the folder, so that a run that goes on still knows it.
        self._good_path = folder.parent / LAST_GOOD
        self._good: int | None = read_json(self._good_path)["step"] if self._good_path.exists() else None
        options = ocp.CheckpointManagerOptions(enable_async_checkpointing=True)
        self._manager = ocp.CheckpointManager(folder if in_bucket(folder) else folder.resolve(), options=options)

    @property
    def steps(self) -> list[int]:
        """The steps of the complete checkpoints, ascending."""
        return sorted(self._manager.all_steps())

    def save(self, step: int, state: Any, plan: str) -> None:
        """Begin to save; returns before the bytes are on disk.

        Raises:
            StopAndLook: a parameter is not finite; nothing is saved.
        """
        if not _finite(state["parameters"]):
            raise StopAndLook(f"a parameter is not finite after step {step}; the checkpoint before it is kept")
        arrays = ocp.args.StandardSave(state, save_args=save_arguments(state))
        facts = ocp.args.JsonSave({"plan": plan, "checksums": checksums(state)})
        self._manager.save(step, args=ocp.args.Composite(state=arrays, plan=facts))
        self._rotate()

    def call_good(self, step: int) -> None:
        """Keep this checkpoint, until a later one is called good: the run went well after it."""
        self._good = step
        if jax.process_index() == 0:
            write_json(self._good_path, {"step": step})

    def restore(self, abstract: Any, plan: str | None) -> tuple[int, Any] | None:
        """Return the newest checkpoint that is whole, as (step, state); None where there is none.

        One that cannot be read, or whose arrays are not what was saved, is put aside, which is said.

        Args:
            abstract: shapes, dtypes and shardings of the state; any mesh will do.
            plan: the hash of the plan of rows; None: not asked.

        Raises:
            UserError: the checkpoint belongs to another plan of rows.
            StopAndLook: there were checkpoints, but none is whole.
        """
        steps = self.steps
        for step in reversed(steps):
            state, problem = None, ""
            try:
                facts: Mapping[str, Any] = self._manager.restore(
                    step, args=ocp.args.Composite(plan=ocp.args.JsonRestore())
                ).plan
            except Exception as error:  # Orbax and TensorStore raise what they like where bytes are wrong
                problem = _first_line(error)
            else:
                self._check_plan(step, facts["plan"], plan)
                state, problem = self._read(step, abstract, facts["checksums"])
            if not _anywhere(bool(problem)):
                return step, state
            self._put_aside(step, problem or "damaged on another host")
        if steps:
            raise StopAndLook(f"none of the checkpoints in {self.folder} is whole; they lie in {QUARANTINE}")
        return None

    def __enter__(self) -> "CheckpointStore":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Close it, whatever ends the block: what is being saved is whole before the process ends."""
        try:
            self.close()
        except Exception as problem:
            if error is None:
                raise
            progress.say(f"the checkpoint that was being saved is lost ({_first_line(problem)})")  # not what ended it

    def close(self) -> None:
        """Wait until everything is on disk."""
        self._manager.wait_until_finished()
        self._manager.close()

    def _read(self, step: int, abstract: Any, wanted: Mapping[str, int]) -> tuple[Any, str]:
        try:
            state = self._manager.restore(step, args=ocp.args.Composite(state=ocp.args.StandardRestore(abstract))).state
        except Exception as error:  # as above
            return None, _first_line(error)
        found = checksums(state)
        wrong = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
        return state, f"{wrong[0]} is not what was saved" if wrong else ""

    def _check_plan(self, step: int, saved: str, plan: str | None) -> None:
        if plan is not None and saved != plan:
            raise UserError(
                f"checkpoint {step} in {self.folder} belongs to another plan of rows (other shards, row size or seed); "
                "choose another --workdir"
            )

    def _put_aside(self, step: int, problem: str) -> None:
        progress.say(f"checkpoint {step} is damaged ({problem}): put aside, the one before it is taken")
        if jax.process_index() == 0:
            target = self.folder.parent / QUARANTINE / str(step)
            move_folder(self.folder / str(step), target)
        multihost_utils.sync_global_devices(f"checkpoint {step} put aside")
        self._manager.reload()

    def _rotate(self) -> None:
        """Delete what neither is among the newest nor is kept for another reason."""
        for step in self.steps[: -self._keep]:
            whole = self._keep_every and step % self._keep_every == 0
            if step != self._good and step not in self._kept and not whole:
                self._manager.delete(step)


@jax.jit
def _all_finite(tree: Any) -> jax.Array:
    leaves = [jax.numpy.isfinite(leaf).all() for leaf in jax.tree.leaves(tree)]
    return jax.numpy.stack(leaves).all()


def _finite(tree: Any) -> bool:
    return bool(_all_finite(tree))


def _anywhere(flag: bool) -> bool:
    """Return whether any process says so; the same answer on all."""
    return bool(np.any(multihost_utils.process_allgather(np.array(flag))))


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
