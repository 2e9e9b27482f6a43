"""Reads the judged samples of two evaluations and pairs their questions."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from etils import epath

from octomed_jax.errors import UserError
from octomed_jax.evaluation.columns import Columns
from octomed_jax.evaluation.paired_settings import Settings
from octomed_jax.evaluation.sample_files import Scorer
from octomed_jax.evaluation.sample_rows import find_files, first_difference
from octomed_jax.evaluation.statistics import mean_rate
from octomed_jax.schema import OPEN_TASKS
from octomed_jax.storage import PathLike, read_json

_MOST_LATTICE = 1_000_000


@dataclasses.dataclass(frozen=True)
class Side:
    """What one side of a comparison answered.

    Attributes:
        name: the path, as the user wrote it.
        samples: the reader that read them, which holds their numbers by benchmark.
        settings: those of results.json; None of sample files, where they are not known.
        origin: identity of the folder of questions, where a manifest names one; None where none does.
        verdicts: ``as written``, or ``by verifier N`` where responses were judged here.
    """

    name: str
    samples: Scorer
    settings: Settings
    origin: str | None
    verdicts: str

    @property
    def benchmarks(self) -> dict[str, Columns]:
        """Benchmark to its samples."""
        return self.samples.columns


@dataclasses.dataclass(frozen=True)
class Pairs:
    """The questions of one benchmark that both sides answered.

    Attributes:
        ids: [N] their ids, sorted.
        a, b: [N] mean score over the seeds, 0 to 1.
        accuracy: the means of a and of b.
        cluster: [N] number of each question's cluster, from 0.
        lattice: a whole number that makes all scores whole; 0 where it would be too large.
        seeds: the most samples a question that A and that B has.
        failed: samples of A and of B whose request failed for good.
        left_out: questions of which a side has no answer, since all of its requests failed.
    """

    ids: list[str]
    a: np.ndarray
    b: np.ndarray
    accuracy: tuple[float, float]
    cluster: np.ndarray
    lattice: int
    seeds: tuple[int, int]
    failed: tuple[int, int]
    left_out: int

    @property
    def sums(self) -> np.ndarray:
        """[C] sum of B's scores minus A's, by cluster."""
        return np.bincount(self.cluster, weights=self.b - self.a)

    @property
    def sizes(self) -> np.ndarray:
        """[C] number of questions of each cluster."""
        return np.bincount(self.cluster)


def read_side(path: PathLike, judge: bool = False) -> Side:
    """Read a folder of ``octomed eval run``, or one file of samples.

    Rows that have no verdict are judged here, and so are those of a folder whose results are of ``octomed eval score``:
    that judged them again, and wrote no verdicts into them.

    Args:
        path: what to read.
        judge: all responses are judged here, whatever verdicts rows carry.

    Raises:
        UserError: nothing is there, or a row is not what docs/evaluation.md says; with file, line and field.
    """
    place = epath.Path(path)
    settings = origin = None
    if place.is_dir():
        if not (place / "samples").is_dir() or not (place / "results.json").exists():
            lacks = "results.json" if (place / "samples").is_dir() else "folder samples"
            raise UserError(f"{path} holds no {lacks}; give a folder of `octomed eval run` or a file of samples")
        settings, origin = _settings(place), _origin(place)
    files = find_files([place])
    samples = Scorer(files, believe=not (judge or _scored_again(settings)))
    for number in range(len(files)):
        samples.read(number)
    if not samples.columns:
        raise UserError(f"{path} holds no samples")
    if len(samples.judged) > 1:
        raise UserError(
            f"{path} has rows with a verdict and rows without; by --judge all are judged here, on both sides"
        )
    verdicts = "as written"
    if samples.judged == {True}:
        verdicts = f"by verifier {samples.rules.name}"
        settings = settings and {**settings, "verifier": samples.rules.name}
    return Side(str(path), samples, settings, origin, verdicts)


def _settings(folder: epath.Path) -> Settings:
    results = read_json(folder / "results.json")
    settings = results.get("settings") if isinstance(results, dict) else None
    if not isinstance(settings, dict | None):
        raise UserError(f"{folder / 'results.json'}: settings is {type(settings).__name__}, not an object")
    return settings


def _scored_again(settings: Settings) -> bool:
    return settings is not None and isinstance(settings.get("samples"), list)


def _origin(folder: epath.Path) -> str | None:
    if not (folder / "manifest.json").exists():
        return None
    manifest = read_json(folder / "manifest.json")
    inputs = manifest.get("inputs") if isinstance(manifest, dict) else None
    found = inputs.get("questions") if isinstance(inputs, dict) else None
    return found if isinstance(found, str) else None


def pair(a: Side, b: Side, allow: Sequence[str] = ()) -> dict[str, Pairs]:
    """Return the questions of both sides, by benchmark, sorted by name.

    Args:
        a, b: the sides.
        allow: ``benchmarks`` where each may have some that the other lacks, ``seeds`` where their seeds may differ.

    Raises:
        UserError: the sides did not answer the same questions; the first that differs is named.
    """
    lacking = sorted(a.benchmarks.keys() ^ b.benchmarks.keys())
    if lacking and "benchmarks" not in allow:
        has, lacks = ("A", "B") if lacking[0] in a.benchmarks else ("B", "A")
        raise UserError(
            f"benchmark {lacking[0]!r} is in {has} and not in {lacks}; --allow=benchmarks compares those that both have"
        )
    both = sorted(a.benchmarks.keys() & b.benchmarks.keys())
    if not both:
        raise UserError(f"{a.name} and {b.name} have no benchmark in common")
    ruled = [name for name in both if not without_rule(a, name)]
    if not ruled:
        raise UserError(f"{', '.join(both)}: reports and instructions have no rule of right and wrong to compare by")
    return {name: _paired(name, a, b, "seeds" in allow) for name in ruled}


def without_rule(side: Side, benchmark: str) -> bool:
    """Say whether a benchmark has no accuracy, since some of its tasks have no rule of right and wrong."""
    return bool(set(side.benchmarks[benchmark].constant.tasks) & set(OPEN_TASKS))


def _paired(benchmark: str, a: Side, b: Side, any_seeds: bool) -> Pairs:
    own_a, own_b = a.benchmarks[benchmark], b.benchmarks[benchmark]
    names = sorted({*own_a.names, *own_b.names})
    for name in names:
        _check_question(benchmark, name, a, b)
    if not any_seeds:
        _check_seeds(benchmark, names, own_a, own_b)
    (held_a, asked_a, right_a), (held_b, asked_b, right_b) = (_counts(own, names) for own in (own_a, own_b))
    both = (asked_a > 0) & (asked_b > 0)
    if not both.any():
        raise UserError(f"benchmark {benchmark!r} has no question that both sides answered; run what failed again")
    ids = [name for name, kept in zip(names, both.tolist(), strict=True) if kept]
    lattice = math.lcm(*{*asked_a[both].tolist(), *asked_b[both].tolist()})
    return Pairs(
        ids=ids,
        a=right_a[both] / asked_a[both],
        b=right_b[both] / asked_b[both],
        accuracy=(float(mean_rate(right_a[both], asked_a[both])), float(mean_rate(right_b[both], asked_b[both]))),
        cluster=_clusters(own_a, ids),
        lattice=lattice if lattice < _MOST_LATTICE else 0,
        seeds=(int(held_a[both].max()), int(held_b[both].max())),
        failed=(int((held_a - asked_a).sum()), int((held_b - asked_b).sum())),
        left_out=len(names) - len(ids),
    )


def _counts(columns: Columns, names: Sequence[str]) -> list[np.ndarray]:
    """Return how many samples there are of each question, with an answer, and right; in the order of the names."""
    order = [_number(columns, name) for name in names]
    return [counts[order] for counts in columns.counts()]


def _clusters(columns: Columns, names: Sequence[str]) -> np.ndarray:
    """Return the numbers of the questions' clusters, in the order in which they come, none left out."""
    own = [columns.cluster(_number(columns, name)) for name in names]
    numbers = {cluster: number for number, cluster in enumerate(dict.fromkeys(own))}
    return np.array([numbers[cluster] for cluster in own])


def _check_question(benchmark: str, name: str, a: Side, b: Side) -> None:
    which = f"question {name!r} ({benchmark})"
    own_a, own_b = a.benchmarks[benchmark], b.benchmarks[benchmark]
    number_a, number_b = own_a.find(name), own_b.find(name)
    if number_a is None or number_b is None:
        has, lacks = ("A", "B") if number_b is None else ("B", "A")
        raise UserError(f"{which} is in {has} and not in {lacks}; evaluate both on the same questions")
    if own_a.key(number_a) != own_b.key(number_b):
        field = first_difference(a.samples.first_row(benchmark, name), b.samples.first_row(benchmark, name))
        raise UserError(f"{field} of {which} is not the same in A and B; evaluate both on the same questions")
    images = a.samples.images.get((benchmark, name)), b.samples.images.get((benchmark, name))
    if None not in images and images[0] != images[1]:
        raise UserError(f"the images of {which} are not the same in A and B; evaluate both on the same questions")


def _check_seeds(benchmark: str, names: Sequence[str], a: Columns, b: Columns) -> None:
    seeds_a, seeds_b = a.seeds(), b.seeds()
    for name in names:
        own = seeds_a[_number(a, name)], seeds_b[_number(b, name)]
        if own[0] != own[1]:
            in_a, in_b = (", ".join(map(str, seeds)) for seeds in own)
            raise UserError(
                f"question {name!r} ({benchmark}) has the seeds {in_a} in A and {in_b} in B; evaluate both with the "
                "same, or compare the means over each side's own by --allow=seeds"
            )


def _number(columns: Columns, name: str) -> int:
    number = columns.find(name)
    assert number is not None, f"{name} was not read"
    return number
