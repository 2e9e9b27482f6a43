"""Balance: of classes that come far oftener than others, a sample stays, drawn by a seed.

Classes are the answers of one benchmark of one source. The paper balances its classification sets by stratified
sampling and gives no sizes; here a class may come ``ratio`` times as often as the rarest one, or ``most`` times.
"""

import hashlib
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np
from jaxtyping import Bool

from octomed_jax.curation.corpus import Corpus
from octomed_jax.curation.removed import Removed, removed_columns

COLUMNS = ("id", "source", "benchmark", "task", "answer")
SHOWN_ANSWER = 80  # characters of a class in what is told


def balance(
    corpus: Corpus, kept: Bool[np.ndarray, " N"], settings: Mapping[str, Any], seed: int
) -> tuple[Removed, list[dict[str, Any]]]:
    """Return the questions, of those that are kept, that are too many of their class, and what limited whom.

    Which go depends on their ids and the seed only. Memory: 20 bytes a question of such a task, and the classes.

    Returns:
        those questions; and for each benchmark of a source that loses some for its rarest class the name and size of
        that class, how many of a class stay at most, how many questions go, and how many there were.
    """
    classes: dict[tuple[str, str], dict[str, int]] = {}  # of a source's benchmark: answer to a number
    count = 0
    found = [(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.uint64))]
    for first, table in corpus.tables(COLUMNS, "counting classes"):
        places, numbers, draws = [], [], []
        for place, row in enumerate(table.to_pylist(), first):
            if kept[place] and _is_asked(row, settings):
                answers = classes.setdefault((row["source"], row["benchmark"]), {})
                number = answers.setdefault(row["answer"], count)
                count += number == count
                places.append(place)
                numbers.append(number)
                draws.append(_draw(seed, row["id"]))
        found.append((np.array(places, np.int64), np.array(numbers, np.int32), np.array(draws, np.uint64)))
    return _surplus(classes, count, settings, *(np.concatenate(column) for column in zip(*found, strict=True)))


def _surplus(
    classes: Mapping[tuple[str, str], Mapping[str, int]],
    count: int,
    settings: Mapping[str, Any],
    places: np.ndarray,
    numbers: np.ndarray,
    draws: np.ndarray,
) -> tuple[Removed, list[dict[str, Any]]]:
    """Return the last of each class by their draws, and what limited each benchmark that loses some."""
    places = places[np.lexsort((places, draws, numbers))]
    sizes = np.bincount(numbers, minlength=count)
    ends = np.cumsum(sizes)
    gone, details, limits = [np.zeros(0, dtype=np.int64)], list[str](), list[dict[str, Any]]()
    for (source, benchmark), answers in sorted(classes.items()):
        size, rarest = min((int(sizes[number]), answer) for answer, number in answers.items())
        most = settings["most"] or most_of(size, settings["ratio"])
        before = len(details)
        for answer, number in answers.items() if len(answers) > 1 else ():
            surplus = places[ends[number] - sizes[number] + most : ends[number]]
            gone.append(surplus)
            told = f"{sizes[number]} of the class {answer!r} of {source} {benchmark}, {most} stay"
            details += [told] * len(surplus)
        if len(details) > before and not settings["most"]:
            limits.append(
                {
                    "source": source,
                    "benchmark": benchmark,
                    "class": rarest[:SHOWN_ANSWER],
                    "size": size,
                    "most": most,
                    "removed": len(details) - before,
                    "before": int(sum(sizes[number] for number in answers.values())),
                }
            )
    surplus = np.concatenate(gone)
    return removed_columns(surplus, ["surplus"] * len(surplus), None, details), limits


def most_of(rarest: int, ratio: float) -> int:
    """Return how many questions a class keeps; exactly, as the ratio is written: 1.15 of 100 are 115, not 114."""
    return int(rarest * Fraction(str(ratio)))


def limited(limit: Mapping[str, Any]) -> str:
    """Say which class limited a benchmark."""
    return (
        f"{limit['removed']:,} of {limit['before']:,} questions of {limit['source']} {limit['benchmark']} go, for its "
        f"rarest class {limit['class']!r} has {limit['size']:,}"
    )


def _draw(seed: int, question: str) -> int:
    return int.from_bytes(hashlib.sha256(f"balance|{seed}|{question}".encode()).digest()[:8], "big")


def _is_asked(row: Mapping[str, Any], settings: Mapping[str, Any]) -> bool:
    return row["task"] in settings["tasks"] and (not settings["sources"] or row["source"] in settings["sources"])
