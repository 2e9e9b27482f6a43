"""Checkpoints by Orbax: the state and the hash of the plan that it belongs to, saved together."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orbax.checkpoint as ocp

from octomed_jax.checkpoints.parameters import save_arguments
from octomed_jax.errors import UserError


class CheckpointStore:
    """The checkpoints of one run, in ``folder``; the newest ``keep`` stay."""

    def __init__(self, folder: Path, keep: int):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        options = ocp.CheckpointManagerOptions(max_to_keep=keep, enable_async_checkpointing=True)
        self._manager = ocp.CheckpointManager(folder.resolve(), options=options)

    @property
    def latest(self) -> int | None:
        """The newest complete checkpoint's step, None when there is none."""
        return self._manager.latest_step()

    def save(self, step: int, state: Any, plan: str) -> None:
        """Begin to save; returns before the bytes are on disk."""
        arrays = ocp.args.StandardSave(state, save_args=save_arguments(state))
        items = ocp.args.Composite(state=arrays, plan=ocp.args.JsonSave({"plan": plan}))
        self._manager.save(step, args=items)

    def restore(self, step: int, abstract: Any, plan: str | None) -> Any:
        """Return the state saved at ``step``, laid out as ``abstract`` says.

        Raises:
            UserError: the checkpoint belongs to another plan of rows (``plan`` None: not asked).
        """
        saved: Mapping[str, Any] = self._manager.restore(
            step, args=ocp.args.Composite(plan=ocp.args.JsonRestore())
        ).plan
        if plan is not None and saved["plan"] != plan:
            raise UserError(
                f"checkpoint {step} in {self.folder} belongs to another plan of rows (other shards, row size or seed); "
                "choose another --workdir"
            )
        return self._manager.restore(step, args=ocp.args.Composite(state=ocp.args.StandardRestore(abstract))).state

    def close(self) -> None:
        """Wait until everything is on disk."""
        self._manager.wait_until_finished()
        self._manager.close()
