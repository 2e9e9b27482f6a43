"""Looks up benchmarks by the names that they have, and says what means over them may be called."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from etils import epath

from octomed_jax import manifests
from octomed_jax.curation.curate import TEST_FILE
from octomed_jax.errors import UserError, did_you_mean
from octomed_jax.evaluation.benchmark_registry import (
    ACCURACY,
    ALL,
    BENCHMARKS,
    CATEGORIES,
    CLASSES,
    EVERY,
    FURTHER,
    IMAGES,
    LEFT_OUT,
    LEGACY,
    OPEN_AND_CLOSED,
    OWN_STYLES,
    PAPER,
    REPORTS,
    TEXT,
    WITH_IMAGES,
    Benchmark,
    Reading,
)
from octomed_jax.storage import PathLike
from octomed_jax.traces.lake import iterate_rows

__all__ = [
    "ACCURACY",
    "ALL",
    "BENCHMARKS",
    "CATEGORIES",
    "CLASSES",
    "EVERY",
    "FURTHER",
    "IMAGES",
    "LEGACY",
    "OPEN_AND_CLOSED",
    "OWN_STYLES",
    "PAPER",
    "REPORTS",
    "TEXT",
    "WITH_IMAGES",
    "Benchmark",
    "Reading",
    "benchmark_of",
    "categories",
    "category_members",
    "described",
    "find_benchmark",
    "held_by_benchmark",
    "held_in",
    "is_closed",
    "is_short",
    "place_of",
    "same_name",
    "unregistered",
]


def _plain(name: str) -> str:
    """Return a name without case, blanks and marks: ``PMC_VQA`` and ``pmc-vqa`` are one."""
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def _by_plain_name() -> dict[str, Benchmark]:
    """Return the benchmarks by all of their names and titles, without those that two of them share."""
    found: dict[str, set[str]] = {}
    for one in ALL:
        for name in (*one.called, one.title):
            found.setdefault(_plain(name), set()).add(one.name)
    return {key: BENCHMARKS[name] for key, (name, *others) in found.items() if not others}


_CALLED = _by_plain_name()


def find_benchmark(name: str) -> Benchmark:
    """Return a benchmark by its name, or by what the paper's table calls it.

    Raises:
        UserError: there is none of that name.
    """
    one = benchmark_of(name)
    if one is None:
        known = [key.lower() for one in ALL for key in (*one.called, one.title)]
        hint = did_you_mean(name.lower(), known)
        raise UserError(f"unknown benchmark {name!r}{hint}; `octomed eval benchmarks` has them all")
    return one


def benchmark_of(called: str) -> Benchmark | None:
    """Return the benchmark that questions call so, in whatever case and with whatever marks between its words.

    None where none is registered under it.
    """
    return _CALLED.get(_plain(called))


def same_name(called: str, name: str) -> bool:
    """Say whether two names differ in nothing but case and the marks between words."""
    return _plain(called) == _plain(name)


def place_of(called: str, one: Benchmark) -> tuple[int, bool]:
    """Return what sorts the names of a benchmark: in its own order, each before other spellings of it, its title last.

    Args:
        called: what questions call it.
        one: ``benchmark_of`` it.
    """
    own = [_plain(name) for name in one.called]
    place = own.index(_plain(called)) if _plain(called) in own else len(own)
    return place, called not in one.called


def is_closed(called: str, task: str) -> bool:
    """Say whether a question of a legacy set is closed: as its benchmark's name says, else answered yes or no."""
    ending = called.casefold().replace("_", "-")
    if ending.endswith(("-closed", "-open")):
        return ending.endswith("-closed")
    return task == "yes_no"


def category_members(category: str) -> tuple[Benchmark, ...]:
    """Return the benchmarks of a category, of EVERY or of WITH_IMAGES, in the paper's order.

    Raises:
        ValueError: no such category.
    """
    several = {EVERY: PAPER, WITH_IMAGES: PAPER[1:]}
    if category not in (*CATEGORIES, *several):
        raise ValueError(f"no category {category!r}; one of {', '.join((*CATEGORIES, *several))}")
    return tuple(one for one in ALL if one.category in several.get(category, (category,)))


def categories(scores: Mapping[str, float], counts: Mapping[str, int] | None = None) -> dict[str, dict[str, Any]]:
    """Return the mean of each of the paper's categories, as the paper means "overall": each benchmark weighs the same.

    Args:
        scores: what questions call their benchmark, to its accuracy. Names that are not registered count nowhere.
        counts: to its number of questions; left out: all are taken to be whole.

    Returns:
        For each category that any of the scores is of, and for EVERY and WITH_IMAGES where several are: ``mean``;
        ``overall``: whether it is one of whole benchmarks that are all there; ``label``: what to call it; ``have``,
        ``missing`` and ``short``, the names of benchmarks that are there, are not, or have too few questions.

    Raises:
        UserError: two of the names are of one benchmark.
    """
    found: dict[str, str] = {}
    for called in scores:
        one = benchmark_of(called)
        if one is None:
            continue
        if one.name in found:
            raise UserError(
                f"{found[one.name]!r} and {called!r} are both {one.title}, which counts once in an overall; "
                "leave one out"
            )
        found[one.name] = called
    means = {name: _mean(name, found, scores, counts) for name in (*PAPER, EVERY, WITH_IMAGES)}
    present = [name for name in PAPER if means[name]["have"]]
    wider = {EVERY: len(present) > 1, WITH_IMAGES: {IMAGES, CLASSES} <= set(present)}
    return {name: told for name, told in means.items() if wider.get(name, name in present)}


def _mean(
    category: str, found: Mapping[str, str], scores: Mapping[str, float], counts: Mapping[str, int] | None
) -> dict[str, Any]:
    members = category_members(category)
    have = [one for one in members if one.name in found]
    missing = [one.name for one in members if one.name not in found]
    short = [one.name for one in have if counts is not None and is_short(one, counts[found[one.name]])]
    overall = not missing and not short
    parts = [f"{len(have)} of {len(members)} benchmarks"] if missing else []
    parts += [f"too few questions of {', '.join(short)}"] if short else []
    return {
        "mean": sum(scores[found[one.name]] for one in have) / len(have) if have else None,
        "overall": overall,
        "label": "overall" if overall else f"partial ({'; '.join(parts)})",
        "have": [one.name for one in have],
        "missing": missing,
        "short": short,
    }


def is_short(one: Benchmark, count: int) -> bool:
    """Say whether so many questions are fewer than the benchmark has, but for some that an adapter passes over."""
    return one.questions is not None and count < (1 - LEFT_OUT) * one.questions


def held_in(questions: PathLike) -> dict[str, int]:
    """Return what the held-out questions of a folder call their benchmarks, to how many there are of each, sorted.

    Raises:
        UserError: the folder is not finished, or holds no questions.
    """
    manifests.read_manifest(questions, *manifests.QUESTION_STAGES)
    rows = iterate_rows(epath.Path(questions) / TEST_FILE, columns=["benchmark"])
    return dict(sorted(Counter(row["benchmark"] for row in rows).items()))


def held_by_benchmark(held: Mapping[str, int]) -> dict[str, int]:
    """Return benchmark to number of questions, of those that are registered, in the registry's order."""
    counts = dict.fromkeys(BENCHMARKS, 0)
    for called, count in held.items():
        if one := benchmark_of(called):
            counts[one.name] += count
    return {name: count for name, count in counts.items() if count}


def unregistered(names: Iterable[str]) -> list[str]:
    """Return those of some names under which none is registered."""
    return [name for name in names if benchmark_of(name) is None]


def described(one: Benchmark) -> dict[str, Any]:
    """Return a benchmark as plain data."""
    return {
        "benchmark": one.name,
        "title": one.title,
        "category": one.category,
        "in_domain": one.in_domain,
        "questions": one.questions,
        "metric": one.metric,
        "style": one.style,
        "read_with": [
            {
                "source": reading.source,
                "split": reading.split,
                "licence": reading.adapter.licence,
                "access": reading.adapter.access_of(reading.adapter.splits[reading.split]),
                "true_files_seen": reading.adapter.seen,
                "home": reading.adapter.home,
            }
            for reading in one.readings
        ],
        "called": list(one.called),
        "note": one.note,
    }
