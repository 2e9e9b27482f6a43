"""Train steps of the student, ours (packed rows) and transformers' (padded batches), side by side on the same examples.

    .venv/bin/python benchmarks/student_step.py --size small --shards runs/demo/shards   # CPU, real traces
    python benchmarks/student_step.py --size 3b --tokens 8192 --rows 4 --images 0.5       # one GPU, its own examples
    python benchmarks/student_step.py --size 7b --lora 16 --sides ours

Both sides start from the same weights, take the same examples, accumulate their gradients and make one AdamW update a
step; the first losses must agree. Useful tokens are those of examples: padding does not count. Each side runs in a
process of its own, one after the other, so that memory and cores are its own. Rows and batches are made beforehand.

Needs jax, flax, optax, numpy, pillow, torch and transformers (and the project's own environment for ``--shards``).
MFU = operations of the examples (octomed_jax/models/qwen2_5_vl/flops.py: causal, vision included, recomputation not) a
second / the device's peak of dense bfloat16.
"""

import argparse
import importlib.metadata
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from bare_package import ROOT  # first: it makes the project importable
from student_examples import IMAGE_ID, SIZES, MadeWeights, prepare, weights

from octomed_jax.images.patches import PatchSpec
from octomed_jax.inputs.examples import Example
from octomed_jax.models.lora import LoRA
from octomed_jax.models.qwen2_5_vl.config import Qwen25VLConfig, to_fields
from octomed_jax.models.trained import Trained

# Dense bfloat16 peaks, operations a second, of the vendor's data sheets.
PEAKS = {"H100": 989e12, "H200": 989e12, "A100": 312e12}


def timed(step, steps: int) -> dict:
    """Run two steps to warm up, then ``steps`` more; ``step`` returns the loss and waits for it."""
    first = step()
    step()
    seconds = []
    for _ in range(steps):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    return {"first_loss": first, "seconds": sorted(seconds)[len(seconds) // 2]}


def packed(arguments: argparse.Namespace, examples: list[Example], spec: PatchSpec) -> tuple[dict, dict]:
    """Return the rows and the batches of a step: text alone, and with room for images, as in training.

    A step's rows are computed in micro-batches of one shape for each bucket, one after the other.
    """
    from octomed_jax.inputs.packing import pack
    from octomed_jax.inputs.rows import Bucket, assemble

    buckets, rows_of, batches = {}, {}, {}
    for name, with_images in (("text", False), ("image", True)):
        members = np.array([number for number, item in enumerate(examples) if bool(item.images) == with_images])
        if not len(members):
            continue
        tokens = np.array([len(examples[number].token_ids) for number in members])
        if not with_images:
            cells = np.zeros_like(tokens)
            buckets[name] = Bucket(name, arguments.tokens, 0)
        else:
            cells = np.array([examples[number].cells for number in members])
            room = int(max(cells.max(), arguments.tokens * cells.sum() / tokens.sum() * 1.03))
            unit = 128 // spec.merge_size**2 if arguments.tokens >= 1024 else 1  # so that kernels divide the places
            unit = max(unit, spec.slot_cells)
            buckets[name] = Bucket(name, arguments.tokens, -(-room // unit) * unit)
        rows = pack(members, tokens, cells, buckets[name]).rows()
        rows_of[name] = [[examples[number] for number in row] for row in rows]
    for name, rows in rows_of.items():
        count = -(-len(rows) // -(-len(rows) // arguments.micro_rows))
        for start in range(0, len(rows), count):
            batches[f"{name}{start}"] = assemble(rows[start : start + count], count, buckets[name], spec)
    return rows_of, batches


def ours(arguments: argparse.Namespace) -> dict:
    import jax
    import optax

    from octomed_jax.models.mesh import make_mesh, to_devices
    from octomed_jax.models.options import compute_of
    from octomed_jax.training.step import Student, initial_state, jitted_step

    config, examples, spec = prepare(arguments)
    compute = compute_of({"dtype": arguments.dtype, "attention": arguments.attention, "remat": arguments.remat})
    lora = LoRA(arguments.lora, 2.0 * arguments.lora) if arguments.lora else None
    student = Student(config, Trained((), lora) if lora else Trained(), compute)
    optimizer = optax.adamw(1e-5, mu_dtype=arguments.moments)
    mesh = make_mesh({"data": 1, "fsdp": -1})
    state = initial_state(student, optimizer, mesh, 0, MadeWeights(config))

    rows_of, batches = packed(arguments, examples, spec)
    batches = {
        name: to_devices(mesh, {key: part[None] for key, part in batch.items()}, rows=1)
        for name, batch in batches.items()
    }
    step_function = jitted_step(student, optimizer, optax.constant_schedule(1e-5), mesh, list(batches))

    def step() -> float:
        nonlocal state
        with jax.set_mesh(mesh):
            state, metrics = step_function(state, batches)
        return float(metrics["loss"])

    start = time.perf_counter()
    result = timed(step, arguments.steps)
    memory = jax.devices()[0].memory_stats() or {}
    rows = sum(len(part) for part in rows_of.values())
    return result | {
        "rows": {name: len(part) for name, part in rows_of.items()},
        "token_fill": sum(len(item.token_ids) for item in examples) / (rows * arguments.tokens),
        "compile_and_warm_up_seconds": time.perf_counter() - start - arguments.steps * result["seconds"],
        "device_peak_bytes": memory.get("peak_bytes_in_use"),
        "device": jax.devices()[0].device_kind,
        "attention": compute.attention,
        "versions": {name: importlib.metadata.version(name) for name in ("jax", "flax", "optax")},
    }


def theirs(arguments: argparse.Namespace) -> dict:
    import torch
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    from octomed_jax.hf.names import hub_tensors, modern_name
    from octomed_jax.models.qwen2_5_vl.model import split_model

    config, examples, _ = prepare(arguments)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = torch.bfloat16 if arguments.dtype == "bfloat16" else torch.float32
    fields = to_fields(config, arguments.dtype)
    torch.set_default_dtype(dtype)
    with torch.device(device):
        model = Qwen2_5_VLForConditionalGeneration._from_config(
            Qwen2_5_VLConfig(**fields), attn_implementation="sdpa", dtype=dtype
        )
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for tensor in hub_tensors(config, split_model(config)[1]):
            values = torch.from_numpy(weights(tensor.name, tensor.shape))
            parameters[modern_name(tensor.name)].copy_(values.to(device, dtype))
    model.train()
    if arguments.remat != "none" and device == "cuda":
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, weight_decay=1e-4, fused=device == "cuda")

    targets = sum(float(item.loss_weights[1:].sum()) for item in examples)
    batches = [
        torch_batch(examples[start : start + arguments.peer_batch], config, device, dtype)
        for start in range(0, len(examples), arguments.peer_batch)
    ]

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        total = 0.0
        for inputs, wanted, learned in batches:
            logits = model(**inputs, use_cache=False).logits[:, :-1]
            losses = torch.nn.functional.cross_entropy(logits.transpose(1, 2).float(), wanted, reduction="none")
            loss = (losses * learned).sum() / targets
            loss.backward()
            total += loss.detach()
        optimizer.step()
        return float(total)

    result = timed(step, arguments.steps)
    places = sum(inputs["input_ids"].numel() for inputs, _, _ in batches)
    return result | {
        "token_fill": sum(len(item.token_ids) for item in examples) / places,
        "device_peak_bytes": torch.cuda.max_memory_allocated() if device == "cuda" else None,
        "versions": {name: importlib.metadata.version(name) for name in ("torch", "transformers")},
    }


def torch_batch(examples: list[Example], config: Qwen25VLConfig, device: str, dtype) -> tuple:
    """Return (inputs, targets, weights) of examples padded on the right to the longest."""
    import torch

    length = max(len(item.token_ids) for item in examples)
    ids = np.full((len(examples), length), config.pad_token_id, np.int64)
    real, learned = np.zeros((len(examples), length), np.int64), np.zeros((len(examples), length), np.float32)
    for row, item in enumerate(examples):
        here = slice(0, len(item.token_ids))
        ids[row, here], real[row, here], learned[row, here] = item.token_ids, 1, item.loss_weights
    inputs = {"input_ids": ids, "attention_mask": real, "mm_token_type_ids": (ids == IMAGE_ID).astype(np.int32)}
    images = [image for item in examples for image in item.images]
    inputs = {name: torch.from_numpy(array).to(device) for name, array in inputs.items()}
    if images:
        grids = [(1, 2 * rows, 2 * columns) for rows, columns in (image.layout.grid for image in images)]
        inputs["image_grid_thw"] = torch.tensor(grids, device=device)
        pixels = torch.from_numpy(np.concatenate([image.patches for image in images]))
        inputs["pixel_values"] = pixels.to(device, dtype)
    return inputs, inputs["input_ids"][:, 1:], torch.from_numpy(learned[:, 1:]).to(device)


def report(arguments: argparse.Namespace, results: dict[str, dict]) -> dict:
    """Return the results with rates, and print them."""
    from octomed_jax.models.qwen2_5_vl.flops import training_flops, work_of

    config, examples, _ = prepare(arguments)
    tokens, images = sum(len(item.token_ids) for item in examples), sum(len(item.images) for item in examples)
    trained = Trained((), LoRA(arguments.lora, 2.0 * arguments.lora)) if arguments.lora else Trained()
    grids = [(len(item.token_ids), [image.layout.grid for image in item.images]) for item in examples]
    flops = training_flops(config, work_of(config.vision, grids), trained).total
    print(f"{len(examples)} examples, {tokens:,} tokens, {images} images, {flops / 1e12:.2f} TFLOP a step")
    for side, result in results.items():
        result["useful_tokens_per_second"] = tokens / result["seconds"]
        result["images_per_second"] = images / result["seconds"]
        memory = result["device_peak_bytes"] or result["host_peak_bytes"]
        line = f"{side:7} {result['seconds']:8.3f} s  {result['useful_tokens_per_second']:10,.0f} useful tokens/s"
        line += (
            f"  {result['images_per_second']:6.1f} images/s  fill {result['token_fill']:.0%}  {memory / 2**30:.1f} GiB"
        )
        peak = next((peak for name, peak in PEAKS.items() if name in result.get("device", "")), None)
        if peak:
            result["mfu"] = flops / result["seconds"] / peak
            line += f"  MFU {result['mfu']:.1%}"
        print(f"{line}  first loss {result['first_loss']:.4f}")
    if len(results) == 2:
        first, second = results.values()
        difference = abs(first["first_loss"] / second["first_loss"] - 1)
        bound = 1e-4 if arguments.dtype == "float32" else 2e-2
        if difference > bound:
            sys.exit(f"the first losses differ by {difference:.1e}, more than {bound}: not the same work")
        ratio = first["useful_tokens_per_second"] / second["useful_tokens_per_second"]
        print(f"ours / transformers: {ratio:.2f} useful tokens a second")
        return {"ratio": ratio, "tflop": flops / 1e12, "examples": len(examples), "tokens": tokens, **results}
    return {"tflop": flops / 1e12, "examples": len(examples), "tokens": tokens, **results}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--shards", help="take accepted traces of this folder instead of made-up examples")
    parser.add_argument("--tokens", type=int, default=1024, help="tokens of a row")
    parser.add_argument("--rows", type=int, default=4, help="rows' worth of tokens in a step")
    parser.add_argument("--micro-rows", type=int, default=1, help="rows computed at once")
    parser.add_argument("--images", type=float, default=0.5, help="share of made-up examples with an image")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--moments", choices=("float32", "bfloat16"), default="float32", help="of Adam's first moment")
    parser.add_argument("--attention", default="auto")
    parser.add_argument("--remat", default="full")
    parser.add_argument("--lora", type=int, default=0, help="rank; 0 trains all parameters")
    parser.add_argument("--peer-batch", type=int, default=4, help="examples that transformers pads to one batch")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--sides", default="ours,transformers")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--output", help="write the figures here as JSON")
    arguments = parser.parse_args()
    if arguments.side:
        result = {"ours": ours, "transformers": theirs}[arguments.side](arguments)
        result["host_peak_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        Path(arguments.output).write_text(json.dumps(result))
        return
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for side in arguments.sides.split(","):
            path = Path(folder) / f"{side}.json"
            command = [sys.executable, __file__, *sys.argv[1:], f"--side={side}", f"--output={path}"]
            subprocess.run(command, check=True)
            results[side] = json.loads(path.read_text())
    figures = report(arguments, results)
    if arguments.output:
        commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()
        machine = {"machine": platform.machine(), "python": platform.python_version(), "commit": commit or None}
        words = " ".join(["benchmarks/student_step.py", *sys.argv[1:]])
        Path(arguments.output).write_text(json.dumps({"command": words, **machine, **figures}, indent=1) + "\n")


if __name__ == "__main__":
    main()
