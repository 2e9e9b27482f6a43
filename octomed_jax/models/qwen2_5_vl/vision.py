"""The vision tower: windowed and full blocks over patches that lie in window slots, then the merger.

The host has put every patch into a slot (inputs/windows.py), so windowed attention is a batch of small dense blocks
and only the full blocks look across slots. The reference permutes patches and cuts them by cumulative lengths; both
give the same numbers. Source: transformers 4.57.1, modeling_qwen2_5_vl.

Legend: B rows, W window slots, S places of a slot, P = W * S places, C = P / merge_unit merged cells, D width,
H heads, E values of a head.
"""

import itertools

import jax
from flax import nnx
from jaxtyping import Array, Float, Int

from octomed_jax.models.compute import HEADS, HIDDEN, ROTATED, STREAM, Compute, named
from octomed_jax.models.layers import Linear, RMSNorm, SwiGLU
from octomed_jax.models.ops.attention import segment_attention
from octomed_jax.models.ops.precision import wide
from octomed_jax.models.ops.rope import cos_sin, rotate, vision_angles
from octomed_jax.models.ops.sharding import by_row, gathered
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

    def __call__(self, x_NTD: Array, cos_NTE: Array, sin_NTE: Array, segments_NT: Array, backend: str) -> Array:
        """Attend within the segments of each of N independent groups of T places."""
        N, T, D = x_NTD.shape
        x_NTD = named(x_NTD, STREAM)
        qkv = self.qkv(self.attention_norm(x_NTD)).reshape(N, T, 3, self.heads, D // self.heads)
        q, k, v = qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2]
        # Rotated in float32 and rounded back, as the reference does.
        q = rotate(q.astype(wide(q)), cos_NTE, sin_NTE).astype(x_NTD.dtype)
        k = rotate(k.astype(wide(k)), cos_NTE, sin_NTE).astype(x_NTD.dtype)
        q, k, v = [named(x, ROTATED) for x in (q, k, v)]
        heads_NTHE = named(segment_attention(q, k, v, segments_NT, causal=False, backend=backend), HEADS)
        x_NTD = named(x_NTD + self.out(heads_NTHE.reshape(N, T, D)), HIDDEN)
        return x_NTD + self.mlp(self.mlp_norm(x_NTD))


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
        B, W, S, _ = patches_BWSV.shape
        x = _whole(self.patch_embed)(by_row(patches_BWSV.astype(compute.dtype)))
        cos, sin = cos_sin(vision_angles(positions_BWS2, self.config.head_dim))
        frames, windows = frame_ids_BWS.reshape(B, W * S), window_ids_BWS.reshape(B * W, S)
        layouts = {
            # full blocks: a row is one group, and patches see their own frame; windowed: a slot is one small group
            True: ((B, W * S), frames, compute.attention),
            False: ((B * W, S), windows, "xla"),
        }
        graph, stack = nnx.split(self.blocks)
        for full, first, last in runs_of_blocks(self.config):
            shape, segments, backend = layouts[full]
            group_cos, group_sin = cos.reshape(*shape, -1), sin.reshape(*shape, -1)

            def body(
                x: Array, block: nnx.State, rest: tuple = (group_cos, group_sin, segments, backend)
            ) -> tuple[Array, None]:
                return nnx.merge(graph, gathered(block))(by_row(x), *rest), None

            blocks = jax.tree.map(lambda leaf, a=first, b=last: leaf[a:b], stack)
            x, _ = jax.lax.scan(compute.checkpointed(body), x.reshape(*shape, -1), blocks)
        return _whole(self.merger)(by_row(x.reshape(B, W * S, -1)))


def _whole(module: nnx.Module) -> nnx.Module:
    """Return the module with its weights gathered."""
    graph, weights = nnx.split(module)
    return nnx.merge(graph, gathered(weights))


def runs_of_blocks(config: VisionConfig) -> list[tuple[bool, int, int]]:
    """Return (full, first, end) for each run of equal blocks, so that each run is one scan."""
    kinds = [(index in config.fullatt_block_indexes, index) for index in range(config.depth)]
    runs = []
    for full, group in itertools.groupby(kinds, key=lambda kind: kind[0]):
        indexes = [index for _, index in group]
        runs.append((full, indexes[0], indexes[-1] + 1))
    return runs
