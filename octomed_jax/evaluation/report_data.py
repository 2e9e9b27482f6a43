"""Reads a finished run's folders into plain data: what the report and the summary are made of."""

import dataclasses
import json
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from etils import epath

from octomed_jax.errors import StopAndLook, UserError
from octomed_jax.manifests import MANIFEST, Manifest, read_manifest
from octomed_jax.storage import PathLike, read_json

# folder of a run -> (stage name in its manifest, command that makes it), in the order they are made
STAGES = {
    "questions": ("questions", "questions build"),
    "attempts": ("distill", "distill"),
    "traces": ("verify", "verify"),
    "shards": ("shard", "shard"),
    "eval/before": ("eval", "eval run"),
    "train": ("train", "train"),
    "export": ("export", "export"),
    "eval/after": ("eval", "eval run"),
}
TIMED = ("questions", "distill", "verify", "shard", "eval_before", "train", "export", "eval_after")

FUNNEL_STEPS = ("asked", "answered", "parsed", "correct", "kept")


@dataclasses.dataclass(frozen=True)
class Run:
    """What a finished run left behind.

    Attributes:
        folder: as the user named it.
        manifests: folder name (a key of STAGES) to its manifest.
        n_questions: number of training questions.
        teachers: names in the attempts, sorted.
        funnel: funnel.json.
        metrics: lines of metrics.jsonl, one a step, ascending.
        before, after: the ``benchmarks`` of the two results.json; both name the same benchmarks.
        sources: benchmark to its source.
        timing: stage to ``{"seconds", "peak_rss_mb"}``; empty where no stage left one.
        card: questions/card.md.
        max_logit_diff: of the export, None where it was not compared.
    """

    folder: epath.Path
    manifests: Mapping[str, Manifest]
    n_questions: int
    teachers: tuple[str, ...]
    funnel: Mapping[str, Any]
    metrics: list[dict[str, Any]]
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    sources: Mapping[str, str]
    timing: Mapping[str, Mapping[str, float]]
    card: str
    max_logit_diff: float | None

    @property
    def scripted(self) -> bool:
        """Whether a programmatic teacher wrote (some of) the attempts."""
        return is_program(self.manifests["attempts"], self.teachers)

    @property
    def teacher_note(self) -> str:
        """How the teacher is to be called, with its rates where it is a programmatic one; may be empty."""
        return teacher_note(self.manifests["attempts"])


def is_program(attempts: Manifest, teachers: Iterable[str]) -> bool:
    """Say whether a programmatic teacher wrote (some of) the attempts of a folder.

    Args:
        attempts: the folder's manifest.
        teachers: names in its attempts.
    """
    names = {*teachers, teacher_note(attempts), str(attempts.config.get("teacher", ""))}
    return any(name.startswith(("scripted", "programmatic")) for name in names)


def teacher_note(attempts: Manifest) -> str:
    """Return how the teacher of an attempts folder is to be called; may be empty."""
    return str(attempts.extra.get("teacher", ""))


def read_run(folder: PathLike) -> Run:
    """Read a run of which every stage is finished.

    Raises:
        UserError: no such run, or a stage is missing; the message names its command.
        StopAndLook: a file of a finished stage cannot be read.
    """
    run = epath.Path(folder)
    if not run.exists():
        raise UserError(f"no such run: {run}; make one with `octomed demo`, or name another with --run=DIR")
    for name, (_, command) in STAGES.items():
        if not (run / name / MANIFEST).exists():
            state = "is not finished" if (run / name).exists() else "does not exist"
            raise UserError(f"{run / name} {state}; make it with `octomed {command}` (or `octomed demo`), then report")
    manifests = {name: read_manifest(run / name, stage) for name, (stage, _) in STAGES.items()}
    before, after = (_results(run / "eval" / name) for name in ("before", "after"))
    if before.keys() != after.keys():
        odd = ", ".join(sorted(before.keys() ^ after.keys()))
        raise UserError(
            f"{run / 'eval'}: before and after measured different benchmarks ({odd}); run `octomed eval run`"
        )
    heldout = read_table(run / "questions" / "heldout.parquet", columns=["benchmark", "source"])
    return Run(
        folder=run,
        manifests=manifests,
        n_questions=row_count(run / "questions" / "questions.parquet"),
        teachers=_teachers(run / "attempts"),
        funnel=read_json(run / "traces" / "funnel.json"),
        metrics=_metrics(run / "train" / "metrics.jsonl"),
        before=before,
        after=after,
        sources=dict(sorted(zip(*(heldout[name].to_pylist() for name in ("benchmark", "source")), strict=True))),
        timing=_timing(run / "timing"),
        card=_text(run / "questions" / "card.md"),
        max_logit_diff=_max_logit_diff(run / "export" / "provenance.json"),
    )


def read_table(path: epath.Path, columns: list[str] | None = None, filters: Any = None) -> pa.Table:
    """Read a Parquet file of a stage.

    Raises:
        StopAndLook: it is missing or damaged.
    """
    try:
        with path.open("rb") as file:
            return pq.read_table(file, columns=columns, filters=filters)
    except (OSError, pa.ArrowException) as error:
        raise damaged(path) from error


def attempt_files(folder: epath.Path) -> list[epath.Path]:
    """Return the attempt files of the ``attempts`` folder in order.

    Raises:
        StopAndLook: there are none.
    """
    files = sorted((folder / "attempts").glob("part-*.parquet"))
    if not files:
        raise damaged(folder / "attempts" / "part-00000.parquet")
    return files


def read_lines(path: epath.Path) -> list[dict[str, Any]]:
    """Read a JSON-lines file of a stage.

    Raises:
        StopAndLook: it is missing or a line is not a JSON object.
    """
    try:
        rows = [json.loads(line) for line in path.read_text().split("\n") if line.strip()]
    except (OSError, ValueError) as error:
        raise damaged(path) from error
    if not all(isinstance(row, dict) for row in rows):
        raise damaged(path)
    return rows


def damaged(path: epath.Path) -> StopAndLook:
    return StopAndLook(f"{path} is missing or damaged though its stage is finished; remove the folder, run it again")


def row_count(path: epath.Path) -> int:
    """Return the number of rows of a Parquet file of a stage.

    Raises:
        StopAndLook: it is missing or damaged.
    """
    try:
        with path.open("rb") as file:
            return pq.ParquetFile(file).metadata.num_rows
    except (OSError, pa.ArrowException) as error:
        raise damaged(path) from error


def _teachers(folder: epath.Path) -> tuple[str, ...]:
    names: set[str] = set()
    for path in attempt_files(folder):
        names.update(pc.unique(read_table(path, columns=["teacher"])["teacher"]).to_pylist())
    return tuple(sorted(names))


def _results(folder: epath.Path) -> dict[str, Any]:
    results = read_json(folder / "results.json")["benchmarks"]
    if odd := [name for name in results if "/" in name or "\\" in name or name.startswith(".")]:
        raise StopAndLook(f"{folder / 'results.json'} names a benchmark {odd[0]!r}, which is no file name")
    return {name: results[name] for name in sorted(results)}


def _metrics(path: epath.Path) -> list[dict[str, Any]]:
    """Return one line a step: a run that went on after a kill may have written some steps twice, equally."""
    by_step = {row["step"]: row for row in read_lines(path)}
    if not by_step:
        raise damaged(path)
    return [by_step[step] for step in sorted(by_step)]


def _timing(folder: epath.Path) -> dict[str, dict[str, float]]:
    if not folder.exists():
        return {}
    timing = {path.name.removesuffix(".json"): read_json(path) for path in folder.glob("*.json")}
    order = sorted(timing, key=lambda name: (TIMED.index(name) if name in TIMED else len(TIMED), name))
    return {name: {field: timing[name][field] for field in ("seconds", "peak_rss_mb")} for name in order}


def _text(path: epath.Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise damaged(path) from error


def _max_logit_diff(provenance: epath.Path) -> float | None:
    figures = read_json(provenance)["figures"]
    return float(figures["transformers"]["max_logit_diff"]) if "transformers" in figures else None
