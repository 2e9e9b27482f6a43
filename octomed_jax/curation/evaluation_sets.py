"""The registry of evaluation sets: whose questions nothing may be learnt from, each by a name of its own.

The held-out questions of the curated folders themselves are one set, OWN. Others are those of ``config.curate.against``
and of ``--against``: folders of questions that are compared with, and not carried on. They are taken in the order of
their names, so that it does not matter in which order they are given.
"""

import dataclasses
import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from etils import epath
from jaxtyping import Int64

from octomed_jax.errors import UserError
from octomed_jax.manifests import QUESTION_STAGES
from octomed_jax.storage import PathLike, in_bucket

OWN = "held out"  # no name of a registered set has a space
SPLITS = ("test", "train", "all")  # of a folder: its held-out questions, those to learn from, or both
FIELDS = ("folder", "split")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_STAGE_FOLDERS = (*QUESTION_STAGES, "curated")  # names of folders that say nothing about what is in them


@dataclasses.dataclass(frozen=True)
class EvaluationSet:
    """A folder of questions that are not learnt from; ``split`` is one of SPLITS."""

    name: str
    folder: str
    split: str = "test"


@dataclasses.dataclass(frozen=True)
class SetPlaces:
    """Which of the held-out questions, by place, are of which set.

    Attributes:
        names: of the sets, in the order in which their questions stand.
        rows: how many questions each has.
    """

    names: tuple[str, ...]
    rows: tuple[int, ...]

    def of(self, places: Int64[np.ndarray, " M"]) -> Int64[np.ndarray, " M"]:
        """Return the number of the set of each place."""
        return np.searchsorted(np.cumsum(self.rows), places, side="right")

    def matched(self, table: pa.Table) -> dict[str, dict[str, int]]:
        """Return by set how many questions were taken out for it, and for how many of its questions, of how many.

        Args:
            table: what was taken out, of ``removed.SCHEMA``; those that are like no held-out question do not count.
        """
        matches = table.filter(pc.and_(table["held_out"], pc.greater_equal(table["match"], 0)))["match"].to_numpy()
        removed = np.bincount(self.of(matches), minlength=len(self.names)).tolist()
        met = np.bincount(self.of(np.unique(matches)), minlength=len(self.names)).tolist()
        counts = zip(self.names, removed, met, self.rows, strict=True)
        return {name: {"removed": gone, "held_out": found, "of": rows} for name, gone, found, rows in counts}


def evaluation_sets(registry: Mapping[str, Any], given: Sequence[PathLike]) -> tuple[EvaluationSet, ...]:
    """Return the registered sets and those that were given, sorted by name.

    Args:
        registry: ``config.curate.against``: name to ``folder`` and ``split``.
        given: folders, or ``NAME=FOLDER``. One without a name has that of the folder, or of the one above it where
            that is called after a stage: ``runs/medqa/questions`` is medqa.

    Raises:
        UserError: two have one name, or are one folder.
    """
    sets = [EvaluationSet(name, str(one["folder"]), str(one["split"])) for name, one in registry.items()]
    sets += map(_given, given)
    check_folders([one.folder for one in sets])
    sets.sort(key=lambda one: one.name)
    for one, other in itertools.pairwise(sets):
        if one.name == other.name:
            raise UserError(
                f"two evaluation sets are called {one.name!r} ({one.folder}, {other.folder}); give one another name, "
                "as in --against=NAME=DIR"
            )
    return tuple(sets)


def _given(text: PathLike) -> EvaluationSet:
    name, equals, folder = str(text).partition("=")
    if equals and _NAME.fullmatch(name):
        return EvaluationSet(name, folder)
    parts = [part for part in epath.Path(text if "://" in str(text) else Path(text).absolute()).parts if part != "/"]
    while len(parts) > 1 and parts[-1] in _STAGE_FOLDERS:
        parts.pop()
    return EvaluationSet(re.sub(r"[^A-Za-z0-9_.-]", "_", parts[-1]).lstrip("_.-") or "set", str(text))


def check_folders(folders: Sequence[PathLike]) -> None:
    """Refuse a folder that is named twice, also by another way to it: what is read is known by its path.

    Raises:
        UserError: one is.
    """
    named: dict[str, PathLike] = {}
    for folder in folders:
        place = str(folder).rstrip("/") if in_bucket(folder) else str(Path(folder).resolve())
        if place in named:
            other = "" if str(named[place]) == str(folder) else f", also as {named[place]}"
            raise UserError(
                f"{folder} is named twice{other}, to learn from or as an evaluation set; name a folder once "
                "(held-out questions of those to learn from are compared with anyway)"
            )
        named[place] = folder


def check_registry(registry: Mapping[str, Any]) -> None:
    """Check ``config.curate.against``.

    Raises:
        UserError: a name cannot be one, a field is missing or unknown, or a split is.
    """
    where = "config.curate.against"
    for name, one in registry.items():
        if not _NAME.fullmatch(name):
            raise UserError(f"{where}: {name!r} is no name of an evaluation set; take letters, digits and _ . -")
        if not hasattr(one, "keys") or sorted(one.keys()) != sorted(FIELDS):
            raise UserError(f"{where}.{name} takes the fields folder and split, such as split='test'")
        if not one["folder"]:
            raise UserError(f"{where}.{name}.folder is empty; name what `octomed questions build` wrote")
        if one["split"] not in SPLITS:
            raise UserError(f"{where}.{name}.split={one['split']!r}: one of {', '.join(SPLITS)}")
