"""What the ``train`` section of a config says, as the types that the model and the step take."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from octomed_jax.errors import UserError, did_you_mean
from octomed_jax.models.compute import REMAT, Compute
from octomed_jax.models.lora import LoRA
from octomed_jax.models.ops.attention import check_backend
from octomed_jax.models.trained import Trained

DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}  # of the computation; trained weights stay float32
AUTO = {"tpu": "splash", "gpu": "triton", "cpu": "xla"}


def check_compute(config: Mapping[str, Any]) -> None:
    """Refuse settings of the computation that are unknown; no device is asked.

    Raises:
        UserError: an unknown dtype, attention back end or policy.
    """
    for field, known in (("dtype", DTYPES), ("remat", REMAT)):
        if config[field] not in known:
            hint = did_you_mean(str(config[field]), list(known))
            raise UserError(f"train.{field}={config[field]!r} is unknown{hint}; one of: {', '.join(known)}")
    if config["attention"] != "auto":
        check_backend(config["attention"])


def compute_of(config: Mapping[str, Any], platform: str | None = None) -> Compute:
    """Return how the student is computed; attention ``auto`` is the kernel of a platform, or of the devices at hand.

    Raises:
        UserError: as ``check_compute``.
    """
    check_compute(config)
    attention = AUTO[platform or jax.default_backend()] if config["attention"] == "auto" else config["attention"]
    return Compute(DTYPES[config["dtype"]], attention, config["remat"])


def trained_of(config: Mapping[str, Any]) -> Trained:
    """Return what is trained; a LoRA rank of 0 means no adapters.

    Raises:
        UserError: an unknown group or target, or a combination that makes no sense.
    """
    lora = config["lora"]
    adapters = LoRA(lora["rank"], lora["alpha"], tuple(lora["targets"])) if lora["rank"] else None
    return Trained(tuple(config["trained"]), adapters)
