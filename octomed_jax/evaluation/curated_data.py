"""Reads a folder of curated questions into the figures of its report; of its files only the columns that count."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from etils import epath

from octomed_jax.curation.curate import TEST_FILE, TRAIN_FILE
from octomed_jax.curation.record import REMOVED_FILE
from octomed_jax.errors import StopAndLook
from octomed_jax.evaluation.report_data import damaged
from octomed_jax.manifests import Manifest

HELD_OUT_STEP = "decontaminate"  # whose matches are held-out questions
NAMES = pa.string()


def read_figures(folder: epath.Path, manifest: Manifest) -> dict[str, Any]:
    """Return the content of report.json but for the examples.

    Args:
        folder: what ``octomed curate`` wrote.
        manifest: its manifest.

    Raises:
        StopAndLook: a file is missing or damaged, or its counts are not those of the manifest.
    """
    steps = manifest.counts["steps"]
    removed, matches = _removed(folder / REMOVED_FILE)
    _check(folder / REMOVED_FILE, steps, removed)
    left = _counts(folder / TRAIN_FILE, "source")
    return {
        "before": steps[0]["before"],
        "removed": removed.total(),
        "after": manifest.counts["train"],
        "held_out": manifest.counts["test"],
        "folders": {kind: sum(name.startswith(kind) for name in manifest.inputs) for kind in ("questions", "against")},
        "access": manifest.access,
        "licences": list(manifest.licences),
        "steps": list(steps),
        "sources": _sources(removed, left),
        "matched": _matched(folder / TEST_FILE, matches, manifest.counts["benchmarks"]),
        "filled": next((step["filled"] for step in steps if "filled" in step), {}),
        "rules": manifest.extra.get("rules", {}),
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


def _removed(path: epath.Path) -> "tuple[Counter[tuple[str, str, str]], Counter[str]]":
    """Return how many were removed by source, step and reason; and how often each held-out question was the match."""
    removed: Counter[tuple[str, str, str]] = Counter()
    matches: Counter[str] = Counter()
    keys = ["source", "step", "reason"]
    for table in _tables(path, [*keys, "match"]):
        for row in table.group_by(keys).aggregate([([], "count_all")]).to_pylist():
            removed[row["source"], row["step"], row["reason"]] += row["count_all"]
        like = table.filter((pc.field("step") == HELD_OUT_STEP) & (pc.field("match") != ""))
        for row in pc.value_counts(like["match"]).to_pylist():
            matches[row["values"]] += row["counts"]
    return removed, matches


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


def _matched(path: epath.Path, matches: "Counter[str]", benchmarks: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
    """Return by benchmark how many were removed for one of its held-out questions, and for how many of these.

    Questions of other folders than the curated ones are not carried on, so their benchmarks are not known here.
    """
    removed: Counter[str] = Counter()
    found: Counter[str] = Counter()
    met = 0
    wanted = pa.array(matches.keys(), NAMES)
    for table in _tables(path, ["id", "benchmark"]) if matches else ():
        here = table.filter(pc.is_in(table["id"], value_set=wanted))
        for identity, benchmark in zip(here["id"].to_pylist(), here["benchmark"].to_pylist(), strict=True):
            removed[benchmark] += matches[identity]
            found[benchmark] += 1
            met += matches[identity]
    known = {
        name: {"removed": count, "held_out": found[name], "of": benchmarks[name]["test"]}
        for name, count in sorted(removed.items(), key=lambda item: (-item[1], item[0]))
    }
    others = {"removed": matches.total() - met, "held_out": len(matches) - found.total()}
    return {"benchmarks": known, "others": others}
