"""Weights wherever they lie: a Hugging Face folder, or what ``octomed import`` wrote."""

from pathlib import Path
from typing import Any

import jax
import numpy as np

from octomed_jax.checkpoints.parameters import SavedParameters
from octomed_jax.hf.base import side_folder
from octomed_jax.hf.weights import HubWeights, has_weights
from octomed_jax.models.mesh import parameter_shardings
from octomed_jax.models.place import Source, place_parameters
from octomed_jax.models.qwen2_5_vl.config import Qwen25VLConfig, read_config
from octomed_jax.models.qwen2_5_vl.model import split_model
from octomed_jax.models.trees import flatten_names, unflatten_names

PARAMETERS = "parameters"  # of an import: its checkpoint


def holds_weights(folder: Path) -> bool:
    """Return whether a folder holds weights of either kind."""
    return (folder / PARAMETERS).is_dir() or has_weights(folder)


def open_source(folder: Path) -> Source:
    """Open a folder's weights; no value is read.

    Raises:
        UserError: none lie there, or they do not fit the folder's config.
        StopAndLook: they are damaged.
    """
    return SavedParameters(folder / PARAMETERS) if (folder / PARAMETERS).is_dir() else HubWeights(folder)


def load_parameters(folder: Path, mesh: jax.sharding.Mesh, dtype: Any = np.float32) -> tuple[Qwen25VLConfig, dict]:
    """Return a folder's config and its parameters, each read straight to where it belongs.

    Raises:
        UserError, StopAndLook: as ``open_source``.
    """
    source, config = open_source(folder), read_config(side_folder(folder))
    _, abstract = split_model(config)
    shardings = flatten_names(parameter_shardings(mesh, abstract))
    wanted = {
        name: jax.ShapeDtypeStruct(leaf.shape, dtype, sharding=shardings[name])
        for name, leaf in flatten_names(abstract).items()
    }
    return config, unflatten_names(place_parameters(source, wanted))
