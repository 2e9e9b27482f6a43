"""The examples, weights and sizes of models that benchmarks/student_step.py puts side by side."""

import argparse
from pathlib import Path

import bare_package  # noqa: F401  first: it makes the project importable
import numpy as np
from rendered import rendered

from octomed_jax.hf.names import hub_tensors
from octomed_jax.images.patches import PatchSpec
from octomed_jax.inputs.examples import Example, image_patches
from octomed_jax.inputs.positions import mrope_positions
from octomed_jax.models.qwen2_5_vl.config import Qwen25VLConfig, TextConfig, VisionConfig
from octomed_jax.models.qwen2_5_vl.model import split_model
from octomed_jax.models.trees import flatten_names

IMAGE_ID, START_ID, END_ID = 3, 4, 5
# text (vocabulary, hidden, inner, layers, heads, kv heads, sections, tied); vision (depth, hidden, inner, heads, full)
SIZES = {
    "tiny": ((1024, 64, 96, 2, 2, 1, (4, 6, 6), False), (2, 64, 96, 2, (1,))),
    "small": ((1024, 512, 1536, 6, 8, 2, (8, 12, 12), True), (6, 384, 1024, 6, (2, 5))),
    "medium": ((1024, 1024, 3072, 8, 16, 4, (8, 12, 12), True), (8, 640, 1728, 10, (3, 7))),
    "3b": ((151936, 2048, 11008, 36, 16, 2, (16, 24, 24), True), (32, 1280, 3420, 16, (7, 15, 23, 31))),
    "7b": ((152064, 3584, 18944, 28, 28, 4, (16, 24, 24), False), (32, 1280, 3420, 16, (7, 15, 23, 31))),
}
PIXELS = ((512, 512), (448, 560), (336, 448), (224, 224))  # as the paper's cap of 262,144 pixels leaves common images


def model_config(size: str, window: int) -> Qwen25VLConfig:
    (vocabulary, hidden, inner, layers, heads, kv_heads, sections, tied), tower = SIZES[size]
    depth, width, tower_inner, tower_heads, full = tower
    return Qwen25VLConfig(
        text=TextConfig(vocabulary, hidden, inner, layers, heads, kv_heads, 1e-6, 1e6, sections, tied),
        vision=VisionConfig(depth, width, tower_inner, tower_heads, hidden, 14, 2, 2, window, full),
        image_token_id=IMAGE_ID,
        vision_start_token_id=START_ID,
        vision_end_token_id=END_ID,
        video_token_id=6,
        eos_token_id=7,
        pad_token_id=8,
    )


def made_examples(arguments: argparse.Namespace) -> tuple[list[Example], PatchSpec]:
    """Return examples of the paper's lengths (71 tokens asked, 840 answered on average), some with an image."""
    from PIL import Image

    rng, spec = np.random.default_rng(0), PatchSpec()
    vocabulary = SIZES[arguments.size][0][0]
    examples, tokens = [], 0
    while tokens < arguments.rows * arguments.tokens:
        asked, answered = int(rng.lognormal(np.log(71) - 0.08, 0.4)), int(rng.lognormal(np.log(840) - 0.125, 0.5))
        ids = [*rng.integers(9, vocabulary, asked)]
        images = ()
        if rng.random() < arguments.images:
            height, width = PIXELS[rng.integers(len(PIXELS))]
            pixels = rng.integers(0, 256, (height, width, 3), np.uint8)
            images = (image_patches(Image.fromarray(pixels), spec),)
            ids = [START_ID, *[IMAGE_ID] * len(images[0].layout.window), END_ID, *ids]
        prompt = len(ids)
        ids = np.array([*ids, *rng.integers(9, vocabulary, answered)], np.int32)
        if len(ids) > arguments.tokens:
            continue
        weights = (np.arange(len(ids)) >= prompt).astype(np.float32)
        positions = mrope_positions(ids, IMAGE_ID, [image.layout.grid for image in images])
        examples.append(Example(ids, weights, positions, images, IMAGE_ID))
        tokens += len(ids)
    return examples[:-1], spec


def real_examples(arguments: argparse.Namespace) -> tuple[list[Example], PatchSpec]:
    """Return accepted traces of a folder of shards, in a random order, with the image tokens' id changed to ours."""
    from octomed_jax.inputs.render import example_builder, read_index
    from octomed_jax.traces.shards import ShardReader

    measured, student = rendered(Path(arguments.shards))
    index, reader = read_index(measured, student, "boxed"), ShardReader(arguments.shards)
    builder = example_builder(student, "boxed")
    examples, tokens = [], 0
    for number in np.random.default_rng(0).permutation(len(index)):
        record = reader[int(index.record[number])]
        response = int(index.response[number])
        item = builder.build(record.shown(response), record.responses[response])
        tokens += len(item.token_ids)
        if tokens > arguments.rows * arguments.tokens:
            break
        swapped = np.where(item.token_ids == item.image_token_id, IMAGE_ID, np.maximum(item.token_ids, 9))
        examples.append(Example(swapped, item.loss_weights, item.position_ids, item.images, IMAGE_ID))
    return examples, builder.spec


def weights(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return one tensor's weights, a function of its name: uniform, of the variance that random students have."""
    rng = np.random.default_rng(list(name.encode()))
    if len(shape) == 1:
        return np.full(shape, 1.0 if name.endswith("weight") else 0.0, np.float32)
    bound = (3 / np.prod(shape[1:])) ** 0.5 if "embed" not in name else 0.035
    return (2 * rng.random(shape, np.float32) - 1) * np.float32(bound)


class MadeWeights:
    """Weights of a model that are made when they are read."""

    def __init__(self, config: Qwen25VLConfig):
        _, abstract = split_model(config)
        self.shapes = flatten_names(abstract)
        self._tensors = {(tensor.ours, tensor.layer): tensor for tensor in hub_tensors(config, abstract)}

    def read(self, name, layer=None, index=...) -> np.ndarray:
        tensor = self._tensors[name, layer]
        return tensor.to_ours(weights(tensor.name, tensor.shape))[index]


def prepare(arguments: argparse.Namespace) -> tuple[Qwen25VLConfig, list[Example], PatchSpec]:
    examples, spec = real_examples(arguments) if arguments.shards else made_examples(arguments)
    return model_config(arguments.size, spec.window_cells * spec.factor), examples, spec
