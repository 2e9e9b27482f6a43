"""``octomed eval report``: results and samples of one or several models as Markdown and as one page."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from etils import epath

from octomed_jax import __version__, progress, storage
from octomed_jax.errors import UserError
from octomed_jax.evaluation import results_lengths as lengths
from octomed_jax.evaluation import results_numbers as numbers
from octomed_jax.evaluation.comparison import compare
from octomed_jax.evaluation.paired_settings import check_allowed
from octomed_jax.evaluation.results_data import Result, read_results, read_samples
from octomed_jax.evaluation.results_examples import Choice, Questions
from octomed_jax.evaluation.results_markdown import write_markdown
from octomed_jax.evaluation.results_page import write_page
from octomed_jax.evaluation.results_words import readable
from octomed_jax.storage import PathLike
from octomed_jax.verification.check import REASONS

PAGE_FILE, MARKDOWN_FILE = "report.html", "results.md"
OTHER_REASON = "another code"  # rows may hold any text there
NO_SAMPLES = "no samples lie beside its results"


def write_results_report(
    given: Sequence[str], output: PathLike, questions: Sequence[PathLike] = (), allow: Sequence[str] = ()
) -> tuple[epath.Path, dict[str, Any]]:
    """Write ``DIR/results.md`` and ``DIR/report.html``, and return the latter's path and the numbers in both.

    Results are read and stay as they are. Equal inputs give equal bytes.

    Args:
        given: files ``results.json``, or folders with one, each with ``NAME=`` before it where it is to have a name.
        output: the folder to write.
        questions: folders of the questions that were asked: of their images, and of what may be shown.
        allow: what may differ between models that are compared, as ``octomed eval compare`` takes it.

    Raises:
        UserError: something given is missing, or samples are not those of their results.
        StopAndLook: a file is damaged.
    """
    check_allowed(allow)
    results = read_results(given)
    folder = epath.Path(output)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--output={output} is a file; give a folder")
    table, choice = _table(results, Questions(questions), allow)
    examples = choice.examples()
    table["examples"] = _told(choice, len(examples))
    text, page = write_markdown(table), write_page(table, examples)
    storage.write_text(folder / MARKDOWN_FILE, readable(text))
    storage.write_text(folder / PAGE_FILE, readable(page))
    return folder / PAGE_FILE, table


def _table(results: Sequence[Result], questions: Questions, allow: Sequence[str]) -> tuple[dict[str, Any], Choice]:
    choice = Choice(results, questions)
    outcomes, reasons, calibrations = [], [], []
    for result in results:
        by_benchmark: dict[str, Counter[str]] = {name: Counter() for name in result.benchmarks}
        by_reason: Counter[str] = Counter()
        kept = []
        total = sum(figures["samples"] + figures["failed"] for figures in result.benchmarks.values())
        with progress.bar(f"report: samples of {result.name}", total, "samples") as line:
            for sample in read_samples(result):
                line.advance()
                by_benchmark[sample["benchmark"]][sample["outcome"]] += 1
                if sample["outcome"] != "correct":
                    by_reason[sample["reason"] if sample["reason"] in REASONS else OTHER_REASON] += 1
                if row := lengths.kept_of(sample):
                    kept.append(row)
                choice.see(result.name, sample)
        outcomes.append(by_benchmark)
        reasons.append(dict(by_reason))
        calibrations.append(lengths.calibration(result, kept) if kept else None)
    table = {
        "version": __version__,
        "models": [_model(result) for result in results],
        "categories": numbers.categories(results),
        "mean_of_all": numbers.mean_of_all(results),
        "paper_table": numbers.paper_table(results),
        "comparisons": [_compared(results[0], other, allow, bool(choice.hidden.credentialed)) for other in results[1:]],
        "votes": [numbers.votes(result) for result in results],
        "calibration": calibrations,
        "paper_lengths": lengths.of_paper(),
        "failures": [numbers.failures(*pair) for pair in zip(results, outcomes, strict=True)],
        "reasons": reasons,
        "measures": numbers.measures(results),
        "seen": numbers.seen_rows(results),
        "settings": numbers.settings(results),
        "questions_given": questions.given,
    }
    return table, choice


def _model(result: Result) -> dict[str, Any]:
    totals = {key: sum(figures[key] for figures in result.benchmarks.values()) for key in ("n", "samples", "failed")}
    return {
        "name": result.name,
        "results": str(result.path),
        "benchmarks": len(result.benchmarks),
        "questions": totals["n"],
        "samples": totals["samples"],
        "failed": totals["failed"],
        "access": result.manifest.get("access") or "",
        "licences": list(result.manifest.get("licences") or ()),
        "has_samples": bool(result.files),
        "lengths": {name: figures.get("thinking_tokens") for name, figures in sorted(result.benchmarks.items())},
    }


def _compared(a: Result, b: Result, allow: Sequence[str], hides: bool) -> dict[str, Any]:
    """Return the paired comparison of two models, or why there is none.

    Args:
        a, b: the models.
        allow: what may differ.
        hides: some samples may not be shown; what is wrong with one would name it.
    """
    comparison, why = None, ""
    for result in (a, b):
        if not result.files:
            why = f"{result.name}: {NO_SAMPLES}"
        elif result.compared is None:
            why = f"{result.name}: its samples are in several files; put them into a folder samples beside its results"
        elif any(figures.get("verdicts_changed") for figures in result.benchmarks.values()):
            why = f"{result.name}: its samples carry verdicts that its results do not count; take them out"
    if not why:
        try:
            comparison = compare(str(a.compared), str(b.compared), allow)
        except UserError as error:
            why = "`octomed eval compare` says why (it may name a credentialed question)" if hides else str(error)
    return {"a": a.name, "b": b.name, "comparison": comparison, "why_not": why}


def _told(choice: Choice, shown: int) -> dict[str, Any]:
    hidden = [
        {"model": model, "benchmark": benchmark, "samples": count}
        for (model, benchmark), count in sorted(choice.hidden.credentialed.items())
    ]
    return {"shown": shown, "credentialed": hidden, "credentialed_folders": sorted(choice.hidden.folder)}
