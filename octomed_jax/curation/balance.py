"""Balance: of classes that come far oftener than others, a sample stays, drawn by a seed.

Classes are the answers of one benchmark of one source. The paper balances its classification sets by stratified
sampling and gives no sizes; here a class may come ``ratio`` times as often as the rarest one, or ``most`` times.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool

from octomed_jax.curation.corpus import Corpus
from octomed_jax.curation.removed import Removed, removed_columns

COLUMNS = ("id", "source", "benchmark", "task", "answer")


def balance(corpus: Corpus, kept: Bool[np.ndarray, " N"], settings: Mapping[str, Any], seed: int) -> Removed:
    """Return the questions, of those that are kept, that are too many of their class.

    Which go depends on their ids and the seed only. Memory: 20 bytes a question of such a task, and the classes.
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
) -> Removed:
    """Return the last of each class by their draws."""
    places = places[np.lexsort((places, draws, numbers))]
    sizes = np.bincount(numbers, minlength=count)
    ends = np.cumsum(sizes)
    gone, details = [np.zeros(0, dtype=np.int64)], list[str]()
    for (source, benchmark), answers in classes.items():
        most = settings["most"] or int(min(sizes[number] for number in answers.values()) * settings["ratio"])
        for answer, number in answers.items() if len(answers) > 1 else ():
            surplus = places[ends[number] - sizes[number] + most : ends[number]]
            gone.append(surplus)
            told = f"{sizes[number]} of the class {answer!r} of {source} {benchmark}, {most} stay"
            details += [told] * len(surplus)
    surplus = np.concatenate(gone)
    return removed_columns(surplus, ["surplus"] * len(surplus), None, details)


def _draw(seed: int, question: str) -> int:
    return int.from_bytes(hashlib.sha256(f"balance|{seed}|{question}".encode()).digest()[:8], "big")


def _is_asked(row: Mapping[str, Any], settings: Mapping[str, Any]) -> bool:
    return row["task"] in settings["tasks"] and (not settings["sources"] or row["source"] in settings["sources"])
