"""The verify stage: judges every attempt of a folder, and keeps the right ones as traces."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from etils import epath
from rich.table import Table

from octomed_jax import progress, storage
from octomed_jax.errors import StopAndLook
from octomed_jax.schema import VERDICT_SCHEMA, Question, Verdict, question_from_row
from octomed_jax.storage import Manifest, PathLike
from octomed_jax.traces import lake
from octomed_jax.verification.check import VERIFIER_VERSION, judge_response

STAGE = "verify"
COUNTS = ("asked", "answered", "parsed", "correct", "kept", "questions", "questions_kept")

Judged = tuple[dict[str, Any], list[tuple[dict[str, Any], Verdict]]]  # a question's row, its attempts with verdicts


def verify(attempts: PathLike, output: PathLike) -> Manifest:
    """Judge the attempts of a finished distill folder; write verdicts, traces and the funnel, whole or not at all.

    Reads nothing but that folder. Holds one row group of questions in memory at a time.

    Raises:
        UserError: the attempts are not finished, or ``output`` holds other work.
        StopAndLook: a file is damaged, or attempts and questions do not fit together.
    """
    before = storage.read_manifest(attempts, "distill")
    asked_for = {"verifier": VERIFIER_VERSION}
    inputs = {"distill": before.identity}
    if done := storage.finished(output, STAGE, asked_for, inputs):
        return done
    source = epath.Path(attempts)
    total = lake.count_rows(source / "questions.parquet")
    funnel = Funnel()
    with storage.staged_folder(output) as folder, progress.bar("judging", total, "questions") as line:
        with (
            lake.open_writer(folder / "traces.parquet", lake.RECORD_SCHEMA) as traces,
            lake.open_writer(folder / "verdicts.parquet", VERDICT_SCHEMA, row_group=20_000) as verdicts,
        ):
            for row, judged in judge_questions(source):
                responses = accepted(judged)
                funnel.add(row["source"], judged, len(responses))
                for attempt, verdict in judged:
                    verdicts.write(_verdict_row(attempt, verdict))
                if responses:
                    traces.write({**row, "responses": responses})
                line.advance()
        storage.write_json(folder / "funnel.json", funnel.table())
        manifest = Manifest(
            stage=STAGE,
            config=asked_for,
            inputs=inputs,
            counts=funnel.table()["total"],
            files=storage.hash_files(folder),
            licences=before.licences,
            access=before.access,
            extra=dict(before.extra),
        )
        storage.write_manifest(folder, manifest)
    print_funnel(funnel.table())
    return manifest


def judge_questions(attempts: epath.Path) -> Iterator[Judged]:
    """Yield every question's row with its attempts and their verdicts; both files are sorted by question id.

    Raises:
        StopAndLook: an attempt belongs to no question, or a file is out of order.
    """
    path = attempts / "attempts" / "part-00000.parquet"
    rows = lake.iterate_rows(path)
    attempt = next(rows, None)
    last = ""
    for row in lake.iterate_rows(attempts / "questions.parquet"):
        if row["id"] <= last:
            raise StopAndLook(f"{attempts / 'questions.parquet'} is not sorted by id at {row['id']!r}; make it again")
        last = row["id"]
        question = question_from_row(row)
        judged = []
        while attempt is not None and attempt["question_id"] == row["id"]:
            judged.append((attempt, judge_attempt(question, attempt)))
            attempt = next(rows, None)
        yield row, judged
    if attempt is not None:
        raise StopAndLook(f"{path} holds attempts at the unknown question {attempt['question_id']!r}; make it again")


def judge_attempt(question: Question, attempt: dict[str, Any]) -> Verdict:
    """Judge a row of ATTEMPT_SCHEMA; a request that failed for good is unparsed."""
    if attempt["error"]:
        return Verdict("unparsed", "", "request_failed")
    return judge_response(question, attempt["response"], attempt["finish_reason"])


def accepted(judged: list[tuple[dict[str, Any], Verdict]]) -> list[str]:
    """Return the correct responses, in sample order."""
    return [attempt["response"] for attempt, verdict in judged if verdict.verdict == "correct"]


def _verdict_row(attempt: dict[str, Any], verdict: Verdict) -> dict[str, Any]:
    return {
        "question_id": attempt["question_id"],
        "sample_index": attempt["sample_index"],
        "verdict": verdict.verdict,
        "extracted": verdict.extracted,
        "reason": verdict.reason,
    }


class Funnel:
    """Counts, by source, what became of the attempts."""

    def __init__(self) -> None:
        self.counts: dict[str, Counter[str]] = {}
        self.reasons: dict[str, Counter[str]] = {}

    def add(self, source: str, judged: list[tuple[dict[str, Any], Verdict]], kept: int) -> None:
        """Count one question with its judged attempts, ``kept`` of which became traces."""
        counts = self.counts.setdefault(source, Counter())
        reasons = self.reasons.setdefault(source, Counter())
        counts.update(asked=len(judged), kept=kept, questions=1, questions_kept=int(kept > 0))
        for attempt, verdict in judged:
            counts["answered"] += not attempt["error"]
            counts["parsed"] += verdict.verdict in ("correct", "wrong")
            counts["correct"] += verdict.verdict == "correct"
            reasons[verdict.reason] += 1

    def table(self) -> dict[str, Any]:
        """Return the content of ``funnel.json``."""
        sources = {name: _row(self.counts[name], self.reasons[name]) for name in sorted(self.counts)}
        total = _row(sum(self.counts.values(), Counter()), sum(self.reasons.values(), Counter()))
        return {"sources": sources, "total": total}


def _row(counts: "Counter[str]", reasons: "Counter[str]") -> dict[str, Any]:
    return {**{name: counts[name] for name in COUNTS}, "reasons": dict(sorted(reasons.items()))}


def print_funnel(funnel: dict[str, Any]) -> None:
    """Print the funnel as a table, a line a source."""
    table = Table(title="From attempts to traces", title_justify="left")
    table.add_column("source")
    for name in ("questions", "asked", "answered", "parsed", "correct", "kept"):
        table.add_column(name, justify="right")
    table.add_column("accepted", justify="right")
    for name, row in [*funnel["sources"].items(), ("all", funnel["total"])]:
        share = f"{row['correct'] / row['asked']:.1%}" if row["asked"] else "-"
        cells = [str(row[column]) for column in ("questions", "asked", "answered", "parsed", "correct", "kept")]
        table.add_row(name, *cells, share, style="bold" if name == "all" else "")
    progress.console.print(table)
