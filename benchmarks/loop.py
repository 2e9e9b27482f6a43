"""What the training loop costs: its steps, with loader, metrics and checkpoints, beside the bare compiled step.

    .venv/bin/python benchmarks/loop.py --shards runs/input/shards --output benchmarks/results/loop_cpu.json

Shards are made as in benchmarks/input.py; the student gets the sizes of `--size`. The bare step is the same compiled
program on the rows of the same steps, which lie on the devices already; it is called again and again, waited for at the
end, and timed before and after each run of the loop, in the same process: a machine that grows slower is slower for
both. The loop is `octomed train`'s own, with its checkpoints. Its time goes from the end of the third step to the end
of the last, saving included.

On a CPU, reading rows and writing checkpoints take processor time from the step, and the clock on the wall tells of the
machine's other users: seconds of the processors, of all threads, are given beside it. Both drift by some percent from
one run to the next. What does not is how the time of the processors is shared within one run: the loop's cost is also
given as the seconds of all threads but XLA's, and of XLA's while a checkpoint is begun (its checksums), less what those
threads take beside the bare step, as a share of the bare step.
"""

import argparse
import importlib.metadata
import itertools
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax
import numpy as np
from bare_package import ROOT  # first: it makes the project importable
from ml_collections import ConfigDict
from rendered import rendered
from student_examples import SIZES

from configs.demo import get_config
from octomed_jax import manifests
from octomed_jax.checkpoints.store import CheckpointStore
from octomed_jax.configuration import answer_format_of, training_seed
from octomed_jax.hf.rendering import STUDENTS, render, student_folder
from octomed_jax.inputs.loader import StepSource, take_bad
from octomed_jax.inputs.render import read_patch_spec
from octomed_jax.models import mesh as meshes
from octomed_jax.models.options import compute_of, trained_of
from octomed_jax.models.qwen2_5_vl.config import read_config
from octomed_jax.models.runtime import start_jax
from octomed_jax.training.loop import train
from octomed_jax.training.metrics import read_metrics
from octomed_jax.training.optimizer import make_optimizer
from octomed_jax.training.planning.plan import Job, compile_step
from octomed_jax.training.record import Record
from octomed_jax.training.request import make_plan, share_of
from octomed_jax.training.step import Student, initial_state

WARM = 3  # steps that are not timed
XLA_THREAD, TICKS = "tf_XLAEigen", os.sysconf("SC_CLK_TCK")
VERSIONS = ("jax", "flax", "grain", "orbax-checkpoint")


def settings(arguments: argparse.Namespace) -> ConfigDict:
    config = get_config("tiny")
    config.train.update(
        {
            "steps": arguments.steps,
            "examples_per_step": arguments.examples,
            "tokens_per_row": arguments.tokens,
            "patches_per_row": 0,
            "dtype": arguments.dtype,
            "loader_workers": arguments.workers,
        }
    )
    config.checkpoint.every = arguments.every
    return config


class Bare:
    """The compiled step with rows that lie on the devices."""

    def __init__(self, config: ConfigDict, shards: Path):
        student = student_folder(config, shards)
        mesh, plan = meshes.make_mesh(config.train.mesh), make_plan(config, shards)
        optimizer = make_optimizer(config.train)
        learner = Student(read_config(student), trained_of(config.train), compute_of(config.train))
        self._state = initial_state(learner, optimizer, mesh, training_seed(config))
        job = Job(config, learner.config, plan, read_patch_spec(student), {})
        self._step = compile_step(job, mesh, quick=False)[0]
        share = share_of(mesh, config, job.spec)
        source = StepSource(plan, shards, student, answer_format_of(config), 0, config.train.steps, share)
        batches = [source[number] for number in range(WARM, config.train.steps)]
        assert not any(take_bad(batch) for batch in batches)
        self._batches = [meshes.to_devices(mesh, batch, rows=1) for batch in batches]
        self.rows_per_step = plan.rows_per_step
        self._steps(WARM)

    def seconds(self) -> np.ndarray:
        """Return the mean seconds of a step over all held ones: on the wall, and of the processors."""
        start = now()
        self._steps(len(self._batches))
        return (now() - start) / len(self._batches)

    def _steps(self, number: int) -> None:
        for batch in self._batches[:number]:
            self._state, metrics = self._step(self._state, batch)
        jax.block_until_ready((self._state, metrics))


def now() -> np.ndarray:
    """Return the clocks: on the wall, of this process's processors, and of its threads but XLA's."""
    xla = sum(map(processor_seconds, Path("/proc/self/task").iterdir()))
    used = time.process_time()
    return np.array([time.perf_counter(), used, used - xla])


def processor_seconds(task: Path) -> float:
    """Return what a thread of XLA's pool has used of the processors; 0 for another one."""
    try:
        name, fields = (task / "stat").read_text().split("(", 1)[1].rsplit(")", 1)
    except OSError:  # it has just ended
        return 0.0
    return sum(map(int, fields.split()[11:13])) / TICKS if name == XLA_THREAD else 0.0


def resized(shards: Path, size: str, config: ConfigDict, folder: Path) -> Path:
    """Return the same shards, rendered as they are, for a student of another size, which the config then asks for."""
    asked = manifests.read_manifest(rendered(shards)[0], "render").config
    (_, hidden, inner, layers, heads, kv_heads, sections, tied), tower = SIZES[size]
    config.shard.update({name: asked[name] for name in ("min_pixels", "max_pixels")})
    config.distill.answer_format = asked["answer_format"]
    config.student.vocab_size = asked["student"]["vocab_size"]
    config.student.text.update(
        {
            "hidden_size": hidden,
            "intermediate_size": inner,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "num_key_value_heads": kv_heads,
            "mrope_section": sections,
            "tie_word_embeddings": tied,
        }
    )
    depth, width, tower_inner, tower_heads, full = tower
    config.student.vision.update(
        {
            "depth": depth,
            "hidden_size": width,
            "intermediate_size": tower_inner,
            "num_heads": tower_heads,
            "window_size": asked["student"]["window_size"],
            "fullatt_block_indexes": full,
        }
    )
    folder.mkdir()
    for path in shards.resolve().iterdir():
        if path.name != STUDENTS:
            (folder / path.name).symlink_to(path)
    render(config, folder)
    return folder


def looped(config: ConfigDict, shards: Path, workdir: Path) -> list[np.ndarray]:
    """Train, and return the clocks at the end of each step."""
    ends: list[np.ndarray] = []
    ended, save = Record.ended, CheckpointStore.save
    saving = np.zeros(3)

    def noted(record: Record, sent) -> dict:
        entry = ended(record, sent)
        ends.append(now() + saving)
        return entry

    def saved(store: CheckpointStore, *arguments) -> None:
        # No step is under way while a checkpoint is begun: what XLA's threads do there is the checkpoint's too.
        before = now()
        save(store, *arguments)
        used = now() - before
        saving[2] += used[1] - used[2]

    Record.ended, CheckpointStore.save = noted, saved
    try:
        train(config, shards, workdir)
    finally:
        Record.ended, CheckpointStore.save = ended, save
    return ends


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=Path, required=True)
    parser.add_argument("--size", choices=SIZES, default="small", help="of the student")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--every", type=int, default=20, help="steps between two checkpoints")
    parser.add_argument("--rounds", type=int, default=3, help="runs of the loop, each between two of the bare step")
    parser.add_argument("--examples", type=int, default=16, help="of a step")
    parser.add_argument("--tokens", type=int, default=1024, help="of a row")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--workers", type=int, default=0, help="processes that read rows; 0: threads")
    parser.add_argument("--output", help="write the figures here as JSON")
    arguments = parser.parse_args()
    start_jax(job=True)
    config, timed = settings(arguments), arguments.steps - WARM
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shards = resized(arguments.shards, arguments.size, config, folder / "shards")
        bare = Bare(config, shards)
        bares, loops, stalled = [bare.seconds()], [], 0.0
        for number in range(arguments.rounds):
            run = folder / f"run-{number}"
            ends = looped(config, shards, run)
            loops.append((ends[-1] - ends[WARM - 1]) / timed)
            entries = read_metrics(run / "metrics.jsonl")[WARM:]
            stalled += sum(entry["input_stall"] * entry["step_seconds"] for entry in entries)
            shutil.rmtree(run)
            bares.append(bare.seconds())
    beside = [(before + after) / 2 for before, after in itertools.pairwise(bares)]
    costs = np.array(loops) / np.array(beside) - 1
    added = np.array([loop[2] - bare[2] for loop, bare in zip(loops, beside, strict=True)])
    shares = added / np.array([bare[1] for bare in beside])
    figures = {
        "seconds_of_a_step": {"bare": [one[0] for one in bares], "loop": [one[0] for one in loops]},
        "processor_seconds_of_a_step": {"bare": [one[1] for one in bares], "loop": [one[1] for one in loops]},
        "processor_seconds_beside_the_step": {"bare": [one[2] for one in bares], "loop": [one[2] for one in loops]},
        "cost_of_the_loop": {
            "on the wall": costs[:, 0].mean(),
            "of the processors": costs[:, 1].mean(),
            "of the processors, by threads": shares.mean(),
        },
        "cost_of_each_round": {"on the wall": costs[:, 0].tolist(), "of the processors": costs[:, 1].tolist()},
        "input_stall": stalled / timed / sum(one[0] for one in loops),
        "rows_per_step": bare.rows_per_step,
        "checkpoints_inside": (arguments.steps - 1) // arguments.every,
    }
    print(json.dumps(figures, indent=1))
    if arguments.output:
        commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()
        machine = {
            "command": " ".join(["benchmarks/loop.py", *sys.argv[1:]]),
            "commit": commit or None,
            "device": f"{jax.devices()[0].device_kind} {platform.machine()}, {os.cpu_count()} cores",
            "versions": {name: importlib.metadata.version(name) for name in VERSIONS},
        }
        Path(arguments.output).write_text(json.dumps(machine | figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
