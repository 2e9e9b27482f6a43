"""The record of a run: ``metrics.jsonl`` (each step once, floats in full precision) and TensorBoard."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tensorboardX import SummaryWriter

from octomed_jax.storage import write_bytes


class MetricsLog:
    """Appends one line a step. Opening it drops the lines of steps after ``resume_step``, which will come again."""

    def __init__(self, folder: Path, resume_step: int):
        self.path = folder / "metrics.jsonl"
        kept = [line for line in read_lines(self.path) if json.loads(line)["step"] <= resume_step]
        write_bytes(self.path, "".join(kept).encode())
        self._file = self.path.open("a", encoding="utf-8")
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=resume_step + 1)

    def write(self, metrics: Mapping[str, Any]) -> None:
        """Append one step's metrics."""
        self._file.write(json.dumps(dict(metrics)) + "\n")
        self._file.flush()
        for name in ("loss", "grad_norm", "learning_rate", "tokens_per_second", "fill"):
            if metrics[name] is not None:
                self._board.add_scalar(name, metrics[name], metrics["step"])

    def close(self) -> None:
        """Flush and close."""
        self._file.close()
        self._board.close()


def read_lines(path: Path) -> list[str]:
    """Return the complete lines of a metrics file; a line torn by a kill is left out."""
    if not path.exists():
        return []
    return [line for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")]


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Return the metrics of all steps."""
    return [json.loads(line) for line in read_lines(path)]
