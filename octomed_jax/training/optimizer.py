"""The optimizer and its schedule, by Optax."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from octomed_jax.errors import UserError, did_you_mean
from octomed_jax.models.trained import GROUPS, group_of
from octomed_jax.models.trees import flatten_names, unflatten_names

DECAYED = ("kernel", "embedding", "a", "b")  # by name: stacks add an axis to norms and biases too
SCHEDULES = ("cosine", "linear", "constant")
MOMENTS = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


def make_schedule(config: ConfigDict) -> optax.Schedule:
    """Return the learning rate by step: linear warmup over ``warmup_ratio`` of the run, then the named decay to zero.

    Raises:
        UserError: an unknown schedule, or a ratio that is none.
    """
    _known("schedule", config.schedule, SCHEDULES)
    if not 0 <= config.warmup_ratio <= 1:
        raise UserError(f"train.warmup_ratio={config.warmup_ratio} must be from 0 to 1")
    peak, warmup = config.peak_learning_rate, warmup_steps(config)
    after = max(1, config.steps - warmup)
    decay = {
        "cosine": lambda: optax.cosine_decay_schedule(peak, after),
        "linear": lambda: optax.linear_schedule(peak, 0.0, after),
        "constant": lambda: optax.constant_schedule(peak),
    }[config.schedule]()
    return optax.join_schedules([optax.linear_schedule(0.0, peak, max(1, warmup)), decay], [warmup])


def warmup_steps(config: ConfigDict) -> int:
    """Return the steps over which the learning rate rises."""
    return round(config.warmup_ratio * config.steps)


def make_optimizer(config: ConfigDict) -> optax.GradientTransformation:
    """Return AdamW with global-norm clipping; norms and biases are not decayed.

    ``moments`` is the dtype of the first moment. The second one stays in float32: at a decay of 0.999 its changes are
    smaller than bfloat16 can tell, and it would stand still.

    Raises:
        UserError: an unknown dtype of the moments, or a part that is none.
    """
    _known("moments", config.moments, MOMENTS)
    for part in config.rates:
        if part not in GROUPS:
            raise UserError(f"train.rates.{part} is no part of the model; its parts are {', '.join(GROUPS)}")
    return optax.chain(
        optax.clip_by_global_norm(config.clip_norm),
        optax.scale_by_adam(b1=config.adam_b1, b2=config.adam_b2, mu_dtype=MOMENTS[config.moments]),
        optax.add_decayed_weights(config.weight_decay, mask=decayed),
        optax.scale_by_learning_rate(make_schedule(config)),
        _scaled_by_part(dict(config.rates)),
    )


def decayed(parameters: Mapping[str, Any]) -> Any:
    """Return True for matrices and embeddings, False for norms and biases."""
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key in DECAYED, parameters)


def _scaled_by_part(rates: Mapping[str, float]) -> optax.GradientTransformation:
    """Scale the updates of each part of the model."""

    def scale(updates: Any, _: Any) -> Any:
        flat = flatten_names(updates)
        return unflatten_names({name: leaf * rates.get(group_of(name), 1.0) for name, leaf in flat.items()})

    return optax.identity() if all(rate == 1 for rate in rates.values()) else optax.stateless(scale)


def _known(field: str, value: str, known: Any) -> None:
    if value not in known:
        hint = did_you_mean(str(value), list(known))
        raise UserError(f"train.{field}={value!r} is unknown{hint}; one of: {', '.join(known)}")
