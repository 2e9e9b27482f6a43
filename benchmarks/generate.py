"""Tokens a second of greedy generation, ours and transformers', side by side on the same prompts and weights.

    .venv/bin/python benchmarks/generate.py --output benchmarks/results/generate_cpu.json       # CPU
    python benchmarks/generate.py --size 7b --dtype bfloat16 --new-tokens 512                    # one GPU

Prompts have the paper's lengths (71 tokens on average), some an image. Each side generates the same number of tokens
for every prompt, none stops early, at every batch size; the first tokens must agree. Each side runs in a process of its
own, one after the other. Compilation is left out: a first call of the same shape goes before the timed ones.

Needs jax, flax, optax, numpy, pillow, torch and transformers.
"""

import argparse
import importlib.metadata
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from bare_package import ROOT  # first: it makes the project importable
from student_examples import END_ID, IMAGE_ID, SIZES, START_ID, MadeWeights, model_config, weights

from octomed_jax.images.patches import PatchSpec
from octomed_jax.inputs.buckets import prompt_bucket
from octomed_jax.inputs.examples import Example, image_patches
from octomed_jax.inputs.positions import mrope_positions
from octomed_jax.inputs.rows import assemble
from octomed_jax.models.qwen2_5_vl.config import to_fields

WINDOW = 112


def prompts(arguments: argparse.Namespace, count: int) -> list[Example]:
    """Return prompts without answers, the same every time."""
    from PIL import Image

    rng, spec = np.random.default_rng(0), PatchSpec()
    vocabulary, made = SIZES[arguments.size][0][0], []
    for _ in range(count):
        ids, images = [*rng.integers(9, vocabulary, int(rng.lognormal(np.log(71) - 0.08, 0.4)))], ()
        if rng.random() < arguments.images:
            pixels = rng.integers(0, 256, (224, 224, 3), np.uint8)
            images = (image_patches(Image.fromarray(pixels), spec),)
            ids = [START_ID, *[IMAGE_ID] * len(images[0].layout.window), END_ID, *ids]
        ids = np.array(ids, np.int32)
        positions = mrope_positions(ids, IMAGE_ID, [image.layout.grid for image in images])
        made.append(Example(ids, np.zeros(len(ids), np.float32), positions, images, IMAGE_ID))
    return made


def timed(generate: Callable[[], np.ndarray], repeats: int) -> dict:
    """Run once to warm up, then ``repeats`` times more."""
    tokens, seconds = generate(), []
    for _ in range(repeats):
        start = time.perf_counter()
        tokens = generate()
        seconds.append(time.perf_counter() - start)
    return {"seconds": sorted(seconds)[len(seconds) // 2], "tokens": tokens[:, :4].tolist(), "new": int(tokens.size)}


def ours(arguments: argparse.Namespace) -> dict:
    import jax

    from octomed_jax.models.compute import Compute
    from octomed_jax.models.mesh import one_device, parameter_shardings
    from octomed_jax.models.ops.attention import UNITS
    from octomed_jax.models.options import AUTO, DTYPES
    from octomed_jax.models.place import place_parameters
    from octomed_jax.models.qwen2_5_vl.generate import generate
    from octomed_jax.models.qwen2_5_vl.model import split_model
    from octomed_jax.models.qwen2_5_vl.sampling import Sampling
    from octomed_jax.models.trees import flatten_names, unflatten_names

    config, spec = model_config(arguments.size, WINDOW), PatchSpec()
    graph, abstract = split_model(config)
    mesh, dtype = one_device(), DTYPES[arguments.dtype]
    at = flatten_names(parameter_shardings(mesh, abstract))
    leaves = flatten_names(abstract).items()
    wanted = {name: jax.ShapeDtypeStruct(leaf.shape, dtype, sharding=at[name]) for name, leaf in leaves}
    parameters = unflatten_names(place_parameters(MadeWeights(config), wanted))
    compute = Compute(dtype, AUTO[jax.default_backend()])
    results = {}
    for batch in arguments.batches:
        chosen = prompts(arguments, batch)
        longest, cells = max(len(item.token_ids) for item in chosen), max(item.cells for item in chosen)
        bucket = prompt_bucket(longest, cells, spec, UNITS[compute.attention])
        rows = jax.device_put(assemble([[item] for item in chosen], batch, bucket, spec))
        keys = jax.random.split(jax.random.key(0), batch)

        def run(rows=rows, keys=keys) -> np.ndarray:
            settings = {"stop_ids": (config.text.vocab_size,), "sampling": Sampling(), "compute": compute}
            return generate(graph, parameters, rows, keys, max_new_tokens=arguments.new_tokens, **settings).tokens

        results[batch] = timed(run, arguments.repeats)
    memory = jax.devices()[0].memory_stats() or {}
    return {
        "batches": results,
        "device": jax.devices()[0].device_kind,
        "attention": compute.attention,
        "device_peak_bytes": memory.get("peak_bytes_in_use"),
        "versions": {name: importlib.metadata.version(name) for name in ("jax", "flax")},
    }


def theirs(arguments: argparse.Namespace) -> dict:
    import torch
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    from octomed_jax.hf.names import hub_tensors, modern_name
    from octomed_jax.models.qwen2_5_vl.model import split_model

    config = model_config(arguments.size, WINDOW)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = torch.bfloat16 if arguments.dtype == "bfloat16" else torch.float32
    torch.set_default_dtype(dtype)
    with torch.device(device):
        fields = Qwen2_5_VLConfig(**to_fields(config, arguments.dtype))
        model = Qwen2_5_VLForConditionalGeneration._from_config(fields, attn_implementation="sdpa", dtype=dtype).eval()
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for tensor in hub_tensors(config, split_model(config)[1]):
            values = torch.from_numpy(weights(tensor.name, tensor.shape))
            parameters[modern_name(tensor.name)].copy_(values.to(device, dtype))
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = config.pad_token_id
    results = {}
    for batch in arguments.batches:
        inputs = left_padded(prompts(arguments, batch), config.pad_token_id, device, dtype)

        def run(inputs=inputs) -> np.ndarray:
            with torch.no_grad():
                out = model.generate(**inputs, max_new_tokens=arguments.new_tokens, do_sample=False, use_cache=True)
            return out[:, inputs["input_ids"].shape[1] :].cpu().numpy()

        results[batch] = timed(run, arguments.repeats)
    return {
        "batches": results,
        "device_peak_bytes": torch.cuda.max_memory_allocated() if device == "cuda" else None,
        "versions": {name: importlib.metadata.version(name) for name in ("torch", "transformers")},
    }


def left_padded(examples: list[Example], pad_id: int, device: str, dtype) -> dict:
    """Return transformers' inputs of a batch."""
    import torch

    length = max(len(item.token_ids) for item in examples)
    ids, real = np.full((len(examples), length), pad_id, np.int64), np.zeros((len(examples), length), np.int64)
    for row, item in enumerate(examples):
        ids[row, length - len(item.token_ids) :], real[row, length - len(item.token_ids) :] = item.token_ids, 1
    inputs = {"input_ids": ids, "attention_mask": real, "mm_token_type_ids": (ids == IMAGE_ID).astype(np.int32)}
    inputs = {name: torch.from_numpy(array).to(device) for name, array in inputs.items()}
    images = [image for item in examples for image in item.images]
    if images:
        grids = [(1, 2 * rows, 2 * columns) for rows, columns in (image.layout.grid for image in images)]
        inputs["image_grid_thw"] = torch.tensor(grids, device=device)
        pixels = torch.from_numpy(np.concatenate([image.patches for image in images]))
        inputs["pixel_values"] = pixels.to(device, dtype)
    return inputs


def report(arguments: argparse.Namespace, results: dict[str, dict]) -> dict:
    """Print tokens a second of each side and batch; return them with the ratios."""
    table = {}
    for batch in arguments.batches:
        line, rates = f"batch {batch:3}", {}
        for side, result in results.items():
            one = result["batches"][str(batch)]
            rates[side] = one["new"] / one["seconds"]
            line += f"  {side} {rates[side]:9,.1f} tokens/s"
        if len(rates) == 2:
            firsts = [result["batches"][str(batch)]["tokens"] for result in results.values()]
            same = np.mean([a == b for rows in zip(*firsts, strict=True) for a, b in zip(*rows, strict=True)])
            if same < (1 if arguments.dtype == "float32" else 0.5):
                sys.exit(f"only {same:.0%} of the first tokens agree at batch {batch}: not the same work")
            rates["ratio"] = rates["ours"] / rates["transformers"]
            line += f"  ratio {rates['ratio']:.2f}"
        print(line)
        table[batch] = rates
    kept = ("device", "attention", "device_peak_bytes", "versions")
    sides = {side: {name: result[name] for name in kept if name in result} for side, result in results.items()}
    return {"tokens_per_second": table, **sides}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--new-tokens", type=int, default=128)
    parser.add_argument("--images", type=float, default=0.5, help="share of prompts with an image")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--sides", default="ours,transformers")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--output", help="write the figures here as JSON")
    arguments = parser.parse_args()
    if arguments.side:
        Path(arguments.output).write_text(json.dumps({"ours": ours, "transformers": theirs}[arguments.side](arguments)))
        return
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for side in arguments.sides.split(","):
            path = Path(folder) / f"{side}.json"
            subprocess.run([sys.executable, __file__, *sys.argv[1:], f"--side={side}", f"--output={path}"], check=True)
            results[side] = json.loads(path.read_text())
    figures = report(arguments, results)
    if arguments.output:
        commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()
        machine = {"machine": platform.machine(), "python": platform.python_version(), "commit": commit or None}
        words = " ".join(["benchmarks/generate.py", *sys.argv[1:]])
        Path(arguments.output).write_text(json.dumps({"command": words, **machine, **figures}, indent=1) + "\n")


if __name__ == "__main__":
    main()
