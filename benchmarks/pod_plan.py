"""The paper's recipe over TPU pods: does it fit, what does it send, how long may it take. All are estimates.

    .venv/bin/python benchmarks/pod_plan.py --output benchmarks/results/pod_plan.json

Each line is one `octomed plan` in a process of its own, about a minute on two cores: the real training step of the
model at full depth, compiled by libtpu (`make tpu-aot`) for chips that are not there. Rows are of the paper's mix
(octomed_jax/inputs/paper_mix.py). A step takes 480 examples, which fill 64 rows of 8,192 tokens of this mix, and the
run as many steps as three epochs of the paper's 8,095,571 examples need (50,598); the paper takes 512 in 47,435 steps.
`--only 7b` and `--only v5e` plan the cases whose name has it, and leave the others in the file as they are.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = 480
STEPS = -(-3 * 8_095_571 // EXAMPLES)
# Topology, slices, and the mesh: fsdp takes what is left.
PODS = (
    ("v5e:4x4", 1, {"sequence": 4}),
    ("v5e:8x8", 1, {"sequence": 4}),
    ("v5e:16x16", 1, {"sequence": 4}),
    ("v5p-8", 1, {}),
    ("v5p-64", 1, {}),
    ("v6e:2x4", 1, {}),
    ("v6e:8x8", 1, {}),
    ("v6e:16x16", 1, {"sequence": 4}),
    ("v5e:8x8", 2, {"data": 2, "sequence": 4}),
    ("v6e:8x8", 2, {"data": 2, "sequence": 2}),
)
COLUMNS = ("model", "pod", "mesh", "fits", "peak GiB", "sent GB", "step s", "MFU %", "full run h")


def plan(model: str, topology: str, slices: int, axes: dict[str, int]) -> dict:
    """Return one plan."""
    words = ["plan", f"--config=configs/octomed_{model}.py", f"--topology={topology}", f"--slices={slices}", "--json"]
    words += [f"--config.train.mesh.{axis}={size}" for axis, size in axes.items()]
    words += [f"--config.train.examples_per_step={EXAMPLES}", f"--config.train.steps={STEPS}"]
    done = subprocess.run(
        [sys.executable, "-m", "octomed_jax.cli.main", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"octomed {' '.join(words)}\n{done.stderr}")
    return {"model": model, "command": "octomed " + " ".join(words), **json.loads(done.stdout)}


def line(found: dict) -> list[str]:
    """Return a plan as a line of the table."""
    axes = " x ".join(f"{axis} {size}" for axis, size in found["mesh"].items() if size > 1)
    sent = sum(total["bytes"] for total in found["collectives"].values())
    words = [found["model"].upper(), found["topology"], axes, "yes" if found["fits"] else "no"]
    words.append(f"{found['peak_bytes_per_device'] / 2**30:.1f} of {found['hbm_bytes_per_device'] / 2**30:.1f}")
    if not found["fits"]:
        return [*words, "", "", "", ""]
    low, high = found["step_seconds_low"], found["step_seconds_high"]
    return [
        *words,
        f"{sent / 1e9:,.0f}",
        f"{low:.2f} to {high:.2f}",
        f"{100 * found['mfu_low']:.0f} to {100 * found['mfu_high']:.0f}",
        f"{found['run']['hours_low']:,.0f} to {found['run']['hours_high']:,.0f}",
    ]


def main() -> None:
    """Plan every case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--only", default="", help="cases whose model or topology has this in its name")
    arguments = parser.parse_args()
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
    results = json.loads(arguments.output.read_text())["plans"] if arguments.output.exists() else {}
    for model in ("3b", "7b"):
        for topology, slices, axes in PODS:
            name = f"{model} {topology}" + (f" x {slices}" if slices > 1 else "")
            if arguments.only in name:
                results[name] = {"commit": commit.stdout.strip(), **plan(model, topology, slices, axes)}
                print(f"  {name}: step {results[name]['step_seconds_low']} s and more", flush=True)
                kept = {"command": "benchmarks/pod_plan.py --output benchmarks/results/pod_plan.json", "plans": results}
                arguments.output.write_text(json.dumps(kept, indent=1) + "\n")
    print(f"| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}")
    for found in results.values():
        print(f"| {' | '.join(line(found))} |")


if __name__ == "__main__":
    main()
