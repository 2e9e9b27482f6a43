"""Import and export of a checkpoint with random bfloat16 weights: memory at its peak, and speed beside the disk's.

    .venv/bin/python benchmarks/export_memory.py --size 7b --output benchmarks/results/export_memory.json

Writes a Hugging Face folder of the size, imports it, exports it and verifies the export, each with the `octomed`
command in a process of its own. Before and after each, as many bytes as the weights have are written plainly, in large
pieces with one fsync, and read back: the disk of a shared machine changes from minute to minute. A step's rate counts
the bytes that it reads and writes, the start of its process included; what it reads lies on the disk only, not in the
page cache. Memory is what the system says of the process: all that is resident, and the part of it that is no file's
(RssAnon, sampled); the same command on a tiny model says what the process takes without weights. The folder that was
exported must be, byte for byte, the one that was imported.

Then one layer is read from a training checkpoint with a stack of 28 float32 matrices of 64 MiB, beside a tiny one.

Needs three times the bytes of the weights on the disk (50 GB for 7b), which are given back at the end.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from bare_package import ROOT  # first: it makes the project importable
from student_examples import model_config

from configs.demo import get_config
from octomed_jax.checkpoints.parameters import SavedParameters
from octomed_jax.checkpoints.store import CheckpointStore
from octomed_jax.hf.names import HubTensor, hub_tensors
from octomed_jax.hf.shards import DTYPES, forget_marks, plan_shards, write_shards
from octomed_jax.hf.student import write_student
from octomed_jax.models.qwen2_5_vl.config import to_fields
from octomed_jax.models.qwen2_5_vl.model import split_model
from octomed_jax.models.trees import unflatten_names
from octomed_jax.storage import sha256_file

PIECE = 64 * 2**20  # bytes that are written or read plainly at once
FILES = 5  # of the published 7B model
STACK = "text.layers.mlp.up.kernel"
EVERY = 0.02  # seconds between two looks at a process
VERSIONS = ("jax", "numpy", "orbax-checkpoint", "safetensors", "tensorstore")


def tensors_of(size: str) -> list[HubTensor]:
    config = model_config(size, 112)
    return list(hub_tensors(config, split_model(config)[1]))


def bytes_of(tensors: list[HubTensor]) -> int:
    return sum(int(np.prod(tensor.shape)) for tensor in tensors) * 2


def write_model(folder: Path, size: str) -> None:
    """Write a model's folder: the demo's tokenizer, a config, and random weights, each made when it is written."""
    fields, tensors = get_config("tiny"), tensors_of(size)
    fields.student.vocab_size = 300
    write_student(folder, fields.student, ["Which plane is this? axial coronal sagittal"] * 3, fields.shard)
    (folder / "config.json").write_text(json.dumps(to_fields(model_config(size, 112), "bfloat16"), indent=2) + "\n")

    def made(tensor: HubTensor) -> np.ndarray:
        rng, count = np.random.default_rng(list(tensor.name.encode())), int(np.prod(tensor.shape))
        bits = rng.integers(0, 2**64, -(-count // 4), np.uint64).view(np.uint16)
        bits &= 0xBFFF  # below 2: neither infinite nor NaN
        values = bits[:count].view(DTYPES["bfloat16"]).reshape(tensor.shape[0], -1)
        return values.reshape(values.shape[::-1]) if tensor.transposed else values

    largest = max(bytes_of([tensor]) for tensor in tensors)
    most = max(largest, int(bytes_of(tensors) / FILES * 1.04))  # files end between tensors, so some are smaller
    write_shards(folder, plan_shards(tensors, DTYPES["bfloat16"], most), DTYPES["bfloat16"], made)
    forget_marks(folder)
    drop_cached(folder)


def drop_cached(folder: Path) -> None:
    """Take the files of a folder out of the page cache."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def plain(folder: Path, size: int) -> dict[str, float]:
    """Write ``size`` bytes in large pieces, read them back from the disk, and return the seconds of both."""
    piece, path = np.random.default_rng(0).bytes(min(PIECE, size)), folder / "plain"
    try:
        start = time.perf_counter()
        with path.open("wb", buffering=0) as file:
            for _ in range(size // len(piece)):
                file.write(piece)
            file.write(piece[: size % len(piece)])
            os.fsync(file.fileno())
        written = time.perf_counter() - start
        drop_cached(folder)
        start, buffer = time.perf_counter(), bytearray(len(piece))
        with path.open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass
        return {"write_seconds": written, "read_seconds": time.perf_counter() - start}
    finally:
        path.unlink(missing_ok=True)


def octomed(*arguments: str) -> dict[str, float]:
    """Run a verb in a process of its own; return its seconds and the bytes that it took at its peak."""
    return watched("-m", "octomed_jax.cli.main", *arguments)


def watched(*arguments: str) -> dict[str, float]:
    """Run Python in a process of its own; return its seconds and the bytes that it took at its peak."""
    command = [sys.executable, *arguments]
    start, used, peak, anonymous = time.perf_counter(), children_seconds(), 0, 0
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, env=os.environ | {"JAX_PLATFORMS": "cpu"})
        try:
            while process.poll() is None:
                peak, anonymous = (max(pair) for pair in zip((peak, anonymous), memory_of(process.pid), strict=True))
                time.sleep(EVERY)
        finally:
            process.kill()
        seconds = time.perf_counter() - start
        log.seek(0)
        if process.returncode:
            sys.exit(f"{' '.join(arguments)} ended with {process.returncode}: {log.read().decode()[-2000:]}")
    used = children_seconds() - used
    return {"seconds": seconds, "cpu_seconds": used, "peak_bytes": peak, "peak_anonymous_bytes": anonymous}


def children_seconds() -> float:
    """Return the seconds that processors have worked for the processes that have ended, the system's part included."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def memory_of(process: int) -> tuple[int, int]:
    """Return the most bytes that a process has had resident so far, and those of no file that it has now."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0, 0  # it has ended
    found = [re.search(rf"{name}:\s*(\d+) kB", status) for name in ("VmHWM", "RssAnon")]
    highest, anonymous = (int(field[1]) * 1024 if field else 0 for field in found)
    return highest, anonymous


def weight_files(folder: Path) -> dict[str, str]:
    """Return the hashes of the weight files of a folder and of their index."""
    return {path.name: sha256_file(path) for path in sorted(folder.glob("*.safetensors*"))}


class Measured:
    """Steps of one size, each between two plain writes and reads."""

    def __init__(self, scratch: Path, size: int):
        self.scratch, self.size = scratch, size
        self.steps: dict[str, dict[str, float]] = {}
        self.plain = [plain(scratch, size)]

    def step(self, name: str, sources: list[Path], *arguments: str) -> None:
        """Run a step that reads the weights from one folder and writes them, or reads them from two."""
        for folder in sources:
            drop_cached(folder)
        result = octomed(*arguments)
        self.plain.append(plain(self.scratch, self.size))
        reading, writing = (sum(one[kind] for one in self.plain[-2:]) / 2 for kind in ("read_seconds", "write_seconds"))
        rate = 2 * self.size / result["seconds"]
        beside = 2 * self.size / (reading + (writing if len(sources) == 1 else reading))
        self.steps[name] = result | {"bytes_per_second": rate, "of_plain": rate / beside}
        print(
            f"{name:12} {result['seconds']:6.1f} s  {rate / 1e9:.2f} GB/s, {rate / beside:.2f} of the plain disk's "
            f"{beside / 1e9:.2f}; {result['cpu_seconds']:.0f} s of processors; "
            f"peak {result['peak_bytes'] / 1e9:.2f} GB, {result['peak_anonymous_bytes'] / 1e9:.2f} without files",
            flush=True,
        )


def baselines(scratch: Path) -> dict[str, float]:
    """Return what the processes take on a tiny model, in bytes."""
    model, imported, exported = scratch / "tiny", scratch / "tiny-in", scratch / "tiny-out"
    write_model(model, "tiny")
    steps = {
        "import": ("import", f"--model={model}", f"--output={imported}"),
        "export": ("export", f"--checkpoint={imported}", f"--output={exported}"),
    }
    return {name: octomed(*arguments)["peak_bytes"] for name, arguments in steps.items()}


def one_layer(scratch: Path, side: int) -> int:
    """Return the bytes that a process takes which reads one layer of a training checkpoint with a stack of matrices."""
    folder = scratch / f"stack-{side}"
    store = CheckpointStore(folder, keep=1)
    store.save(0, unflatten_names({f"parameters.{STACK}": np.ones((28, side, side), np.float32)}), "plan")
    store.close()
    return int(watched(__file__, f"--read-layer={folder}")["peak_bytes"])


def read_layer(folder: Path) -> None:
    part = SavedParameters(folder / "0" / "state", below="parameters").read(STACK, 13)
    assert (part == 1).all()


def measure(scratch: Path, size: str, shard_gb: list[float]) -> dict:
    """Import, export and verify a model of ``size``, and export it in files of other sizes; return the figures."""
    total, tensors = bytes_of(tensors_of(size)), tensors_of(size)
    model, imported, exported = scratch / "model", scratch / "in", scratch / "out"
    before = baselines(scratch)
    write_model(model, size)
    before_import = weight_files(model)
    measured = Measured(scratch, total)
    measured.step("import", [model], "import", f"--model={model}", f"--output={imported}")
    shutil.rmtree(model)
    export = ("export", f"--checkpoint={imported}", f"--output={exported}")
    measured.step("export", [imported], *export, "--verify=structure")
    if weight_files(exported) != before_import:
        sys.exit("the weights were exported with other bytes than they were imported with")
    measured.step("roundtrip", [imported, exported], *export, "--verify=structure,roundtrip")
    for most in shard_gb:
        shutil.rmtree(exported)
        measured.step(f"export {most:g}", [imported], *export, "--verify=structure", f"--max-shard-gb={most}")
    return {
        "tensors": len(tensors),
        "bytes": total,
        "largest_tensor_bytes": max(bytes_of([tensor]) for tensor in tensors),
        "identical_files": len(before_import),
        "baseline_peak_bytes": before,
        "plain": measured.plain,
        "steps": measured.steps,
        "one_layer_peak_bytes": {"of 28 x 64 MiB": one_layer(scratch, 4096), "of 28 x 16 KiB": one_layer(scratch, 64)},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=("tiny", "3b", "7b"), default="7b", help="whose shapes the weights have")
    parser.add_argument("--max-shard-gb", type=float, nargs="*", default=[5.0, 1.0], help="export once more with each")
    parser.add_argument("--folder", type=Path, help="on the disk to measure (default: the temporary folder)")
    parser.add_argument("--read-layer", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--output", help="write the figures here as JSON")
    arguments = parser.parse_args()
    if arguments.read_layer:
        read_layer(arguments.read_layer)
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended; the files are removed"))
    with tempfile.TemporaryDirectory(prefix="octomed-", dir=arguments.folder) as scratch:
        needed, free = 3.1 * bytes_of(tensors_of(arguments.size)), shutil.disk_usage(scratch).free
        if free < needed:
            sys.exit(f"{needed / 1e9:.0f} GB are needed, {free / 1e9:.0f} GB are free; choose another --folder")
        figures = measure(Path(scratch), arguments.size, arguments.max_shard_gb)
    layers = ", ".join(f"{peak / 1e9:.2f} GB {name}" for name, peak in figures["one_layer_peak_bytes"].items())
    print(f"one layer of a training checkpoint: peak {layers}")
    print(f"{figures['identical_files']} files are the same bytes as before import and export")
    if arguments.output:
        commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()
        shards = " ".join(f"{most:g}" for most in arguments.max_shard_gb)
        cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
        machine = {
            "command": f"benchmarks/export_memory.py --size {arguments.size} --max-shard-gb {shards}",
            "commit": commit or None,
            "device": f"{cpu[1] if cpu else platform.machine()}, {os.cpu_count()} cores, one disk",
            "python": platform.python_version(),
            "versions": {name: importlib.metadata.version(name) for name in VERSIONS},
        }
        Path(arguments.output).write_text(json.dumps(machine | figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
