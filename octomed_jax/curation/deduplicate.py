"""Deduplication: of questions that are the same, or share most of their words, the first stays.

Two questions are the same if their words and signs, their options in any order, and their images are. Where their
answers differ one of them is wrong, or both are free text: the first stays too, and they are counted apart. Two
questions are near-duplicates (near_duplicates.py) only if images, answer and every number in them are the same too: a
case of another age, dose or value is another case.

Memory: 90 bytes a question, on disk 230.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Int64, UInt64

from octomed_jax.curation.corpus import Corpus, Piece
from octomed_jax.curation.removed import Removed, removed_columns
from octomed_jax.curation.scratch import do_pieces, joined_arrays, load_array, save_array, whole_folder
from octomed_jax.curation.texts.exact import exact_keys, first_of_each
from octomed_jax.curation.texts.guards import all_guards, number_guard, text_guard
from octomed_jax.curation.texts.minhash import NO_KEY, band_keys
from octomed_jax.curation.texts.near_duplicates import near_duplicates
from octomed_jax.curation.texts.question_texts import QuestionTexts, question_texts

COLUMNS = ("question", "options", "answer")


@dataclasses.dataclass(frozen=True)
class KeysPiece:
    """A piece whose keys are worked out into the folder ``target``; ``guards`` is the file of the images' guards."""

    piece: Piece
    guards: str
    near: bool
    target: str


def deduplicate(
    corpus: Corpus,
    kept: Bool[np.ndarray, " N"],
    image_guard: UInt64[np.ndarray, " N"],
    settings: Mapping[str, Any],
    folder: Path,
    engine: str,
    workers: int,
) -> Removed:
    """Return the questions, of those that are kept, that are duplicates of an earlier one.

    Args:
        corpus: the questions.
        kept: which of them are still there.
        image_guard: a number of each question's images, equal for the same ones.
        settings: ``near`` and ``threshold``.
        folder: for what is worked out; what lies there is used again.
        engine, workers: as in ``run_pieces``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    guards = folder / "guards.npy"
    save_array(guards, image_guard)
    pieces = corpus.pieces()
    targets = [folder / "keys" / f"{number:05d}" for number in range(len(pieces))]
    work = [
        KeysPiece(piece, str(guards), bool(settings["near"]), str(target))
        for piece, target in zip(pieces, targets, strict=True)
    ]
    do_pieces("finding duplicates", write_keys, work, targets, engine, workers)
    exact = _exact(targets, kept)
    if not settings["near"]:
        return exact
    left = kept.copy()
    exact.leave(left)
    return _joined(exact, _near(corpus, targets, left, settings["threshold"]))


def write_keys(one: KeysPiece) -> None:
    """Write the keys of one piece."""
    guards = load_array(Path(one.guards))
    exact, answers, bands = [], [], []
    first = one.piece.first
    for table in one.piece.tables(COLUMNS):
        texts, images = question_texts(table["question"], table["options"]), guards[first : first + table.num_rows]
        answer = text_guard(table["answer"])
        exact.append(exact_keys(texts, images))
        answers.append(answer)
        if one.near:
            bands.append(band_keys(texts, all_guards(images, answer, number_guard(texts))))
        first += table.num_rows
    Path(one.target).parent.mkdir(parents=True, exist_ok=True)
    with whole_folder(Path(one.target)) as partial:
        partial.mkdir()
        save_array(partial / "exact.npy", np.concatenate(exact))
        save_array(partial / "answers.npy", np.concatenate(answers))
        if one.near:
            save_array(partial / "bands.npy", np.concatenate(bands, axis=1))


def _exact(targets: list[Path], kept: Bool[np.ndarray, " N"]) -> Removed:
    places = np.flatnonzero(kept)
    # Not named before they are chosen: both at once would be another 16 bytes a question.
    keys = joined_arrays([target / "exact.npy" for target in targets], np.zeros((0, 2), np.uint64))[places]
    answers = joined_arrays([target / "answers.npy" for target in targets], np.zeros(0, np.uint64))
    first = places[first_of_each(keys)]
    later = places[first != places]
    first = first[first != places]
    other = answers[later] != answers[first]
    return removed_columns(later, np.where(other, "same_with_other_answer", "same").tolist(), first)


def _near(corpus: Corpus, targets: list[Path], kept: Bool[np.ndarray, " N"], threshold: float) -> Removed:
    keys = [target / "bands.npy" for target in targets]

    def band(number: int) -> UInt64[np.ndarray, " N"]:
        whole = joined_arrays(keys, np.zeros(0, np.uint64), number)
        whole[~kept] = NO_KEY
        return whole

    def read(places: Int64[np.ndarray, " M"]) -> QuestionTexts:
        table = corpus.read(places, COLUMNS)
        return question_texts(table["question"], table["options"])

    found = near_duplicates(len(corpus), band, read, threshold)
    later = np.flatnonzero(found.first != np.arange(len(corpus)))
    direct: dict[int, float] = {}
    for (one, other), likeness in zip(found.pairs.tolist(), found.similarities.tolist(), strict=True):
        if found.first[other] == one:
            direct[other] = likeness
    details = [f"Jaccard {direct[place]:.2f}" if place in direct else "by another one" for place in later.tolist()]
    return removed_columns(later, ["near"] * len(later), found.first[later], details)


def _joined(one: Removed, other: Removed) -> Removed:
    return Removed(pa.concat_tables([one.table, other.table]).sort_by("place").combine_chunks())
