"""A small sweep config and the stand-in for the octomed command (fake_octomed.py), for the tests of this folder."""

import sys
import textwrap
from pathlib import Path

CONFIG = """
from ml_collections import ConfigDict

def get_config(arg=None):
    config = ConfigDict({"run": "runs/x", "seed": 0, "name": "small", "rate": 0.5, "sizes": (1, 2), "end": None})
    config.stages = ("questions", "distill", "verify", "shard", "train", "export", "eval")
    config.questions = ConfigDict({"brain": 3})
    config.curate = ConfigDict({"steps": ("balance",)})
    config.distill = ConfigDict({"samples": 4, "answer_format": "boxed"})
    config.verify = ConfigDict({"threshold": 0.5})
    config.traces = ConfigDict({"per_question": 2, "format": "cot", "answer_format": "as_written", "choose": "first"})
    config.mixture = ConfigDict({"weights": None})
    config.student = ConfigDict({"vocab_size": 8})
    config.shard = ConfigDict({"bytes": 100})
    config.train = ConfigDict({"steps": 20, "epochs": 0.0, "seed": None, "peak_learning_rate": 1.0})
    config.held_out = ConfigDict({"records": 0, "every": 0})
    config.checkpoint = ConfigDict({"every": 5, "parts": 0})
    config.eval = ConfigDict({"seeds": 1})
    config.export = ConfigDict({"dtype": "float32"})
    if arg == "other":
        config.seed = 1
    return config

"""

POINTS = 'def sweep(add):\n    for kept in (1, 2, 4):\n        add(**{"traces.per_question": kept})\n'


def write_config(folder: Path, sweep: str = POINTS, name: str = "small.py") -> str:
    """Write a sweep's config file into ``folder`` and return its path."""
    path = folder / name
    path.write_text(CONFIG + textwrap.dedent(sweep))
    return str(path)


def fake_octomed() -> tuple[str, ...]:
    """Return the command of the stand-in, which starts without the packages that it does not need."""
    return (sys.executable, "-I", "-S", str(Path(__file__).with_name("fake_octomed.py")))


def calls(folder: Path) -> list[str]:
    """Return the stages for which the stand-in was called, in order."""
    path = folder / "calls"
    return [line.split()[0] for line in path.read_text().splitlines()] if path.exists() else []
