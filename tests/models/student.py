"""A tiny student for tests: its config, tokenizer, random weights, and examples of every kind. No torch here."""

import functools
from collections.abc import Callable

import numpy as np
from PIL import Image

from octomed_jax.hf.names import HubTensor, hub_tensors
from octomed_jax.images.patches import PatchSpec
from octomed_jax.inputs.examples import Example, image_patches
from octomed_jax.inputs.positions import mrope_positions
from octomed_jax.inputs.template import encode_chat
from octomed_jax.inputs.tokenizer import ChatTokenizer, chat_tokenizer, train_tokenizer
from octomed_jax.models.qwen2_5_vl.config import Qwen25VLConfig, TextConfig, VisionConfig
from octomed_jax.models.qwen2_5_vl.model import split_model
from octomed_jax.models.trees import flatten_names, is_stack, unflatten_names

SPEC = PatchSpec(window_cells=4, min_pixels=784, max_pixels=262144)


@functools.cache
def tokenizer() -> ChatTokenizer:
    texts = ["Which plane is this slice? axial, coronal, sagittal <think>Asked: plane.</think> finding of the study"]
    return chat_tokenizer(train_tokenizer(texts, 300))


@functools.cache
def config(
    tied: bool = False, kv_heads: int = 2, heads: int = 4, fullatt: tuple[int, ...] = (1, 3), depth: int = 4
) -> Qwen25VLConfig:
    ids = tokenizer().ids
    return Qwen25VLConfig(
        text=TextConfig(300, 16 * heads, 96, 2, heads, kv_heads, 1e-6, 1e6, (2, 3, 3), tied),
        vision=VisionConfig(depth, 64, 96, 2, 16 * heads, 14, 2, 2, 112, fullatt),
        image_token_id=ids["<|image_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        video_token_id=ids["<|video_pad|>"],
        eos_token_id=ids["<|im_end|>"],
        pad_token_id=ids["<|endoftext|>"],
    )


def small_config() -> Qwen25VLConfig:
    """Return a student of one windowed and one full vision block, which compiles fast."""
    return config(depth=2, fullatt=(1,))


def tree_of_hub(config: Qwen25VLConfig, read: Callable[[str], np.ndarray]) -> dict:
    """Return our parameters, whole in memory, of tensors that are read by their published names."""
    flat: dict[str, list[np.ndarray]] = {}
    for tensor in hub_tensors(config, split_model(config)[1]):
        flat.setdefault(tensor.ours, []).append(tensor.to_ours(np.asarray(read(tensor.name), np.float32)))
    return unflatten_names({name: np.stack(parts) if is_stack(name) else parts[0] for name, parts in flat.items()})


def part_reader(parameters: dict) -> Callable[[HubTensor], np.ndarray]:
    """Return what gives the parts of a tree that are tensors of the published layout."""
    flat = flatten_names(parameters)

    def read(tensor: HubTensor) -> np.ndarray:
        leaf = np.asarray(flat[tensor.ours])
        return leaf if tensor.layer is None else leaf[tensor.layer]

    return read


def hub_reader(parameters: dict) -> Callable[[HubTensor], np.ndarray]:
    """Return what gives the tensors of a tree in the published shapes."""
    read = part_reader(parameters)
    return lambda tensor: tensor.from_ours(read(tensor))


class InMemory:
    """Parameters of a tree in memory, read as those of a file are."""

    def __init__(self, tree: dict):
        self._flat = self.shapes = flatten_names(tree)

    def read(self, name: str, layer: int | None = None, index=...) -> np.ndarray:
        leaf = self._flat[name]
        return np.asarray(leaf if layer is None else leaf[layer])[index]


def image(height: int, width: int, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng([seed, height, width]).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels)


def example(text: str, sizes: list[tuple[int, int]] = [], response: str | None = None, seed: int = 0) -> Example:  # noqa: B006
    images = []
    for number, (height, width) in enumerate(sizes):
        images.append(image_patches(image(height, width, seed + number), SPEC))
    cells = [part.layout.grid for part in images]
    chat = encode_chat(tokenizer(), text, [rows * columns for rows, columns in cells], response)
    image_token_id = tokenizer().ids["<|image_pad|>"]
    positions = mrope_positions(chat.token_ids, image_token_id, cells)
    return Example(chat.token_ids, chat.loss_weights, positions, tuple(images), image_token_id)
