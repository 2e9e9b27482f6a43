"""Checkpoints by Orbax: the state and the hash of the plan that it belongs to, saved together."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

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
        items = ocp.args.Composite(state=ocp.args.StandardSave(state), plan=ocp.args.JsonSave({"plan": plan}))
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

    def restore_parameters(self, step: int) -> dict[str, Any]:
        """Return the parameters saved at ``step`` as host arrays, whatever mesh they were saved from."""
        path = self.folder.resolve() / str(step) / "state"
        with ocp.StandardCheckpointer() as checkpointer:
            shapes = checkpointer.metadata(path).item_metadata
            cpu = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
            abstract = jax.tree.map(
                lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=cpu), dict(shapes)
            )
            state = checkpointer.restore(path, abstract)
        return jax.tree.map(np.asarray, state["parameters"])

    def close(self) -> None:
        """Wait until everything is on disk."""
        self._manager.wait_until_finished()
        self._manager.close()
