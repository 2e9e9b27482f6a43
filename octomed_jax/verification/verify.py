"""The verify stage: judges every attempt of a folder, and keeps the right ones as traces."""

import itertools
from collections import Counter
from collections.abc import Iterator
from typing import Any

from etils import epath
from rich.table import Table

from octomed_jax import manifests, progress, storage
from octomed_jax.errors import StopAndLook, UserError, did_you_mean
from octomed_jax.manifests import Manifest
from octomed_jax.schema import VERDICT_SCHEMA, Question, Verdict, question_from_row, with_option_order
from octomed_jax.storage import PathLike
from octomed_jax.traces import lake
from octomed_jax.traces.grouped import accepted, lake_row, open_lake
from octomed_jax.verification.changes import Changes
from octomed_jax.verification.check import Checkers, Rules
from octomed_jax.verification.judge import Appeal, Judge, may_appeal, name_of

STAGE = "verify"
COUNTS = ("asked", "answered", "parsed", "correct", "published", "kept", "questions", "questions_kept")
VERDICTS = "verdicts.parquet"
QUESTIONS = "questions.parquet"
BATCH = 64  # questions whose attempts are put before a judge together

Judged = tuple[dict[str, Any], list[tuple[dict[str, Any], Verdict]]]  # a question's row, its attempts with verdicts


def verify(attempts: PathLike, output: PathLike, rules: Rules = Rules(), judge: Judge | None = None) -> Manifest:  # noqa: B008
    """Judge the attempts of a finished distill folder; write verdicts, traces and the funnel, whole or not at all.

    Reads nothing but that folder. Holds one row group of questions in memory at a time. Where ``output`` holds the
    verdicts of another verifier on the same attempts, they are kept as a table of their own (``verdicts-1.parquet``),
    and what changed is said.

    Raises:
        UserError: the attempts are not finished, the rules trust a source that they are not of, or ``output`` holds
            other work.
        StopAndLook: a file is gone or damaged, or attempts and questions do not fit together.
    """
    before = manifests.read_manifest(attempts, "distill")
    if rules.trust:
        _check_trust(rules, before, epath.Path(attempts))
    asked_for = {"verifier": name_of(rules, judge)}
    inputs = {"distill": before.identity}
    earlier = _earlier(output, inputs, asked_for["verifier"])
    if not earlier and (done := manifests.finished(output, STAGE, asked_for, inputs)):
        return done
    manifests.check_files(attempts, before.files)  # a missing part would only give fewer attempts
    source = epath.Path(attempts)
    total = lake.count_rows(source / QUESTIONS)
    funnel, changes = Funnel(), Changes()
    with (
        storage.staged_folder(output, replaces=bool(earlier)) as folder,
        progress.bar("judging", total, "questions") as line,
    ):
        old = _carry_earlier(epath.Path(output), folder, earlier) if earlier else iter(())
        with (
            open_lake(folder) as traces,
            lake.open_writer(folder / VERDICTS, VERDICT_SCHEMA, row_group=20_000) as verdicts,
        ):
            for row, judged in settled(judge_questions(source, rules), judge):
                traced = lake_row(row, judged, asked_for["verifier"])
                funnel.add(row["source"], judged, len(accepted(traced)))
                for attempt, verdict in judged:
                    written = _verdict_row(attempt, verdict, asked_for["verifier"])
                    verdicts.write(written)
                    _compare(changes, next(old, None), written, verdict, earlier)
                traces.write(traced)
                line.advance()
        table = funnel.table() | ({"judge": judge.report()} if judge else {})
        storage.write_json(folder / "funnel.json", table)
        if judge:
            judge.write_audit(folder / "audit.jsonl")
        manifest = Manifest(
            stage=STAGE,
            config=asked_for,
            inputs=inputs,
            counts=funnel.table()["total"],
            files=manifests.hash_files(folder),
            licences=before.licences,
            access=before.access,
            extra={**before.extra, **funnel.unchecked()},
        )
        manifests.write_manifest(folder, manifest)
    print_funnel(funnel.table())
    for text in changes.told(asked_for["verifier"]):
        progress.say(text)
    return manifest


def _check_trust(rules: Rules, before: Manifest, attempts: epath.Path) -> None:
    """Check that responses are taken as published only where somebody published them, and of sources that are there.

    Raises:
        UserError: it is not so.
    """
    if not before.config.get("published"):
        raise UserError(
            f"config.verify.trust names {', '.join(rules.trust)}, but {attempts} holds attempts that a teacher was "
            "asked for and nobody published; leave it out with --config.verify.trust=()"
        )
    sources = {row["source"] for row in lake.iterate_rows(attempts / QUESTIONS, ["source"])}
    for name in rules.trust:
        if name not in sources:
            raise UserError(
                f"config.verify.trust names {name!r}, which is no source of {attempts}"
                f"{did_you_mean(name, sorted(sources))}; its sources are {', '.join(sorted(sources))}"
            )


def _earlier(output: PathLike, inputs: dict[str, str], verifier: str) -> str:
    """Return the version of the verdicts that ``output`` holds on the same attempts, if it is another one."""
    storage.put_back(output)
    if not (epath.Path(output) / manifests.MANIFEST).exists():
        return ""
    manifest = manifests.read_manifest(output, STAGE)
    held = str(manifest.config.get("verifier", ""))
    return held if dict(manifest.inputs) == inputs and held != verifier else ""


def _carry_earlier(output: epath.Path, folder: epath.Path, version: str) -> Iterator[dict[str, Any]]:
    """Copy earlier tables of verdicts into the new folder, the last one by its version; yield its rows."""
    for path in sorted(output.glob("verdicts-*.parquet")):
        path.copy(folder / path.name)
    name = "".join(letter if letter.isalnum() or letter in ".-" else "_" for letter in version)
    kept = folder / f"verdicts-{name}.parquet"
    (output / VERDICTS).copy(kept, overwrite=True)
    return lake.iterate_rows(kept)


def _compare(changes: Changes, old: dict[str, Any] | None, new: dict[str, Any], verdict: Verdict, version: str) -> None:
    if old is None:
        return
    place = (new["question_id"], new["sample_index"])
    if (old["question_id"], old["sample_index"]) != place:
        raise StopAndLook(f"the verdicts of verifier {version} are not on the same attempts at {place}")
    changes.add(old["verdict"], version, verdict, f"{place[0]}:{place[1]}")


def judge_questions(attempts: epath.Path, rules: Rules = Rules()) -> Iterator[Judged]:  # noqa: B008
    """Yield every question's row with its attempts and their verdicts; both files are sorted by question id.

    Raises:
        StopAndLook: an attempt belongs to no question, or a file is out of order.
    """
    rows = lake.iterate_parts(attempts / "attempts")
    attempt = next(rows, None)
    last = ""
    for row in lake.iterate_rows(attempts / QUESTIONS):
        if row["id"] <= last:
            raise StopAndLook(f"{attempts / QUESTIONS} is not sorted by id at {row['id']!r}; make it again")
        last = row["id"]
        checkers = Checkers(question_from_row(row), rules)
        judged = []
        while attempt is not None and attempt["question_id"] == row["id"]:
            judged.append((attempt, checkers.check(attempt)))
            attempt = next(rows, None)
        yield row, judged
    if attempt is not None:
        raise StopAndLook(
            f"{attempts / 'attempts'} holds attempts at the unknown question {attempt['question_id']!r}; make it again"
        )


def settled(questions: Iterator[Judged], judge: Judge | None) -> Iterator[Judged]:
    """Yield the same with the judge's verdicts where there is one; some questions at a time are put before it."""
    if judge is None:
        yield from questions
        return
    while batch := list(itertools.islice(questions, BATCH)):
        places = [
            (judged, number, appeal)
            for row, judged in batch
            for number, (attempt, verdict) in enumerate(judged)
            for appeal in [_appeal(question_from_row(row), attempt, verdict)]
            if may_appeal(appeal)
        ]
        for (judged, number, _), verdict in zip(places, judge.settle([one for *_, one in places]), strict=True):
            judged[number] = (judged[number][0], verdict)
        yield from batch


def _appeal(question: Question, attempt: dict[str, Any], verdict: Verdict) -> Appeal:
    shown = with_option_order(question, attempt["option_order"] or ())
    return Appeal(f"{question.id}:{attempt['sample_index']}", shown, attempt["response"], verdict)


def find_attempts(attempts: PathLike, name: str) -> list[tuple[Question, dict[str, Any]]]:
    """Return the attempts at a question by its id, each with the question as it was shown; ``ID:SAMPLE``: that one.

    Raises:
        UserError: there is none.
    """
    manifests.read_manifest(attempts, "distill")
    for row, judged in judge_questions(epath.Path(attempts)):
        found = [
            (with_option_order(question_from_row(row), attempt["option_order"] or ()), attempt)
            for attempt, _ in judged
            if name in (row["id"], f"{row['id']}:{attempt['sample_index']}")
        ]
        if found:
            return found
    raise UserError(f"{attempts} holds no question or attempt {name!r}; give QUESTION_ID or QUESTION_ID:SAMPLE")


def _verdict_row(attempt: dict[str, Any], verdict: Verdict, verifier: str) -> dict[str, Any]:
    return {
        "question_id": attempt["question_id"],
        "sample_index": attempt["sample_index"],
        "verdict": verdict.verdict,
        "extracted": verdict.extracted,
        "reason": verdict.reason,
        "judge": verdict.judge,
        "verifier": verifier,
    }


class Funnel:
    """Counts, by source, what became of the attempts; what is taken as published counts apart from what is correct."""

    def __init__(self) -> None:
        self.counts: dict[str, Counter[str]] = {}
        self.reasons: dict[str, Counter[str]] = {}

    def add(self, source: str, judged: list[tuple[dict[str, Any], Verdict]], kept: int) -> None:
        """Count one question with its judged attempts, ``kept`` of which became traces."""
        counts = self.counts.setdefault(source, Counter())
        reasons = self.reasons.setdefault(source, Counter())
        counts.update(asked=len(judged), kept=kept, questions=1, questions_kept=int(kept > 0))
        for attempt, verdict in judged:
            published = verdict.reason == "published"
            counts["answered"] += not attempt["error"]
            counts["parsed"] += verdict.verdict in ("correct", "wrong") and not published
            counts["correct"] += verdict.verdict == "correct" and not published
            counts["published"] += published
            reasons[verdict.reason] += 1

    def table(self) -> dict[str, Any]:
        """Return the content of ``funnel.json``."""
        sources = {name: _row(self.counts[name], self.reasons[name]) for name in sorted(self.counts)}
        total = _row(sum(self.counts.values(), Counter()), sum(self.reasons.values(), Counter()))
        return {"sources": sources, "total": total}

    def unchecked(self) -> dict[str, Any]:
        """Return what the manifest says of attempts that were taken as published, by source; nothing where none was."""
        found = {name: counts["published"] for name, counts in sorted(self.counts.items()) if counts["published"]}
        return {"published": found} if found else {}


def _row(counts: "Counter[str]", reasons: "Counter[str]") -> dict[str, Any]:
    return {**{name: counts[name] for name in COUNTS}, "reasons": dict(sorted(reasons.items()))}


def print_funnel(funnel: dict[str, Any]) -> None:
    """Print the funnel as a table, a line a source."""
    table = Table(title="From attempts to traces", title_justify="left")
    table.add_column("source")
    unchecked = ("published",) if funnel["total"]["published"] else ()
    columns = ("questions", "asked", "answered", "parsed", "correct", *unchecked, "kept")
    for name in columns:
        table.add_column(name, justify="right")
    table.add_column("accepted", justify="right")
    for name, row in [*funnel["sources"].items(), ("all", funnel["total"])]:
        share = f"{(row['correct'] + row['published']) / row['asked']:.1%}" if row["asked"] else "-"
        cells = [str(row[column]) for column in columns]
        table.add_row(name, *cells, share, style="bold" if name == "all" else "")
    progress.console.print(table)
