"""From judged samples to the figures of ``results.json`` (docs/stages.md), and the best constant answer beside them."""

import math
import statistics as median_of
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from octomed_jax.evaluation.statistics import mean, wilson
from octomed_jax.prompts import LETTERS
from octomed_jax.schema import VERDICTS

Sample = Mapping[str, Any]


def score_samples(samples: Iterable[Sample], train_counts: Mapping[str, int]) -> dict[str, dict[str, Any]]:
    """Return the ``benchmarks`` part of results.json from rows of samples/<benchmark>.jsonl.

    Everything that is not ``correct`` counts as wrong: unreadable and truncated answers stay in the denominator. With
    several seeds a question, ``accuracy`` is the mean over samples, while the interval takes the number of questions
    as n (successes = accuracy * n): seeds of one question are not independent, so they must not narrow it. It thus
    tells how sure the figure is over questions, and is on the wide side.

    Args:
        samples: judged rows of any number of benchmarks, in any order.
        train_counts: benchmark to its number of training questions; 0 where it is not named.

    Returns:
        Benchmark to its figures, sorted by name. ``n`` counts questions; ``unparsed`` and ``truncated`` count samples;
        a mean thinking length leaves out thoughts that were cut off, and is None where there is nothing to average.

    Raises:
        ValueError: an unknown verdict, or the same (id, seed) twice.
    """
    by_benchmark: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        by_benchmark[sample["benchmark"]].append(sample)
    return {name: _score(name, by_benchmark[name], train_counts.get(name, 0)) for name in sorted(by_benchmark)}


def _score(benchmark: str, samples: Sequence[Sample], n_train: int) -> dict[str, Any]:
    seen: set[tuple[str, int]] = set()
    for sample in samples:
        if sample["verdict"] not in VERDICTS:
            raise ValueError(f"sample {sample['id']} of {benchmark} has the unknown verdict {sample['verdict']!r}")
        key = (sample["id"], sample["seed"])
        if key in seen:
            raise ValueError(f"sample {sample['id']} of {benchmark} is there twice with seed {sample['seed']}")
        seen.add(key)
    right = [sample for sample in samples if sample["verdict"] == "correct"]
    wrong = [sample for sample in samples if sample["verdict"] != "correct"]
    n = len({sample["id"] for sample in samples})
    accuracy = len(right) / len(samples)
    answer, baseline = best_constant(samples)
    return {
        "n": n,
        "accuracy": accuracy,
        "wilson": list(wilson(min(accuracy * n, n), n)),
        "baseline": baseline,
        "baseline_answer": answer,
        "unparsed": sum(sample["verdict"] == "unparsed" for sample in samples),
        "truncated": sum(sample["verdict"] == "truncated" for sample in samples),
        "thinking_tokens_mean": _thinking(samples),
        "thinking_tokens_right": _thinking(right),
        "thinking_tokens_wrong": _thinking(wrong),
        "task": samples[0]["task"],
        "n_train": n_train,
    }


def _thinking(samples: Sequence[Sample]) -> float | None:
    """Return the mean length of the finished thoughts; one that was cut off has no length (None)."""
    return mean(sample["thinking_tokens"] for sample in samples if sample["thinking_tokens"] is not None)


def best_constant(samples: Iterable[Sample]) -> tuple[str, float]:
    """Return the one answer that would score best on these questions, and its accuracy.

    Multiple choice: the most frequent gold letter, since a constant answer is a letter. Numbers: the median, judged by
    each question's own limits (exactly where it has none); where all gold values are whole, the better of median and
    mode. Anything else: the most frequent gold text, an alias counting as the text it stands for.

    Args:
        samples: rows of one benchmark; several seeds of a question count once.

    Raises:
        ValueError: no samples, several tasks at once, a gold option that is not among the options, or a gold number
            that is none.
    """
    questions = {sample["id"]: sample for sample in samples}
    if not questions:
        raise ValueError("no samples, so there is no best constant answer")
    rows = [questions[name] for name in sorted(questions)]
    tasks = sorted({row["task"] for row in rows})
    if len(tasks) > 1:
        raise ValueError(f"samples of several tasks ({', '.join(tasks)}) have no best constant answer together")
    if tasks == ["mcq"]:
        return _best_count(Counter(_gold_letter(row) for row in rows), len(rows))
    if tasks == ["numeric"]:
        return _best_number(rows)
    return _best_text(rows)


def _best_count(counts: Counter[str], n: int) -> tuple[str, float]:
    answer = min(counts, key=lambda name: (-counts[name], name))
    return answer, counts[answer] / n


def _gold_letter(row: Sample) -> str:
    options = list(row["options"] or ())
    if row["answer"] not in options:
        raise ValueError(f"question {row['id']}: its answer {row['answer']!r} is not among its options")
    return LETTERS[options.index(row["answer"])]


def _best_text(rows: Sequence[Sample]) -> tuple[str, float]:
    counts: Counter[str] = Counter()
    spelling: dict[str, str] = {}
    for row in rows:
        spelling.setdefault(_normal(row["answer"]), row["answer"])
        counts.update({_normal(text) for text in (row["answer"], *(row["aliases"] or ()))})
    # An alias may fit more questions than any gold; on a tie the gold spelling is the one to show.
    best = min(counts, key=lambda name: (-counts[name], name not in spelling, name))
    return spelling.get(best, best), counts[best] / len(rows)


def _normal(text: str) -> str:
    """Return a text with case and spacing evened out; the labels of ``a; b`` in sorted order."""
    return ";".join(sorted(" ".join(part.casefold().split()) for part in text.split(";")))


def _best_number(rows: Sequence[Sample]) -> tuple[str, float]:
    gold = [_gold_number(row) for row in rows]
    if all(value.is_integer() for value in gold):
        candidates = [float(median_of.median_low(gold)), min(median_of.multimode(gold))]
    else:
        candidates = [float(median_of.median(gold))]
    scores = [sum(_fits(value, row, own) for row, own in zip(rows, gold, strict=True)) for value in candidates]
    best = scores.index(max(scores))
    return f"{candidates[best]:g}", scores[best] / len(rows)


def _gold_number(row: Sample) -> float:
    try:
        value = float(row["answer"])
    except ValueError as error:
        raise ValueError(f"question {row['id']}: its answer {row['answer']!r} is not a number") from error
    if not math.isfinite(value):
        raise ValueError(f"question {row['id']}: its answer {row['answer']!r} is not a finite number")
    return value


def _fits(value: float, row: Sample, gold: float) -> bool:
    low, high = row.get("lower_limit"), row.get("upper_limit")
    if low is None and high is None:
        return math.isclose(value, gold, rel_tol=1e-9, abs_tol=1e-12)
    return (low is None or value >= low) and (high is None or value <= high)
