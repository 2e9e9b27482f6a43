"""The numbers of a report on results: benchmarks by category beside the paper's, votes, failures, settings."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from octomed_jax import storage
from octomed_jax.configuration import plain
from octomed_jax.evaluation import paper_results as paper
from octomed_jax.evaluation.benchmarks import CATEGORIES, PAPER, Benchmark, benchmark_of, category_members, is_short
from octomed_jax.evaluation.resampling import overall
from octomed_jax.evaluation.results_data import FAILED, OUTCOMES, Result
from octomed_jax.manifests import flatten

UNREGISTERED = "not in the registry"
ALL_MEASURED = "mean of all measured"
BASE = "Qwen2.5-VL-7B"  # what the paper's student was before its training
SHOWN = ("n", "accuracy", "wilson", "bootstrap", "baseline", "task", "n_train", "maj_at", "pass_at")
MOST_SETTINGS = 150
MOST_VALUE = 200  # characters of a setting

Figures = Mapping[str, Any]


def categories(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return the categories in which anything was measured, each with its rows, its overall and what is missing.

    A category of the paper has a row for each of its benchmarks, measured or not; others have those that were measured.
    """
    measured = sorted({name for result in results for name in result.benchmarks})
    tables = []
    for category in CATEGORIES:
        rows = [row for one in category_members(category) for row in _rows(one, measured, results)]
        if any(row["measured"] for row in rows):
            kept = rows if category in PAPER else [row for row in rows if row["measured"]]
            overalls = [_overall(category, result) for result in results] if category in PAPER else []
            tables.append({"category": category, "rows": kept, "overall": overalls, "paper": _paper(category)})
    others = [_row(name, None, results) for name in measured if benchmark_of(name) is None]
    if others:
        tables.append({"category": UNREGISTERED, "rows": others, "overall": [], "paper": None})
    return tables


def _rows(one: Benchmark, measured: Sequence[str], results: Sequence[Result]) -> list[dict[str, Any]]:
    called = [name for name in measured if benchmark_of(name) is one] or [one.name]
    return [_row(name, one, results) for name in called]


def _row(name: str, one: Benchmark | None, results: Sequence[Result]) -> dict[str, Any]:
    figures = [result.benchmarks.get(name) for result in results]
    counts = [found["n"] for found in figures if found]
    short = one is not None and any(is_short(one, count) for count in counts)
    return {
        "name": name,
        "title": one.title if one else name,
        "in_domain": bool(one and one.in_domain),
        "measured": bool(counts),
        "questions": one.questions if one else None,
        "short": short,
        "results": [found and _shown(found) for found in figures],
        "paper": _paper(one.name) if one else None,
    }


def _shown(found: Figures) -> dict[str, Any]:
    clusters = sum(count for *_, count in found.get("clusters") or ())
    return {**{key: found.get(key) for key in SHOWN}, "n_clusters": clusters}


def _paper(row: str) -> dict[str, Any] | None:
    """Return what the paper has of a benchmark, or of the overall of a category; shares, as ours are."""
    if paper.cell(row, paper.STUDENT) is None:
        return None
    plain_mean = paper.FIGURE_8.get(row)
    return {
        "base": _share(paper.cell(row, BASE)),
        "student": _share(paper.cell(row, paper.STUDENT)),
        "mark": paper.mark_of(row, paper.STUDENT),
        "plain_mean": plain_mean and _share(plain_mean.accuracy),
    }


def _share(per_cent: float | None) -> float | None:
    return None if per_cent is None else round(per_cent / 100, 6)


def _overall(category: str, result: Result) -> dict[str, Any]:
    """Return the mean over the benchmarks of a category, and whether it is one of all of them, whole.

    Results that have the mean are believed; of others it is made as they would.
    """
    if told := result.categories.get(category):
        mean = told["overall"] if told["overall"] is not None else told["partial"]
        kept = {name: told[name] for name in ("bootstrap", "benchmarks", "missing", "short", "label")}
        return {"accuracy": mean, **kept}
    called, twice, short = [], [], []
    for one in category_members(category):
        names = [name for name in result.benchmarks if benchmark_of(name) is one]
        called += names or [one.name]
        twice += [one.title] if len(names) > 1 else []
        short += [name for name in names if is_short(one, result.benchmarks[name]["n"])]
    if twice:
        return {**_NO_MEAN, "label": f"none: {', '.join(twice)} came in several forms, and counts once"}
    found = overall(result.benchmarks, {category: called})[category]
    have = len(found["benchmarks"])
    parts = [f"{have} of {len(called)} benchmarks"] if found["missing"] else []
    parts += [f"too few questions of {', '.join(short)}"] if short else []
    label = "overall" if not parts else f"partial ({'; '.join(parts)})"
    return {**found, "short": short, "label": label}


_NO_MEAN: dict[str, Any] = {"accuracy": None, "bootstrap": None, "benchmarks": [], "missing": [], "short": []}


def mean_of_all(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return of each model the mean over all of its benchmarks that have an accuracy."""
    return [overall(result.benchmarks, {ALL_MEASURED: sorted(result.benchmarks)})[ALL_MEASURED] for result in results]


def paper_table(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return Table 2 of the paper, row by row, with what was measured of each: the mean, and the vote of as many."""
    rows = []
    for row in paper.table():
        found = [_measured(row["row"], result) for result in results]
        rows.append({**row, "measured": found})
    return rows


def _measured(row: str, result: Result) -> dict[str, Any] | None:
    if row in paper.OVERALL:
        mean = _overall(row, result)
        whole = mean["label"] == "overall"
        return {"accuracy": mean["accuracy"], "majority": None} if whole else None
    names = [name for name in result.benchmarks if (one := benchmark_of(name)) and one.name == row]
    if len(names) != 1:
        return None
    figures = result.benchmarks[names[0]]
    vote = figures.get("vote") or {}
    majority = vote.get("accuracy") if vote.get("of") == paper.MAJORITY_OF else None
    if majority is None:
        majority = (figures.get("maj_at") or {}).get(str(paper.MAJORITY_OF))
    return {"accuracy": figures["accuracy"], "majority": majority}


def measures(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return what is not an accuracy over all questions: closed accuracy, token F1, ROUGE-L, label F1, vote.

    Rows of benchmark, number of the model, what it is, value, interval (or None), number of questions, and a note.
    """
    rows: list[dict[str, Any]] = []
    for name in sorted({name for result in results for name in result.benchmarks}):
        for model, result in enumerate(results):
            for one in _measures(result.benchmarks.get(name) or {}):
                rows.append({"benchmark": name, "model": model, **one, "paper": _legacy(name, one["what"])})
    return rows


def _measures(figures: Figures) -> list[dict[str, Any]]:
    found = []
    if closed := figures.get("closed"):
        found.append(_measure("closed accuracy", closed, "accuracy"))
    if open_f1 := figures.get("token_f1"):
        found.append(_measure("open token F1", open_f1, "mean", f"tokens: {open_f1.get('tokenizer')}"))
    if rouge := figures.get("rouge_l"):
        found.append(_measure("ROUGE-L", rouge, "mean"))
    if labels := figures.get("label_f1"):
        found.append(_measure("label F1, micro", {"n": labels["n"], **labels["micro"]}, "f1"))
        found.append(_measure("label F1, macro", labels, "macro_f1"))
    if vote := figures.get("vote"):
        left_out = f"{vote['left_out']} with fewer samples left out" if vote.get("left_out") else ""
        found.append(_measure(f"majority of {vote['of']}", vote, "accuracy", left_out))
    return found


def _measure(what: str, figures: Figures, key: str, note: str = "") -> dict[str, Any]:
    ends = figures.get("bootstrap")
    return {"what": what, "value": figures.get(key), "interval": ends, "n": figures.get("n"), "note": note}


def _legacy(name: str, what: str) -> float | None:
    one = benchmark_of(name)
    keys = {"closed accuracy": "closed_accuracy", "open token F1": "open_token_f1"}
    if one is None or one.name not in paper.LEGACY or what not in keys:
        return None
    return _share(paper.LEGACY[one.name][keys[what]])


def votes(result: Result) -> dict[str, Any] | None:
    """Return mean pass_at and maj_at over the benchmarks by k, as far as all have that k; None of one sample each."""
    voted = {
        name: figures for name, figures in result.benchmarks.items() if figures.get("maj_at") and figures.get("pass_at")
    }
    if not voted:
        return None
    sizes = set.intersection(*(set(figures["maj_at"]) & set(figures["pass_at"]) for figures in voted.values()))
    if len(sizes) < 2:
        return None
    ordered = sorted(sizes, key=int)
    means = {
        kind: {k: math.fsum(figures[kind][k] for figures in voted.values()) / len(voted) for k in ordered}
        for kind in ("maj_at", "pass_at")
    }
    return {"benchmarks": sorted(voted), **means}


def failures(result: Result, outcomes: Mapping[str, "Counter[str]"]) -> dict[str, dict[str, int]]:
    """Return benchmark to what became of what was asked; right and wrong apart where there are samples to tell them."""
    found = {}
    for name, figures in sorted(result.benchmarks.items()):
        if result.files:
            found[name] = {outcome: outcomes[name][outcome] for outcome in OUTCOMES}
            continue
        unread = {kind: figures[kind] for kind in ("unparsed", "truncated", FAILED)}
        found[name] = {"answered": figures["samples"] - figures["unparsed"] - figures["truncated"], **unread}
    return found


def seen_rows(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return what the results say of what was seen in training: model, benchmark, and figures by name."""
    rows = []
    for result in results:
        for name, figures in sorted(result.benchmarks.items()):
            told = figures.get("seen")
            if isinstance(told, Mapping):
                numbers = {
                    key: value
                    for key, value in flatten(told).items()
                    if value is None or isinstance(value, int | float)
                }
                rows.append({"model": result.name, "benchmark": name, "figures": numbers})
    return rows


def settings(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return the settings of all models, by dotted name: a value for each as JSON, and whether they differ."""
    flat = [flatten(plain(_told(result))) for result in results]
    names = sorted({name for one in flat for name in one})
    rows = []
    for name in names[:MOST_SETTINGS]:
        values = ["" if name not in one else _short(storage.canonical_json(one[name])) for one in flat]
        rows.append({"name": _short(name), "values": values, "differs": len(set(values)) > 1})
    return rows


def _told(result: Result) -> dict[str, Any]:
    """Return what is told of how a result came about."""
    told: dict[str, Any] = {"settings": dict(result.settings), "backend": result.backend}
    if files := result.settings.get("samples"):  # hashes of many files tell a reader nothing
        told["settings"]["samples"] = {"files": len(files), "fingerprint": storage.fingerprint(files)}
    if result.manifest:
        names = ("inputs", "licences", "access", "code_version", "code_commit")
        told["run"] = {name: result.manifest.get(name) for name in names}
    return told


def _short(text: str) -> str:
    return text if len(text) <= MOST_VALUE else f"{text[:MOST_VALUE]} …"
