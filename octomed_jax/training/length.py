"""How long a run is: in steps, or in epochs of its plan of rows; and at which steps its parts end."""

import copy
import math

from ml_collections import ConfigDict

from octomed_jax.errors import UserError


def check_length(config: ConfigDict) -> None:
    """Refuse a length that is none, or that is given twice.

    Raises:
        UserError: it is.
    """
    steps, epochs, parts = config.train.steps, config.train.epochs, config.checkpoint.parts
    if not (math.isfinite(epochs) and epochs >= 0):
        raise UserError(f"train.epochs={epochs} is no length; give how often the data is seen, or 0 and train.steps")
    if epochs and steps:
        raise UserError(
            f"train.steps={steps} and train.epochs={epochs:g} both say how long the run is; set one of them to 0"
        )
    if not epochs and steps < 1:
        raise UserError(f"train.steps={steps} with train.epochs=0 is no run; give one of them")
    if parts < 0:
        raise UserError(f"checkpoint.parts={parts} is negative; give how many parts of the run to keep, or 0")


def with_length(config: ConfigDict, steps_per_epoch: int) -> ConfigDict:
    """Return the config with its length in ``train.steps``, whether it was given in steps or in epochs.

    The given one stays as it is. One whose length was found before is returned as it is.

    Raises:
        UserError: the run would have no step, or fewer steps than parts.
    """
    epochs, found = config.train.epochs, config
    if epochs:
        steps = round(epochs * steps_per_epoch)
        if not steps:
            raise UserError(f"train.epochs={epochs:g} is less than one of the {steps_per_epoch} steps of an epoch")
        found = ConfigDict(copy.deepcopy(config.to_dict()))
        found.train.update({"steps": steps, "epochs": 0.0})
    if config.checkpoint.parts > found.train.steps:
        raise UserError(
            f"checkpoint.parts={config.checkpoint.parts} is more than the run's {found.train.steps} steps; lower it"
        )
    return found


def part_steps(config: ConfigDict) -> tuple[int, ...]:
    """Return the steps at which the parts of a run end, whose checkpoints are kept for good; none where it has none."""
    parts = config.checkpoint.parts
    return tuple(round(config.train.steps * part / parts) for part in range(1, parts + 1))
