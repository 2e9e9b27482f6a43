"""The vision tower: windowed and full blocks over patches that lie in window slots, then the merger.

The host has put every patch into a slot (inputs/windows.py), so windowed attention is a batch of small dense blocks
and only the full blocks look across slots. The reference permutes patches and cuts them by cumulative lengths; both
give the same numbers. Source: transformers 4.57.1, modeling_qwen2_5_vl.

Legend: B rows, W window slots, S places of a slot, P = W * S places, C = P / merge_unit merged cells, D width,
H heads, E values of a head.
"""

import functools
import itertools
from collections.abc import Callable

import jax
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from octomed_jax.models.compute import HEADS, HIDDEN, ROTATED, STREAM, Compute, named
from octomed_jax.models.layers import Linear, RMSNorm, SwiGLU
from octomed_jax.models.ops.attention import segment_attention, window_attention
from octomed_jax.models.ops.precision import wide
from octomed_jax.models.ops.rope import cos_sin, rotate, vision_angles
from octomed_jax.models.ops.sharding import by_heads, by_place, gathered
from octomed_jax.models.qwen2_5_vl.config import VisionConfig

NORM_EPS = 1e-6  # fixed in the reference


class VisionBlock(nnx.Module):
    """Pre-norm attention (fused qkv with bias) and SwiGLU with biases."""

    def __init__(self, config: VisionConfig, *, rngs: nnx.Rngs):
        self.attention_norm = RMSNorm(config.hidden_size, NORM_EPS)
        self.qkv = Linear(config.hidden_size, 3 * config.hidden_size, bias=True, rngs=rngs)
        self.out = Linear(config.hidden_size, config.hidden_size, bias=True, rngs=rngs)
        self.mlp_norm = RMSNorm(config.hidden_size, NORM_EPS)
        self.mlp = SwiGLU(config.hidden_size, config.intermediate_size, bias=True, rngs=rngs)
        self.heads = config.num_heads

    def __call__(self, x_BPD: Array, cos_BPE: Array, sin_BPE: Array, attend: Callable[..., Array]) -> Array:
        """Return the new stream; ``attend`` mixes values by queries and keys."""
        x_BPD = named(x_BPD, STREAM)
        shape = (*x_BPD.shape[:2], 3, self.heads, x_BPD.shape[2] // self.heads)
        qkv = by_heads(self.qkv(self.attention_norm(x_BPD)).reshape(shape))
        q, k, v = qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2]
        # Rotated in float32 and rounded back, as the reference does.
        q = rotate(q.astype(wide(q)), cos_BPE, sin_BPE).astype(x_BPD.dtype)
        k = rotate(k.astype(wide(k)), cos_BPE, sin_BPE).astype(x_BPD.dtype)
        heads_BPHE = named(attend(*[named(x, ROTATED) for x in (q, k, v)]), HEADS)
        x_BPD = named(x_BPD + self.out(heads_BPHE.reshape(x_BPD.shape)), HIDDEN)
        return x_BPD + self.mlp(self.mlp_norm(x_BPD))


class Merger(nnx.Module):
    """Four patches become one token of the language model."""

    def __init__(self, config: VisionConfig, *, rngs: nnx.Rngs):
        width = config.hidden_size * config.merge_unit
        self.norm = RMSNorm(config.hidden_size, NORM_EPS)
        self.up = Linear(width, width, bias=True, rngs=rngs)
        self.down = Linear(width, config.out_hidden_size, bias=True, rngs=rngs)
        self.merge_unit = config.merge_unit

    def __call__(self, x_BPD: Array) -> Array:
        """Return [B, C, out]; the patches of a cell lie side by side."""
        x_BPD = self.norm(x_BPD)
        x_BCM = x_BPD.reshape(x_BPD.shape[0], -1, self.merge_unit * x_BPD.shape[-1])
        return self.down(jax.nn.gelu(self.up(x_BCM), approximate=False))


class VisionTower(nnx.Module):
    """Patch embedding, blocks, merger."""

    def __init__(self, config: VisionConfig, *, rngs: nnx.Rngs):
        self.config = config
        self.patch_embed = Linear(config.patch_values, config.hidden_size, bias=False, rngs=rngs)
        make = nnx.vmap(lambda keys: VisionBlock(config, rngs=keys))
        self.blocks = nnx.split_rngs(splits=config.depth)(make)(rngs)
        self.merger = Merger(config, rngs=rngs)

    def __call__(
        self,
        patches_BWSV: Float[Array, "B W S V"],
        window_ids_BWS: Int[Array, "B W S"],
        frame_ids_BWS: Int[Array, "B W S"],
        positions_BWS2: Int[Array, "B W S 2"],
        compute: Compute,
    ) -> Float[Array, "B C D"]:
        """Return one feature for every merged cell of every slot, in slot order; empty places give unused values."""
        B, W, S, V = patches_BWSV.shape
        patches_BPV = by_place(patches_BWSV.reshape(B, W * S, V).astype(compute.dtype))
        x_BPD = _whole(self.patch_embed, "vision.patch_embed", compute.dtype)(patches_BPV)
        cos, sin = cos_sin(vision_angles(positions_BWS2.reshape(B, W * S, 2), self.config.head_dim))
        frames_BP, windows_BP = frame_ids_BWS.reshape(B, W * S), window_ids_BWS.reshape(B, W * S)
        attend = {
            # full blocks: patches see their own frame; windowed: a slot is one small group
            True: functools.partial(segment_attention, segments_BL=frames_BP, causal=False, backend=compute.attention),
            False: functools.partial(window_attention, windows_BP=windows_BP, size=S),
        }
        graph, stack = nnx.split(self.blocks)
        for full, first, last in runs_of_blocks(self.config):

            def body(x: Array, block: nnx.State, mix: Callable[..., Array] = attend[full]) -> tuple[Array, None]:
                return nnx.merge(graph, gathered(block, "vision.blocks", x.dtype))(by_place(x), cos, sin, mix), None

            blocks = jax.tree.map(lambda leaf, a=first, b=last: leaf[a:b], stack)
            x_BPD, _ = jax.lax.scan(compute.checkpointed(body), x_BPD, blocks)
        return _whole(self.merger, "vision.merger", compute.dtype)(by_place(x_BPD))


def _whole(module: nnx.Module, name: str, dtype: DTypeLike) -> nnx.Module:
    """Return the module with its weights gathered."""
    graph, weights = nnx.split(module)
    return nnx.merge(graph, gathered(weights, name, dtype))


def runs_of_blocks(config: VisionConfig) -> list[tuple[bool, int, int]]:
    """Return (full, first, end) for each run of equal blocks, so that each run is one scan."""
    kinds = [(index in config.fullatt_block_indexes, index) for index in range(config.depth)]
    runs = []
    for full, group in itertools.groupby(kinds, key=lambda kind: kind[0]):
        indexes = [index for _, index in group]
        runs.append((full, indexes[0], indexes[-1] + 1))
    return runs
