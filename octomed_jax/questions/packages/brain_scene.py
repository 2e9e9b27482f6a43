"""What a process that renders brain slices is handed once: the volumes, the atlas, and where what is asked for lies."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from octomed_jax.images.volumes import Volume


@dataclasses.dataclass(frozen=True)
class Scene:
    """Two brains under one atlas.

    Attributes:
        brains: split to its volumes.
        atlas: of labels.
        names: label to the name that is asked for, where one is.
        places: name to voxels of the atlas (N, 3) that lie well inside it.
        groups: name to the group of names that it belongs to.
    """

    brains: Mapping[str, tuple[Volume, ...]]
    atlas: Volume
    names: Mapping[int, str]
    places: Mapping[str, np.ndarray]
    groups: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def point_in(self, name: str, rng: np.random.Generator) -> np.ndarray:
        """Return a point (3,) in mm inside what has a name."""
        places, affine = self.places[name], self.atlas.affine
        voxel = places[int(rng.integers(len(places)))] + rng.uniform(-0.5, 0.5, 3)
        return affine[:3, :3] @ voxel + affine[:3, 3]


_handed: list[Scene] = []


def start(scene: Scene) -> None:
    """Hand a scene to this process."""
    _handed[:] = [scene]


def scene() -> Scene:
    """Return what this process was handed."""
    return _handed[0]
