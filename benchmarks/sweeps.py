"""Sweeps of many points: expanding a config file of 10,000 points, in each of the three styles; status of 1,000 runs.

    .venv/bin/python benchmarks/sweeps.py --output benchmarks/results/sweeps.json

There is no open runner for these files to measure beside; the bound is ours: 10,000 points in under 5 seconds. Points
change the demo's config (`configs/demo.py`), four fields each. `few values`: fields have values that other points have
too, as in a grid. `own values`: no two points share a value of three of the fields, so that each is checked and read
back on its own. `linked`: another field follows one that is changed, so that the config is made anew for each point;
these are a tenth as many, and at least a thousand.

Each file is expanded in a process of its own, which has imported everything before: read, checked, hashed, named. The
fastest of some turns counts, and the slowest is told too. `command` is all of `octomed sweep expand --json` with the
start of Python. Where others use the machine, the seconds of the processor tell more than those of the wall.

`status` is of a sweep's folder in which 1,000 runs are done, failed, stopped, running and pending; the bound, ours too,
is 1 second for `read_status`. `octomed sweep run` itself has written it, with stages that are a manifest and a log of
some lines each. Only how the stopped ones ended is put in, and the locks of those that run are held by the benchmark.
"""

import argparse
import contextlib
import fcntl
import importlib.metadata
import io
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bare_package import ROOT  # first: it makes the project importable

from octomed_jax import manifests, storage
from octomed_jax.errors import TryAgain
from octomed_jax.sweeps.expand import expand
from octomed_jax.sweeps.processes import Task
from octomed_jax.sweeps.run import How, run_sweep
from octomed_jax.sweeps.status import STATES, read_status

POINTS = 10_000
LEAST = 1_000
RUNS = 1_000  # of the sweep whose status is asked for
LOG_LINES = 200  # that a stage prints
HEAD = f"import sys\nsys.path.insert(0, {str(ROOT)!r})\nfrom configs.demo import get_config as demo\n"
PLAIN = "def get_config():\n    return demo()\n"
LINKED = """def get_config():
    config = demo()
    config.held_out.every = config.train.get_ref("steps") * 10
    return config
"""
# The number of points stands for COUNT; a grid has 10 x 10 x 10 values of three fields, and seeds for the rest.
GRID = """AXES = {"config.train.steps": range(1, 11), "config.traces.per_question": range(1, 11),
        "config.train.peak_learning_rate": [rate / 1e4 for rate in range(1, 11)], "config.seed": range(COUNT // 1000)}
"""
FILES = {
    "get_hyper, few values": GRID
    + "def get_hyper(hyper):\n    return hyper.product([hyper.sweep(name, values) for name, values in AXES.items()])\n",
    "sweep(add), few values": "import itertools\n"
    + GRID
    + "def sweep(add):\n    for values in itertools.product(*AXES.values()):\n"
    "        add(**{name.removeprefix('config.'): value for name, value in zip(AXES, values)})\n",
    "generator, own values": "def sweep():\n    for number in range(COUNT):\n"
    "        yield {'train.steps': number + 1, 'seed': number, 'train.peak_learning_rate': (number + 1) / 1e7,\n"
    "               'traces': {'per_question': number % 16}}\n",
}


def measure_expanding(points: int, turns: int, folder: Path) -> dict[str, Any]:
    """Measure expanding, a row a file."""
    figures = {}
    cases = [(name, PLAIN, text, points) for name, text in FILES.items()]
    cases.append(("get_hyper, linked", LINKED, FILES["get_hyper, few values"], max(points // 10, LEAST)))
    for number, (name, config, text, count) in enumerate(cases):
        path = folder / f"case_{number}.py"
        path.write_text(HEAD + config + text.replace("COUNT", str(count)))
        runs = [_told(sys.executable, __file__, "--expand", path) for _ in range(turns)]
        best = min(runs, key=lambda run: run["seconds"])
        figures[name] = {**best, "slowest_seconds": max(run["seconds"] for run in runs)}
        print(name, figures[name], file=sys.stderr)
    words = [sys.executable, "-m", "octomed_jax.cli.main", "sweep", "expand", f"--config={folder / 'case_0.py'}"]
    begun = time.perf_counter()
    told = _told(*words, "--json")
    figures["command"] = {"points": len(told["points"]), "seconds": round(time.perf_counter() - begun, 3)}
    return figures


class _Stages:
    """Runs stages that are a manifest and a log, and asks the sweep to end after so many."""

    def __init__(self, root: Path, most: int):
        self.home, self._left = str(root), most

    def start(self, task: Task) -> "_Stages":
        """Do a stage; every tenth training fails."""
        if not self._left:
            raise TryAgain("asked to end")
        self._left -= 1
        self._code = 43 if task.work.stage == "train" and task.number % 10 == 9 else 0
        for path in (task.log, task.lock):
            path.parent.mkdir(exist_ok=True)
        lines = [f"{task.work.stage}: {line} of {LOG_LINES}; 12.5 a second, 3 s left" for line in range(LOG_LINES)]
        task.log.write_text("\n".join(lines) + ("\noctomed: the loss is not finite" if self._code else "") + "\n")
        task.lock.touch()
        if not self._code:
            counts = {"steps": 10} if task.work.stage == "train" else {}
            manifest = manifests.Manifest(stage=task.work.stage, config={}, counts=counts, code_commit="unknown")
            manifests.write_manifest(task.output, manifest)
        return self

    def poll(self) -> int:
        """Return how it ended, which is at once."""
        return self._code

    def stop(self) -> None:
        """Nothing runs."""


def measure_status(_: int, turns: int, folder: Path) -> dict[str, Any]:
    """Measure the status of a sweep in which there are runs of all states."""
    path, root = folder / "many.py", folder / "sweep"
    path.write_text(HEAD + PLAIN + FILES["get_hyper, few values"].replace("COUNT", str(RUNS)))
    _half_done(path, root)
    with contextlib.ExitStack() as locks:
        for run in [run for run in read_status(root)["runs"] if run["state"] == "pending"][:2]:
            told = storage.read_json(root / "status/works.json")
            work = next(one for name in told["points"][run["id"]] if (one := told["works"][name])["stage"] == "train")
            (root / "logs" / f"{work['key']}.log").write_text("train: step 3 of 10\n")
            lock = locks.enter_context((root / "locks" / work["key"]).open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX)
        seconds, used = [], []
        for _turn in range(turns):
            begun, before = time.perf_counter(), time.process_time()
            status = read_status(root)
            seconds.append(time.perf_counter() - begun)
            used.append(time.process_time() - before)
        words = [sys.executable, "-m", "octomed_jax.cli.main", "sweep", "status", str(root)]
        commands = []
        for _turn in range(turns):
            begun = time.perf_counter()
            told = _told(*words, "--json")
            commands.append(time.perf_counter() - begun)
        assert told["counts"] == status["counts"]
    assert all(status["counts"][state] for state in STATES), status["counts"]
    figures = {
        "runs": len(status["runs"]),
        "counts": status["counts"],
        "files": sum(path.is_file() for path in root.rglob("*")),
        "read_status_seconds": round(min(seconds), 3),
        "read_status_processor_seconds": round(min(used), 3),
        "read_status_slowest_seconds": round(max(seconds), 3),
        "command_seconds": round(min(commands), 3),
        "command_slowest_seconds": round(max(commands), 3),
        "load": [round(load, 1) for load in os.getloadavg()],
    }
    print("status", figures, file=sys.stderr)
    return figures


def _half_done(path: Path, root: Path) -> None:
    """Make the folder of a sweep that was asked to end when most of its runs had."""
    sweep = expand(str(path))
    stages = _Stages(root, most=int(2.2 * RUNS))  # of nearly three that a run has for itself
    # Thousands of lines of what it does, which nobody reads here.
    with contextlib.redirect_stderr(io.StringIO()), contextlib.suppress(TryAgain):
        run_sweep(sweep, root, How(poll_seconds=0.0), stages)
    for path in sorted(root.glob("runs/*/run.json"))[::7]:
        record = storage.read_json(path)
        if record["state"] == "done":
            storage.write_json(path, record | {"state": "stopped", "rung": 5})


def expand_one(path: str) -> dict[str, Any]:
    """Expand one file; return how long it took, and the memory of this process."""
    begun, used = time.perf_counter(), time.process_time()
    sweep = expand(path)
    seconds, used = time.perf_counter() - begun, time.process_time() - used
    return {
        "points": len(sweep.points),
        "ids": len({point.id for point in sweep.points}),
        "groups": len({point.group for point in sweep.points}),
        "seconds": round(seconds, 3),
        "processor_seconds": round(used, 3),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def _told(*words: str | Path) -> dict[str, Any]:
    """Run a command of this project and return the JSON that it prints."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    ran = subprocess.run(list(map(str, words)), cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return dict(json.loads(ran.stdout))


# name -> what measures it: called with the number of points, of turns, and an empty folder
MEASURES: dict[str, Callable[[int, int, Path], dict[str, Any]]] = {
    "expanding": measure_expanding,
    "status": measure_status,
}


def main() -> int:
    """Measure, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=POINTS, help=f"of an expanded file; a multiple of {LEAST}")
    parser.add_argument("--turns", type=int, default=3, help="the fastest of so many counts")
    parser.add_argument("--only", choices=MEASURES, help="measure this alone; the other figures in --output stay")
    parser.add_argument("--output", type=Path, help="file of the figures, as JSON")
    parser.add_argument("--expand", metavar="FILE", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.expand:
        print(json.dumps(expand_one(options.expand)))
        return 0
    if options.points < LEAST or options.points % LEAST:
        parser.error(f"--points={options.points} must be a multiple of {LEAST}")
    before = json.loads(options.output.read_text()) if options.only and options.output.exists() else {}
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()
    figures = {
        **before,
        "command": "benchmarks/sweeps.py --output benchmarks/results/sweeps.json",
        "commit": commit or None,
        "device": f"{platform.processor() or platform.machine()}, {len(os.sched_getaffinity(0))} cores",
        "versions": {
            "python": platform.python_version(),
            "ml-collections": importlib.metadata.version("ml-collections"),
        },
    }
    for name, measure in MEASURES.items():
        if options.only in (None, name):
            with tempfile.TemporaryDirectory() as folder:
                figures[name] = measure(options.points, options.turns, Path(folder))
    text = json.dumps(figures, indent=1)
    print(text)
    if options.output:
        options.output.write_text(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
