"""From judged samples to the figures of ``results.json`` (docs/evaluation.md)."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from octomed_jax.evaluation.calibration import calibrate_tables, resamples_for
from octomed_jax.evaluation.categories import category_figures
from octomed_jax.evaluation.columns import CODES, NO_LENGTH, Columns
from octomed_jax.evaluation.constant import best_constant
from octomed_jax.evaluation.text_overlap import SIMPLE, Tokens
from octomed_jax.schema import VERDICTS
from octomed_jax.verification.text import american

__all__ = ["best_constant", "results_of", "score_samples", "scored", "vote_of"]

Sample = Mapping[str, Any]
TOKENS, WORDS = "tokens", "words"  # what a thought is measured in


def score_samples(samples: Iterable[Sample], train_counts: Mapping[str, int]) -> dict[str, dict[str, Any]]:
    """Return the ``benchmarks`` part of results.json from rows of samples/<benchmark>.jsonl.

    Everything that is not ``correct`` counts as wrong: unreadable and truncated answers stay in the denominator. A
    failed request (``error`` is not empty, or it finished with ``error``) is no answer and in no accuracy. With several
    seeds a question, ``accuracy`` is the mean over seeds, and then over questions, while Wilson's interval takes the
    number of questions as n (successes = accuracy * n): seeds of one question are not independent, so they must not
    narrow it. It thus tells how sure the figure is over questions, and is on the wide side.

    Args:
        samples: judged rows of any number of benchmarks, in any order; they are read one by one and not kept.
        train_counts: benchmark to its number of training questions; 0 where it is not named.

    Returns:
        Benchmark to its figures, sorted by name. ``n`` counts questions with an answer; ``samples``, ``unparsed``,
        ``truncated`` and ``failed`` count samples; a mean thinking length leaves out thoughts that were cut off, and is
        None where there is nothing to average. Tasks without a rule (reports) have no accuracy.

    Raises:
        ValueError: an unknown verdict, the same (id, seed) twice, or a gold answer that cannot be one.
    """
    return _figures(_columns_of(samples, SIMPLE), train_counts, 0, None)


def scored(
    samples: Iterable[Sample],
    train_counts: Mapping[str, int],
    votes: int = 0,
    tokens: Tokens = SIMPLE,
    seen: Mapping[str, bool] | None = None,
) -> dict[str, Any]:
    """Return ``results_of`` judged rows; see ``score_samples`` for them and for what is raised.

    Args:
        samples, train_counts: as there.
        votes: of how many samples of a question a majority is taken; 0: of none.
        tokens: of which token F1 is counted.
        seen: id of a question to whether it was seen in training; None: nobody looked.
    """
    return results_of(_columns_of(samples, tokens), train_counts, votes, seen)


def results_of(
    columns: Mapping[str, Columns], train_counts: Mapping[str, int] | None, votes: int, seen: Mapping[str, bool] | None
) -> dict[str, Any]:
    """Return ``benchmarks``, ``categories`` and ``calibration`` of results.json.

    Args:
        columns: benchmark to its samples.
        train_counts: to its number of training questions, 0 where it is not named; None: they are not known.
        votes, seen: as ``scored`` takes them.

    Raises:
        UserError: a question is not in ``seen``.
    """
    benchmarks = _figures(columns, train_counts, votes, seen)
    return {
        "benchmarks": benchmarks,
        "categories": category_figures(benchmarks),
        "calibration": _calibration(columns),
    }


def _figures(
    columns: Mapping[str, Columns], train_counts: Mapping[str, int] | None, votes: int, seen: Mapping[str, bool] | None
) -> dict[str, dict[str, Any]]:
    learnt = {name: None if train_counts is None else train_counts.get(name, 0) for name in sorted(columns)}
    return {name: columns[name].figures(n_train, votes, seen) for name, n_train in learnt.items()}


def _calibration(columns: Mapping[str, Columns]) -> dict[str, Any]:
    """Return how thinking length goes with difficulty (docs/evaluation-comparison.md), as plain data.

    Words and tokens are no one length: where some benchmarks are measured in words, only the others are taken.
    """
    counted = {name: one for name, one in columns.items() if one.units == {TOKENS}}
    taken = counted or {name: one for name, one in columns.items() if one.units == {WORDS}}
    tables = {name: table for name, one in taken.items() if (table := one.table())}
    resamples = resamples_for(sum(len(table.cluster) for table in tables.values()))
    return {
        "unit": (TOKENS if counted else WORDS) if tables else None,
        "resamples": resamples,
        **dataclasses.asdict(calibrate_tables(tables, resamples)),
        "left_out": sorted(columns.keys() - tables.keys()),
    }


def _columns_of(samples: Iterable[Sample], tokens: Tokens) -> dict[str, Columns]:
    columns: dict[str, Columns] = {}
    for place, sample in enumerate(samples):
        own = columns.get(sample["benchmark"])
        if own is None:
            own = columns[sample["benchmark"]] = Columns(sample["benchmark"], tokens)
        _add(own, sample, place)
    return columns


def _add(columns: Columns, sample: Sample, place: int) -> None:
    failed = is_failed(sample)
    if not failed and sample["verdict"] not in VERDICTS:
        raise ValueError(
            f"sample {sample['id']} of {sample['benchmark']} has the unknown verdict {sample['verdict']!r}"
        )
    question = columns.find(sample["id"])
    if question is None:
        question = columns.open(sample["id"], sample.get("cluster") or "", 0, place, sample["task"])
        columns.constant.add(sample)
    verdict = "failed" if failed else sample["verdict"]
    vote = hash(vote_of(sample["task"], verdict, sample.get("extracted") or ""))
    thinking = NO_LENGTH if failed or (length := sample.get("thinking_tokens")) is None else length
    if not failed:
        columns.units.add(TOKENS)
    partial = partial_length(sample) if verdict == "truncated" else NO_LENGTH
    if not columns.add(question, sample["seed"], CODES[verdict], vote, thinking, partial):
        raise ValueError(f"sample {sample['id']} of {sample['benchmark']} is there twice with seed {sample['seed']}")
    if columns.overlaps and not failed:
        read = (sample.get("response") or "", sample.get("extracted") or "", sample.get("finish_reason") or "")
        columns.overlaps.add(question, sample, *read)


def partial_length(row: Sample) -> int:
    """Return the tokens of a response that was cut off, where thoughts are counted in tokens and the row says it."""
    length = row.get("completion_tokens") if "thinking_tokens" in row else None
    return length if type(length) is int and length >= 0 else NO_LENGTH


def is_failed(row: Sample) -> bool:
    """Say whether a row is of a request that failed for good."""
    return bool(row.get("error")) or row.get("finish_reason") == "error"


def vote_of(task: str, verdict: str, extracted: str) -> str:
    """Return a name for the answer of a sample, the same for two samples whose answers are equal.

    Equal means what it means to the verifier, and where it can be, without a look at which of them is right: options
    and sets of labels are named alike whoever names them; numbers are equal if their values are, and two within the
    limits are not one answer; short answers in their one spelling. Only an alias of the gold, or the same exact number,
    makes a text the gold answer.

    Args:
        task: of the question.
        verdict: of the sample.
        extracted: what the verifier read.
    """
    if task == "numeric":
        return extracted
    if verdict == "correct":
        return ""  # the gold, whatever it is called: no answer that was read is empty
    return american(extracted) if task == "short_answer" else extracted
