"""Difficulty: questions that nearly always or nearly never were answered right go, as in the paper's Figure 4.

The paper has 16 samples of the student, or of the teacher, and drops a question of which fewer than 2 or more than 14
are right. The attempts are those of a folder that `octomed distill` wrote: nobody is asked again. A judge's rating, the
paper's third way, is in judge.py.

A step takes out only what it has a reason for. A request that failed for good is no sample: its question goes only
where the missing samples could not change that. Of a question that no rule can mark, no sample says how hard it is.
"""

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from etils import epath
from jaxtyping import Bool

from octomed_jax import progress
from octomed_jax.curation.corpus import Corpus, Piece, by_id, open_corpus
from octomed_jax.curation.removed import Removed, removed_columns
from octomed_jax.errors import UserError, did_you_mean
from octomed_jax.schema import OPEN_TASKS, is_without_gold
from octomed_jax.traces import lake

COLUMNS = ("question_id", "teacher", "verdict", "reason")
FAILED = "request_failed"  # reason of an attempt that is none
UNMARKED = ("no_gold", "no_rule", "broken_gold")  # reasons that say of a question that nobody can mark it
UNDECIDED = "requests_failed"  # what a question is counted as that the missing samples could decide either way


@dataclasses.dataclass(frozen=True)
class Tried:
    """The attempts at one question.

    Attributes:
        question: its id.
        samples: attempts with a response.
        right: of them.
        failed: attempts whose requests failed for good.
        verdicts: of the samples.
        unmarked: the first of UNMARKED that one of them has as its reason; empty: none has.
    """

    question: str
    samples: int = 0
    right: int = 0
    failed: int = 0
    verdicts: frozenset[str] = frozenset()
    unmarked: str = ""


def difficulty(
    corpus: Corpus, kept: Bool[np.ndarray, " N"], settings: Mapping[str, Any], attempts: epath.Path
) -> tuple[Removed, dict[str, int]]:
    """Return the questions, of those that are kept, that are too hard or too easy.

    Args:
        corpus: the questions, those of each file sorted by id.
        kept: which of them are still there.
        settings: ``samples``, ``fewest``, ``most`` and ``model``.
        attempts: folder of attempts at them; read once.

    Returns:
        those questions, and how many stay because their attempts say nothing of them: by UNMARKED and UNDECIDED.

    Raises:
        UserError: a question has another number of attempts, or they are of several models.
    """
    places, reasons, details = [], [], []
    unjudged: Counter[str] = Counter()
    every = tried(attempts, settings["model"])
    known = next(every, None)
    for row in _questions(corpus, kept):
        while known is not None and known.question < row["id"]:
            known = next(every, None)
        mine = known if known is not None and known.question == row["id"] else Tried(row["id"])
        if mine.samples + mine.failed != settings["samples"]:
            raise UserError(
                f"{attempts} holds {mine.samples + mine.failed} attempts at {mine.question}, the filter takes "
                f"{settings['samples']}: make them with `octomed distill --samples={settings['samples']}`, or set "
                "config.curate.difficulty"
            )
        reason = _reason(mine, row["task"], row["answer"], settings)
        if reason in ("too_hard", "too_easy"):
            places.append(row["place"])
            reasons.append(reason)
            failed = f", {mine.failed} requests failed" if mine.failed else ""
            details.append(f"{mine.right} of {mine.samples} right{failed}")
        elif reason:
            unjudged[reason] += 1
    return removed_columns(places, reasons, None, details), dict(sorted(unjudged.items()))


def _reason(mine: Tried, task: str, answer: str, settings: Mapping[str, Any]) -> str:
    """Return why a question goes, or why nothing is known of it; nothing where it is neither too hard nor too easy."""
    if mine.unmarked:
        return mine.unmarked
    if task in OPEN_TASKS and not mine.verdicts & {"correct", "wrong"}:  # all were cut, which is asked before the gold
        return "no_gold" if is_without_gold(task, answer) else "no_rule"
    if mine.right > settings["most"]:
        return "too_easy"
    if mine.right + mine.failed < settings["fewest"]:
        return "too_hard"
    certain = settings["fewest"] <= mine.right and mine.right + mine.failed <= settings["most"]
    return "" if certain else UNDECIDED


def _questions(corpus: Corpus, kept: Bool[np.ndarray, " N"]) -> Iterator[dict[str, Any]]:
    """Yield the questions that are kept, sorted by id over all files, with their places."""

    def stream(groups: Sequence[Piece]) -> Iterator[pa.Table]:
        for group in groups:
            places = np.arange(group.first, group.first + group.rows)
            for table in group.tables(["id", "task", "answer"]):
                yield table.append_column("place", pa.array(places)).filter(pa.array(kept[places]))
                line.advance(table.num_rows)

    paths = dict.fromkeys(group.path for group in corpus.groups)
    with progress.bar("counting attempts", len(corpus), "questions") as line:
        for table in by_id([stream([group for group in corpus.groups if group.path == path]) for path in paths]):
            yield from table.to_pylist()


def tried(attempts: epath.Path, model: str) -> Iterator[Tried]:
    """Yield what became of each question's attempts, in the order of the ids.

    Raises:
        UserError: the attempts are of several models and ``model`` is empty.
    """
    question, only = "", model
    counts: Counter[str] = Counter()
    verdicts: set[str] = set()

    def told() -> Tried:
        samples = counts["all"] - counts[FAILED]
        unmarked = next((reason for reason in UNMARKED if counts[reason]), "")
        return Tried(question, samples, counts["right"], counts[FAILED], frozenset(verdicts), unmarked)

    for row in lake.iterate_parts(attempts / "attempts", COLUMNS):
        only = only or row["teacher"]
        if row["teacher"] != only:
            if model:
                continue
            raise UserError(_several(attempts, [only, row["teacher"]]))
        if row["question_id"] != question:
            if counts:
                yield told()
            question, counts, verdicts = row["question_id"], Counter(), set()
        counts.update(("all", row["reason"]))
        if row["reason"] != FAILED:
            verdicts.add(row["verdict"])
            counts["right"] += row["verdict"] == "correct"
    if counts:
        yield told()


def check_model(attempts: epath.Path, model: str) -> None:
    """Check before all work that attempts are of the model that is named, or of one alone; reads no other column.

    Raises:
        UserError: there are none of that model, or they are of several and none is named.
        StopAndLook: a file is damaged.
    """
    models = open_corpus(sorted((attempts / "attempts").glob("part-*.parquet"))).names("teacher")
    if model and model not in models:
        raise UserError(
            f"config.curate.difficulty.model: {attempts} holds no attempts of {model!r}{did_you_mean(model, models)}"
            f"; they are of {', '.join(models) or 'nobody'}"
        )
    if not model and len(models) > 1:
        raise UserError(_several(attempts, models))


def _several(attempts: epath.Path, models: Sequence[str]) -> str:
    return f"{attempts} holds attempts of {' and of '.join(models)}; name one in config.curate.difficulty.model"
