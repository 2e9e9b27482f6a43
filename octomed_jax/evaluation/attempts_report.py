"""``report.html`` and ``report.json`` of an attempts folder: what a teacher's attempts came to."""

from collections.abc import Mapping, Sequence
from typing import Any

from etils import epath

from octomed_jax import manifests, progress, storage
from octomed_jax.configuration import plain
from octomed_jax.evaluation import attempts_figures
from octomed_jax.evaluation.attempts_data import Row, each_question, find_questions, options_shown
from octomed_jax.evaluation.attempts_numbers import Numbers
from octomed_jax.evaluation.examples import Example, example_of
from octomed_jax.evaluation.figures import rejected_reasons
from octomed_jax.evaluation.page import render, setting_rows
from octomed_jax.evaluation.report_data import is_program, row_count, teacher_note
from octomed_jax.manifests import Manifest
from octomed_jax.teacher.copies import alarming

MOST_FAILURES = 10  # kinds that are shown; report.json has all
MOST_EXAMPLES = 10
MOST_TEXT = 1200  # characters of a text that are shown


def write_attempts_report(folder: storage.PathLike) -> epath.Path:
    """Write ``DIR/report.json`` and ``DIR/report.html`` of a finished attempts folder and return the latter's path.

    Reads the folder once, a question at a time. The page is one file that fetches nothing; equal folders give equal
    bytes.

    Args:
        folder: what ``octomed distill`` wrote.

    Raises:
        UserError: no such folder, it is unfinished, or an earlier version made it.
        StopAndLook: a file of it is damaged.
    """
    place = epath.Path(folder)
    manifest = manifests.read_manifest(place, "distill")
    numbers, chosen = Numbers(), Chosen()
    with progress.bar("counting attempts", row_count(place / "questions.parquet"), "questions") as line:
        for question, attempts in each_question(place):
            numbers.add(question, attempts)
            chosen.add(question, attempts)
            line.advance()
    table = _table(manifest, numbers.table())
    page = _render(place, manifest, table, chosen.examples(place, list(table["reasons"])))
    storage.write_json(place / "report.json", table)
    storage.write_text(place / "report.html", page)
    return place / "report.html"


def _table(manifest: Manifest, numbers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of report.json."""
    table = {
        "teacher": teacher_note(manifest),
        "programmatic": is_program(manifest, numbers["acceptance"]["teacher"]),
        "access": manifest.access,
        "licences": list(manifest.licences),
        **numbers,
    }
    for name, where in (("saved_requests", manifest.counts), ("cost", manifest.extra)):
        if name in where:
            table[name] = where[name]
    if table["duplicates"]:
        alarm = alarming(**table["duplicates"]["long"])
        expected = table["programmatic"] or _greedy(manifest)
        table["duplicates"] = {**table["duplicates"], "expected": expected, "alarm": alarm and not expected}
    return table


def _greedy(manifest: Manifest) -> bool:
    """Say whether every temperature that the settings name is 0, so that equal samples are no wonder."""
    settings = manifests.flatten(plain(manifest.config))
    named = [value for name, value in settings.items() if name.rpartition(".")[2] == "temperature"]
    return bool(named) and not any(named)


def _render(folder: epath.Path, manifest: Manifest, table: dict[str, Any], examples: Sequence[Example]) -> str:
    name = "attempts" if folder.name == "attempts" else f"attempts {folder.name}"  # the stage's own folder
    return render(
        "attempts.html.jinja",
        f"octomed_jax: {name}",
        attempts_figures.draw(table),
        name=name,
        table=table,
        teachers=list(table["acceptance"]["teacher"]),
        groups=[(heading, table["acceptance"][kind]) for kind, heading in attempts_figures.KINDS.items()],
        reasons=rejected_reasons(table["reasons"]),
        failures=list(table["failures"].items())[:MOST_FAILURES],
        spent=_spent(table),
        examples=examples,
        settings=setting_rows(manifest.config),
        identity=manifest.identity,
        version=manifest.code_version,
    )


def _spent(table: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what the run saved and cost as rows of a table, as far as its manifest says."""
    flat = manifests.flatten({name: table[name] for name in ("saved_requests", "cost") if name in table})
    return [(name.replace(".", ": ").replace("_", " "), _amount(value)) for name, value in flat.items()]


def _amount(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.4f}".rstrip("0").rstrip(".")
    return f"{value:,}" if isinstance(value, int) else str(value)


class Chosen:
    """One attempt of every reason code to look at, chosen by a hash of its name, not by hand."""

    def __init__(self) -> None:
        self._best: dict[str, tuple[str, Row]] = {}

    def add(self, question: Row, attempts: Sequence[Row]) -> None:
        """Consider the attempts at one question, if its text may be shown to whoever sees the page."""
        if question["access"] != "open":
            return
        for attempt in attempts:
            if not attempt["error"]:
                rank = storage.sha256_bytes(f"{attempt['question_id']}:{attempt['sample_index']}".encode())
                best = self._best.get(attempt["reason"])
                if best is None or rank < best[0]:
                    self._best[attempt["reason"]] = (rank, attempt)

    def examples(self, folder: epath.Path, reasons: Sequence[str]) -> list[Example]:
        """Return accepted attempts, then rejected ones, those with the more frequent reasons first.

        Args:
            folder: where the questions are.
            reasons: the reason codes, most frequent first.
        """
        attempts = [self._best[reason][1] for reason in reasons if reason in self._best]
        attempts = sorted(attempts, key=lambda attempt: attempt["verdict"] != "correct")[:MOST_EXAMPLES]
        ids = frozenset(attempt["question_id"] for attempt in attempts)
        questions = find_questions(folder / "questions.parquet", ids)
        return [_example(attempt, questions[attempt["question_id"]]) for attempt in attempts]


def _example(attempt: Row, question: Row) -> Example:
    shown = {**question, "options": options_shown(question, attempt)}
    sample = {**attempt, "id": f"{question['id']}, sample {attempt['sample_index']}"}
    return {**example_of(sample, shown, question["benchmark"], MOST_TEXT), "teacher": attempt["teacher"]}
