"""Reads a folder of curated questions into the figures of its report; of its files only the columns that count."""

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from etils import epath

from octomed_jax.curation.card import filled_by
from octomed_jax.curation.curate import TEST_FILE, TRAIN_FILE
from octomed_jax.curation.decontaminate import REASONS
from octomed_jax.curation.evaluation_sets import OWN
from octomed_jax.curation.record import REMOVED_FILE
from octomed_jax.errors import StopAndLook
from octomed_jax.evaluation.report_data import damaged
from octomed_jax.evaluation.shared_phrases import shared_phrases
from octomed_jax.evaluation.shared_words import run_of
from octomed_jax.manifests import Manifest

HELD_OUT_STEP = "decontaminate"  # whose matches are held-out questions


@dataclasses.dataclass(frozen=True)
class Removed:
    """What the file of removed questions says.

    Attributes:
        counts: how many went, by source, step and reason.
        matches: how often each held-out question was the match, by evaluation set, benchmark and id.
        runs: how often each run of words was the first that a question shared with a held-out one.
    """

    counts: "Counter[tuple[str, str, str]]" = dataclasses.field(default_factory=Counter)
    matches: "Counter[tuple[str, str, str]]" = dataclasses.field(default_factory=Counter)
    runs: "Counter[tuple[str, ...]]" = dataclasses.field(default_factory=Counter)


def read_figures(folder: epath.Path, manifest: Manifest) -> dict[str, Any]:
    """Return the content of report.json but for the examples.

    Args:
        folder: what ``octomed curate`` wrote.
        manifest: its manifest.

    Raises:
        StopAndLook: a file is missing or damaged, or its counts are not those of the manifest.
    """
    steps = manifest.counts["steps"]
    went = _removed(folder / REMOVED_FILE)
    removed = went.counts
    _check(folder / REMOVED_FILE, steps, removed)
    phrases = shared_phrases(went.runs)
    is_open = manifest.access == "open"
    left = _counts(folder / TRAIN_FILE, "source")
    return {
        "before": steps[0]["before"],
        "removed": removed.total(),
        "after": manifest.counts["train"],
        "held_out": manifest.counts["test"],
        "folders": {kind: sum(name.startswith(kind) for name in manifest.inputs) for kind in ("questions", "against")},
        "access": manifest.access,
        "licences": list(manifest.licences),
        "licences_shown": list(manifest.extra.get("licences_shown", ())),
        "steps": list(steps),
        "sources": _sources(removed, left),
        "matched": _matched(steps, went.matches, _counts(folder / TEST_FILE, "benchmark")),
        # By what the questions share first; words of questions that are not open are not shown.
        "phrases": {"by_words": went.runs.total(), "shown": phrases if is_open else [], "not_open": not is_open},
        "filled": next((step["filled"] for step in steps if "filled" in step), {}),
        "rules": manifest.extra.get("rules", {}),
        "filled_by": next((filled_by(step) for step in steps if "filled" in step), {}),
        "unknown_to_judge": next(
            (step["judge"]["unknown"] for step in steps if "unknown" in step.get("judge", {})), {}
        ),
        "marked": manifest.extra.get("filled_by", {}),  # of the questions that are left, with those of folders before
    }


def _tables(path: epath.Path, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Yield some columns of a file, a row group at a time.

    Raises:
        StopAndLook: it is missing, damaged, or lacks one of them.
    """
    try:
        with path.open("rb") as source, pq.ParquetFile(source) as file:
            for group in range(file.num_row_groups):
                yield file.read_row_group(group, columns=list(columns)).select(list(columns))
    except (OSError, KeyError, pa.ArrowException) as error:
        raise damaged(path) from error


def _counts(path: epath.Path, column: str) -> "Counter[str]":
    counts: Counter[str] = Counter()
    for table in _tables(path, [column]):
        for row in pc.value_counts(table[column]).to_pylist():
            counts[row["values"]] += row["counts"]
    return counts


def _removed(path: epath.Path) -> Removed:
    """Return what the file of removed questions says."""
    removed = Removed()
    keys, like = ["source", "step", "reason"], ["match_set", "match_benchmark", "match"]
    for table in _tables(path, [*keys, *like, "detail"]):
        for row in table.group_by(keys).aggregate([([], "count_all")]).to_pylist():
            removed.counts[row["source"], row["step"], row["reason"]] += row["count_all"]
        mine = table.filter((pc.field("step") == HELD_OUT_STEP) & (pc.field("match") != ""))
        for row in mine.group_by(like).aggregate([([], "count_all")]).to_pylist():
            removed.matches[row["match_set"], row["match_benchmark"], row["match"]] += row["count_all"]
        by_words = mine.filter(pc.is_in(mine["reason"], value_set=pa.array(REASONS.values())))
        for row in pc.value_counts(by_words["detail"]).to_pylist():
            removed.runs[run_of(row["values"])] += row["counts"]
    return removed


def _check(path: epath.Path, steps: Sequence[Mapping[str, Any]], removed: "Counter[tuple[str, str, str]]") -> None:
    found: Counter[tuple[str, str]] = Counter()
    for (_, step, reason), count in removed.items():
        found[step, reason] += count
    told = {(step["step"], reason): count for step in steps for reason, count in step["reasons"].items()}
    for key in sorted(found.keys() | told.keys()):
        if found[key] != told.get(key, 0):
            raise StopAndLook(
                f"{path} names {found[key]} questions of {' '.join(key)}, the manifest {told.get(key, 0)}; "
                "remove the folder and make it again"
            )


def _sources(removed: "Counter[tuple[str, str, str]]", left: "Counter[str]") -> dict[str, Any]:
    """Return source to its questions before and after, and step to reason to how many went."""
    sources = {}
    for name in sorted({source for source, _, _ in removed} | left.keys()):
        gone: dict[str, dict[str, int]] = {}
        for (source, step, reason), count in sorted(removed.items()):
            if source == name:
                gone.setdefault(step, {})[reason] = count
        total = sum(sum(reasons.values()) for reasons in gone.values())
        sources[name] = {"before": left[name] + total, "after": left[name], "removed": gone}
    return sources


def _matched(
    steps: Sequence[Mapping[str, Any]],
    matches: "Counter[tuple[str, str, str]]",
    benchmarks: "Counter[str]",
) -> dict[str, Any]:
    """Return how many were removed for the questions of each evaluation set, of each benchmark, and for how many.

    How many questions a benchmark has is known of those that are carried on.
    """
    removed: Counter[tuple[str, str]] = Counter()
    found: Counter[tuple[str, str]] = Counter()
    for (name, benchmark, _), count in matches.items():
        removed[name, benchmark] += count
        found[name, benchmark] += 1
    rows = [
        {
            "set": name,
            "benchmark": benchmark,
            "removed": count,
            "held_out": found[name, benchmark],
            "of": benchmarks[benchmark] if name == OWN else None,
        }
        for (name, benchmark), count in sorted(removed.items(), key=lambda item: (-item[1], item[0]))
    ]
    return {"sets": next((step["matched"] for step in steps if "matched" in step), {}), "benchmarks": rows}
