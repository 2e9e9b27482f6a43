"""What the runs of a sweep answered, question by question: scores and lengths, for what is resampled over questions."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from octomed_jax.errors import StopAndLook
from octomed_jax.evaluation.resampling import SEED, cluster_table, draw_means, interval, stream_of
from octomed_jax.evaluation.sample_rows import find_files, read_rows
from octomed_jax.evaluation.scoring import is_failed

_SAME = 1e-9
_AT_ONCE = 4_000_000  # numbers of a multinomial that are in memory together


@dataclasses.dataclass(frozen=True)
class Answers:
    """The questions of one benchmark, N of them, that have an answer.

    Attributes:
        ids: [N] of the questions, sorted.
        score: [N] share of right samples.
        tokens: [N] mean completion tokens.
        cluster: [N] name of the cluster; one of its own for a question without, and where all questions are of one
            cluster (slices of one brain): what is resampled then are questions of this one.
    """

    ids: tuple[str, ...]
    score: np.ndarray
    tokens: np.ndarray
    cluster: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Samples:
    """What one evaluation answered: ``benchmarks`` by name, and the mean completion tokens of all samples.

    ``one_cluster`` names the benchmarks whose questions are all of one cluster.
    """

    benchmarks: Mapping[str, Answers]
    completion_tokens: float | None
    one_cluster: tuple[str, ...] = ()


def read_samples(folder: Path, figures: Mapping[str, Mapping[str, Any]]) -> Samples:
    """Read the samples of an evaluation; failed requests are no answers.

    Args:
        folder: of ``octomed eval run``.
        figures: benchmark to its ``accuracy``, which the samples must bear out.

    Raises:
        StopAndLook: they do not.
    """
    rows: dict[str, dict[str, list[tuple[bool, int, str]]]] = {}
    for file in find_files([folder]):
        for _, row in read_rows(file):
            if not is_failed(row):
                cluster = row.get("cluster") or f"question {row['id']}"
                told = (row["verdict"] == "correct", int(row["completion_tokens"]), cluster)
                rows.setdefault(row["benchmark"], {}).setdefault(row["id"], []).append(told)
    found = {name: _answers(own) for name, own in sorted(rows.items())}
    for name, one in figures.items():
        there = found.get(name)
        if one["accuracy"] is not None and (
            there is None or len(there.ids) != one["n"] or abs(float(there.score.mean()) - one["accuracy"]) > _SAME
        ):
            raise StopAndLook(
                f"the samples of {name} in {folder} are not those of its results.json; remove that folder"
            )
    lengths = [tokens for own in rows.values() for told in own.values() for _, tokens, _ in told]
    single = tuple(name for name, own in sorted(rows.items()) if _is_one_cluster(own))
    return Samples(found, sum(lengths) / len(lengths) if lengths else None, single)


def _is_one_cluster(rows: Mapping[str, Sequence[tuple[bool, int, str]]]) -> bool:
    return len(rows) > 1 and len({told[0][2] for told in rows.values()}) == 1


def _answers(rows: Mapping[str, Sequence[tuple[bool, int, str]]]) -> Answers:
    ids, apart = tuple(sorted(rows)), _is_one_cluster(rows)
    return Answers(
        ids,
        np.array([sum(right for right, _, _ in rows[name]) / len(rows[name]) for name in ids]),
        np.array([sum(tokens for _, tokens, _ in rows[name]) / len(rows[name]) for name in ids]),
        tuple(name if apart else rows[name][0][2] for name in ids),
    )


@dataclasses.dataclass(frozen=True)
class Table:
    """Several evaluations' answers to the same questions of one benchmark.

    Attributes:
        scores: [R, N] of R evaluations at N questions.
        cluster: [N] numbers of the questions' clusters, from 0.
    """

    scores: np.ndarray
    cluster: np.ndarray

    @property
    def sizes(self) -> np.ndarray:
        """[C] questions of each cluster."""
        return np.bincount(self.cluster)

    @property
    def sums(self) -> np.ndarray:
        """[R, C] sums of scores by cluster."""
        return np.stack([np.bincount(self.cluster, weights=own) for own in self.scores])


def align(samples: Sequence[Samples], benchmark: str, what: str = "score") -> Table | None:
    """Return what evaluations answered at one benchmark; None unless all answered the very same questions.

    Args:
        samples: of the evaluations.
        benchmark: its name.
        what: ``score`` or ``tokens``.
    """
    found = [one.benchmarks.get(benchmark) for one in samples]
    there = [one for one in found if one is not None]
    if not there or len(there) < len(found) or any(one.ids != there[0].ids for one in there):
        return None
    if any(one.cluster != there[0].cluster for one in there):
        return None
    numbers = {name: number for number, name in enumerate(dict.fromkeys(there[0].cluster))}
    cluster = np.array([numbers[name] for name in there[0].cluster])
    return Table(np.stack([getattr(one, what) for one in there]), cluster)


def draw(tables: Mapping[str, Table], draws: int, use: str) -> np.ndarray:
    """Return [draws, R] means over benchmarks of R evaluations, each draw on one bootstrap sample of the clusters.

    All evaluations are drawn on the same questions, so that what is hard for one is hard for the others.

    Args:
        tables: benchmark to its answers.
        draws: how many.
        use: a name; draws of another are independent of these.
    """
    runs = next(iter(tables.values())).scores.shape[0]
    total = np.zeros((draws, runs))
    for name, table in tables.items():
        generator, sums, sizes = stream_of(f"{use} {name}", SEED), table.sums, table.sizes
        clusters = len(sizes)
        step = max(1, _AT_ONCE // clusters)
        for start in range(0, draws, step):
            taken = min(step, draws - start)
            chosen = generator.multinomial(clusters, np.full(clusters, 1 / clusters), size=taken)
            total[start : start + taken] += (chosen @ sums.T) / (chosen @ sizes)[:, None]
    return total / len(tables)


def interval_over_questions(tables: Mapping[str, Table]) -> tuple[float, float]:
    """Return the 95 % interval over questions of the mean over evaluations and benchmarks, clusters respected."""
    kinds = {name: cluster_table(table.scores.mean(axis=0), table.cluster) for name, table in tables.items()}
    means = np.mean([draw_means(kind, name) for name, kind in kinds.items()], axis=0)
    return interval(means, list(kinds.values()))
