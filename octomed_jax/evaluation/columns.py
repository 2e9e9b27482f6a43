"""What is kept of the samples of one benchmark: numbers in columns, some 50 bytes a sample, and no text."""

from array import array
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np

from octomed_jax.errors import UserError
from octomed_jax.evaluation.calibration import SampleTable
from octomed_jax.evaluation.constant import BestConstant
from octomed_jax.evaluation.overlaps import Overlaps, kind_of
from octomed_jax.evaluation.resampling import cluster_table, draw_means, interval
from octomed_jax.evaluation.statistics import mean_rate, summary, wilson
from octomed_jax.evaluation.text_overlap import SIMPLE, Tokens
from octomed_jax.evaluation.voting import TIES, Votes, at_each, maj_at
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
        overlaps: what is scored by its texts; None where no question is.
    """

    def __init__(self, benchmark: str, tokens: Tokens = SIMPLE):
        self._benchmark, self._tokens = benchmark, tokens
        self.overlaps: Overlaps | None = None
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
        self._seeds, self._partial = array("q"), array("q")

    def find(self, name: str) -> int | None:
        """Return the number of a question; None where none of its samples came before."""
        return self._ids.get(name)

    def open(self, name: str, cluster: str, key: int, where: int, task: str = "") -> int:
        """Begin a question; return its number.

        Args:
            name: its id.
            cluster: empty: it is one of its own.
            key: a hash of everything that must be the same in all of its rows.
            where: a number for its first row.
            task: of the question.
        """
        number = self._ids[name] = len(self._ids)
        if kind := kind_of(self._benchmark, task):
            self.overlaps = self.overlaps or Overlaps(self._benchmark, self._tokens)
            self.overlaps.kinds[number] = kind
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

    def add(self, question: int, seed: int, code: int, vote: int, thinking: int, partial: int = NO_LENGTH) -> bool:
        """Add a sample; return False, and add nothing, if the question has one of that seed.

        Args:
            question: its number.
            seed: of the sample.
            code: one of CODES.
            vote: a hash of the answer that was read; of correct and wrong ones only.
            thinking: length of the thought, or NO_LENGTH.
            partial: tokens of a response that was cut off, where they are known.
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
        self._seeds.append(seed)
        self._partial.append(partial)
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

    def figures(self, n_train: int | None, votes: int = 0, seen: Mapping[str, bool] | None = None) -> dict[str, Any]:
        """Return the benchmark's entry in results.json.

        Args:
            n_train: its number of questions to learn from; None: not known.
            votes: of how many samples a majority is taken; 0: of none.
            seen: id of a question to whether it was seen in training; None: nobody looked.

        Raises:
            UserError: a question is not in ``seen``.
        """
        question, verdict = np.array(self._question), np.array(self._verdict)
        failed = verdict == FAILED
        asked = np.bincount(question[~failed], minlength=len(self._ids))
        right = np.bincount(question[verdict == CORRECT], minlength=len(self._ids))
        there = asked > 0
        ruled = self._ruled
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
            **({"vote": self._vote(asked, votes)} if votes and ruled else {}),
            **(
                self.overlaps.figures(right / np.maximum(asked, 1), asked, np.array(self._clusters))
                if self.overlaps
                else {}
            ),
            **({} if seen is None else {"seen": self._seen(seen, right, asked)}),
            **({} if self.changed is None else {"verdicts_changed": self.changed}),
        }

    @property
    def _ruled(self) -> bool:
        """Whether there is a rule of right and wrong for all questions."""
        return not set(self.constant.tasks) & set(OPEN_TASKS)

    def table(self) -> SampleTable | None:
        """Return the samples as calibration takes them, failed ones left out; None where there is nothing to compare.

        That is so for tasks without a rule of right and wrong, and without an answer.
        """
        verdict = np.array(self._verdict)
        kept = np.flatnonzero(verdict != FAILED)
        if not len(kept) or not self._ruled:
            return None
        names = list(self._ids)
        place_of = np.empty(len(names), int)
        place_of[sorted(range(len(names)), key=names.__getitem__)] = np.arange(len(names))
        place, seeds = place_of[np.array(self._question)[kept]], np.array(self._seeds)[kept]
        order = np.lexsort((seeds, place))
        kept, numbers = kept[order], np.array(self._question)[kept[order]]
        _, first, question = np.unique(place[order], return_index=True, return_inverse=True)
        length = np.array(self._thinking)[kept].astype(float)
        length[length == NO_LENGTH] = np.nan
        if len(self.units) > 1:
            length[:] = np.nan
        cut = verdict[kept] == CODES["truncated"]
        partial = np.array(self._partial)[kept].astype(float)
        partial[partial == NO_LENGTH] = np.nan
        groups: dict[int, int] = {}
        clusters = np.array(self._clusters)[numbers[first]].tolist()
        return SampleTable(
            question=question,
            order=np.arange(len(kept)) - first[question],
            right=(verdict[kept] == CORRECT).astype(float),
            length=length,
            least=np.where(np.isnan(length) & cut, partial, length),
            cluster=np.array([groups.setdefault(one, len(groups)) for one in clusters]),
            cut_off=int(cut.sum()),
            without_thought=int((np.isnan(length) & ~cut).sum()),
        )

    def _vote(self, asked: np.ndarray, votes: int) -> dict[str, Any]:
        """Return the accuracy of a majority of so many samples, over the questions that have as many."""
        found = {number: own for number, own in self._each(asked) if own[0] >= votes}
        told = {"of": votes, "ties": TIES, "n": len(found), "left_out": int((asked > 0).sum()) - len(found)}
        if not found:
            return told | {"accuracy": None, "bootstrap": None, "clusters": []}
        rates = np.array([float(maj_at(own, votes)) for own in found.values()])
        table = cluster_table(rates, np.array(self._clusters)[list(found)])
        ends = interval(draw_means(table, f"{self._benchmark} vote"), [table])
        exact = sum(maj_at(own, votes) * count for own, count in Counter(found.values()).items()) / len(found)
        return told | {"accuracy": float(exact), "bootstrap": list(ends), "clusters": table}

    def _seen(self, seen: Mapping[str, bool], right: np.ndarray, asked: np.ndarray) -> dict[str, Any]:
        """Return how many questions were seen in training, and the accuracies on these and on the others."""
        unknown = next((name for name in self._ids if name not in seen), None)
        if unknown is not None:
            raise UserError(
                f"question {unknown} of {self._benchmark} is not among those that were looked up; run `octomed eval "
                "seen` on the questions that were measured on"
            )
        known = np.array([seen[name] for name in self._ids])
        there = asked > 0
        told: dict[str, Any] = {"n": int(there.sum()), "seen": int((known & there).sum())}
        for name, chosen in (("accuracy_seen", known & there), ("accuracy_unseen", ~known & there)):
            rates = right[chosen] / asked[chosen]
            told[name] = float(rates.mean()) if len(rates) and self._ruled else None
        return told

    def _intervals(self, right: np.ndarray, asked: np.ndarray, clusters: np.ndarray, ruled: bool) -> dict[str, Any]:
        n = len(asked)
        if not n or not ruled:
            return {"accuracy": None, "wilson": None, "bootstrap": None, "clusters": []}
        exact = mean_rate(right, asked)
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
        return Counter(votes for _, votes in self._each(asked))

    def _each(self, asked: np.ndarray) -> Iterator[tuple[int, Votes]]:
        """Yield the number of each question with an answer, and how its samples agree."""
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
        for number, size in enumerate(asked.tolist()):
            if size:
                yield number, (size, tuple(sorted(rights[number])), tuple(sorted(groups[number])))

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
