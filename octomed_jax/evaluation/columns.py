"""What is kept of the samples of one benchmark: numbers in columns, some 40 bytes a sample, and no text."""

from array import array
from collections import Counter
from collections.abc import Collection
from fractions import Fraction
from typing import Any

import numpy as np

from octomed_jax.evaluation.constant import BestConstant
from octomed_jax.evaluation.resampling import cluster_table, draw_means, interval
from octomed_jax.evaluation.statistics import summary, wilson
from octomed_jax.evaluation.voting import Votes, at_each
from octomed_jax.schema import OPEN_TASKS, VERDICTS

FAILED = len(VERDICTS)
CODES = {**{verdict: code for code, verdict in enumerate(VERDICTS)}, "failed": FAILED}
CORRECT, WRONG = CODES["correct"], CODES["wrong"]
NO_LENGTH = -1  # of a thought that was cut off
_SEEDS_IN_MASK = 256


class Columns:
    """The samples of one benchmark.

    Attributes:
        constant: the best constant answer, to which questions are added.
        units: what thoughts are measured in.
        changed: how many rows carried another verdict than they have now; None where none carried one.
    """

    def __init__(self, benchmark: str):
        self._benchmark = benchmark
        self.constant = BestConstant()
        self.units: set[str] = set()
        self.changed: int | None = None
        self._ids: dict[str, int] = {}
        self._names: dict[tuple[bool, str], int] = {}
        self._clusters, self._keys, self._first = array("q"), array("q"), array("q")
        self._masks: list[int] = []  # of seeds below _SEEDS_IN_MASK; one int a question
        self._others: set[tuple[int, int]] = set()  # (question, seed) of the rest
        self._question, self._verdict = array("q"), array("b")
        self._votes, self._thinking = array("q"), array("q")

    def find(self, name: str) -> int | None:
        """Return the number of a question; None where none of its samples came before."""
        return self._ids.get(name)

    def open(self, name: str, cluster: str, key: int, where: int) -> int:
        """Begin a question; return its number.

        Args:
            name: its id.
            cluster: empty: it is one of its own.
            key: a hash of everything that must be the same in all of its rows.
            where: a number for its first row.
        """
        number = self._ids[name] = len(self._ids)
        own = (bool(cluster), cluster or name)
        self._clusters.append(self._names.setdefault(own, len(self._names)))
        self._keys.append(key)
        self._first.append(where)
        self._masks.append(0)
        return number

    def same(self, question: int, key: int) -> bool:
        """Say whether a row is of the question that it says."""
        return self._keys[question] == key

    def first_row(self, question: int) -> int:
        """Return what ``open`` was given as the place of a question's first row."""
        return self._first[question]

    def add(self, question: int, seed: int, code: int, vote: int, thinking: int) -> bool:
        """Add a sample; return False, and add nothing, if the question has one of that seed.

        Args:
            question: its number.
            seed: of the sample.
            code: one of CODES.
            vote: a hash of the answer that was read; of correct and wrong ones only.
            thinking: length of the thought, or NO_LENGTH.
        """
        if 0 <= seed < _SEEDS_IN_MASK:
            mask = self._masks[question]
            if mask >> seed & 1:
                return False
            self._masks[question] = mask | 1 << seed
        else:
            if (question, seed) in self._others:
                return False
            self._others.add((question, seed))
        self._question.append(question)
        self._verdict.append(code)
        self._votes.append(vote)
        self._thinking.append(thinking)
        return True

    @property
    def samples(self) -> int:
        """How many samples there are, failed ones too."""
        return len(self._question)

    @property
    def names(self) -> Collection[str]:
        """The ids of the questions."""
        return self._ids.keys()

    def key(self, question: int) -> int:
        """Return what ``open`` was given as the hash of a question."""
        return self._keys[question]

    def cluster(self, question: int) -> int:
        """Return the number of a question's cluster."""
        return self._clusters[question]

    def seeds(self) -> list[list[int]]:
        """Return of each question the seeds of its samples, sorted; of failed ones too."""
        found = [[seed for seed in range(mask.bit_length()) if mask >> seed & 1] for mask in self._masks]
        for question, seed in sorted(self._others):
            found[question].append(seed)
        return [sorted(seeds) for seeds in found]

    def counts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return of each question how many samples there are, how many of them with an answer, and how many right."""
        question, verdict = np.array(self._question, np.int64), np.array(self._verdict)
        chosen = (question, question[verdict != FAILED], question[verdict == CORRECT])
        held, asked, right = (np.bincount(one, minlength=len(self._ids)) for one in chosen)
        return held, asked, right

    def figures(self, n_train: int) -> dict[str, Any]:
        """Return the benchmark's entry in results.json."""
        question, verdict = np.array(self._question), np.array(self._verdict)
        failed = verdict == FAILED
        asked = np.bincount(question[~failed], minlength=len(self._ids))
        right = np.bincount(question[verdict == CORRECT], minlength=len(self._ids))
        there = asked > 0
        ruled = not set(self.constant.tasks) & set(OPEN_TASKS)
        answer, baseline = self.constant.best() if len(self.constant.tasks) == 1 and ruled else (None, None)
        return {
            "n": int(there.sum()),
            "samples": int(asked.sum()),
            **self._intervals(right[there], asked[there], np.array(self._clusters)[there], ruled),
            "baseline": baseline,
            "baseline_answer": answer,
            **self._subsets(asked, ruled),
            "unparsed": int((verdict == CODES["unparsed"]).sum()),
            "truncated": int((verdict == CODES["truncated"]).sum()),
            "failed": int(failed.sum()),
            "only_failed": [name for name, number in self._ids.items() if not there[number]],
            **self._lengths(verdict),
            "task": ", ".join(sorted(self.constant.tasks)),
            "n_train": n_train,
            **({} if self.changed is None else {"verdicts_changed": self.changed}),
        }

    def _intervals(self, right: np.ndarray, asked: np.ndarray, clusters: np.ndarray, ruled: bool) -> dict[str, Any]:
        n = len(asked)
        if not n or not ruled:
            return {"accuracy": None, "wilson": None, "bootstrap": None, "clusters": []}
        exact = sum(Fraction(int(right[asked == size].sum()), int(size)) for size in np.unique(asked)) / n
        table = cluster_table(right / asked, clusters)
        return {
            "accuracy": float(exact),
            "wilson": list(wilson(float(exact * n), n)),
            "bootstrap": list(interval(draw_means(table, self._benchmark), [table])),
            "clusters": table,
        }

    def _subsets(self, asked: np.ndarray, ruled: bool) -> dict[str, Any]:
        passed, voted = at_each(self._tally(asked)) if ruled else ({}, {})
        return {"pass_at": passed, "maj_at": voted}

    def _tally(self, asked: np.ndarray) -> "Counter[Votes]":
        """Count the questions by how their samples agree."""
        question, verdict, votes = np.array(self._question), np.array(self._verdict), np.array(self._votes)
        wrong = verdict == WRONG
        groups: list[list[int]] = [[] for _ in self._ids]
        rights: list[list[int]] = [[] for _ in self._ids]
        for chosen, into in ((wrong, groups), (verdict == CORRECT, rights)):
            pairs = np.stack([question[chosen], votes[chosen]], axis=1)
            pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
            starts = np.flatnonzero(np.any(np.diff(pairs, axis=0, prepend=pairs[:1] - 1) != 0, axis=1))
            sizes = np.diff(np.append(starts, len(pairs)))
            for number, size in zip(pairs[starts, 0].tolist(), sizes.tolist(), strict=True):
                into[number].append(size)
        tally: Counter[Votes] = Counter()
        for number, size in enumerate(asked.tolist()):
            if size:
                tally[size, tuple(sorted(rights[number])), tuple(sorted(groups[number]))] += 1
        return tally

    def _lengths(self, verdict: np.ndarray) -> dict[str, Any]:
        thinking = np.array(self._thinking)
        if len(self.units) > 1:  # words and tokens do not add up
            thinking = np.full_like(thinking, NO_LENGTH)
        kinds = {
            "all": verdict != FAILED,
            "right": verdict == CORRECT,
            "wrong": (verdict != CORRECT) & (verdict != FAILED),
        }
        lengths = {kind: _length(thinking[chosen & (thinking != NO_LENGTH)]) for kind, chosen in kinds.items()}
        means = {"mean" if kind == "all" else kind: found and found["mean"] for kind, found in lengths.items()}
        return {
            **{f"thinking_tokens_{kind}": value for kind, value in means.items()},
            "thinking_tokens": {"unit": " and ".join(sorted(self.units)) or None, **lengths},
        }


def _length(values: np.ndarray) -> dict[str, Any] | None:
    """Return number, mean, quantiles and maximum of lengths."""
    found, counts = np.unique(values, return_counts=True)
    return summary(dict(zip(found.tolist(), counts.tolist(), strict=True)))
