"""Difficulty: questions that nearly always or nearly never were answered right go, as in the paper's Figure 4.

The paper has 16 samples of the student, or of the teacher, and drops a question of which fewer than 2 or more than 14
are right. The attempts are those of a folder that `octomed distill` wrote: nobody is asked again. A judge's rating, the
paper's third way, is in judge.py.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath
from jaxtyping import Bool

from octomed_jax import progress
from octomed_jax.curation.corpus import Corpus, Piece
from octomed_jax.curation.removed import Removed, removed_columns
from octomed_jax.errors import UserError, did_you_mean
from octomed_jax.traces import lake

COLUMNS = ("question_id", "teacher", "verdict")


def difficulty(
    corpus: Corpus, kept: Bool[np.ndarray, " N"], settings: Mapping[str, Any], attempts: epath.Path
) -> Removed:
    """Return the questions, of those that are kept, that are too hard or too easy.

    Args:
        corpus: the questions, those of each file sorted by id.
        kept: which of them are still there.
        settings: ``samples``, ``fewest``, ``most`` and ``model``.
        attempts: folder of attempts at them.

    Raises:
        UserError: a question has another number of attempts, or they are of several models.
    """
    places, reasons, details = [], [], []
    for path in dict.fromkeys(group.path for group in corpus.groups):
        counts = right_of_each(attempts, settings["model"])
        known = next(counts, None)
        for place, question in _ids([group for group in corpus.groups if group.path == path]):
            while known is not None and known[0] < question:
                known = next(counts, None)
            if not kept[place]:
                continue
            samples, right = known[1:] if known is not None and known[0] == question else (0, 0)
            if samples != settings["samples"]:
                raise UserError(
                    f"{attempts} holds {samples} attempts at {question}, the filter takes {settings['samples']}: make "
                    f"them with `octomed distill --samples={settings['samples']}`, or set config.curate.difficulty"
                )
            if not settings["fewest"] <= right <= settings["most"]:
                places.append(place)
                reasons.append("too_hard" if right < settings["fewest"] else "too_easy")
                details.append(f"{right} of {samples} right")
    return removed_columns(places, reasons, None, details)


def _ids(groups: Sequence[Piece]) -> Iterator[tuple[int, str]]:
    with progress.bar("counting attempts", sum(group.rows for group in groups), "questions") as line:
        for group in groups:
            for table in group.tables(["id"]):
                yield from enumerate(table["id"].to_pylist(), group.first)
                line.advance(table.num_rows)


def right_of_each(attempts: epath.Path, model: str) -> Iterator[tuple[str, int, int]]:
    """Yield each question's id with its attempts and how many of them are right, in the order of the ids.

    Raises:
        UserError: the attempts are of several models and ``model`` is empty, or none are of ``model``.
    """
    question, samples, right, only = "", 0, 0, model
    others = set()
    for row in lake.iterate_parts(attempts / "attempts", COLUMNS):
        if not only:
            only = row["teacher"]
        if row["teacher"] != only:
            if model:
                others.add(row["teacher"])
                continue
            raise UserError(
                f"{attempts} holds attempts of {only} and of {row['teacher']}; name one in "
                "config.curate.difficulty.model"
            )
        if row["question_id"] != question:
            if samples:
                yield question, samples, right
            question, samples, right = row["question_id"], 0, 0
        samples += 1
        right += row["verdict"] == "correct"
    if samples:
        yield question, samples, right
    elif others:
        raise UserError(f"{attempts} holds no attempts of {model!r}{did_you_mean(model, sorted(others))}")
