"""Balance: of classes that come far oftener than others, a sample stays, drawn by a seed.

Classes are the answers of one benchmark of one source. The paper balances its classification sets by stratified sampling
and gives no sizes; here a class may come ``ratio`` times as often as the rarest one, or ``most`` times.
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

    Which go depends on their ids and the seed only. Memory: 16 bytes a question of such a task.
    """
    classes: dict[tuple[str, str], dict[str, list[int]]] = {}
    draws: dict[int, bytes] = {}
    for piece in corpus.groups:
        for table in piece.tables(COLUMNS):
            for place, row in enumerate(table.to_pylist(), piece.first):
                if kept[place] and _is_asked(row, settings):
                    stratum = classes.setdefault((row["source"], row["benchmark"]), {})
                    stratum.setdefault(row["answer"], []).append(place)
                    draws[place] = hashlib.sha256(f"balance|{seed}|{row['id']}".encode()).digest()[:8]
    places, details = [], []
    for (source, benchmark), answers in classes.items():
        least = min(map(len, answers.values()))
        most = settings["most"] or int(least * settings["ratio"])
        for answer, members in answers.items():
            surplus = sorted(members, key=draws.__getitem__)[most:] if len(answers) > 1 else []
            places += surplus
            details += [f"{len(members)} of the class {answer!r} of {source} {benchmark}, {most} stay"] * len(surplus)
    return removed_columns(places, ["surplus"] * len(places), None, details)


def _is_asked(row: Mapping[str, Any], settings: Mapping[str, Any]) -> bool:
    return row["task"] in settings["tasks"] and (not settings["sources"] or row["source"] in settings["sources"])
