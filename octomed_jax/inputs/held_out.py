"""Which records are never trained on, so that a run can be looked at with them."""

import dataclasses

import numpy as np
from jaxtyping import Bool

from octomed_jax.errors import UserError
from octomed_jax.inputs.plan import ExampleIndex


def hold_out(index: ExampleIndex, records: int, seed: int) -> tuple[ExampleIndex, ExampleIndex]:
    """Return the examples to train on, and those of ``records`` held-out records, all responses of each.

    Raises:
        UserError: nothing would be left to train on.
    """
    numbers = np.unique(index.record)
    if not 0 <= records < len(numbers):
        raise UserError(f"held_out.records={records} must be from 0 to less than the {len(numbers)} records there are")
    chosen = np.random.default_rng([seed, 1]).choice(numbers, records, replace=False)
    held = np.isin(index.record, chosen)
    return _only(index, ~held), _only(index, held)


def _only(index: ExampleIndex, mask: Bool[np.ndarray, "N"]) -> ExampleIndex:
    columns = {name: column[mask] for name, column in vars(index).items() if isinstance(column, np.ndarray)}
    return dataclasses.replace(index, **columns)
