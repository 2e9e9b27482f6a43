"""What rows cost on the host: reading them beside transformers' processor, and planning the paper's number of traces.

    .venv/bin/octomed questions build --config=configs/demo.py:tiny --config.run=runs/input \\
        --config.questions.brain.side_pixels=512 --config.questions.dicom.side_pixels=512 \\
        --config.questions.brain.plane=120 --config.questions.dicom.views_each=6
    for stage in distill verify shard; do .venv/bin/octomed $stage --config=configs/demo.py:tiny \\
        --config.run=runs/input --config.shard.max_pixels=262144 --config.student.vocab_size=8192; done
    .venv/bin/python benchmarks/input.py --shards runs/input/shards --output benchmarks/results/input.json

Images and questions are those of the shards (above: real brain slices and DICOM views, enlarged to 512 x 512, as PNG);
a response is made of the shards' responses, joined up to the paper's lengths (840 tokens on average). Both sides read
the same records from the same shards, decode, resize, normalise and cut the images, and render and tokenise the
conversation, on one core in one thread, row by row in turn; pixels and ids must be equal. Ours also finds positions,
windows and loss weights and packs the row; theirs is transformers' processor for Qwen2.5-VL with its Pillow image
processor, and, where torchvision is installed, with its torch one. Seconds are of the processor, not of the wall.

Plans are made in a process of their own, whose peak memory is given, from an index of inputs/paper_mix.py.
"""

import argparse
import importlib.metadata
import importlib.util
import io
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from bare_package import ROOT  # first: it makes the project importable
from PIL import Image
from rendered import rendered

from octomed_jax.inputs.index_files import load_index, write_index
from octomed_jax.inputs.mixture import draw, read_mixture
from octomed_jax.inputs.packing import image_bucket
from octomed_jax.inputs.paper_mix import SPEC, paper_mix
from octomed_jax.inputs.plan import ExampleIndex, RowPlan
from octomed_jax.inputs.render import example_builder, read_patch_spec, render_index
from octomed_jax.inputs.rows import Bucket, assemble
from octomed_jax.inputs.source_table import source_table
from octomed_jax.inputs.template import CHAT_TEMPLATE
from octomed_jax.prompts import user_text
from octomed_jax.schema import Record
from octomed_jax.traces.shards import ShardReader
from octomed_jax.traces.stage import shard_records

FORMAT = "boxed"
ROOM = 8192  # tokens of a row
EXAMPLES_PER_STEP = 512  # the paper


def lengthened(shards: Path, student: Path, count: int) -> Iterator[Record]:
    """Yield records of the shards over and over, each with one response of the paper's length."""
    rng = np.random.default_rng(0)
    builder = example_builder(student, FORMAT)
    records = list(ShardReader(shards))
    responses = [response for record in records for response in record.responses]
    takes = np.array([len(builder.tokenizer.encode(response)) for response in responses])
    chosen = np.concatenate([rng.permutation(len(records)) for _ in range(-(-count // len(records)))])
    for number in chosen[:count]:
        order = rng.permutation(len(responses))
        wanted = rng.lognormal(np.log(840) - 0.18, 0.6)
        enough = 1 + int(np.searchsorted(np.cumsum(takes[order]), wanted - takes.mean() / 2))
        yield Record(records[number].question, ("\n\n".join(responses[i] for i in order[:enough]),))


def plan_of(index: ExampleIndex, spec, examples_per_step: int) -> RowPlan:
    image = index.cells > 0
    buckets = Bucket("text", ROOM, 0), image_bucket(index.tokens[image], index.cells[image], ROOM, spec)
    return RowPlan(index, buckets, examples_per_step, 0)


def peers(shards: Path, student: Path) -> dict[str, Callable]:
    """Return transformers' way from records to (ids of each, pixel values), by the kind of image processor."""
    from transformers import PreTrainedTokenizerFast
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    spec = read_patch_spec(student)
    size = {"shortest_edge": spec.min_pixels, "longest_edge": spec.max_pixels}
    kinds = {"pillow": Qwen2VLImageProcessorPil(size=size)}
    if importlib.util.find_spec("torchvision"):
        import torch
        from transformers import Qwen2VLImageProcessor

        torch.set_num_threads(1)
        kinds["torch"] = Qwen2VLImageProcessor(size=size)
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(student / "tokenizer.json"))
    tokenizer.chat_template = CHAT_TEMPLATE
    reader = ShardReader(shards)

    def process(numbers: tuple[int, ...], images_of: Callable) -> tuple[list[list[int]], np.ndarray | None]:
        """Process the records of a row; every record has one response."""
        texts, images = [], []
        for number in numbers:
            record = reader[number]
            asked = [{"type": "image"}] * len(record.question.images)
            asked.append({"type": "text", "text": user_text(record.question, FORMAT)})
            turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": record.responses[0]}]
            texts.append(tokenizer.apply_chat_template(turns, tokenize=False))
            images += [Image.open(io.BytesIO(data)).convert("RGB") for data in record.question.images]
        pixels = None
        if images:
            made = images_of(images=images, return_tensors="np")
            pixels = made["pixel_values"]
            cells = iter(made["image_grid_thw"].prod(axis=1) // spec.merge_size**2)
            for at, text in enumerate(texts):  # as their processor for Qwen2.5-VL does
                pieces = text.split("<|image_pad|>")
                texts[at] = pieces[0] + "".join("<|image_pad|>" * int(next(cells)) + piece for piece in pieces[1:])
        return tokenizer(texts)["input_ids"], pixels

    return {name: lambda numbers, kind=kind: process(numbers, kind) for name, kind in kinds.items()}


def equal(batch: dict[str, np.ndarray], ids: list[list[int]], pixels: np.ndarray | None) -> bool:
    """Return whether a row of ours holds the peer's ids (without the line end after the last turn) and pixels."""
    segments = batch["segment_ids"][0]
    same = all(
        batch["input_ids"][0][segments == number].tolist() == theirs[: (segments == number).sum()]
        and len(theirs) - (segments == number).sum() == 1
        for number, theirs in enumerate(ids, 1)
    )
    if pixels is not None:
        used = batch["frame_ids"][0] > 0
        same &= used.sum() == len(pixels)
        # Ours lie by windows and theirs by rows; each patch is looked for by its values.
        ours = {patch.tobytes() for patch in batch["patches"][0][used]}
        same &= ours == {patch.tobytes() for patch in pixels}
    return bool(same)


def reading(shards: Path, student: Path, rows: int) -> dict:
    """Read ``rows`` rows of each bucket, ours and theirs in turn, and return seconds of the processor."""
    plan = plan_of(render_index(ShardReader(shards), student, FORMAT), read_patch_spec(student), 1)
    reader, builder = ShardReader(shards), example_builder(student, FORMAT)

    def ours(row: tuple[int, ...], bucket: Bucket) -> dict[str, np.ndarray]:
        """Make a row as a reading process of training does."""
        records = [reader[number] for number in row]
        examples = [builder.build(record.question, record.responses[0]) for record in records]
        return assemble([examples], 1, bucket, builder.spec)

    others = peers(shards, student)
    figures = {}
    for bucket in plan.buckets:
        # One row at a time, in the order of the plan.
        planned = [row for step in range(plan.steps_per_epoch) for row in plan.step(step).rows[bucket.name]]
        sides = {"ours": lambda row, bucket=bucket: ours(row, bucket)} | others
        seconds = {name: [] for name in sides}
        for number, row in enumerate(planned[: rows + 2]):
            made = {}
            for name, side in sides.items():
                start = time.process_time()
                made[name] = side(row)
                seconds[name].append(time.process_time() - start)
            if number < 2:  # and these two warm up
                assert equal(made["ours"], *made["pillow"]), f"row {number} of {bucket.name} differs"
        examples = sum(len(row) for row in planned[2 : rows + 2])
        images = int(sum(plan.index.images[list(row)].sum() for row in planned[2 : rows + 2]))
        taken = {name: sum(values[2:]) for name, values in seconds.items()}
        figures[bucket.name] = {
            "rows": len(planned[2 : rows + 2]),
            "examples": examples,
            "images": images,
            "rows_per_second": {name: len(planned[2 : rows + 2]) / value for name, value in taken.items()},
            "ratio": {name: taken[name] / taken["ours"] for name in others},
        }
        print(bucket.name, json.dumps(figures[bucket.name], indent=1), flush=True)
    return figures


def planning(path: Path) -> dict:
    """Plan what lies at ``path``: the first epoch, and a step of the third as a run that goes on there would."""
    start = time.perf_counter()
    index = load_index(path)
    loaded = time.perf_counter()
    plan = plan_of(index, SPEC, EXAMPLES_PER_STEP)
    plan.step(0)
    planned = time.perf_counter()
    name = plan.hash
    hashed = time.perf_counter()
    plan.step(2 * plan.steps_per_epoch + plan.steps_per_epoch // 2)
    went_on = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    mixture = read_mixture({"weights": dict.fromkeys(index.sources, 1)})
    usable = np.ones(len(index), bool)
    asked = time.perf_counter()
    times = draw(index, usable, mixture, 0)
    mixed = time.perf_counter()
    source_table(index, plan.numbers)
    told = time.perf_counter()
    slots = {bucket.name: plan.rows_per_step[bucket.name] * bucket.tokens for bucket in plan.buckets}
    counts = [plan.count(step)["examples"] for step in range(0, plan.steps_per_epoch, 100)]
    return {
        "examples": plan.examples,
        "left_out": sum(plan.left_out.values()),
        "seconds_to_load": loaded - start,
        "seconds_to_first_step": planned - loaded,
        "seconds_of_processor": time.process_time(),
        "seconds_to_hash": hashed - planned,
        "seconds_to_a_step_of_another_epoch": went_on - hashed,
        "seconds_to_mix": mixed - asked,
        "examples_of_equal_shares": int(times.sum()),
        "seconds_to_tell_of_sources": told - mixed,
        "peak_bytes": peak,
        "steps_per_epoch": plan.steps_per_epoch,
        "examples_of_a_step": [float(np.mean(counts)), float(np.std(counts))],
        "rows_per_step": plan.rows_per_step,
        "cells_of_a_row": plan.buckets[-1].cells,
        "fill": plan.fill | {"all": sum(plan.fill[name] * slots[name] for name in slots) / sum(slots.values())},
        "hash": name,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=Path, help="what `octomed shard` wrote; left out: only plans are made")
    parser.add_argument("--rows", type=int, default=20, help="rows of each bucket to read")
    parser.add_argument("--examples", type=int, default=8_095_571, help="examples to plan (the paper's)")
    parser.add_argument("--output", help="write the figures here as JSON")
    parser.add_argument("--plan", type=Path, help=argparse.SUPPRESS)  # the child that plans
    arguments = parser.parse_args()
    if arguments.plan:
        print(json.dumps(planning(arguments.plan)))
        return
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()
    figures = {
        "command": " ".join(["benchmarks/input.py", *sys.argv[1:]]),
        "commit": commit,
        "machine": f"{platform.machine()}, {os.cpu_count()} processors",
        "versions": {
            name: importlib.metadata.version(name) for name in ("numpy", "pillow", "tokenizers", "transformers")
        },
    }
    with tempfile.TemporaryDirectory() as folder:
        write_index(Path(folder), paper_mix(arguments.examples))
        child = subprocess.run([sys.executable, __file__, "--plan", folder], capture_output=True, text=True, check=True)
        figures["plan"] = json.loads(child.stdout)
        print(json.dumps(figures["plan"], indent=1), flush=True)
        if arguments.shards:
            longer = Path(folder) / "shards"
            longer.mkdir()
            _, student = rendered(arguments.shards)
            count = arguments.rows * 48
            shard_records(list(lengthened(arguments.shards, student, count)), longer)
            figures["reading"] = reading(longer, student, arguments.rows)
    if arguments.output:
        Path(arguments.output).write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
