"""Which images count as the same, in the ways that a config names: by their bytes, their pixels, or what they show."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import UInt64

from octomed_jax.curation.corpus import Corpus
from octomed_jax.curation.decontaminate import decontaminate_images
from octomed_jax.curation.pictures.image_index import Pairs
from octomed_jax.curation.pictures.image_pieces import Hashed, hash_images, merged_keys, same_pictures
from octomed_jax.curation.pictures.image_sources import ImageSources
from octomed_jax.curation.pictures.images_of import Images, guard_of, images_by_bytes
from octomed_jax.curation.removed import SCHEMA, Removed, removed_table

SOURCE_DETAIL = "before the image was changed"
OURS, HELD_OUT = "images", "held-out images"  # folders of what was hashed, which several steps use


def shared_images(
    corpus: Corpus,
    held_out: Corpus,
    kinds: Sequence[str],
    sources: ImageSources,
    folder: Path,
    engine: str,
    workers: int,
) -> Removed:
    """Return the questions with an image that a held-out question has too, by the first of the ways that finds it.

    Args:
        corpus, held_out: the questions.
        kinds: some of ``bytes``, ``pixels`` and ``near``.
        sources: what images that were changed had been, which counts as bytes.
        folder: for what is worked out, and used again by other steps.
        engine, workers: as in ``run_pieces``.
    """
    found = [SCHEMA.empty_table()]
    if "bytes" in kinds:
        found.append(_by_bytes(images_by_bytes(corpus), images_by_bytes(held_out), sources))
    if {"pixels", "near"} & set(kinds):
        ours = hash_images(corpus, "hashing images", folder / OURS, engine, workers)
        theirs = hash_images(held_out, "hashing held-out images", folder / HELD_OUT, engine, workers)
        if "pixels" in kinds:
            found.append(decontaminate_images(ours.images, theirs.images, "pixels").table)
        if "near" in kinds:
            title = "comparing images with held-out ones"
            pairs = same_pictures(ours.pictures, theirs.pictures, title, folder / "shared pictures", engine, workers)
            found.append(_near(ours, theirs, pairs))
    return removed_table(pa.concat_tables(found))


def _by_bytes(ours: Images, theirs: Images, sources: ImageSources) -> pa.Table:
    """Return those of equal bytes, and those that were of equal bytes before they were changed."""
    plain = decontaminate_images(ours, theirs, "bytes").table
    if not len(sources.keys):
        return plain
    ours, theirs = (dataclasses.replace(side, keys=sources.of(side.keys)) for side in (ours, theirs))
    known = decontaminate_images(ours, theirs, "bytes").table
    told = pa.array([SOURCE_DETAIL] * known.num_rows, pa.string())
    # Of a question with both the first stays: what is equal as it is.
    return pa.concat_tables([plain, known.set_column(known.schema.get_field_index("detail"), "detail", told)])


def _near(ours: Hashed, theirs: Hashed, pairs: Pairs) -> pa.Table:
    """Return the images that have a pair as removed questions, each with the picture that is most alike."""
    best = np.lexsort((pairs.right, -pairs.score, pairs.left))
    pictures, places = np.unique(pairs.left[best], return_index=True)
    best = best[places]
    image = np.flatnonzero(np.isin(ours.picture, pictures))
    best = best[np.searchsorted(pictures, ours.picture[image])]
    left, right = ours.images.owner[image], theirs.images.owner[theirs.first[pairs.right[best]]]
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
) -> UInt64[np.ndarray, " N"]:
    """Return a number for each question that is equal where its images are the same, see ``guard_of``."""
    return guard_of(_images(corpus, kind, sources, folder, engine, workers), len(corpus))


def _images(corpus: Corpus, kind: str, sources: ImageSources, folder: Path, engine: str, workers: int) -> Images:
    if kind == "bytes":
        images = images_by_bytes(corpus)
        return dataclasses.replace(images, keys=sources.of(images.keys))
    hashed: Hashed = hash_images(corpus, "hashing images", folder / OURS, engine, workers)
    if kind == "pixels":
        return hashed.images
    title = "comparing images"
    return merged_keys(hashed, same_pictures(hashed.pictures, None, title, folder / "own pictures", engine, workers))
