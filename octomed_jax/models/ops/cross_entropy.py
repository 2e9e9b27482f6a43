"""Cross entropy that never holds a full tokens x vocabulary array.

Legend: B rows, L tokens, N = B * L tokens, C tokens of a chunk, D model, V vocabulary.
"""

import functools

import jax
import jax.numpy as jnp
from jax.custom_derivatives import CustomVJPPrimal
from jaxtyping import Array, Float, Int

from octomed_jax.models.ops.sharding import sum_over_rows

CHUNK = 1024  # tokens whose logits exist at once: 0.6 GB in float32 at a vocabulary of 152,064


def chunked_cross_entropy(
    hidden_BLD: Float[Array, "B L D"],
    head_DV: Float[Array, "D V"],
    targets_BL: Int[Array, "B L"],
    weights_BL: Float[Array, "B L"],
    chunk: int = CHUNK,
) -> Float[Array, ""]:
    """Return the weighted sum of token losses, in float32.

    The gradients are computed with the loss, while a chunk's logits are there, so no logits are computed twice; the
    gradient of the head is added up in float32. On a mesh every device walks through its own rows and the head's
    gradient crosses the devices once.
    """

    def of_rows(head: Array, hidden: Array, targets: Array, weights: Array) -> Array:
        flat = hidden.reshape(-1, hidden.shape[-1]), targets.reshape(-1), weights.reshape(-1)
        return _weighted_sum(head, *flat, chunk)

    return sum_over_rows(of_rows)(head_DV, hidden_BLD, targets_BL, weights_BL)


def chunked_token_losses(
    hidden_BLD: Float[Array, "B L D"], head_DV: Float[Array, "D V"], targets_BL: Int[Array, "B L"], chunk: int = CHUNK
) -> Float[Array, "B L"]:
    """Return minus the log-probability of each target, in float32. It has no gradient of its own."""
    flat = hidden_BLD.reshape(-1, hidden_BLD.shape[-1]), targets_BL.reshape(-1)
    losses = jax.lax.map(lambda piece: _losses(head_DV, *piece)[0], _chunks(chunk, *flat))
    return losses.reshape(-1)[: targets_BL.size].reshape(targets_BL.shape)


@functools.partial(jax.custom_vjp, nondiff_argnums=(4,))
def _weighted_sum(head_DV: Array, hidden_ND: Array, targets_N: Array, weights_N: Array, chunk: int) -> Array:
    def body(total: Array, piece: tuple[Array, Array, Array]) -> tuple[Array, None]:
        losses_C, _ = _losses(head_DV, *piece[:2])
        return total + jnp.sum(losses_C * piece[2]), None

    return jax.lax.scan(body, jnp.zeros((), jnp.float32), _chunks(chunk, hidden_ND, targets_N, weights_N))[0]


def _forward(
    head: CustomVJPPrimal, hidden: CustomVJPPrimal, targets: CustomVJPPrimal, weights: CustomVJPPrimal, chunk: int
) -> tuple[Array, tuple[Array | None, Array, Array]]:
    """Return the sum, and its gradients with respect to the head (None if it is frozen), hidden states and weights."""
    head_DV: Array = head.value

    def body(carry: tuple[Array, Array | None], piece: tuple[Array, Array, Array]) -> tuple[tuple, tuple]:
        total, head_gradient_DV = carry
        hidden_CD, targets_C, weights_C = piece
        losses_C, logits_CV = _losses(head_DV, hidden_CD, targets_C)
        softmax_CV = jnp.exp(logits_CV - jax.nn.logsumexp(logits_CV, axis=1, keepdims=True))
        is_target_CV = jnp.arange(head_DV.shape[1]) == targets_C[:, None]
        gradient_CV = ((softmax_CV - is_target_CV) * weights_C[:, None]).astype(head_DV.dtype)
        hidden_gradient_CD = jnp.einsum("CV,DV->CD", gradient_CV, head_DV, preferred_element_type=jnp.float32)
        if head_gradient_DV is not None:
            head_gradient_DV += jnp.einsum("CD,CV->DV", hidden_CD, gradient_CV, preferred_element_type=jnp.float32)
        total += jnp.sum(losses_C * weights_C)
        return (total, head_gradient_DV), (hidden_gradient_CD.astype(hidden_CD.dtype), losses_C)

    N, D = hidden.value.shape
    start = jnp.zeros((), jnp.float32), jnp.zeros(head_DV.shape, jnp.float32) if head.perturbed else None
    pieces = _chunks(chunk, hidden.value, targets.value, weights.value)
    (total, head_gradient_DV), (hidden_gradients, losses) = jax.lax.scan(body, start, pieces)
    if head_gradient_DV is not None:
        head_gradient_DV = head_gradient_DV.astype(head_DV.dtype)
    return total, (head_gradient_DV, hidden_gradients.reshape(-1, D)[:N], losses.reshape(-1)[:N])


def _backward(
    _: int, gradients: tuple[Array | None, Array, Array], upstream: Array
) -> tuple[Array | None, Array, None, Array]:
    head_DV, hidden_ND, weights_N = jax.tree.map(lambda part: (upstream * part).astype(part.dtype), gradients)
    return head_DV, hidden_ND, None, weights_N


_weighted_sum.defvjp(_forward, _backward, symbolic_zeros=True)


def _losses(head_DV: Array, hidden_CD: Array, targets_C: Array) -> tuple[Float[Array, "C"], Float[Array, "C V"]]:
    """Return the token losses and the logits of a chunk, in float32."""
    logits_CV = jnp.einsum("CD,DV->CV", hidden_CD, head_DV, preferred_element_type=jnp.float32)
    chosen_C = jnp.take_along_axis(logits_CV, targets_C[:, None], axis=1)[:, 0]
    return jax.nn.logsumexp(logits_CV, axis=1) - chosen_C, logits_CV


def _chunks(chunk: int, *arrays: Array) -> tuple[Array, ...]:
    """Return arrays of [tokens, ...] as [chunks, chunk, ...], filled up with zeros (of weight 0)."""
    N = arrays[0].shape[0]
    chunk = min(chunk, N)
    padded = [jnp.pad(array, ((0, -N % chunk),) + ((0, 0),) * (array.ndim - 1)) for array in arrays]
    return tuple(array.reshape(-1, chunk, *array.shape[1:]) for array in padded)
