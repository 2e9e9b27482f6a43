"""A judge model in curation: rates how difficult questions are, and names what they show where no rule does.

The paper's judge, GPT-4.1-mini, rates each pair of question and answer from 1 to 10, and pairs of 3 to 6 stay (Figure
4); it also filled in missing modalities and regions. Whether it was shown the images the paper does not say. Here it
is, at the paper's size: without them it would rate the words, and no rule found the modality in those.

Every reply is kept in a file, by the hash of judge and question: a stage that was killed, or is run again with other
settings, asks only for what is missing.
"""

import contextlib
import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64

from octomed_jax import progress
from octomed_jax.curation.corpus import Corpus
from octomed_jax.curation.judge_checks import WHERE, asker_of, check_access, missing_fields
from octomed_jax.curation.judge_prompts import (
    METADATA_VERSION,
    RATING_VERSION,
    UNKNOWN,
    cut_in_metadata,
    cut_in_rating,
    end_of,
    judge_name,
    metadata_text,
    rating_text,
    read_metadata,
    read_rating,
)
from octomed_jax.curation.metadata import FIELDS, Filled, values
from octomed_jax.curation.removed import Removed, joined, removed_columns, unreadable
from octomed_jax.errors import StopAndLook, UserError
from octomed_jax.schema import QUESTION_SCHEMA, Question, question_from_row
from octomed_jax.storage import fingerprint, locked
from octomed_jax.teacher.requests import data_url, messages_with, prepare_image
from octomed_jax.verification.replies import AT_ONCE, Ask, Messages, Replies

MAX_PIXELS = 262144  # of an image that is sent; larger ones are shrunk
MOST_FAILED = 0.01  # share of the questions whose requests may fail for good before the step stops
TEXT_COLUMNS = [name for name in QUESTION_SCHEMA.names if name not in ("image", "explanation")]


class JudgeFailed(StopAndLook):
    """Too many requests failed for good; what was worked out before has nothing to do with that, and stays."""

    keeps_work = True


class Judge:
    """Hears what a model says of questions; counts what was asked, from memory, cut, and failed.

    Attributes:
        unreadable: place to what is wrong, of questions that cannot be asked about for one of their images.
    """

    def __init__(self, ask: Ask, name: str, memory: Path, failures: Mapping[str, int]):
        """Begin.

        Args:
            ask: sends messages to the model.
            name: of the model, with the version of what it is asked.
            memory: file of replies.
            failures: reason to how many requests failed for good, kept up by ``ask``.
        """
        self._replies = Replies(ask, name, memory, held=end_of)
        self._name, self._failures = name, failures
        self.counts: Counter[str] = Counter()
        self.unreadable: dict[int, str] = {}

    def hear(
        self,
        corpus: Corpus,
        places: Int64[np.ndarray, " M"],
        text_of: Callable[[int, Question], str],
        is_cut: Callable[[Question], bool],
    ) -> Iterator[tuple[int, str | None]]:
        """Yield each place with the end of the judge's reply, None where there is none; in any order.

        Args:
            corpus: the questions.
            places: of those to ask about, sorted.
            text_of: what is asked of the question, without its images, at a place.
            is_cut: whether that is less than the whole question.

        Raises:
            JudgeFailed: too many requests failed for good.
        """
        waiting: dict[int, tuple[str, str]] = {}
        with progress.bar("asking the judge", len(places), "questions") as line:
            for place, question in _questions(corpus, places):
                text = text_of(place, question)
                self.counts["cut"] += is_cut(question)
                key = self._key(text, question.image_hashes)
                if key in self._replies:
                    self.counts["from memory"] += 1
                    yield place, self._replies.get(key)
                    line.advance()
                    continue
                waiting[place] = (key, text)
                if len(waiting) == AT_ONCE:
                    yield from self._ask(corpus, waiting, len(places))
                    line.advance(len(waiting))
                    waiting = {}
            yield from self._ask(corpus, waiting, len(places))
            line.advance(len(waiting))

    def _key(self, text: str, image_hashes: Sequence[str]) -> str:
        """Return the name of a request; that of its images are their hashes, so that none is read for it."""
        images = {"images": list(image_hashes), "max_pixels": MAX_PIXELS} if image_hashes else {}
        return fingerprint([self._name, messages_with(text, []), images])

    def _ask(
        self, corpus: Corpus, waiting: Mapping[int, tuple[str, str]], total: int
    ) -> Iterator[tuple[int, str | None]]:
        self._replies.ask_for(dict(self._requests(corpus, waiting)))
        for place, (key, _) in waiting.items():
            self.counts["asked"] += place not in self.unreadable
            self.counts["failed"] += place not in self.unreadable and key not in self._replies
        if self.counts["failed"] > MOST_FAILED * total:
            reason = max(self._failures, key=self._failures.__getitem__, default="no reply")
            raise JudgeFailed(
                f"the judge's requests about {self.counts['failed']} of {total} questions failed for good, most with: "
                f"{reason}; mend that or {WHERE} and run the same command again (what came back is kept)"
            )
        for place, (key, _) in waiting.items():
            yield place, self._replies.get(key)

    def _requests(self, corpus: Corpus, waiting: Mapping[int, tuple[str, str]]) -> Iterator[tuple[str, Messages]]:
        """Yield the keys of some requests with their messages, images and all; note those that cannot be made."""
        rows = corpus.read(np.array(list(waiting), dtype=np.int64), ["id", "image"]).to_pylist()
        for (place, (key, text)), row in zip(waiting.items(), rows, strict=True):
            try:
                images = [prepare_image(image["bytes"], MAX_PIXELS, row["id"]) for image in row["image"] or ()]
            except UserError as error:
                self.unreadable[place] = str(error)
                continue
            yield key, messages_with(text, [data_url(data) for data in images])

    def lost(self) -> Removed:
        """Return the questions that cannot be asked about for one of their images."""
        return unreadable(list(self.unreadable), list(self.unreadable.values()))


@contextlib.contextmanager
def open_judge(settings: Mapping[str, Any], version: str, memory: Path) -> Iterator[Judge]:
    """Yield the judge of ``config.curate.judge``, which no other process may ask by the same memory meanwhile.

    Raises:
        UserError: the endpoint is none, or the variable with its key is not set.
        TryAgain: the endpoint does not answer, or another process is at work with that memory.
    """
    with asker_of(settings) as asker, locked(memory):
        yield Judge(asker.ask, judge_name(settings, version), memory, asker.failures)


def rate(
    corpus: Corpus, kept: Bool[np.ndarray, " N"], settings: Mapping[str, Any], judge: Mapping[str, Any], memory: Path
) -> tuple[Removed, dict[str, Any]]:
    """Return the questions, of those that are kept, that a judge finds too easy or too difficult, and what it said.

    A question whose reply is no rating stays, and is counted as unrated: a step takes out what it has a reason for,
    and a question that makes a judge talk past it, such as one that holds an instruction, is not thereby too hard.

    Args:
        corpus: the questions.
        kept: which of them are still there.
        settings: ``lowest`` and ``highest`` rating of those that stay.
        judge: ``config.curate.judge``.
        memory: file of replies.

    Raises:
        UserError: a question may not be sent to the judge; nothing was.
        TryAgain: the judge does not answer.
        JudgeFailed: too many requests failed for good.
    """
    places = np.flatnonzero(kept)
    check_access(corpus, places, judge["approved_access"])
    ratings = np.zeros(len(corpus), dtype=np.uint8)
    with open_judge(judge, RATING_VERSION, memory) as opened:
        for place, reply in opened.hear(corpus, places, lambda _, question: rating_text(question), cut_in_rating):
            ratings[place] = read_rating(reply or "")
    given = np.bincount(ratings[places], minlength=11).tolist()
    failed = opened.counts["failed"]
    told = {
        **_told(judge_name(judge, RATING_VERSION), len(places), opened),
        "unrated": given[0] - failed - len(opened.unreadable),
        "cut": opened.counts["cut"],
        "ratings": {str(rating): count for rating, count in enumerate(given) if rating},
    }
    easy = kept & (ratings > 0) & (ratings < settings["lowest"])
    hard = kept & (ratings > settings["highest"])
    gone = np.flatnonzero(easy | hard)
    reasons = ["rated_easy" if easy[place] else "rated_hard" for place in gone]
    details = [f"rated {ratings[place]} of 10" for place in gone]
    return joined(opened.lost(), removed_columns(gone, reasons, None, details)), told


def name_metadata(
    corpus: Corpus, kept: Bool[np.ndarray, " N"], filled: Filled, judge: Mapping[str, Any], memory: Path
) -> tuple[Filled, dict[str, Any], Removed]:
    """Return what is filled in, with what a judge says where neither a source nor a rule does, and what it said.

    And the questions that cannot be asked about, for one of their images cannot be read.

    Args:
        corpus: the questions.
        kept: which of them are still there; nothing is asked about the others.
        filled: by rule.
        judge: ``config.curate.judge``.
        memory: file of replies.

    Raises:
        UserError: a question may not be sent to the judge; nothing was.
        TryAgain: the judge does not answer.
        JudgeFailed: too many requests failed for good.
    """
    missing = {field: kept & one for field, one in missing_fields(corpus, filled).items()}
    places = np.flatnonzero(np.logical_or.reduce([missing[field] for field in FIELDS]))
    check_access(corpus, places, judge["approved_access"])

    def fields(place: int) -> list[str]:
        return [field for field in FIELDS if missing[field][place]]

    codes = {field: filled.codes[field].copy() for field in FIELDS}
    counts: Counter[str] = Counter()
    with open_judge(judge, METADATA_VERSION, memory) as opened:
        texts = lambda place, one: metadata_text(one, fields(place))  # noqa: E731
        for place, reply in opened.hear(corpus, places, texts, cut_in_metadata):
            found = read_metadata(reply or "", fields(place))
            counts["unread"] += found is None and reply is not None
            for field, value in (found or {}).items():
                counts[f"{field} unknown"] += value == UNKNOWN
                codes[field][place] = 0 if value == UNKNOWN else values(field).index(value) + 1
    for field in FIELDS:
        codes[field][list(opened.unreadable)] = 0
    judged = {field: missing[field] & (codes[field] > 0) for field in FIELDS}
    name = judge_name(judge, METADATA_VERSION)
    told = {
        **_told(name, len(places), opened),
        "unread": counts["unread"],
        "cut": opened.counts["cut"],
        "unknown": {field: counts[f"{field} unknown"] for field in FIELDS},
        "filled": {field: int(judged[field].sum()) for field in FIELDS},
    }
    return dataclasses.replace(filled, codes=codes, judged=judged, judge=name), told, opened.lost()


def _told(name: str, about: int, judge: Judge) -> dict[str, Any]:
    """Say what was asked; return of it what does not depend on how often the stage was killed."""
    counts = judge.counts
    progress.say(
        f"judge {name}: {counts['asked']:,} questions asked about, {counts['from memory']:,} replies from memory, "
        f"{counts['failed']:,} failed"
    )
    return {"judge": name, "questions": about, "failed": counts["failed"]}


def _questions(corpus: Corpus, places: Int64[np.ndarray, " M"]) -> Iterator[tuple[int, Question]]:
    """Yield the questions at some places, without their images."""
    for group in corpus.groups:
        mine = places[np.searchsorted(places, group.first) : np.searchsorted(places, group.first + group.rows)]
        if len(mine):
            for place, row in zip(mine.tolist(), corpus.read(mine, TEXT_COLUMNS).to_pylist(), strict=True):
                yield place, question_from_row(row)
