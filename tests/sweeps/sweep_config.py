"""A small sweep config and a stand-in for the octomed command, for the tests of this folder."""

import sys
import textwrap
from pathlib import Path

CONFIG = """
from ml_collections import ConfigDict

def get_config(arg=None):
    config = ConfigDict({"run": "runs/x", "seed": 0, "name": "small", "rate": 0.5, "sizes": (1, 2), "end": None})
    config.traces = ConfigDict({"per_question": 2})
    if arg == "other":
        config.seed = 1
    return config

"""

# Not the real `octomed demo`: it writes a summary that depends on its overrides, and does what files in the current
# folder ask for (fail-N: fail with that exit code; slow: wait; silent: write no summary).
OCTOMED = """
import json, sys, time
from pathlib import Path
words = dict(word.removeprefix("--").split("=", 1) for word in sys.argv[2:])
kept = int(words.get("config.traces.per_question", 0))
folder = Path(words["workdir"])
folder.mkdir(parents=True, exist_ok=True)
with open("calls", "a") as calls:
    calls.write(f"{sys.argv[1]} {kept} {words['config']}\\n")
print("working on", kept, flush=True)
if Path("slow").exists() and kept == 2:
    time.sleep(float(Path("slow").read_text()))
fail = Path(f"fail-{kept}")
if fail.exists():
    print(f"octomed: {kept} does not work", file=sys.stderr)
    sys.exit(int(fail.read_text()))
if not Path("silent").exists():
    result = {"n": 100, "baseline": 0.36, "before": 0.3, "after": 0.5 + kept / 10, "after_low": 0.4, "after_high": 0.9}
    summary = {"accepted": 100 * kept, "train_steps": 8, "loss_last": 1 / (1 + kept), "eval": {"plane": result}}
    (folder / "summary.json").write_text(json.dumps(summary))
"""

POINTS = 'def sweep(add):\n    for kept in (1, 2, 4):\n        add(**{"traces.per_question": kept})\n'


def write_config(folder: Path, sweep: str = POINTS, name: str = "small.py") -> str:
    """Write a sweep's config file into ``folder`` and return its path."""
    path = folder / name
    path.write_text(CONFIG + textwrap.dedent(sweep))
    return str(path)


def fake_octomed(folder: Path) -> tuple[str, ...]:
    """Write the stand-in into ``folder`` and return the command that runs it."""
    path = folder / "fake_octomed.py"
    path.write_text(OCTOMED)
    return (sys.executable, str(path))


def calls(folder: Path) -> list[int]:
    """Return the numbers of kept traces with which the stand-in was called, in order."""
    path = folder / "calls"
    return [int(line.split()[1]) for line in path.read_text().splitlines()] if path.exists() else []
