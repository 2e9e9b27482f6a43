"""The record of a run: ``metrics.jsonl`` (each step once, floats in full precision), TensorBoard, Weights & Biases."""

import json
import secrets
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from octomed_jax.errors import UserError
from octomed_jax.storage import TextLog, in_bucket, write_bytes

METRICS = "metrics.jsonl"  # in a run's folder
# What is the same on every step is left out of the charts.
CHARTED = (
    "loss",
    "grad_norm",
    "learning_rate",
    "tokens_per_second",
    "images_per_second",
    "mfu",
    "fill",
    "input_stall",
    "skipped",
    "held_out_loss",
)


class JsonLines:
    """Appends lines that have a ``step``. Opening it drops those of steps after ``resume_step``: they come again."""

    def __init__(self, path: Path, resume_step: int):
        self.path = path
        kept = [line for line in read_lines(path) if json.loads(line)["step"] <= resume_step]
        self._log = TextLog(path, "".join(kept))

    def write(self, fields: Mapping[str, Any]) -> None:
        """Append one line."""
        self._log.write(json.dumps(dict(fields)) + "\n")

    def send(self) -> None:
        """Send what is not in the bucket yet, where the file lies in one."""
        self._log.send()

    def close(self) -> None:
        """Close the file."""
        self._log.close()


class MetricsLog:
    """One line a step in ``metrics.jsonl``, and the same numbers where people look at charts."""

    def __init__(self, folder: Path, resume_step: int, project: str = "", config: Mapping[str, Any] | None = None):
        """Open the logs of a run.

        Args:
            folder: of the run.
            resume_step: lines after it are dropped.
            project: of Weights & Biases; empty: it is not used.
            config: what it shows beside the charts.

        Raises:
            UserError: ``project`` is given, and wandb is not installed.
        """
        from tensorboardX import SummaryWriter  # it takes torch along, where that is installed

        self._lines = JsonLines(folder / METRICS, resume_step)
        self._charts = folder / "tensorboard"
        # TensorBoard's files grow by pieces: for a bucket they are made here, and sent when the lines are.
        self._scratch = tempfile.TemporaryDirectory(prefix="octomed-") if in_bucket(folder) else None
        charts = self._scratch.name if self._scratch else str(self._charts)
        self._board = SummaryWriter(charts, purge_step=resume_step + 1)
        self._wandb = _wandb_run(folder, project, config or {}) if project else None

    @property
    def path(self) -> Path:
        """Of ``metrics.jsonl``."""
        return self._lines.path

    def write(self, metrics: Mapping[str, Any]) -> None:
        """Append one step's metrics."""
        self._lines.write(metrics)
        charted = {name: metrics[name] for name in CHARTED if metrics.get(name) is not None}
        for name, value in charted.items():
            self._board.add_scalar(name, value, metrics["step"])
        if self._wandb is not None:
            self._wandb.log(charted, step=metrics["step"])

    def send(self) -> None:
        """Send what is not in the bucket yet, where the folder lies in one."""
        self._lines.send()
        if self._scratch:
            self._board.flush()
            self._send_charts(self._scratch.name)

    def close(self) -> None:
        """Flush and close."""
        self._lines.close()
        self._board.close()
        if self._scratch:
            self._send_charts(self._scratch.name)
            self._scratch.cleanup()
        if self._wandb is not None:
            self._wandb.finish()

    def _send_charts(self, scratch: str) -> None:
        for path in Path(scratch).iterdir():
            write_bytes(self._charts / path.name, path.read_bytes())


def read_lines(path: Path) -> list[str]:
    """Return the complete lines of a file; a line torn by a kill is left out."""
    if not path.exists():
        return []
    return [line for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")]


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Return the metrics of all steps."""
    return [json.loads(line) for line in read_lines(path)]


def check_wandb(project: str) -> None:
    """Refuse a project where wandb is not installed.

    Raises:
        UserError: it is not.
    """
    if project:
        _wandb()


def _wandb() -> Any:
    try:
        import wandb
    except ImportError as error:
        raise UserError(
            "train.wandb names a project, but wandb is not installed: pip install octomed-jax[wandb], or leave it empty"
        ) from error
    return wandb


def _wandb_run(folder: Path, project: str, config: Mapping[str, Any]) -> Any:
    """Begin a run, or go on with it: its name there is kept in the folder. WANDB_API_KEY and WANDB_MODE are its own."""
    wandb, name = _wandb(), folder / "wandb.id"
    if not name.exists():
        write_bytes(name, secrets.token_hex(4).encode())
    return wandb.init(
        project=project, id=name.read_text(), name=folder.name, dir=str(folder), config=dict(config), resume="allow"
    )
