"""Which of our parameters is which tensor of the published checkpoints.

Exports always use the published (hub) layout: ``visual.*``, ``model.*``, ``lm_head.weight``. Ours stacks the layers of
a tower along a first axis and stores matrices as [inputs, outputs]; the hub has one tensor a layer, [outputs, inputs].
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from octomed_jax.models.qwen2_5_vl.config import Qwen25VLConfig
from octomed_jax.models.trees import flatten_names

BLOCK = 512  # rows and columns that are turned at once: they stay in the processor's cache
PAD = 64  # bytes between rows of a block: at a distance of a power of two, rows would push one another out of the cache
PIECE = 2**23  # bytes; such memory is used again, larger arrays get new pages, which the system clears first

# ours below a layer -> hub below `model.layers.N.`; a name that ends in `kernel` is stored transposed
TEXT_LAYER = {
    "attention_norm.scale": "input_layernorm.weight",
    "attention.q.kernel": "self_attn.q_proj.weight",
    "attention.q.bias": "self_attn.q_proj.bias",
    "attention.k.kernel": "self_attn.k_proj.weight",
    "attention.k.bias": "self_attn.k_proj.bias",
    "attention.v.kernel": "self_attn.v_proj.weight",
    "attention.v.bias": "self_attn.v_proj.bias",
    "attention.o.kernel": "self_attn.o_proj.weight",
    "mlp_norm.scale": "post_attention_layernorm.weight",
    "mlp.gate.kernel": "mlp.gate_proj.weight",
    "mlp.up.kernel": "mlp.up_proj.weight",
    "mlp.down.kernel": "mlp.down_proj.weight",
}
VISION_BLOCK = {
    "attention_norm.scale": "norm1.weight",
    "qkv.kernel": "attn.qkv.weight",
    "qkv.bias": "attn.qkv.bias",
    "out.kernel": "attn.proj.weight",
    "out.bias": "attn.proj.bias",
    "mlp_norm.scale": "norm2.weight",
    "mlp.gate.kernel": "mlp.gate_proj.weight",
    "mlp.gate.bias": "mlp.gate_proj.bias",
    "mlp.up.kernel": "mlp.up_proj.weight",
    "mlp.up.bias": "mlp.up_proj.bias",
    "mlp.down.kernel": "mlp.down_proj.weight",
    "mlp.down.bias": "mlp.down_proj.bias",
}
SINGLE = {
    "text.embedding": "model.embed_tokens.weight",
    "text.norm.scale": "model.norm.weight",
    "head.kernel": "lm_head.weight",
    "vision.patch_embed.kernel": "visual.patch_embed.proj.weight",
    "vision.merger.norm.scale": "visual.merger.ln_q.weight",
    "vision.merger.up.kernel": "visual.merger.mlp.0.weight",
    "vision.merger.up.bias": "visual.merger.mlp.0.bias",
    "vision.merger.down.kernel": "visual.merger.mlp.2.weight",
    "vision.merger.down.bias": "visual.merger.mlp.2.bias",
}


@dataclasses.dataclass(frozen=True)
class HubTensor:
    """One tensor of the hub layout.

    Attributes:
        name: the published name.
        ours: dotted name of our parameter.
        layer: index along the stack, None for parameters without one.
        shape: the hub's shape.
    """

    name: str
    ours: str
    layer: int | None
    shape: tuple[int, ...]

    def from_ours(self, part: np.ndarray) -> np.ndarray:
        """Return the hub's array from our parameter, of a stack this layer of it."""
        return (transpose(part) if self.transposed else part).reshape(self.shape)

    def pieces(self, part: np.ndarray, dtype: np.dtype) -> Iterator[np.ndarray]:
        """Yield the hub's values from our parameter, of a stack this layer of it, one flat piece after the other."""
        at_once = PIECE // dtype.itemsize
        if not self.transposed:
            for start in range(0, part.size, at_once):
                yield np.ascontiguousarray(part.reshape(-1)[start : start + at_once], dtype)
            return
        rows = max(1, at_once // len(part))  # of the hub's
        for start in range(0, part.shape[1], rows):
            yield transpose(part[:, start : start + rows], dtype).reshape(-1)

    def to_ours(self, array: np.ndarray) -> np.ndarray:
        """Return our array (one layer of it) from the hub's."""
        if not self.transposed:
            return array
        return transpose(array.reshape(array.shape[0], -1))

    @property
    def transposed(self) -> bool:
        """Whether the hub stores [outputs, inputs] where we store [inputs, outputs]."""
        return self.ours.endswith("kernel")


def hub_tensors(config: Qwen25VLConfig, parameters: Mapping[str, Any]) -> Iterator[HubTensor]:
    """Yield all tensors of the hub layout, in the order of the published index.

    Args:
        config: the model's.
        parameters: our parameters or their abstract shapes, as a nested tree.
    """
    flat = flatten_names(parameters)
    covered = set()

    def entry(name: str, ours: str, layer: int | None) -> HubTensor:
        covered.add(ours)
        shape = tuple(flat[ours].shape[0 if layer is None else 1 :])
        shape = shape[::-1] if ours.endswith("kernel") else shape
        if name == "visual.patch_embed.proj.weight":  # a convolution in the reference
            vision = config.vision
            shape = (shape[0], vision.in_channels, vision.temporal_patch_size, vision.patch_size, vision.patch_size)
        return HubTensor(name, ours, layer, shape)

    tensors = [entry(name, ours, None) for ours, name in SINGLE.items() if ours in flat]
    for table, ours_prefix, hub_prefix, depth in (
        (TEXT_LAYER, "text.layers", "model.layers", config.text.num_hidden_layers),
        (VISION_BLOCK, "vision.blocks", "visual.blocks", config.vision.depth),
    ):
        for layer in range(depth):
            tensors += [
                entry(f"{hub_prefix}.{layer}.{name}", f"{ours_prefix}.{ours}", layer) for ours, name in table.items()
            ]
    assert covered == set(flat), f"parameters without a published name: {sorted(set(flat) - covered)}"
    yield from sorted(tensors, key=lambda tensor: _natural(tensor.name))


def modern_name(name: str) -> str:
    """Return the in-memory name (transformers 4.52 and later) of a published one."""
    if name.startswith("visual."):
        return f"model.{name}"
    if name.startswith("model."):
        return f"model.language_model.{name.removeprefix('model.')}"
    return name


def transpose(matrix: np.ndarray, dtype: np.dtype | None = None) -> np.ndarray:
    """Return the transposed matrix in its own memory, in another dtype where one is given."""
    turned = np.empty(matrix.shape[::-1], dtype or matrix.dtype)
    transpose_into(turned, matrix)
    return turned


def transpose_into(target: np.ndarray, matrix: np.ndarray) -> None:
    """Write the transposed matrix into ``target``, of any dtype, twice as fast as NumPy.

    It goes through a small block with space between its rows, and as integers: NumPy copies other packages' dtypes,
    such as bfloat16, value by value.
    """
    block = np.empty((BLOCK, BLOCK + PAD // target.itemsize), target.dtype)
    bits, into = (array.view(f"u{target.itemsize}") for array in (block, target))
    for row in range(0, matrix.shape[0], BLOCK):
        for column in range(0, matrix.shape[1], BLOCK):
            part = matrix[row : row + BLOCK, column : column + BLOCK]
            rows, columns = part.shape
            block[:rows, :columns] = part
            into[column : column + columns, row : row + rows] = bits[:rows, :columns].T


def _natural(name: str) -> tuple:
    return tuple((int(part), "") if part.isdigit() else (-1, part) for part in name.split("."))
