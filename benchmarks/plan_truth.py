"""The planner's estimate against the truth, where there is one: a step on this machine's processors.

    .venv/bin/python benchmarks/plan_truth.py --output benchmarks/results/plan_truth_cpu.json

The ceilings are measured: operations a second of a large matrix product, and bytes a second of a copy, each the best of
several. The step is compiled, read and timed; its range is what `octomed plan` would give for a chip with these
ceilings. There are no messages on one device, so both ends of the range are one figure, and the truth is its multiple.
"""

import argparse
import json
import os
import platform
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from bare_package import ROOT  # first: it makes the project importable

from configs.demo import get_config
from octomed_jax.hf.student import planned_config
from octomed_jax.images.patches import PatchSpec
from octomed_jax.inputs.rows import Bucket, shapes
from octomed_jax.models.mesh import one_device
from octomed_jax.models.options import compute_of, trained_of
from octomed_jax.training.optimizer import make_optimizer, make_schedule
from octomed_jax.training.planning.chips import Chip
from octomed_jax.training.planning.program import read_program
from octomed_jax.training.planning.roofline import roofline
from octomed_jax.training.step import Student, initial_state, jitted_step

# Rows of at most 256 places: longer ones are computed by loops whose length depends on the data.
ROWS, TOKENS, CELLS = 16, 256, 64
WIDE = {
    "demo": {},
    "wider": {"text": {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 24}},
}


def seconds_of(call: Callable[[], Any], times: int) -> list[float]:
    """Return how long each call takes, after one that is not timed."""
    jax.block_until_ready(call())
    found = []
    for _ in range(times):
        began = time.perf_counter()
        jax.block_until_ready(call())
        found.append(time.perf_counter() - began)
    return found


def ceilings() -> tuple[float, float]:
    """Return operations a second of a matrix product, and bytes a second read and written by a sum of two arrays."""
    size, length = 2048, 2**26
    square = jnp.ones((size, size))
    product = jax.jit(lambda x: x @ x)
    flops = 2 * size**3 / min(seconds_of(lambda: product(square), 9))
    first, second = jnp.ones(length), jnp.ones(length)
    added = jax.jit(lambda x, y: x + y)
    return flops, 3 * 4 * length / min(seconds_of(lambda: added(first, second), 9))


def measure(name: str, chip: Chip) -> dict[str, float]:
    """Return the estimate and the truth of one student's step."""
    config = get_config()
    for part, sizes in WIDE[name].items():
        config.student[part].update(sizes)
    model, mesh = planned_config(config.student), one_device()
    student = Student(model, trained_of(config.train), compute_of(config.train))
    optimizer = make_optimizer(config.train)
    spec = PatchSpec(max_pixels=config.shard.max_pixels)
    arrays = shapes(ROWS, Bucket("row", TOKENS, CELLS), spec)
    batch = {key: np.ones((1, *shape), dtype) for key, (shape, dtype) in arrays.items()}
    state = initial_state(student, optimizer, mesh, 0)
    with jax.set_mesh(mesh):
        step = jitted_step(student, optimizer, make_schedule(config.train), mesh, ["row"])
        compiled = step.lower(state, {"row": batch}).compile()
        program = read_program(compiled.as_text())
        assert not program.unknown_loops
        found = roofline(program, chip, [(0, (0,))])
        measured = []
        for _ in range(8):
            began = time.perf_counter()
            state, metrics = compiled(state, {"row": batch})
            jax.block_until_ready((state, metrics))
            measured.append(time.perf_counter() - began)
    truth = min(measured[1:])
    return {
        "compute_seconds": found.compute,
        "memory_seconds": found.memory,
        "estimated_seconds": found.low,
        "measured_seconds": truth,
        "measured_to_estimated": truth / found.low,
    }


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    flops, speed = ceilings()
    chip = Chip("cpu", (), flops, 0.0, speed, 1.0, 1.0)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
    found = {
        "command": f"benchmarks/plan_truth.py --output {arguments.output}",
        "commit": commit.stdout.strip(),
        "device": f"{jax.devices()[0].device_kind} {platform.machine()}, {os.cpu_count()} cores",
        "versions": {"jax": jax.__version__},
        "ceilings": {"flops": flops, "bytes_per_second": speed},
        "students": {name: measure(name, chip) for name in WIDE},
    }
    arguments.output.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
