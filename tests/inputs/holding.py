"""Records held out of all examples, as a run without a mixture does it."""

import numpy as np

from octomed_jax.inputs.held_out import held_examples
from octomed_jax.inputs.plan import ExampleIndex


def hold_out(index: ExampleIndex, records: int, seed: int) -> tuple[ExampleIndex, ExampleIndex]:
    """Return the examples to train on, and those of ``records`` held-out records, all responses of each."""
    held = held_examples(index, np.ones(len(index), bool), records, seed)
    return index.only(~held), index.only(held)
