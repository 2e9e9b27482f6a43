"""A tiny student made of numbers alone (no tokenizer, no torch): its config, weights and inputs for golden arrays."""

from pathlib import Path

import numpy as np

from octomed_jax.inputs.examples import Example, image_patches
from octomed_jax.inputs.positions import mrope_positions
from octomed_jax.models.qwen2_5_vl.config import Qwen25VLConfig, TextConfig, VisionConfig
from tests.models.student import SPEC, image

FILE = Path(__file__).resolve().parent.parent / "golden" / "student_transformers_4.57.1.npz"
IMAGE, START, END = 60, 61, 62
CONFIG = Qwen25VLConfig(
    text=TextConfig(64, 32, 48, 2, 4, 2, 1e-6, 1e6, (1, 1, 2), False),
    vision=VisionConfig(3, 32, 48, 2, 32, 14, 2, 2, 112, (1,)),
    image_token_id=IMAGE,
    vision_start_token_id=START,
    vision_end_token_id=END,
    video_token_id=63,
    eos_token_id=59,
    pad_token_id=58,
)
CASES = {
    "text": [],
    "windows": [(112, 224)],
    "edges": [(308, 196)],
    "row": [(28, 392)],
    "images": [(56, 84), (112, 112), (140, 56), (28, 28)],
}


def weights(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return the weights of one tensor of the hub layout; a function of its name."""
    rng = np.random.default_rng(list(name.encode()))
    values = rng.normal(size=shape)
    if len(shape) > 1:
        values /= np.sqrt(np.prod(shape[1:]))
    elif name.endswith("weight"):  # of a norm
        values = 1 + 0.1 * values
    else:
        values *= 0.1
    return values.astype(np.float32)


def case(name: str) -> Example:
    """Return the example of a case: words, its images with words between, words that are learned."""
    rng = np.random.default_rng(list(name.encode()))
    images = tuple(image_patches(image(*size, seed=5), SPEC) for size in CASES[name])
    parts = [rng.integers(0, 58, 7)]
    for part in images:
        parts += [[START], [IMAGE] * len(part.layout.window), [END], rng.integers(0, 58, 3)]
    parts.append(rng.integers(0, 58, 9))
    ids = np.concatenate(parts).astype(np.int32)
    loss_weights = (np.arange(len(ids)) >= len(ids) - 9).astype(np.float32)
    positions = mrope_positions(ids, IMAGE, [part.layout.grid for part in images])
    return Example(ids, loss_weights, positions, images, IMAGE)
