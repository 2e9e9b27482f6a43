"""The steps of a curation by name: what each is given, and what is told of it."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from etils import epath
from jaxtyping import Bool

from octomed_jax import progress
from octomed_jax.curation.balance import balance
from octomed_jax.curation.corpus import Corpus
from octomed_jax.curation.decontaminate import decontaminate_words, not_of_sources
from octomed_jax.curation.deduplicate import deduplicate
from octomed_jax.curation.difficulty import difficulty
from octomed_jax.curation.evaluation_sets import SetPlaces
from octomed_jax.curation.judge import name_metadata, rate
from octomed_jax.curation.metadata import Filled, fill
from octomed_jax.curation.pictures.image_kinds import image_guard, shared_images
from octomed_jax.curation.pictures.image_sources import ImageSources
from octomed_jax.curation.removed import SCHEMA, Removed, removed_table
from octomed_jax.curation.transform import Changed, transform


@dataclasses.dataclass
class Work:
    """What the steps have in common.

    Attributes:
        corpus, held_out: the questions to learn from, and those that are held out.
        sets: which of the latter are of which evaluation set.
        kept: which of the corpus are still there.
        attempts: folder of attempts for the difficulty filter, or None.
        seed: of the config.
        folder: for what is worked out.
        engine, workers: where pieces are done.
        sources: what images that were changed had been.
        judge, memory: of the config, and the file of its replies.
        filled: what the metadata step has filled in.
        changed: the images that the transform has changed.
        told: what the step at hand tells beside its counts.
    """

    corpus: Corpus
    held_out: Corpus
    sets: SetPlaces
    kept: Bool[np.ndarray, " N"]
    attempts: epath.Path | None
    seed: int
    folder: Path
    engine: str
    workers: int
    sources: ImageSources
    judge: Mapping[str, Any]
    memory: Path
    filled: Filled | None = None
    changed: Changed | None = None
    told: dict[str, Any] = dataclasses.field(default_factory=dict)


def do_step(work: Work, step: Mapping[str, Any], number: int) -> tuple[dict[str, Any], Removed]:
    """Do one step; return what is told of it, and what it took out."""
    before = int(work.kept.sum())
    name = step["step"]
    work.told = {}
    found = STEPS[name](work, step, work.folder / f"{number:02d}-{name}")
    table = found.table
    found = Removed(table.filter(pa.array(work.kept[table["place"].to_numpy()])))
    found.leave(work.kept)
    if name == "decontaminate":
        work.told["matched"] = work.sets.matched(found.table)
    after = int(work.kept.sum())
    told = {
        "step": name,
        "settings": {field: value for field, value in step.items() if field != "step"},
        "before": before,
        "removed": before - after,
        "after": after,
        "reasons": found.reasons,
        **work.told,
    }
    progress.say(f"{name}: {before:,} questions, {before - after:,} go, {after:,} are left")
    return told, found


def _decontaminate(work: Work, settings: Mapping[str, Any], folder: Path) -> Removed:
    folder.mkdir(parents=True, exist_ok=True)
    said = decontaminate_words(work.corpus, work.held_out, work.kept, settings, folder, work.engine, work.workers)
    words = said.found
    work.told |= said.told
    where = (work.folder, work.engine, work.workers)
    shared = shared_images(work.corpus, work.held_out, settings["images"], work.sources, *where)
    if settings["keep_shared_images"]:
        going = not_of_sources(work.corpus, shared, settings["keep_shared_images"])
        staying = np.setdiff1d(shared.places, np.union1d(going.places, words.places))
        work.told["shared_images_kept"] = int(work.kept[staying].sum())
        shared = going
    return removed_table(pa.concat_tables([words.table, shared.table]))


def _deduplicate(work: Work, settings: Mapping[str, Any], folder: Path) -> Removed:
    guard = image_guard(work.corpus, settings["images"], work.sources, work.folder, work.engine, work.workers)
    return deduplicate(work.corpus, work.kept, guard, settings, folder, work.engine, work.workers)


def _balance(work: Work, settings: Mapping[str, Any], _folder: Path) -> Removed:
    return balance(work.corpus, work.kept, settings, work.seed)


def _metadata(work: Work, settings: Mapping[str, Any], folder: Path) -> Removed:
    work.filled = fill(work.corpus, work.kept, settings, folder, work.engine, work.workers)
    if settings["by"] == "judge":
        work.filled, work.told["judge"] = name_metadata(work.corpus, work.kept, work.filled, work.judge, work.memory)
    work.told["filled"] = work.filled.counts
    return Removed(SCHEMA.empty_table())


def _difficulty(work: Work, settings: Mapping[str, Any], _folder: Path) -> Removed:
    if settings["by"] == "judge":
        found, work.told["judge"] = rate(work.corpus, work.kept, settings, work.judge, work.memory)
        return found
    assert work.attempts is not None
    return difficulty(work.corpus, work.kept, settings, work.attempts)


def _transform(work: Work, settings: Mapping[str, Any], folder: Path) -> Removed:
    work.changed = transform(work.corpus, work.kept, work.filled, settings, folder, work.engine, work.workers)
    work.told["images"] = work.changed.counts
    return work.changed.dropped()


STEPS: dict[str, Callable[[Work, Mapping[str, Any], Path], Removed]] = {
    "decontaminate": _decontaminate,
    "deduplicate": _deduplicate,
    "balance": _balance,
    "metadata": _metadata,
    "difficulty": _difficulty,
    "transform": _transform,
}
