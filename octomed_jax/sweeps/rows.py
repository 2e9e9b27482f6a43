"""The rows of a sweep's results: one a point and mark, read from what its stages wrote.

A point is in the table whatever became of it. Of a run that failed or was stopped there is what it came to; of one that
has not ended, its name.
"""

import dataclasses
import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from etils import epath

from octomed_jax import places, storage
from octomed_jax.errors import StopAndLook, UserError, did_you_mean
from octomed_jax.evaluation.resampling import overall
from octomed_jax.evaluation.statistics import mean
from octomed_jax.sweeps.results_samples import Samples, align, interval_over_questions, read_samples

STATES = ("done", "failed", "stopped", "missing")
SEED_FIELDS = ("seed", "train.seed")  # points that differ in these alone are one group
OVERALL, LOSSES = "overall", ("held_out_loss", "loss")
TEST = "test"  # what `octomed eval run` measures on where its settings name no split: held-out questions
CODES = {1: "a bug of ours", 2: "input or config", 42: "try again", 43: "stop and look"}
AS_CONFIG = "as in the config"  # the value of a field that a point does not name
LONG = 14  # letters of a value that stands on an axis as it is
_LAST = 20  # steps that the last loss is a mean over, as in the manifest of a run


@dataclasses.dataclass(frozen=True)
class Row:
    """A point at one mark.

    Attributes:
        id, group, name, changes: of the point; ``name`` may be empty.
        state: one of STATES.
        reason: why it is not done, in words; empty where it is.
        x, step: of the mark; None where there is none.
        benchmarks: name to ``n``, ``correct`` (a mean over the samples of a question), ``accuracy``, ``low``, ``high``:
            shares, with the 95 % interval over questions.
        overall: the same of the mean over benchmarks, without counts; None where nothing was measured.
        completion_tokens: mean over the samples.
        loss: mean of the last 20 steps before the mark.
        held_out_loss: the last one before the mark.
        tokens_trained: up to the mark.
        train_seconds: likewise; the one column that is another on another machine.
        split: of the questions that were asked; empty where nothing was.
        train, eval: folders of the stages, within the sweep's, but a training that a job made elsewhere; empty where
            there is none.
        baseline: benchmark to the accuracy of the student before training.
    """

    id: str
    group: str
    name: str
    state: str
    reason: str
    changes: Mapping[str, Any]
    x: float | None = None
    step: int | None = None
    benchmarks: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    overall: Mapping[str, Any] | None = None
    completion_tokens: float | None = None
    loss: float | None = None
    held_out_loss: float | None = None
    tokens_trained: int | None = None
    train_seconds: float | None = None
    split: str = ""
    train: str = ""
    eval: str = ""
    baseline: Mapping[str, float] = dataclasses.field(default_factory=dict)

    @property
    def plain(self) -> dict[str, Any]:
        """The row as plain data."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class Sweep:
    """A sweep as its folder has it.

    Attributes:
        root: the folder.
        definition: the content of sweep.json.
        rows: of all points, in the order of the sweep and then of the marks.
        samples: folder of an evaluation (as in ``Row.eval``) to what was answered.
    """

    root: Path
    definition: Mapping[str, Any]
    rows: Sequence[Row]
    samples: Mapping[str, Samples]

    @property
    def last(self) -> list[Row]:
        """Of each point the row of its last mark."""
        return list({row.id: row for row in self.rows}.values())

    @property
    def fields(self) -> list[str]:
        """The changed fields but for the name, in the order in which the points first name them."""
        return [field for field in dict.fromkeys(f for row in self.rows for f in row.changes) if field != "name"]

    def named_values(self, field: str) -> dict[str, str]:
        """Return what a reader calls the values of a field, by their text: a long one by the name of its points.

        Only where every value has one name, and no two the same.
        """
        names: dict[str, set[str]] = {}
        for row in self.last:
            names.setdefault(field_text(row, field), set()).add(row.name)
        told = {text: next(iter(own)) for text, own in names.items() if len(own) == 1}
        clear = len(told) == len(names) == len(set(told.values())) and all(told.values())
        return told if clear and any(len(text) > LONG for text in names) else {text: text for text in names}

    @property
    def benchmarks(self) -> list[str]:
        """All that were measured, sorted."""
        return sorted({name for row in self.rows for name in row.benchmarks})

    @property
    def one_cluster(self) -> list[str]:
        """The benchmarks whose questions are all of one cluster, sorted."""
        return sorted({name for own in self.samples.values() for name in own.one_cluster})

    @functools.cached_property
    def labels(self) -> dict[str, str]:
        """Group to what a reader calls it: the name of its points, and what tells it from others of that name."""
        groups = {row.group: row for row in self.last}
        return {
            group: _label(row, [one for one in groups.values() if one.name == row.name])
            for group, row in groups.items()
        }

    @property
    def counts(self) -> dict[str, int]:
        """State to its number of points."""
        return {state: sum(row.state == state for row in self.last) for state in STATES}


def _label(row: Row, alike: Sequence[Row]) -> str:
    told = []
    for field in row.changes:
        differs = len({field_text(one, field) for one in alike}) > 1
        if field not in (*SEED_FIELDS, "name") and (differs or not (row.name or len(alike) > 1)):
            told.append(f"{field.rpartition('.')[2]}={field_text(row, field)}")
    return ": ".join(part for part in (row.name, ", ".join(told)) if part) or "the config as it is"


def read_sweep(root: storage.PathLike) -> Sweep:
    """Read all rows of a sweep's folder.

    Raises:
        UserError: the folder holds no sweep.
        StopAndLook: what a finished stage wrote is gone or damaged.
    """
    folder = Path(root)
    if not (folder / "sweep.json").is_file():
        raise UserError(f"{root} holds no sweep (no sweep.json); give the --output of `octomed sweep run`")
    definition = storage.read_json(folder / "sweep.json")
    samples: dict[str, Samples] = {}
    rows = [row for point in definition["points"] for row in _rows(folder, point, samples)]
    return Sweep(folder, definition, rows, samples)


def _rows(root: Path, point: Mapping[str, Any], samples: dict[str, Samples]) -> list[Row]:
    path = places.inside(root, f"runs/{point['id']}") / "run.json"
    fields = {name: point[name] for name in ("id", "group", "name", "changes")}
    if not path.is_file():
        return [Row(**fields, state="missing", reason="not begun, or not at its end")]
    run = storage.read_json(path)
    if not isinstance(run, dict) or run.get("state") not in STATES[:3]:
        raise StopAndLook(f"{path} does not say how the run ended; remove it and run the sweep again")
    stages = run.get("stages") or {}
    fields |= {"state": run["state"], "reason": _reason(run), "train": stages.get("train", "")}
    baseline = stages.get("baseline")
    if baseline and (places.inside(root, baseline) / "results.json").is_file():
        fields["baseline"] = _baseline(root, baseline)
    metrics = _metrics(root, fields["train"])
    rows = []
    for mark in run.get("marks") or ():
        measured = _measured(root, mark["eval"], samples) if mark.get("eval") else {}
        rows.append(Row(**fields, x=mark["x"], step=mark["step"], **measured, **_trained(metrics, mark["step"])))
    if rows:
        return rows
    step = metrics[-1]["step"] if metrics else None
    return [Row(**fields, step=step, **_trained(metrics, step))]


def _reason(run: Mapping[str, Any]) -> str:
    if run["state"] == "stopped":
        return f"at rung {run.get('rung')}"
    if run["state"] == "failed":
        code = run.get("exit_code")
        return f"{run.get('stage') or 'a stage'} ended with exit code {code}" + (
            f" ({CODES[code]})" if code in CODES else ""
        )
    return ""


def place_of_training(root: Path, folder: str) -> epath.Path:
    """Return where a training lies: in the sweep's folder, or where the job that made it has its own, as in a bucket.

    All other stages lie in the sweep's folder.

    Raises:
        UserError: a path within the sweep's folder leads out of it.
    """
    elsewhere = storage.in_bucket(folder) or Path(folder).is_absolute()
    return epath.Path(folder if elsewhere else places.inside(root, folder))


def _metrics(root: Path, folder: str) -> list[dict[str, Any]]:
    path = place_of_training(root, folder) / "metrics.jsonl" if folder else None
    if path is None or not path.exists():
        return []
    lines = path.read_text().split("\n")
    # What a killed run was just writing: its last line may be a piece of one.
    return [json.loads(line) for line in lines[:-1] if line]


def _trained(metrics: Sequence[Mapping[str, Any]], until: int | None) -> dict[str, Any]:
    """Return losses and cost of the steps up to one."""
    steps = [entry for entry in metrics if until is not None and entry["step"] <= until]
    if not steps:
        return {}
    losses = [entry["loss"] for entry in steps if entry["loss"] is not None]
    held = [entry["held_out_loss"] for entry in steps if entry.get("held_out_loss") is not None]
    return {
        "loss": mean(losses[-_LAST:]),
        "held_out_loss": held[-1] if held else None,
        "tokens_trained": sum(int(entry["tokens"]) for entry in steps),
        "train_seconds": sum(entry["step_seconds"] for entry in steps),
    }


def _measured(root: Path, folder: str, samples: dict[str, Samples]) -> dict[str, Any]:
    place = places.inside(root, folder)
    results = _results(place)
    found = {name: _figures(one) for name, one in sorted(results["benchmarks"].items())}
    ruled = [name for name, one in found.items() if one["accuracy"] is not None]
    mean_of_all = overall(results["benchmarks"], {OVERALL: ruled})[OVERALL]
    low, high = mean_of_all["bootstrap"] or (None, None)
    if folder not in samples:
        samples[folder] = read_samples(place, found)
    if single := samples[folder].one_cluster:
        tables = {name: align([samples[folder]], name) for name in ruled}
        there = {name: table for name, table in tables.items() if table is not None}
        for name in single:
            ends = interval_over_questions({name: there[name]})
            found[name] = {**found[name], "low": ends[0], "high": ends[1]}
        low, high = interval_over_questions(there)
    told = results.get("settings", {}).get("eval", {}).get("split")
    return {
        "eval": folder,
        "benchmarks": found,
        "overall": {"accuracy": mean_of_all["accuracy"], "low": low, "high": high} if ruled else None,
        "completion_tokens": samples[folder].completion_tokens,
        "split": told or TEST,
    }


def _results(place: Path) -> Mapping[str, Any]:
    if not (place / "results.json").is_file():
        raise StopAndLook(f"{place} holds no results.json, but a finished run names it; remove it, and sweep again")
    results = storage.read_json(place / "results.json")
    if not isinstance(results, dict) or not isinstance(results.get("benchmarks"), dict):
        raise StopAndLook(f"{place / 'results.json'} holds no benchmarks; remove that folder and run the sweep again")
    return results


def _baseline(root: Path, folder: str) -> dict[str, float]:
    benchmarks = _results(places.inside(root, folder))["benchmarks"]
    return {name: one["accuracy"] for name, one in sorted(benchmarks.items()) if one["accuracy"] is not None}


def _figures(found: Mapping[str, Any]) -> dict[str, Any]:
    accuracy, n = found["accuracy"], found["n"]
    low, high = found["bootstrap"] or (None, None)
    correct = None if accuracy is None else round(accuracy * n, 6)
    return {"n": n, "correct": correct, "accuracy": accuracy, "low": low, "high": high}


def value_of(row: Row, metric: str) -> float | None:
    """Return a row's value of a metric: ``overall``, a benchmark, ``held_out_loss`` or ``loss``."""
    return interval_of(row, metric)[0]


def interval_of(row: Row, metric: str) -> tuple[float | None, float | None, float | None]:
    """Return value, low and high; a loss has no interval."""
    if metric in LOSSES:
        return getattr(row, metric), None, None
    found = row.overall if metric == OVERALL else row.benchmarks.get(metric)
    return (found["accuracy"], found["low"], found["high"]) if found else (None, None, None)


def is_better(one: float, other: float, metric: str) -> bool:
    """Say whether a value is better than another: a loss is the better the lower."""
    return one < other if metric in LOSSES else one > other


def choose_metric(sweep: Sweep, metric: str = "") -> str:
    """Return what "best" means: what is asked for, else what the config file says, else ``overall``.

    Raises:
        UserError: no row has such a metric, though some have others.
    """
    chosen = metric or str(sweep.definition.get("metric") or OVERALL)
    known = [OVERALL, *sweep.benchmarks, *LOSSES]
    if chosen not in known and (metric or sweep.benchmarks):
        hint = did_you_mean(chosen, known)
        raise UserError(f"no metric {chosen!r} in {sweep.root}{hint}; there are: {', '.join(known)}")
    return chosen


def field_text(row: Row, field: str) -> str:
    """Return a point's value of a field as a reader sees it."""
    if field not in row.changes:
        return AS_CONFIG
    return "None" if row.changes[field] is None else cell(row.changes[field])


def cell(value: Any) -> str:
    """Return a value of a field as a table has it: text bare, all else as Python writes it; empty for nothing."""
    return "" if value is None else value if isinstance(value, str) else repr(value)
