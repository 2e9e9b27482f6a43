"""Self-calibration: whether a model thinks longer on what is harder for it, across benchmarks and within them.

Difficulty is empirical: 1 minus the share of samples that are right. docs/evaluation-comparison.md says how to read it.
"""

import dataclasses
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from octomed_jax.evaluation.rank_correlation import (
    RESAMPLES,
    Correlation,
    Stratum,
    correlation,
    fisher_interval,
    pooled,
    resampled,
)
from octomed_jax.evaluation.resampling import stream_of
from octomed_jax.evaluation.statistics import mean_rate

Sample = Mapping[str, Any]
DRAWN = 10_000_000  # questions that are drawn for the intervals of results.json, in about a second
FEWEST = 200  # resamples of an interval


@dataclasses.dataclass(frozen=True)
class Views:
    """One question, asked in three ways of what the data leave open.

    Attributes:
        finished: lengths of the thoughts that came to an end; the figure to quote.
        with_cut: thoughts that were cut off count too, as long as what there was of them, which is the least that they
            can have been. A thought that was cut off is wrong *because* it is long, so that this is on the high side,
            as ``finished`` is on the low.
        apart: length from every other sample of a question, difficulty from the rest. Without it a model that merely
            thinks longer in the samples that go wrong looks as if it told hard questions from easy ones. Needs two
            seeds; halves have more noise, so it is on the low side.
    """

    finished: Correlation
    with_cut: Correlation
    apart: Correlation


@dataclasses.dataclass(frozen=True)
class BenchmarkCalibration:
    """One benchmark.

    Attributes:
        n: questions with an answer.
        seeds: the most samples of a question.
        accuracy: mean over the questions of the share of samples that are right.
        mean_length: mean over the questions of their mean finished thought in tokens; None where there is none.
        cut_off: samples whose thought, or answer after it, was cut off at the limit.
        without_thought: samples that ended without a finished thought, and were not cut off.
        within: length against difficulty of its questions.
    """

    n: int
    seeds: int
    accuracy: float
    mean_length: float | None
    cut_off: int
    without_thought: int
    within: Views


@dataclasses.dataclass(frozen=True)
class SelfCalibration:
    """All benchmarks.

    Attributes:
        benchmarks: name to its figures, sorted.
        across: mean length against difficulty (1 - accuracy), a benchmark being one pair.
        within: length against difficulty of questions, with the benchmark held fixed.
    """

    benchmarks: dict[str, BenchmarkCalibration]
    across: Correlation
    within: Views


def calibrate(samples: Iterable[Sample], resamples: int = RESAMPLES) -> SelfCalibration:
    """Return how thinking length goes with difficulty. Positive: longer on what is harder.

    Requests that failed are left out. Everything else that is not correct counts as wrong.

    Args:
        samples: judged rows of samples/<benchmark>.jsonl, in any order.
        resamples: how many bootstrap samples make an interval.

    Raises:
        ValueError: a question has two samples of one seed, or a length is no number of tokens.
    """
    by_benchmark: dict[str, list[Sample]] = {}
    for sample in samples:
        if not (sample.get("error") or sample.get("finish_reason") == "error"):
            by_benchmark.setdefault(sample["benchmark"], []).append(sample)
    return calibrate_tables({name: _table(name, rows) for name, rows in by_benchmark.items()}, resamples)


def calibrate_tables(tables: Mapping[str, "SampleTable"], resamples: int = RESAMPLES) -> SelfCalibration:
    """Return what ``calibrate`` does, of benchmarks whose samples are numbers in columns already.

    Args:
        tables: by benchmark.
        resamples: how many make an interval; 0: there is no bootstrap interval.
    """
    found, strata, drawn = {}, list[Sequence[Stratum]](), list[Sequence[np.ndarray]]()
    for name in sorted(tables):
        table = tables[name]
        strata.append(_strata(table))
        if resamples:
            drawn.append([resampled(one, stream_of(name, view), resamples) for view, one in enumerate(strata[-1])])
        found[name] = _figures(table, strata[-1], drawn[-1] if resamples else None)
    timed = [one for one in found.values() if one.mean_length is not None]
    views = [
        pooled([own[view] for own in strata], [own[view] for own in drawn] if resamples else None) for view in range(3)
    ]
    lengths = [one.mean_length for one in timed if one.mean_length is not None]
    return SelfCalibration(found, across(lengths, [one.accuracy for one in timed]), Views(*views))


def resamples_for(questions: int) -> int:
    """Return how many resamples the intervals of so many questions take: fewer of many, which need fewer.

    0 of so many that they would take more than about a second, or be too few to be a guide.
    """
    resamples = min(RESAMPLES, DRAWN // max(1, questions))
    return resamples if resamples >= FEWEST else 0


def across(lengths: Sequence[float], accuracies: Sequence[float]) -> Correlation:
    """Return the rank correlation of mean length and difficulty over benchmarks; the paper's Figure 8 is such a list.

    The interval is Fisher's: so few benchmarks cannot be resampled. It takes them as a sample of benchmarks, each
    figure as exact.

    Raises:
        ValueError: the two are not of one length.
    """
    if len(lengths) != len(accuracies):
        raise ValueError(f"{len(lengths)} lengths and {len(accuracies)} accuracies are not of the same benchmarks")
    n = len(lengths)
    x, y = (np.round(np.asarray(values, dtype=float), 9) for values in (lengths, accuracies))  # equal means are ties
    stratum = Stratum(x, -y, np.arange(n))
    rho = correlation(stratum).rho
    return Correlation(rho, n, n, None, None if rho is None else fisher_interval(rho, n))


@dataclasses.dataclass(frozen=True)
class SampleTable:
    """The S samples of one benchmark, sorted by question and seed; questions are numbered in the order of their ids.

    Attributes:
        question: [S] numbers of the questions.
        order: [S] how many samples of the question stand before.
        right: [S] 1 or 0.
        length: [S] tokens of a finished thought, else NaN.
        least: [S] the same, or of a thought that was cut off what there was of it.
        cluster: [N] numbers of the questions' clusters.
        cut_off, without_thought: samples.
    """

    question: np.ndarray
    order: np.ndarray
    right: np.ndarray
    length: np.ndarray
    least: np.ndarray
    cluster: np.ndarray
    cut_off: int
    without_thought: int


def _table(benchmark: str, samples: Sequence[Sample]) -> SampleTable:
    rows = sorted(samples, key=lambda sample: (sample["id"], sample["seed"]))
    for one, other in itertools.pairwise(rows):
        if (one["id"], one["seed"]) == (other["id"], other["seed"]):
            raise ValueError(f"sample {one['id']} of {benchmark} is there twice with seed {one['seed']}")
    numbers: dict[str, int] = {}
    groups: dict[tuple[bool, str], int] = {}
    question = np.array([numbers.setdefault(row["id"], len(numbers)) for row in rows])
    _, first = np.unique(question, return_index=True)
    named = [(bool(rows[at].get("cluster")), str(rows[at].get("cluster") or rows[at]["id"])) for at in first]
    length = np.array([_tokens(benchmark, row, "thinking_tokens") for row in rows])
    cut = np.array([row["verdict"] == "truncated" for row in rows])
    partial = np.array([_tokens(benchmark, row, "completion_tokens") for row in rows])
    return SampleTable(
        question=question,
        order=np.arange(len(rows)) - first[question],
        right=np.array([float(row["verdict"] == "correct") for row in rows]),
        length=length,
        least=np.where(np.isnan(length) & cut, partial, length),
        cluster=np.array([groups.setdefault(one, len(groups)) for one in named]),
        cut_off=int(cut.sum()),
        without_thought=int((np.isnan(length) & ~cut).sum()),
    )


def _tokens(benchmark: str, row: Sample, name: str) -> float:
    value = row.get(name)
    if value is None:
        return np.nan
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < np.inf:
        raise ValueError(f"sample {row['id']} of {benchmark}: {name}={value!r} is no number of tokens")
    return float(value)


def _strata(table: SampleTable) -> tuple[Stratum, Stratum, Stratum]:
    """Return the pairs of the three views: mean length and difficulty of each question that has both."""
    everything = np.ones(len(table.question), dtype=bool)
    even = table.order % 2 == 0
    return (
        _stratum(table, table.length, everything, everything),
        _stratum(table, table.least, everything, everything),
        _stratum(table, table.length, even, ~even),
    )


def _stratum(table: SampleTable, lengths: np.ndarray, for_length: np.ndarray, for_difficulty: np.ndarray) -> Stratum:
    length = _mean_of(table, lengths, for_length & ~np.isnan(lengths))
    solved = _mean_of(table, table.right, for_difficulty)
    kept = ~np.isnan(length) & ~np.isnan(solved)
    _, cluster = np.unique(table.cluster[kept], return_inverse=True)
    return Stratum(length[kept], 1 - solved[kept], cluster)


def _mean_of(table: SampleTable, values: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """Return [N] the mean of the taken samples of each question, NaN of none; rounded, so that equal means are ties."""
    n = len(table.cluster)
    counts = np.bincount(table.question[taken], minlength=n)
    totals = np.bincount(table.question[taken], weights=values[taken], minlength=n)
    return np.where(counts > 0, np.round(totals / np.maximum(counts, 1), 9), np.nan)


def _figures(table: SampleTable, strata: Sequence[Stratum], drawn: Sequence[np.ndarray] | None) -> BenchmarkCalibration:
    lengths = strata[0].x
    right = np.bincount(table.question, weights=table.right).astype(int)
    return BenchmarkCalibration(
        n=len(table.cluster),
        seeds=int(table.order.max()) + 1,
        accuracy=float(mean_rate(right, np.bincount(table.question))),
        mean_length=float(lengths.mean()) if len(lengths) else None,
        cut_off=table.cut_off,
        without_thought=table.without_thought,
        within=Views(*map(correlation, strata, drawn or (None,) * len(strata))),
    )
