"""What the answers of one benchmark share with their gold texts: the figures of legacy VQA sets, reports and labels.

Kept are numbers alone: a score and a question's number for each sample that has one.
"""

from array import array
from collections.abc import Mapping
from typing import Any

import numpy as np

from octomed_jax.evaluation.benchmarks import OPEN_AND_CLOSED, benchmark_of, is_closed
from octomed_jax.evaluation.resampling import cluster_table, draw_means, interval
from octomed_jax.evaluation.text_overlap import (
    SIMPLE,
    LabelCounts,
    Tokens,
    answer_of,
    has_rouge_words,
    labels_of,
    rouge_l,
    token_f1,
)
from octomed_jax.verification.candidates import split_response

OPEN, CLOSED, REPORT, LABELS = "open", "closed", "report", "labels"
GIVEN, FOUND = "labels", "labels_found"  # columns of a report's row: of its gold text, and of the response
_STEPS = 1000  # scores are rounded to so many for their interval, so that few kinds of clusters are drawn from


def kind_of(benchmark: str, task: str) -> str:
    """Return by what texts of a question are compared, OPEN, REPORT or LABELS; CLOSED: by right and wrong alone.

    "" where it is of none of these: neither a legacy set, nor a report, nor a list of labels.
    """
    if task == "report":
        return REPORT
    one = benchmark_of(benchmark)
    if one and one.metric == OPEN_AND_CLOSED:
        return CLOSED if is_closed(benchmark, task) else OPEN
    return LABELS if task == "multi_label" else ""


class Overlaps:
    """The scores of one benchmark's samples by their texts; requests that failed are not to be added.

    Attributes:
        kinds: number of a question to its kind.
    """

    def __init__(self, benchmark: str, tokens: Tokens = SIMPLE):
        self._benchmark, self._tokens = benchmark, tokens
        self.kinds: dict[int, str] = {}
        self._question, self._score = array("q"), array("d")
        self._labels = LabelCounts()
        self._without_gold = 0

    def add(self, question: int, row: Mapping[str, Any], response: str, extracted: str, finish_reason: str) -> None:
        """Score a sample.

        Args:
            question: its number.
            row: with ``answer`` and maybe ``aliases``; of a report maybe GIVEN and FOUND.
            response: whole.
            extracted: what the verifier read of it.
            finish_reason: of the response.

        Raises:
            ValueError: GIVEN or FOUND are no lists of names.
        """
        kind, answer = self.kinds.get(question), str(row["answer"])
        if kind == LABELS:
            self._labels.add(labels_of(answer), labels_of(extracted))
        elif kind == REPORT:
            if row.get(GIVEN) is not None and row.get(FOUND) is not None:
                self._labels.add(*(_names(row, column) for column in (GIVEN, FOUND)))
            if not has_rouge_words(answer):
                self._without_gold += 1
            else:
                self._keep(question, rouge_l(split_response(response).answer, (answer,)))
        elif kind == OPEN:
            golds = [gold for gold in (answer, *map(str, row.get("aliases") or ())) if self._tokens.of(gold)]
            if not golds:
                self._without_gold += 1
            else:
                self._keep(question, token_f1(answer_of(response, extracted, finish_reason), golds, self._tokens))

    def _keep(self, question: int, score: float) -> None:
        self._question.append(question)
        self._score.append(score)

    def figures(self, rates: np.ndarray, asked: np.ndarray, clusters: np.ndarray) -> dict[str, Any]:
        """Return the figures of the kinds that there are.

        Args:
            rates: [N] share of each question's samples that are right.
            asked: [N] their number.
            clusters: [N] numbers of the questions' clusters.
        """
        kinds, found = set(self.kinds.values()), dict[str, Any]()
        if kinds & {OPEN, CLOSED}:
            closed = np.array([place for place, kind in self.kinds.items() if kind == CLOSED and asked[place]], int)
            found["closed"] = {"n": len(closed), "accuracy": None, "bootstrap": None}
            if len(closed):
                found["closed"] |= self._mean("accuracy", rates[closed], clusters[closed])
            found["token_f1"] = {**self._scores(clusters), "tokenizer": self._tokens.name}
        if REPORT in kinds:
            found["rouge_l"] = self._scores(clusters)
        if LABELS in kinds or self._labels.n:
            found["label_f1"] = self._labels.figures()
        return found

    def _scores(self, clusters: np.ndarray) -> dict[str, Any]:
        """Return the mean of the scores over the samples of a question, and then over questions."""
        question, score = np.array(self._question), np.array(self._score)
        told = {"n": 0, "samples": len(score), "without_gold": self._without_gold, "mean": None, "bootstrap": None}
        if not len(score):
            return told
        counts = np.bincount(question, minlength=len(clusters))
        there = counts > 0
        means = np.bincount(question, weights=score, minlength=len(clusters))[there] / counts[there]
        return told | {"n": int(there.sum())} | self._mean("mean", means, clusters[there])

    def _mean(self, name: str, values: np.ndarray, clusters: np.ndarray) -> dict[str, Any]:
        table = cluster_table(np.round(values * _STEPS) / _STEPS, clusters)
        drawn = draw_means(table, f"{self._benchmark} {name}")
        return {name: float(values.mean()), "bootstrap": list(interval(drawn, [table]))}


def _names(row: Mapping[str, Any], column: str) -> frozenset[str]:
    names = row[column]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{column} is {names!r}; it is a list of names, or missing")
    return labels_of(";".join(names))
