"""The optimizer and its schedule, by Optax."""

from collections.abc import Mapping
from typing import Any

import jax
import optax
from ml_collections import ConfigDict

from octomed_jax.errors import UserError, did_you_mean

DECAYED = ("kernel", "embedding", "a", "b")  # by name: stacks add an axis to norms and biases too
SCHEDULES = ("cosine", "linear", "constant")


def make_schedule(config: ConfigDict) -> optax.Schedule:
    """Return the learning rate by step: linear warmup, then the named decay to zero.

    Raises:
        UserError: an unknown schedule.
    """
    if config.schedule not in SCHEDULES:
        hint = did_you_mean(config.schedule, SCHEDULES)
        raise UserError(f"train.schedule={config.schedule!r} is unknown{hint}; one of: {', '.join(SCHEDULES)}")
    peak, warmup = config.peak_learning_rate, config.warmup_steps
    after = max(1, config.steps - warmup)
    decay = {
        "cosine": lambda: optax.cosine_decay_schedule(peak, after),
        "linear": lambda: optax.linear_schedule(peak, 0.0, after),
        "constant": lambda: optax.constant_schedule(peak),
    }[config.schedule]()
    return optax.join_schedules([optax.linear_schedule(0.0, peak, max(1, warmup)), decay], [warmup])


def make_optimizer(config: ConfigDict) -> optax.GradientTransformation:
    """Return AdamW with global-norm clipping; norms and biases are not decayed."""
    return optax.chain(
        optax.clip_by_global_norm(config.clip_norm),
        optax.adamw(
            make_schedule(config), b1=config.adam_b1, b2=config.adam_b2, weight_decay=config.weight_decay, mask=decayed
        ),
    )


def decayed(parameters: Mapping[str, Any]) -> Any:
    """Return True for matrices and embeddings, False for norms and biases."""
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key in DECAYED, parameters)
