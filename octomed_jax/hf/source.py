"""Weights wherever they lie: a Hugging Face folder, or what ``octomed import`` wrote."""

from pathlib import Path

from octomed_jax.checkpoints.parameters import SavedParameters
from octomed_jax.hf.checkpoint import PARAMETERS
from octomed_jax.hf.weights import HubWeights
from octomed_jax.models.place import Source


def open_source(folder: Path) -> Source:
    """Open a folder's weights; no value is read.

    Raises:
        UserError: none lie there, or they do not fit the folder's config.
        StopAndLook: they are damaged.
    """
    return SavedParameters(folder / PARAMETERS) if (folder / PARAMETERS).is_dir() else HubWeights(folder)
