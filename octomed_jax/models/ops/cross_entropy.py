"""Cross entropy that never holds a full tokens x vocabulary array, and on a mesh never a full vocabulary.

Every device has some entries of the vocabulary. It scores the tokens of all devices that share its replica, a chunk of
each at a time; they exchange hidden states, sums and the gradients of hidden states. The head, a gigabyte, and its
gradient stay where they are.

Legend: B rows, L tokens, N = B * L tokens, C tokens of a chunk, D model, V vocabulary, W the device's entries of it.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.custom_derivatives import CustomVJPPrimal
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float, Int

from octomed_jax.models.mesh import PARTS, STATE_AXES
from octomed_jax.models.ops.sharding import dividing, each_device, mesh_axes, place_of, rows, size_of

CHUNK = 1024  # tokens whose logits a device alone has at once: 0.6 GB in float32 at a vocabulary of 152,064
SHARED_CHUNK = 8 * CHUNK  # tokens that the devices of a replica score at once


class Group(NamedTuple):
    """The devices that score tokens together.

    Attributes:
        tokens: axes along which they have different tokens.
        parts: axes along which they have different entries of the vocabulary.
        vocabulary: entries in all; the last device may have some that are none.
    """

    tokens: tuple[str, ...]
    parts: tuple[str, ...]
    vocabulary: int


ALONE = Group((), (), 0)


def chunked_cross_entropy(
    hidden_BLD: Float[Array, "B L D"],
    head_DV: Float[Array, "D V"],
    targets_BL: Int[Array, "B L"],
    weights_BL: Float[Array, "B L"],
    *,
    tied: bool = False,
    chunk: int = CHUNK,
) -> Float[Array, ""]:
    """Return the weighted sum of token losses, in float32.

    The gradients are computed with the loss, while a chunk's logits are there, so no logits are computed twice; the
    gradient of the head is added up in float32.

    Args:
        hidden_BLD: of the tokens.
        head_DV: from hidden states to logits.
        targets_BL: the right ids.
        weights_BL: of each token's loss.
        tied: whether the head is the embedding's table, which lies in pieces by features (models/mesh.py).
        chunk: tokens of one device whose logits exist at once.
    """
    (B, L, D), V = hidden_BLD.shape, head_DV.shape[1]
    row, sequence = rows(B), dividing("sequence", L)
    axes = mesh_axes()
    parts = tuple(axis for axis in PARTS if axis in axes and size_of(axis) > 1)
    tokens = tuple(axis for axis in STATE_AXES if axis in parts and (sequence if axis == "sequence" else row))
    count = size_of(*parts)
    group = Group(tokens, parts, V)
    by_features = tied and D % count == 0
    if not by_features:
        head_DV = jnp.pad(head_DV, ((0, 0), (0, -V % count)))
    chunk = min(chunk, max(1, SHARED_CHUNK // size_of(*tokens)))

    def of_device(head: Array, hidden: Array, targets: Array, weights: Array) -> Array:
        if by_features and count > 1:
            head = jnp.pad(head, ((0, 0), (0, -V % count)))
            head = jax.lax.all_to_all(head, parts, 1, 0, tiled=True)
        flat = hidden.reshape(-1, D), targets.reshape(-1), weights.reshape(-1)
        total = _weighted_sum(head, *flat, chunk, group)
        if not axes:
            return total
        # All devices of a replica have its sum; one of them says it.
        alike = parts if row else axes
        return jax.lax.psum(jnp.where(place_of(*alike) == 0, total, 0.0), axes)

    place = PartitionSpec(row, sequence)
    head_spec = PartitionSpec(parts, None) if by_features else PartitionSpec(None, parts)
    divided = each_device(of_device, head_spec, place, place, place, out=PartitionSpec())
    return divided(head_DV, hidden_BLD, targets_BL, weights_BL)


def chunked_token_losses(
    hidden_BLD: Float[Array, "B L D"], head_DV: Float[Array, "D V"], targets_BL: Int[Array, "B L"], chunk: int = CHUNK
) -> Float[Array, "B L"]:
    """Return minus the log-probability of each target, in float32. It has no gradient of its own."""
    flat = hidden_BLD.reshape(-1, hidden_BLD.shape[-1]), targets_BL.reshape(-1)
    losses = jax.lax.map(lambda piece: _losses(head_DV, piece[0], piece[1], ALONE)[0], _chunks(chunk, *flat))
    return losses.reshape(-1)[: targets_BL.size].reshape(targets_BL.shape)


@functools.partial(jax.custom_vjp, nondiff_argnums=(4, 5))
def _weighted_sum(
    head_DW: Array, hidden_ND: Array, targets_N: Array, weights_N: Array, chunk: int, group: Group
) -> Array:
    def body(total: Array, piece: tuple[Array, Array, Array]) -> tuple[Array, None]:
        hidden_CD, targets_C, weights_C = _everyones(group, piece)
        losses_C, _ = _losses(head_DW, hidden_CD, targets_C, group)
        return total + jnp.sum(losses_C * weights_C), None

    return jax.lax.scan(body, jnp.zeros((), jnp.float32), _chunks(chunk, hidden_ND, targets_N, weights_N))[0]


def _forward(
    head: CustomVJPPrimal,
    hidden: CustomVJPPrimal,
    targets: CustomVJPPrimal,
    weights: CustomVJPPrimal,
    chunk: int,
    group: Group,
) -> tuple[Array, tuple[Array | None, Array, Array]]:
    """Return the sum, and its gradients with respect to the head (None if it is frozen), hidden states and weights."""
    head_DW: Array = head.value

    def body(carry: tuple[Array, Array | None], piece: tuple[Array, Array, Array]) -> tuple[tuple, tuple]:
        total, head_gradient_DW = carry
        hidden_CD, targets_C, weights_C = _everyones(group, piece)
        losses_C, (logits_CW, norms_C) = _losses(head_DW, hidden_CD, targets_C, group)
        softmax_CW = jnp.exp(logits_CW - norms_C[:, None])
        is_target_CW = _entries(head_DW, group) == targets_C[:, None]
        gradient_CW = ((softmax_CW - is_target_CW) * weights_C[:, None]).astype(head_DW.dtype)
        hidden_gradient_CD = jnp.einsum("CW,DW->CD", gradient_CW, head_DW, preferred_element_type=jnp.float32)
        if head_gradient_DW is not None:
            head_gradient_DW += jnp.einsum("CD,CW->DW", hidden_CD, gradient_CW, preferred_element_type=jnp.float32)
        total += jnp.sum(losses_C * weights_C)
        if group.tokens:
            hidden_gradient_CD = jax.lax.psum_scatter(hidden_gradient_CD, group.tokens, tiled=True)
            count = len(piece[1])
            losses_C = jax.lax.dynamic_slice_in_dim(losses_C, place_of(*group.tokens) * count, count)
        return (total, head_gradient_DW), (hidden_gradient_CD.astype(hidden_CD.dtype), losses_C)

    N, D = hidden.value.shape
    start = jnp.zeros((), jnp.float32), jnp.zeros(head_DW.shape, jnp.float32) if head.perturbed else None
    pieces = _chunks(chunk, hidden.value, targets.value, weights.value)
    (total, head_gradient_DW), (hidden_gradients, losses) = jax.lax.scan(body, start, pieces)
    if head_gradient_DW is not None:
        head_gradient_DW = head_gradient_DW.astype(head_DW.dtype)
    return total, (head_gradient_DW, hidden_gradients.reshape(-1, D)[:N], losses.reshape(-1)[:N])


def _backward(
    _: int, group: Group, gradients: tuple[Array | None, Array, Array], upstream: Array
) -> tuple[Array | None, Array, None, Array]:
    if group.parts:  # the sum is one of all of them
        upstream = jax.lax.psum(upstream, group.parts)
    head_DW, hidden_ND, weights_N = jax.tree.map(lambda part: (upstream * part).astype(part.dtype), gradients)
    return head_DW, hidden_ND, None, weights_N


_weighted_sum.defvjp(_forward, _backward, symbolic_zeros=True)


def _everyones(group: Group, piece: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
    """Return a chunk of every device's tokens, one device's after the other's."""
    if not group.tokens:
        return piece
    return jax.tree.map(lambda part: jax.lax.all_gather(part, group.tokens, tiled=True), piece)


def _entries(head_DW: Array, group: Group) -> Int[Array, " W"]:
    """Return which entries of the vocabulary the device has."""
    return place_of(*group.parts) * head_DW.shape[1] + jnp.arange(head_DW.shape[1])


def _losses(
    head_DW: Array, hidden_CD: Array, targets_C: Array, group: Group
) -> tuple[Float[Array, "C"], tuple[Float[Array, "C W"], Float[Array, "C"]]]:
    """Return the token losses; and the logits of the device's entries and the logarithms of all sums, in float32."""
    logits_CW = jnp.einsum("CD,DW->CW", hidden_CD, head_DW, preferred_element_type=jnp.float32)
    if size_of(*group.parts) == 1:
        norms_C = jax.nn.logsumexp(logits_CW, axis=1)
        return norms_C - jnp.take_along_axis(logits_CW, targets_C[:, None], axis=1)[:, 0], (logits_CW, norms_C)
    entries_W = _entries(head_DW, group)
    logits_CW = jnp.where(entries_W < group.vocabulary, logits_CW, -jnp.inf)
    highest_C = jax.lax.pmax(logits_CW.max(axis=1), group.parts)
    norms_C = highest_C + jnp.log(jax.lax.psum(jnp.exp(logits_CW - highest_C[:, None]).sum(axis=1), group.parts))
    chosen_CW = jnp.where(entries_W == targets_C[:, None], logits_CW, 0.0)
    return norms_C - jax.lax.psum(chosen_CW.sum(axis=1), group.parts), (logits_CW, norms_C)


def _chunks(chunk: int, *arrays: Array) -> tuple[Array, ...]:
    """Return arrays of [tokens, ...] as [chunks, chunk, ...], filled up with zeros (of weight 0)."""
    N = arrays[0].shape[0]
    chunk = min(chunk, N)
    padded = [jnp.pad(array, ((0, -N % chunk),) + ((0, 0),) * (array.ndim - 1)) for array in arrays]
    return tuple(array.reshape(-1, chunk, *array.shape[1:]) for array in padded)
