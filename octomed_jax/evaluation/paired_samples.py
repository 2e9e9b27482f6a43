"""Reads the judged samples of two evaluations and pairs their questions."""

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath

from octomed_jax.errors import UserError
from octomed_jax.evaluation.paired_settings import Settings
from octomed_jax.schema import VERDICTS
from octomed_jax.storage import PathLike, read_json
from octomed_jax.verification.check import VERIFIER_VERSION, check_response
from octomed_jax.verification.rows import question_of

# What makes a question the same question. The prompt is made of these and of settings.
CONTENT = ("task", "question", "options", "answer", "aliases", "lower_limit", "upper_limit", "cluster")
NEEDED = ("benchmark", "id", "question", "answer")
FAILED = "failed"
Key = tuple[str, str]  # benchmark, id


@dataclasses.dataclass
class Asked:
    """One question of one side.

    Attributes:
        content: the fields of CONTENT.
        outcomes: seed to one of VERDICTS, or FAILED where the request failed for good.
    """

    content: dict[str, Any]
    outcomes: dict[int, str]

    @property
    def answered(self) -> int:
        """How many samples there are an answer of."""
        return sum(outcome != FAILED for outcome in self.outcomes.values())

    @property
    def right(self) -> int:
        """How many of them are correct."""
        return sum(outcome == "correct" for outcome in self.outcomes.values())


@dataclasses.dataclass(frozen=True)
class Side:
    """What one side of a comparison answered.

    Attributes:
        name: the path, as the user wrote it.
        questions: (benchmark, id) to the question with its outcomes.
        settings: those of results.json; None of a sample file, where they are not known.
        origin: identity of the folder of questions, where a manifest names one; None where none does.
        verdicts: ``as written``, or ``by verifier N`` where the rows had none.
    """

    name: str
    questions: dict[Key, Asked]
    settings: Settings
    origin: str | None
    verdicts: str


@dataclasses.dataclass(frozen=True)
class Pairs:
    """The questions of one benchmark that both sides answered.

    Attributes:
        ids: [N] their ids, sorted.
        a, b: [N] mean score over the seeds, 0 to 1.
        cluster: [N] number of each question's cluster, from 0.
        lattice: a whole number that makes all scores whole; 0 where it would be too large.
        seeds: the most samples a question that A and that B has.
        failed: samples of A and of B whose request failed for good.
        left_out: questions of which a side has no answer, since all of its requests failed.
    """

    ids: list[str]
    a: np.ndarray
    b: np.ndarray
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


def read_side(path: PathLike) -> Side:
    """Read a folder of ``octomed eval run``, or one file of samples.

    Rows that have no verdict are judged here.

    Raises:
        UserError: nothing is there, or a row is not what docs/stages.md says; with file, line and field.
    """
    place = epath.Path(path)
    if not place.exists():
        raise UserError(f"{path} does not exist; give a folder of `octomed eval run` or a file of samples (.jsonl)")
    settings = origin = None
    files = [place]
    if place.is_dir():
        files = sorted((place / "samples").glob("*.jsonl")) if (place / "samples").is_dir() else []
        if not files or not (place / "results.json").exists():
            lacks = "results.json" if files else "samples/*.jsonl"
            raise UserError(f"{path} holds no {lacks}; give a folder of `octomed eval run` or a file of samples")
        settings, origin = _settings(place), _origin(place)
    questions: dict[Key, Asked] = {}
    judged = {_add(row, where, questions) for file in files for where, row in _rows(file)}
    if not questions:
        raise UserError(f"{path} holds no samples")
    if len(judged) > 1:
        raise UserError(
            f"{path} has rows with a verdict and rows without; take the verdicts out, and all are judged here"
        )
    verdicts = f"by verifier {VERIFIER_VERSION}" if judged == {True} else "as written"
    return Side(str(path), questions, settings, origin, verdicts)


def _settings(folder: epath.Path) -> Settings:
    results = read_json(folder / "results.json")
    settings = results.get("settings") if isinstance(results, dict) else None
    if not isinstance(settings, dict | None):
        raise UserError(f"{folder / 'results.json'}: settings is {type(settings).__name__}, not an object")
    return settings


def _origin(folder: epath.Path) -> str | None:
    if not (folder / "manifest.json").exists():
        return None
    manifest = read_json(folder / "manifest.json")
    inputs = manifest.get("inputs") if isinstance(manifest, dict) else None
    found = inputs.get("questions") if isinstance(inputs, dict) else None
    return found if isinstance(found, str) else None


def _rows(file: epath.Path) -> Iterator[tuple[str, dict[str, Any]]]:
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            where = f"{file} line {number}"
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                cut = "" if line.endswith(b"\n") else ", the last one: the file was cut"
                raise UserError(f"{where} is not JSON{cut}; make the samples again") from error
            if not isinstance(row, dict):
                raise UserError(f"{where} is no object of a sample")
            yield where, row


def _add(row: dict[str, Any], where: str, questions: dict[Key, Asked]) -> bool:
    """Add a row; say whether it had to be judged."""
    for name in NEEDED:
        if name not in row:
            raise UserError(f"{where} has no {name!r}")
    for name in ("benchmark", "id"):
        if not isinstance(row[name], str) or not row[name] or not _writable(row[name]):
            raise UserError(f"{where}: {name}={row[name]!r} is not a text")
    seed = row.get("seed") or 0
    if type(seed) is not int:
        raise UserError(f"{where}: seed={seed!r} is not a whole number")
    key = (row["benchmark"], row["id"])
    content = {name: _even(row.get(name)) for name in CONTENT}
    asked = questions.setdefault(key, Asked(content, {}))
    if field := _first_difference(asked.content, content):
        raise UserError(
            f"{where}: {field} of question {row['id']!r} ({row['benchmark']}) is not that of its other rows"
        )
    if seed in asked.outcomes:
        raise UserError(f"{where}: question {row['id']!r} ({row['benchmark']}) is there twice with seed {seed}")
    judge = row.get("verdict") is None
    asked.outcomes[seed] = _judged(row, where) if judge else _outcome(row, where)
    return judge


def _outcome(row: Mapping[str, Any], where: str) -> str:
    if row.get("error") or row.get("finish_reason") == "error":
        return FAILED
    if row["verdict"] not in VERDICTS:
        raise UserError(f"{where}: verdict={row['verdict']!r} is none of {', '.join(VERDICTS)}")
    return row["verdict"]


def _judged(row: Mapping[str, Any], where: str) -> str:
    if row.get("error") or row.get("finish_reason") == "error":
        return FAILED
    if not isinstance(row.get("response"), str):
        raise UserError(f"{where} has neither a verdict nor a response to judge")
    which = f"{where}: question {row['id']!r} ({row['benchmark']})"
    if row["answer"] in (None, ""):
        raise UserError(f"{which} has no gold answer to judge by")
    verdict = check_response(question_of(row, where), row["response"], str(row.get("finish_reason") or ""))
    if verdict.reason == "broken_gold":
        raise UserError(f"{which} has the answer {row['answer']!r}, which is none of its options or cannot be read")
    return verdict.verdict


def _writable(text: str) -> bool:
    """Say whether a text is no half of a character, which no file could hold."""
    return text.encode("utf-8", "replace") == text.encode("utf-8", "surrogatepass")


def _even(value: Any) -> Any:
    """Return a field so that nothing, null and empty are the same."""
    return None if value in ("", [], None) else value


def _first_difference(a: Mapping[str, Any], b: Mapping[str, Any]) -> str | None:
    return next((name for name in CONTENT if a[name] != b[name]), None)


def pair(a: Side, b: Side, allow: Sequence[str] = ()) -> dict[str, Pairs]:
    """Return the questions of both sides, by benchmark, sorted by name.

    Args:
        a, b: the sides.
        allow: ``benchmarks`` where each may have some that the other lacks, ``seeds`` where their seeds may differ.

    Raises:
        UserError: the sides did not answer the same questions; the first that differs is named.
    """
    own_a, own_b = _by_benchmark(a), _by_benchmark(b)
    lacking = sorted(own_a.keys() ^ own_b.keys())
    if lacking and "benchmarks" not in allow:
        has, lacks = ("A", "B") if lacking[0] in own_a else ("B", "A")
        raise UserError(
            f"benchmark {lacking[0]!r} is in {has} and not in {lacks}; --allow=benchmarks compares those that both have"
        )
    both = sorted(own_a.keys() & own_b.keys())
    if not both:
        raise UserError(f"{a.name} and {b.name} have no benchmark in common")
    return {name: _paired(name, own_a[name], own_b[name], "seeds" in allow) for name in both}


def _by_benchmark(side: Side) -> dict[str, dict[str, Asked]]:
    found: dict[str, dict[str, Asked]] = {}
    for (benchmark, name), asked in side.questions.items():
        found.setdefault(benchmark, {})[name] = asked
    return found


def _paired(benchmark: str, a: Mapping[str, Asked], b: Mapping[str, Asked], any_seeds: bool) -> Pairs:
    for name in sorted(a.keys() | b.keys()):
        _check_question(benchmark, name, a, b, any_seeds)
    ids = [name for name in sorted(a) if a[name].answered and b[name].answered]
    if not ids:
        raise UserError(f"benchmark {benchmark!r} has no question that both sides answered; run what failed again")
    numbers: dict[tuple[bool, str], int] = {}
    clusters = [(bool(a[name].content["cluster"]), str(a[name].content["cluster"] or name)) for name in ids]
    counts = {one[name].answered for one in (a, b) for name in ids}
    lattice = math.lcm(*counts)
    return Pairs(
        ids=ids,
        a=np.array([a[name].right / a[name].answered for name in ids]),
        b=np.array([b[name].right / b[name].answered for name in ids]),
        cluster=np.array([numbers.setdefault(one, len(numbers)) for one in clusters]),
        lattice=lattice if lattice < 1_000_000 else 0,
        seeds=(max(len(a[name].outcomes) for name in ids), max(len(b[name].outcomes) for name in ids)),
        failed=(_failed(a), _failed(b)),
        left_out=len(a) - len(ids),
    )


def _check_question(benchmark: str, name: str, a: Mapping[str, Asked], b: Mapping[str, Asked], any_seeds: bool) -> None:
    which = f"question {name!r} ({benchmark})"
    if name not in a or name not in b:
        has, lacks = ("A", "B") if name in a else ("B", "A")
        raise UserError(f"{which} is in {has} and not in {lacks}; evaluate both on the same questions")
    if field := _first_difference(a[name].content, b[name].content):
        raise UserError(f"{field} of {which} is not the same in A and B; evaluate both on the same questions")
    if not any_seeds and a[name].outcomes.keys() != b[name].outcomes.keys():
        seeds = [", ".join(map(str, sorted(one[name].outcomes))) for one in (a, b)]
        raise UserError(
            f"{which} has the seeds {seeds[0]} in A and {seeds[1]} in B; evaluate both with the same, or compare the "
            "means over each side's own by --allow=seeds"
        )


def _failed(questions: Mapping[str, Asked]) -> int:
    return sum(len(asked.outcomes) - asked.answered for asked in questions.values())
