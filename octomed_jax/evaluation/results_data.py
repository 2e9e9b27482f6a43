"""Reads the results of evaluations and the samples beside them, which must bear the results out."""

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from octomed_jax import manifests, storage
from octomed_jax.errors import UserError
from octomed_jax.evaluation.columns import NO_LENGTH
from octomed_jax.evaluation.results_checks import check_calibration, check_category, check_figures
from octomed_jax.evaluation.sample_files import count_words, read_rows
from octomed_jax.evaluation.scoring import is_failed
from octomed_jax.schema import VERDICTS
from octomed_jax.verification.check import Checker
from octomed_jax.verification.rows import question_of

MOST_MODELS = 6
MOST_BENCHMARKS = 200  # of a result
ENDINGS = (".jsonl", ".ndjson")  # of a file of samples
FAILED = "failed"
OUTCOMES = (*VERDICTS, FAILED)
_CHECKERS = 4096  # that are held at once

Row = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Result:
    """One model's results.

    Attributes:
        name: what the page calls it.
        path: of results.json.
        benchmarks: its part of that name, checked.
        settings: its settings; empty where there are none.
        backend: what it says of its back end.
        categories: its means over categories; empty where it has none.
        calibration: its figures of length against difficulty; empty where it has none.
        manifest: of the folder of ``octomed eval run``; empty where there is none.
        files: of samples; empty where none were found.
        judged_here: rows are judged when they are read, since the file was scored and not run.
        compared: what ``octomed eval compare`` takes for it; None where it takes nothing.
    """

    name: str
    path: Path
    benchmarks: dict[str, dict[str, Any]]
    settings: dict[str, Any]
    backend: dict[str, Any]
    categories: dict[str, Any]
    calibration: dict[str, Any]
    manifest: dict[str, Any]
    files: tuple[Path, ...]
    judged_here: bool
    compared: Path | None


def read_results(given: Sequence[str]) -> list[Result]:
    """Read results; each is a ``results.json``, or a folder with one, and may be named by ``NAME=`` before it.

    Raises:
        UserError: one is not there or is none, or two have one name.
        StopAndLook: one is not JSON.
    """
    if len(given) > MOST_MODELS:
        raise UserError(f"{len(given)} results are too many for one page; give at most {MOST_MODELS}")
    results = [_read(text) for text in given]
    for name, count in Counter(result.name for result in results).items():
        if count > 1:
            raise UserError(f"{count} results are called {name!r}; name each by NAME=PATH")
    return results


def _read(text: str) -> Result:
    name, where = _named(text)
    if storage.in_bucket(where):
        raise UserError(f"{where} lies in a bucket; copy it to a disk, and give that")
    path = Path(where)
    if path.is_dir():
        if not (path / "results.json").is_file():
            raise UserError(f"{path} holds no results.json; `octomed eval score` makes one of samples")
        path = path / "results.json"
    elif path.suffix in ENDINGS:
        raise UserError(f"{path} is a file of samples; `octomed eval score {path} --output=results.json` comes first")
    found = storage.read_json(path)
    if not isinstance(found, dict) or not isinstance(found.get("benchmarks"), dict) or not found["benchmarks"]:
        raise UserError(f"{path} is no result of `octomed eval run` or `octomed eval score`: it has no benchmarks")
    if len(found["benchmarks"]) > MOST_BENCHMARKS:
        raise UserError(f"{path} has {len(found['benchmarks'])} benchmarks; a page shows at most {MOST_BENCHMARKS}")
    for benchmark, figures in found["benchmarks"].items():
        check_figures(figures, f"{path}: {benchmark}")
    for category, figures in _table(found, "categories", path).items():
        check_category(figures, f"{path}: category {category}")
    check_calibration(_table(found, "calibration", path), str(path))
    settings = _table(found, "settings", path)
    folder = path.parent
    files = _sample_files(folder, settings)
    run = (folder / "samples").is_dir()
    manifest = {}
    if run and (folder / manifests.MANIFEST).is_file():
        manifest = dataclasses.asdict(manifests.read_manifest(folder, "eval"))
    return Result(
        name=name or _default_name(path),
        path=path,
        benchmarks=found["benchmarks"],
        settings=settings,
        backend={**_table(found, "backend", path), **({"images": images} if (images := found.get("images")) else {})},
        categories=_table(found, "categories", path),
        calibration=_table(found, "calibration", path),
        manifest=manifest,
        files=tuple(files),
        judged_here="samples" in settings,
        compared=(folder if run else files[0] if len(files) == 1 else None) if files else None,
    )


def _named(text: str) -> tuple[str, str]:
    """Return the name that is given, or none, and the path."""
    name, mark, path = text.partition("=")
    if not mark or Path(text).exists() or not name.strip():
        return "", text
    return name.strip(), path


def _default_name(path: Path) -> str:
    stem = path.resolve().parent.name if path.name == "results.json" else path.stem
    return stem or "results"


def _table(found: Mapping[str, Any], name: str, path: Path) -> dict[str, Any]:
    value = found.get(name) or {}
    if not isinstance(value, dict):
        raise UserError(f"{path}: {name} is {type(value).__name__}, not an object")
    return value


def _sample_files(folder: Path, settings: Mapping[str, Any]) -> list[Path]:
    """Return the files of samples that a result is of: those in ``samples``, or beside it those that were scored.

    Raises:
        UserError: a file that was scored is another now.
    """
    if (folder / "samples").is_dir():
        return sorted(file for file in (folder / "samples").iterdir() if file.suffix in ENDINGS)
    files = []
    for one in settings.get("samples") or ():
        name = Path(str(one.get("name"))).name if isinstance(one, dict) else ""
        if not name or not (folder / name).is_file():
            return []  # whole, or nothing: parts would show other figures than the results
        if storage.sha256_file(folder / name) != one.get("sha256"):
            raise UserError(f"{folder / name} is not the file that was scored; score it again")
        files.append(folder / name)
    return files


def read_samples(result: Result) -> Iterator[dict[str, Any]]:
    """Yield the samples of a result with their ``outcome``, ``extracted``, ``reason`` and length of thought.

    Raises:
        UserError: a row is no judged sample, or the samples are not those that the results count.
    """
    counts: dict[str, Counter[str]] = {}
    checkers: dict[tuple[str, str], Checker] = {}
    for file in result.files:
        for number, row in read_rows(file):
            where = f"{file} line {number}"
            sample = _sample(result, row, where, checkers)
            if sample["benchmark"] not in result.benchmarks:
                raise UserError(f"{where} is of {sample['benchmark']!r}, which {result.path} lacks; score it again")
            counts.setdefault(sample["benchmark"], Counter())[sample["outcome"]] += 1
            yield sample
    if result.files:
        for name, figures in result.benchmarks.items():
            _check_counts(result, name, figures, counts.get(name, Counter()))


def _check_counts(result: Result, name: str, figures: Mapping[str, Any], counts: "Counter[str]") -> None:
    found = {outcome: counts[outcome] for outcome in ("unparsed", "truncated", FAILED)}
    for key, count in {"samples": counts.total() - counts[FAILED], **found}.items():
        if count != figures[key]:
            raise UserError(
                f"{result.path} has {figures[key]:,} {key} of {name}, the samples beside it {count:,}; "
                "`octomed eval score` makes results of these samples"
            )


def _sample(result: Result, row: dict[str, Any], where: str, checkers: dict[tuple[str, str], Checker]) -> dict:
    for name in ("benchmark", "id"):
        if not isinstance(row.get(name), str) or not row[name]:
            raise UserError(f"{where} has no {name}, as text")
    seed = row.get("seed") or 0
    if type(seed) is not int:
        raise UserError(f"{where}: seed={seed!r} is not a whole number")
    response = row.get("response")
    response = response if isinstance(response, str) else ""
    judged = {"outcome": FAILED, "extracted": "", "reason": "request_failed"}
    if not is_failed(row):
        judged = _judged(row, where, checkers) if result.judged_here else _as_written(row, where)
    length = row["thinking_tokens"] if "thinking_tokens" in row else count_words(response)
    return {
        **{name: row.get(name) for name in ("benchmark", "id", "answer", "error")},
        **{name: _text(row.get(name)) for name in ("task", "question", "finish_reason", "cluster", "access")},
        "options": [str(option) for option in row.get("options") or ()],
        "seed": seed,
        "response": response,
        **judged,
        "thinking_tokens": None if length == NO_LENGTH else length,
        "completion_tokens": row.get("completion_tokens"),
        "forced": bool(row.get("forced")),
    }


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _as_written(row: Row, where: str) -> dict[str, str]:
    if row.get("verdict") not in VERDICTS:
        raise UserError(f"{where}: verdict={row.get('verdict')!r} is none of {', '.join(VERDICTS)}; score it anew")
    return {
        "outcome": row["verdict"],
        "extracted": _text(row.get("extracted")),
        "reason": _text(row.get("reason")),
    }


def _judged(row: Row, where: str, checkers: dict[tuple[str, str], Checker]) -> dict[str, str]:
    key = (row["benchmark"], row["id"])
    if key not in checkers:
        if len(checkers) >= _CHECKERS:
            checkers.clear()
        checkers[key] = Checker(question_of(row, where))
    verdict = checkers[key].check(_text(row.get("response")), _text(row.get("finish_reason")))
    return {"outcome": verdict.verdict, "extracted": verdict.extracted, "reason": verdict.reason}
