"""Runs the curate stage over a folder of questions; benchmarks/curation.py starts it.

    python benchmarks/curation_stage.py QUESTIONS OUTPUT WORKERS STEP[,STEP] IMAGES

IMAGES says how images are found to be the same: ``near`` or ``bytes``. With one worker it keeps to one core. The last
line that it prints has the seconds of each step, as JSON.
"""

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
from bare_package import ROOT  # noqa: F401  (makes the project importable)
from ml_collections import ConfigDict

from octomed_jax.curation import curate
from octomed_jax.curation.settings import defaults


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("questions", "output", "workers", "steps", "images"):
        parser.add_argument(name)
    asked = parser.parse_args()
    config = ConfigDict({"seed": 0, "curate": defaults()})
    config.curate.steps = tuple(asked.steps.split(","))
    if asked.images == "near":
        config.curate.decontaminate.images = ("bytes", "pixels", "near")
        config.curate.deduplicate.images = "near"
    pa.set_memory_pool(pa.system_memory_pool())  # as the command does
    if asked.workers == "1":
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        pa.set_cpu_count(1)  # as in a process of several
    begin = time.perf_counter()
    seconds: dict[str, float] = {}
    inner = curate.do_step

    def do_step(work: Any, step: Any) -> Any:
        start = time.perf_counter()
        if not seconds:
            seconds["opening and checking"] = start - begin
        found = inner(work, step)
        seconds[step["step"]] = time.perf_counter() - start
        return found

    curate.do_step = do_step
    curate.curate(config, [asked.questions], asked.output, workers=int(asked.workers))
    seconds["writing"] = time.perf_counter() - begin - sum(seconds.values())
    print(Path("/proc/self/status").read_text())  # with the peak of its memory
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()
