"""Decontamination: takes out questions that share words or an image with a held-out question.

Words are compared as in the paper, in runs of 16 by default, of the question alone and with its options, on both sides
(ngrams.py). By default with the held-out questions that have no images: those with images of a kind are often asked
in the same words, and it is by the image that they differ. A short question counts as a whole where neither has images.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Bool, Int64

from octomed_jax.curation.corpus import Corpus, Piece
from octomed_jax.curation.pictures.images_of import Images
from octomed_jax.curation.removed import SCHEMA, Removed, removed_table
from octomed_jax.curation.scratch import do_pieces, load_array, save_array, whole_folder
from octomed_jax.curation.texts.exact import place_among
from octomed_jax.curation.texts.ngrams import KINDS, Overlap, build_index, read_index
from octomed_jax.curation.texts.question_texts import QuestionTexts, question_texts
from octomed_jax.traces import lake

REASONS = dict(zip(KINDS, ("words", "words_with_options", "text", "text_with_options"), strict=True))
TEXT_COLUMNS = ("question", "options", "image_hash")
SHOWN_WORDS = 400  # characters

# Some questions to learn from, and the held-out ones that their images are compared with.
Compared = tuple[Bool[np.ndarray, " N"], Bool[np.ndarray, " H"]]


@dataclasses.dataclass(frozen=True)
class OverlapPiece:
    """A piece of the corpus that is compared with an index; the overlaps go to ``target``."""

    piece: Piece
    index: str
    target: str


def decontaminate_words(
    corpus: Corpus, held_out: Corpus, settings: Mapping[str, Any], folder: Path, engine: str, workers: int
) -> Removed:
    """Return the questions that share words with a held-out one.

    Args:
        corpus, held_out: the questions.
        settings: ``ngram`` and ``held_out``.
        folder: for what is worked out; what lies there is used again.
        engine, workers: as in ``run_pieces``.
    """
    index = folder / "index"
    if not index.exists():
        _write_index(held_out, settings, index)
    pieces = corpus.pieces()
    targets = [folder / "overlaps" / f"{number:05d}.parquet" for number in range(len(pieces))]
    work = [OverlapPiece(piece, str(index), str(target)) for piece, target in zip(pieces, targets, strict=True)]
    do_pieces("comparing words with held-out questions", find_overlaps, work, targets, engine, workers)
    return removed_table(pa.concat_tables([SCHEMA.empty_table(), *map(pq.read_table, targets)]))


def _write_index(held_out: Corpus, settings: Mapping[str, Any], path: Path) -> None:
    """Write the index of the held-out questions, with the place of each and whether it has images."""
    places: list[np.ndarray] = [np.zeros(0, dtype=np.int64)]
    pictured: list[np.ndarray] = [np.zeros(0, dtype=bool)]

    def batches() -> Iterator[QuestionTexts]:
        # Those with images last: of equal short texts the first is found, and it counts only without images.
        for last in (False, True) if settings["held_out"] == "all" else (False,):
            for first, table in held_out.tables(TEXT_COLUMNS, "reading held-out questions"):
                images = has_images(table)
                wanted = np.flatnonzero(images == last)
                places.append(wanted + first)
                pictured.append(images[wanted])
                some = table.take(pa.array(wanted))
                yield question_texts(some["question"], some["options"])

    index = build_index(batches(), settings["ngram"])
    with whole_folder(path) as partial:
        index.write(partial)
        save_array(partial / "held_out_places.npy", np.concatenate(places))
        save_array(partial / "held_out_pictured.npy", np.concatenate(pictured))


def find_overlaps(one: OverlapPiece) -> None:
    """Write the overlaps of one piece as a table of removed questions."""
    folder = Path(one.index)
    index = read_index(folder)
    places, pictured = (load_array(folder / f"held_out_{name}.npy") for name in ("places", "pictured"))
    first, rows = one.piece.first, []
    for table in one.piece.tables(TEXT_COLUMNS):
        images = has_images(table)
        for overlap in index.find(question_texts(table["question"], table["options"])):
            whole = overlap.kind in KINDS[2:]
            if not (whole and (images[overlap.question] or pictured[overlap.evaluation])):
                rows.append(_row(overlap, first, places))
        first += table.num_rows
    lake.write_rows(one.target, rows, SCHEMA)


def _row(overlap: Overlap, first: int, places: Int64[np.ndarray, " H"]) -> dict[str, Any]:
    more = f" (and {overlap.shared - 1} more such runs)" if overlap.shared > 1 else ""
    return {
        "place": first + overlap.question,
        "reason": REASONS[overlap.kind],
        "match": int(places[overlap.evaluation]),
        "held_out": True,
        "detail": overlap.words[:SHOWN_WORDS] + more,
    }


def has_images(table: pa.Table) -> Bool[np.ndarray, " N"]:
    """Return which questions of a table with ``image_hash`` have images."""
    return pc.fill_null(pc.list_value_length(table["image_hash"]), 0).to_numpy() > 0


def decontaminate_images(ours: Images, held_out: Images, kind: str) -> Removed:
    """Return the questions with an image that a held-out question has too; ``kind`` says how they are the same."""
    match = place_among(ours.keys, held_out.keys)
    hit = np.flatnonzero(match >= 0)
    columns = {
        "place": pa.array(ours.owner[hit]),
        "reason": pa.array([f"image_{kind}"] * len(hit), pa.string()),
        "match": pa.array(held_out.owner[match[hit]]),
        "held_out": pa.array(np.ones(len(hit), dtype=bool)),
        "detail": pa.array([""] * len(hit), pa.string()),
    }
    return removed_table(pa.table(columns, schema=SCHEMA))


def apart(corpus: Corpus, held_out: Corpus, sources: Sequence[str]) -> list[Compared]:
    """Return whose images are compared with whose where some sources keep images that their own two splits share.

    Questions of such a source are compared with the held-out ones of all others.
    """
    ours, theirs = (_of_each(one, sources) for one in (corpus, held_out))
    rest = ~np.logical_or.reduce([np.zeros(len(corpus), dtype=bool), *ours])
    compared = [(rest, np.ones(len(held_out), dtype=bool))]
    return compared + [(mine, ~own) for mine, own in zip(ours, theirs, strict=True)]


def _of_each(corpus: Corpus, sources: Sequence[str]) -> list[Bool[np.ndarray, " N"]]:
    """Return which questions are of each source."""
    found = np.zeros((len(sources), len(corpus)), dtype=bool)
    for group in corpus.groups if sources else ():
        for table in group.tables(["source"]):
            for number, source in enumerate(sources):
                found[number, group.first : group.first + group.rows] = pc.equal(table["source"], source).to_numpy()
    return list(found)
