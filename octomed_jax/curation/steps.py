"""The steps of a curation by name: what each is given, and what is told of it."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from etils import epath
from jaxtyping import Bool

from octomed_jax import progress
from octomed_jax.curation.balance import balance, limited
from octomed_jax.curation.corpus import Corpus
from octomed_jax.curation.decontaminate import decontaminate_words
from octomed_jax.curation.deduplicate import deduplicate
from octomed_jax.curation.difficulty import difficulty
from octomed_jax.curation.evaluation_sets import SetPlaces
from octomed_jax.curation.judge import name_metadata, rate
from octomed_jax.curation.metadata import Filled, fill
from octomed_jax.curation.pictures.image_kinds import bytes_guard, image_guard, shared_images
from octomed_jax.curation.pictures.image_sources import ImageSources
from octomed_jax.curation.removed import SCHEMA, UNREADABLE, Removed, joined
from octomed_jax.curation.settings import PICTURES_VERSIONS, WORDS_VERSIONS
from octomed_jax.curation.transform import Changed, transform
from octomed_jax.errors import UserError
from octomed_jax.storage import fingerprint


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
        most_left_out: share of a step's questions that may go for images that cannot be read.
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
    most_left_out: float
    filled: Filled | None = None
    changed: Changed | None = None
    told: dict[str, Any] = dataclasses.field(default_factory=dict)


# The settings that what a step works out depends on, beside its questions and the versions of how words are compared:
# of another one it is used again. What decontaminate knows of images lies apart, by versions of its own.
BEARING = {
    "decontaminate": ("ngram", "held_out"),
    "deduplicate": ("near", "images", "version"),
    "metadata": ("replace", "version"),
    "transform": ("max_pixels", "burned_text", "version"),
}


def do_step(work: Work, step: Mapping[str, Any]) -> tuple[dict[str, Any], Removed]:
    """Do one step; return what is told of it, and what it took out.

    Raises:
        UserError: too many questions have images that cannot be read.
    """
    before = int(work.kept.sum())
    name = step["step"]
    work.told = {}
    bearing = {field: step.get(field) for field in BEARING.get(name, ())} | {"words": WORDS_VERSIONS.get(name, ())}
    found = STEPS[name](work, step, work.folder / f"{name}-{fingerprint(bearing)[:16]}")
    table = found.table
    found = Removed(table.filter(pa.array(work.kept[table["place"].to_numpy()])))
    check_readable(found, before, work.most_left_out, "questions")
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


def check_readable(found: Removed, count: int, most: float, what: str) -> None:
    """Allow only so many questions to go for images that cannot be read.

    Raises:
        UserError: there are more; the first of them is named.
    """
    lost = found.table.filter(pc.equal(found.table["reason"], UNREADABLE))
    if lost.num_rows <= most * count:
        return
    others = f"; so it is with {lost.num_rows - 1} more of {count} {what}" if lost.num_rows > 1 else ""
    rule = f"{most:.1%} may be left out, more with --most-left-out"
    raise UserError(f"{lost['detail'][0].as_py()} (nothing is written{others}; {rule})")


def _decontaminate(work: Work, settings: Mapping[str, Any], folder: Path) -> Removed:
    folder.mkdir(parents=True, exist_ok=True)
    guards = bytes_guard(work.corpus, work.sources), bytes_guard(work.held_out, work.sources)
    said = decontaminate_words(
        work.corpus, work.held_out, work.kept, guards, settings, folder, work.engine, work.workers
    )
    work.told |= said.told
    keeping = settings["keep_shared_images"]
    where = _images(work)
    shared = shared_images(work.corpus, work.held_out, settings["images"], keeping, work.sources, *where)
    check_readable(shared.unreadable_held_out, len(work.held_out), work.most_left_out, "held-out questions")
    if len(shared.unreadable_held_out):
        work.told["unreadable_held_out"] = len(shared.unreadable_held_out)
    found = joined(said.found, shared.going, shared.unreadable)
    if keeping:
        work.told["shared_images_kept"] = int(work.kept[np.setdiff1d(shared.every.places, found.places)].sum())
    return found


def _images(work: Work) -> tuple[Path, str, int]:
    """Return where what is known of images is worked out, which several steps use."""
    return work.folder / "-".join(PICTURES_VERSIONS), work.engine, work.workers


def _deduplicate(work: Work, settings: Mapping[str, Any], folder: Path) -> Removed:
    guard, lost = image_guard(work.corpus, settings["images"], work.sources, *_images(work))
    kept = work.kept.copy()
    lost.leave(kept)  # whose copies they are nobody knows
    return joined(lost, deduplicate(work.corpus, kept, guard, settings, folder, work.engine, work.workers))


def _balance(work: Work, settings: Mapping[str, Any], _folder: Path) -> Removed:
    found, work.told["limits"] = balance(work.corpus, work.kept, settings, work.seed)
    for limit in work.told["limits"]:
        if 2 * limit["removed"] > limit["before"]:
            progress.say(f"warning: balance: {limited(limit)}; ratio or most in config.curate.balance keep more")
    return found


def _metadata(work: Work, settings: Mapping[str, Any], folder: Path) -> Removed:
    lost = Removed(SCHEMA.empty_table())
    work.filled = fill(work.corpus, work.kept, settings, folder, work.engine, work.workers)
    if settings["by"] == "judge":
        work.filled, work.told["judge"], lost = name_metadata(
            work.corpus, work.kept, work.filled, work.judge, work.memory
        )
    work.told["filled"] = work.filled.counts
    return lost


def _difficulty(work: Work, settings: Mapping[str, Any], _folder: Path) -> Removed:
    if settings["by"] == "judge":
        found, work.told["judge"] = rate(work.corpus, work.kept, settings, work.judge, work.memory)
        return found
    assert work.attempts is not None
    found, unjudged = difficulty(work.corpus, work.kept, settings, work.attempts)
    if unjudged:
        work.told["unjudged"] = unjudged
    return found


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
