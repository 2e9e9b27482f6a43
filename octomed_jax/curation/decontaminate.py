"""Decontamination: takes out questions that share words or an image with a held-out question.

Words are compared as in the paper, in runs of 16 by default, of the question alone and with its options, on both sides
(ngrams.py). By default with the held-out questions that have no images: those with images of a kind are often asked
in the same words, and it is by the image that they differ. A short question counts as a whole where neither has images.
Whatever is found so or not, a question that is a held-out one, its options in any order, with the same images or none,
goes too (same_question.py).
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Bool, Int64, UInt64

from octomed_jax import storage
from octomed_jax.curation.corpus import Corpus, Piece
from octomed_jax.curation.pictures.images_of import Images
from octomed_jax.curation.removed import SCHEMA, Removed, removed_table
from octomed_jax.curation.same_question import (
    REASON,
    QuestionKeys,
    joined_keys,
    question_keys,
    read_held_out,
    write_held_out,
)
from octomed_jax.curation.scratch import do_pieces, load_array, save_array, whole_folder
from octomed_jax.curation.texts.exact import place_among
from octomed_jax.curation.texts.ngrams import KINDS, Overlap, build_index, read_index
from octomed_jax.curation.texts.question_texts import QuestionTexts, question_texts
from octomed_jax.storage import sha256_bytes
from octomed_jax.traces import lake

REASONS = dict(zip(KINDS, ("words", "words_with_options", "text", "text_with_options"), strict=True))
TEXT_COLUMNS = ("question", "options", "image_hash")
SHOWN_WORDS = 400  # characters
COMMON = "more than"  # file that says which runs of the index more questions have than its name says

# Some questions to learn from, and the held-out ones that their images are compared with.
Compared = tuple[Bool[np.ndarray, " N"], Bool[np.ndarray, " H"]]


@dataclasses.dataclass(frozen=True)
class OverlapPiece:
    """A piece of the corpus that is compared with an index; the overlaps go to ``target``.

    Attributes:
        guards: file of a number of each question's images.
        ignored: file that says of each run of the index whether it does not count; empty: all count.
    """

    piece: Piece
    index: str
    guards: str
    ignored: str
    target: str


@dataclasses.dataclass(frozen=True)
class CountPiece:
    """A piece whose questions that have a run of the index are counted, those that ``kept``, a file, names."""

    piece: Piece
    index: str
    kept: str
    target: str


@dataclasses.dataclass(frozen=True)
class Words:
    """Questions that share words with a held-out one.

    Attributes:
        found: those that do.
        told: with ``ignore_common`` how many runs did not count, and how many questions stay for it.
    """

    found: Removed
    told: Mapping[str, int]


def decontaminate_words(
    corpus: Corpus,
    held_out: Corpus,
    kept: Bool[np.ndarray, " N"],
    image_guards: tuple[UInt64[np.ndarray, " N"], UInt64[np.ndarray, " H"]],
    settings: Mapping[str, Any],
    folder: Path,
    engine: str,
    workers: int,
) -> Words:
    """Return the questions that share words with a held-out one.

    Args:
        corpus, held_out: the questions.
        kept: which of the corpus are still there: a run that more of them have than ``ignore_common`` does not count.
        image_guards: a number of the images of each question, and of each held-out one, equal for the same ones.
        settings: ``ngram``, ``held_out`` and ``ignore_common``.
        folder: for what is worked out; what lies there is used again.
        engine, workers: as in ``run_pieces``.
    """
    index = folder / "index"
    if not index.exists():
        _write_index(held_out, image_guards[1], settings, index)
    guards = folder / "guards.npy"
    save_array(guards, image_guards[0])
    pieces = corpus.pieces()
    overlaps, ignored = folder / "overlaps", ""
    hit = np.zeros(0, dtype=np.int64)
    if settings["ignore_common"]:
        # What an earlier step asks a judge may come out otherwise the next time.
        counted = folder / f"common {sha256_bytes(kept.tobytes())[:16]}"
        most = settings["ignore_common"]
        hit = _write_common(pieces, kept, index, most, counted, engine, workers)
        overlaps, ignored = counted / f"overlaps {most}", str(counted / f"{COMMON} {most}.npy")
    targets = [overlaps / f"{number:05d}.parquet" for number in range(len(pieces))]
    work = [
        OverlapPiece(piece, str(index), str(guards), ignored, str(target))
        for piece, target in zip(pieces, targets, strict=True)
    ]
    do_pieces("comparing words with held-out questions", find_overlaps, work, targets, engine, workers)
    found = removed_table(pa.concat_tables([SCHEMA.empty_table(), *map(pq.read_table, targets)]))
    if not ignored:
        return Words(found, {})
    runs = int(load_array(Path(ignored)).sum())
    return Words(found, {"common_runs": runs, "common_left_in": len(np.setdiff1d(hit, found.places))})


def _write_common(
    pieces: Sequence[Piece],
    kept: Bool[np.ndarray, " N"],
    index: Path,
    most: int,
    folder: Path,
    engine: str,
    workers: int,
) -> Int64[np.ndarray, " M"]:
    """Write which runs of the index more than ``most`` questions have; return the places of those that have any."""
    folder.mkdir(parents=True, exist_ok=True)
    save_array(folder / "kept.npy", kept)
    targets = [folder / "counts" / f"{number:05d}.npz" for number in range(len(pieces))]
    work = [
        CountPiece(piece, str(index), str(folder / "kept.npy"), str(target))
        for piece, target in zip(pieces, targets, strict=True)
    ]
    do_pieces("counting shared runs of words", count_runs, work, targets, engine, workers)
    counts, hit = np.zeros(len(read_index(index).keys), dtype=np.int64), [np.zeros(0, dtype=np.int64)]
    for target in targets:
        with np.load(target, allow_pickle=False) as one:
            counts[one["keys"]] += one["counts"]
            hit.append(one["places"])
    save_array(folder / f"{COMMON} {most}.npy", counts > most)
    return np.concatenate(hit)


def count_runs(one: CountPiece) -> None:
    """Write how many questions of one piece have each run of the index, and which have any."""
    index, kept = read_index(Path(one.index)), load_array(Path(one.kept))
    first, places, runs = one.piece.first, [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    for table in one.piece.tables(TEXT_COLUMNS):
        question, key = index.shared_runs(question_texts(table["question"], table["options"]))
        mine = kept[question + first]
        places.append(np.unique(question[mine]) + first)
        runs.append(key[mine])
        first += table.num_rows
    keys, counts = np.unique(np.concatenate(runs), return_counts=True)
    with storage.whole_file(Path(one.target)) as file:
        np.savez(file, keys=keys, counts=counts, places=np.concatenate(places))


def _write_index(held_out: Corpus, guard: UInt64[np.ndarray, " H"], settings: Mapping[str, Any], path: Path) -> None:
    """Write the index of the held-out questions, with place and images of each, and the keys of all."""
    places: list[np.ndarray] = [np.zeros(0, dtype=np.int64)]
    pictured: list[np.ndarray] = [np.zeros(0, dtype=bool)]
    keys: list[QuestionKeys] = []

    def batches() -> Iterator[QuestionTexts]:
        # Those with images last: of equal short texts the first is found, and it counts only without images.
        for last in (False, True):
            for first, table in held_out.tables(TEXT_COLUMNS, "reading held-out questions"):
                images = has_images(table)
                wanted = np.flatnonzero(images == last)
                some = table.take(pa.array(wanted))
                texts = question_texts(some["question"], some["options"])
                keys.append(question_keys(texts, guard[wanted + first], wanted + first))
                if not last or settings["held_out"] == "all":
                    places.append(wanted + first)
                    pictured.append(images[wanted])
                    yield texts

    index = build_index(batches(), settings["ngram"])
    with whole_folder(path) as partial:
        index.write(partial)
        write_held_out(joined_keys(keys), partial)
        save_array(partial / "held_out_places.npy", np.concatenate(places))
        save_array(partial / "held_out_pictured.npy", np.concatenate(pictured))


def find_overlaps(one: OverlapPiece) -> None:
    """Write the overlaps of one piece as a table of removed questions."""
    folder = Path(one.index)
    index = read_index(folder)
    ignored = load_array(Path(one.ignored)) if one.ignored else None
    places, pictured = (load_array(folder / f"held_out_{name}.npy") for name in ("places", "pictured"))
    guards, keys = load_array(Path(one.guards)), []
    first, rows = one.piece.first, []
    for table in one.piece.tables(TEXT_COLUMNS):
        images = has_images(table)
        texts = question_texts(table["question"], table["options"])
        here = np.arange(first, first + table.num_rows)
        keys.append(question_keys(texts, guards[here], here))
        for overlap in index.find(texts, ignored):
            whole = overlap.kind in KINDS[2:]
            if not (whole and (images[overlap.question] or pictured[overlap.evaluation])):
                rows.append(_row(overlap, first, places))
        first += table.num_rows
    # After the others: of a question that both find, the first row tells.
    same = np.stack(joined_keys(keys).among(read_held_out(folder)), axis=1).tolist()
    rows += [{"place": at, "reason": REASON, "match": other, "held_out": True, "detail": ""} for at, other in same]
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
