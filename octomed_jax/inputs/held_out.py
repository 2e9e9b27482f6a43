"""Which records are never trained on, so that a run can be looked at with them."""

import numpy as np
from jaxtyping import Bool

from octomed_jax.errors import UserError
from octomed_jax.inputs.plan import ExampleIndex


def held_examples(index: ExampleIndex, among: Bool[np.ndarray, "N"], records: int, seed: int) -> Bool[np.ndarray, "N"]:
    """Return which examples are of ``records`` held-out records, chosen from those of the examples of ``among``.

    Raises:
        UserError: nothing would be left to train on.
    """
    if not records:
        return np.zeros(len(index), bool)
    numbers = np.unique(index.record[among])
    if not 0 <= records < len(numbers):
        raise UserError(f"held_out.records={records} must be from 0 to less than the {len(numbers)} records there are")
    chosen = np.random.default_rng([seed, 1]).choice(numbers, records, replace=False)
    return np.isin(index.record, chosen)
