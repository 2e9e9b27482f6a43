"""The back ends by name."""

from collections.abc import Mapping

from octomed_jax.errors import UserError, did_you_mean
from octomed_jax.launching.backends.base import Backend
from octomed_jax.launching.backends.jobset import JOBSET
from octomed_jax.launching.backends.local import LOCAL
from octomed_jax.launching.backends.queued_resources import QUEUED_RESOURCES
from octomed_jax.launching.backends.skypilot import SKYPILOT
from octomed_jax.launching.backends.slurm import SLURM
from octomed_jax.launching.backends.xpk import XPK

BACKENDS: Mapping[str, Backend] = {one.name: one for one in (JOBSET, XPK, SKYPILOT, QUEUED_RESOURCES, SLURM, LOCAL)}


def backend(name: str) -> Backend:
    """Return a back end by its name.

    Raises:
        UserError: there is none of that name.
    """
    if name not in BACKENDS:
        known = ", ".join(BACKENDS)
        raise UserError(f"unknown backend {name!r}{did_you_mean(name, list(BACKENDS))}; one of: {known}")
    return BACKENDS[name]
