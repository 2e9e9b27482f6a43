"""Which images count as the same, in the ways that a config names: by their bytes, their pixels, or what they show."""

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import UInt64

from octomed_jax.curation.corpus import Corpus
from octomed_jax.curation.decontaminate import Compared, apart, decontaminate_images
from octomed_jax.curation.pictures.image_index import Pairs
from octomed_jax.curation.pictures.image_pieces import Hashed, hash_images, merged_keys, same_pictures
from octomed_jax.curation.pictures.image_sources import ImageSources
from octomed_jax.curation.pictures.images_of import Images, guard_of, images_by_bytes
from octomed_jax.curation.removed import SCHEMA, Removed, removed_table, unreadable

SOURCE_DETAIL = "before the image was changed"
OURS, HELD_OUT = "images", "held-out images"  # folders of what was hashed, which several steps use


@dataclasses.dataclass(frozen=True)
class Shared:
    """Questions with an image that a held-out question has too.

    Attributes:
        going, every: those that go, and all that share one.
        unreadable, unreadable_held_out: questions and held-out questions with an image that cannot be decoded.
    """

    going: Removed
    every: Removed
    unreadable: Removed
    unreadable_held_out: Removed


def shared_images(
    corpus: Corpus,
    held_out: Corpus,
    kinds: Sequence[str],
    keeping: Sequence[str],
    sources: ImageSources,
    folder: Path,
    engine: str,
    workers: int,
) -> Shared:
    """Return the questions with an image that a held-out question has too, by the first of the ways that finds it.

    Args:
        corpus, held_out: the questions.
        kinds: some of ``bytes``, ``pixels`` and ``near``.
        keeping: sources that keep an image which only held-out questions of their own have too.
        sources: what images that were changed had been, which counts as bytes.
        folder: for what is worked out, and used again by other steps.
        engine, workers: as in ``run_pieces``.
    """
    lost = lost_held_out = unreadable([], [])
    ways = []  # what finds the shared images of some questions among those of some held-out ones
    if "bytes" in kinds:
        mine, others = images_by_bytes(corpus), images_by_bytes(held_out)
        ways.append(partial(_equal, mine, others, "bytes", ""))
        if len(sources.keys):  # of a question with both the first stays: what is equal as it is
            mine, others = _before(mine, sources), _before(others, sources)
            ways.append(partial(_equal, mine, others, "bytes", SOURCE_DETAIL))
    if {"pixels", "near"} & set(kinds):
        ours = hash_images(corpus, "hashing images", folder / OURS, engine, workers)
        theirs = hash_images(held_out, "hashing held-out images", folder / HELD_OUT, engine, workers)
        lost, lost_held_out = ours.unreadable, theirs.unreadable
        if "pixels" in kinds:
            ways.append(partial(_equal, ours.images, theirs.images, "pixels", ""))
        if "near" in kinds:
            title = "comparing images with held-out ones"
            pairs = same_pictures(ours.pictures, theirs.pictures, title, folder / "shared pictures", engine, workers)
            ways.append(partial(_near, ours, theirs, pairs))
    going = _found(ways, apart(corpus, held_out, keeping))
    every = _found(ways, apart(corpus, held_out, ())) if keeping else going
    return Shared(going, every, lost, lost_held_out)


def _found(ways: Sequence[Callable[..., pa.Table]], compared: Sequence[Compared]) -> Removed:
    return removed_table(pa.concat_tables([SCHEMA.empty_table(), *(way(*both) for way in ways for both in compared)]))


def _before(images: Images, sources: ImageSources) -> Images:
    """Return images with keys that are equal also where they were of equal bytes before they were changed."""
    return dataclasses.replace(images, keys=sources.of(images.keys))


def _equal(ours: Images, theirs: Images, kind: str, detail: str, mine: np.ndarray, others: np.ndarray) -> pa.Table:
    table = decontaminate_images(ours.of(mine), theirs.of(others), kind).table
    told = pa.array([detail] * table.num_rows, pa.string())
    return table.set_column(table.schema.get_field_index("detail"), SCHEMA.field("detail"), told)


def _near(ours: Hashed, theirs: Hashed, pairs: Pairs, mine: np.ndarray, others: np.ndarray) -> pa.Table:
    """Return the images of ``mine`` that have a pair of ``others``, each with the picture that is most alike."""
    first = np.full(len(theirs.first), -1)  # of each picture the first image of those held-out questions
    image = np.flatnonzero(others[theirs.images.owner])
    first[theirs.picture[image][::-1]] = image[::-1]
    best = np.lexsort((pairs.right, -pairs.score, pairs.left))
    best = best[first[pairs.right[best]] >= 0]
    pictures, places = np.unique(pairs.left[best], return_index=True)
    best = best[places]
    image = np.flatnonzero(np.isin(ours.picture, pictures) & mine[ours.images.owner])
    best = best[np.searchsorted(pictures, ours.picture[image])]
    left, right = ours.images.owner[image], theirs.images.owner[first[pairs.right[best]]]
    columns = {
        "place": pa.array(left),
        "reason": pa.array(["image_near"] * len(left), pa.string()),
        "match": pa.array(right),
        "held_out": pa.array(np.ones(len(left), dtype=bool)),
        "detail": pa.array([f"alike to {score:.3f}" for score in pairs.score[best]], pa.string()),
    }
    return pa.table(columns, schema=SCHEMA)


def image_guard(
    corpus: Corpus, kind: str, sources: ImageSources, folder: Path, engine: str, workers: int
) -> tuple[UInt64[np.ndarray, " N"], Removed]:
    """Return a number for each question that is equal where its images are the same, see ``guard_of``.

    And those with an image that cannot be decoded, of which it says nothing.
    """
    images, lost = _images(corpus, kind, sources, folder, engine, workers)
    return guard_of(images, len(corpus)), lost


def bytes_guard(corpus: Corpus, sources: ImageSources) -> UInt64[np.ndarray, " N"]:
    """Return the guard of the images' bytes, which is equal also where those of two corpora are the same."""
    return guard_of(_before(images_by_bytes(corpus), sources), len(corpus))


def _images(
    corpus: Corpus, kind: str, sources: ImageSources, folder: Path, engine: str, workers: int
) -> tuple[Images, Removed]:
    if kind == "bytes":
        return _before(images_by_bytes(corpus), sources), unreadable([], [])
    hashed: Hashed = hash_images(corpus, "hashing images", folder / OURS, engine, workers)
    if kind == "pixels":
        return hashed.images, hashed.unreadable
    title = "comparing images"
    pairs = same_pictures(hashed.pictures, None, title, folder / "own pictures", engine, workers)
    return merged_keys(hashed, pairs), hashed.unreadable
