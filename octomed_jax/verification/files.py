"""Verifies a file of rows, JSON lines or Parquet: every row comes back as it was, with its verdicts."""

import contextlib
import dataclasses
import itertools
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from octomed_jax import progress
from octomed_jax.errors import UserError
from octomed_jax.os_errors import explain_os_error, making
from octomed_jax.schema import Question, Verdict
from octomed_jax.traces.row_files import BATCH, LINES, iterate_batches, iterate_lines, kind_of, open_parquet
from octomed_jax.verification.changes import Changes
from octomed_jax.verification.check import Checker, Rules
from octomed_jax.verification.judge import Appeal, Judge, may_appeal, name_of
from octomed_jax.verification.rows import question_of, responses_of

READ = ("id", "task", "question", "options", "answer", "aliases", "lower_limit", "upper_limit", "access", "source",
        "response", "responses", "finish_reason", "verdict", "verifier")  # fmt: skip


@dataclasses.dataclass
class Summary:
    """What became of a file: rows, verdicts and reasons counted, and what changed since it was last verified."""

    rows: int = 0
    verdicts: "Counter[str]" = dataclasses.field(default_factory=Counter)
    reasons: "Counter[str]" = dataclasses.field(default_factory=Counter)
    changes: Changes = dataclasses.field(default_factory=Changes)

    def table(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "rows": self.rows,
            "responses": self.verdicts.total(),
            "verdicts": dict(sorted(self.verdicts.items())),
            "reasons": dict(sorted(self.reasons.items())),
            **({"changes": self.changes.table()} if self.changes.compared else {}),
        }


def verify_file(source: Path, target: Path, rules: Rules, judge: Judge | None = None) -> Summary:
    """Verify the rows of a file, and write them with ``verdict, extracted, reason, verifier, judge`` added.

    For a row with ``responses`` these are lists (but ``verifier``), for one with ``response`` they are single values.
    Where rows carry verdicts of another version already, what changed is counted. The file appears whole or not at all.

    Raises:
        UserError: the files are of no known or of different kinds, or a row cannot be used; the row is named.
    """
    kind = kind_of(source)
    if kind_of(target) != kind:
        raise UserError(f"{source} and {target} are files of different kinds; give both the same ending")
    if source.resolve() == target.resolve():
        raise UserError(f"--output={target} is the file to read; choose another one")
    if not source.is_file():
        raise UserError(f"no such file: {source}")
    partial = target.with_name(f".{target.name}.partial")
    summary = Summary()
    try:
        with making(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            partial.touch()
        (_through_lines if kind == LINES else _through_parquet)(source, partial, rules, judge, summary)
        partial.replace(target)
    except pa.ArrowException as error:
        raise UserError(f"{source} cannot be read or rewritten ({str(error).splitlines()[0]})") from error
    except OSError as error:
        raise explain_os_error(error, target) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
    return summary


def read_row(source: Path, number: int) -> dict[str, Any]:
    """Return a row of a file; 1 is the first.

    Raises:
        UserError: there is no such row.
    """
    if not source.is_file():
        raise UserError(f"no such file: {source}")
    last = 0
    with source.open("rb") as file:
        rows = iterate_lines(file, source) if kind_of(source) == LINES else _read_parquet(source)
        for last, row in enumerate(rows, 1):
            if last == number:
                return row
    raise UserError(f"{source} has no row {number}; its rows are 1 to {last}")


def _through_lines(source: Path, partial: Path, rules: Rules, judge: Judge | None, summary: Summary) -> None:
    with (
        source.open("rb") as read,
        partial.open("w", encoding="utf-8") as file,
        progress.bar("verifying", source.stat().st_size, "bytes") as line,
    ):
        rows, position = iterate_lines(read, source), 0
        while batch := list(itertools.islice(rows, BATCH)):
            for row, added in zip(batch, verify_rows(batch, rules, judge, summary), strict=True):
                text = _dumped({**row, **added})
                file.write(text + "\n")
            line.advance(read.tell() - position)
            position = read.tell()


def _dumped(row: Mapping[str, Any]) -> str:
    """Return a row as JSON in UTF-8, or escaped where it holds half an emoji, which UTF-8 cannot spell."""
    text = json.dumps(row, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(row)
    return text


def _through_parquet(source: Path, partial: Path, rules: Rules, judge: Judge | None, summary: Summary) -> None:
    with open_parquet(source) as file:
        held = file.schema_arrow
        if len(set(held.names)) < len(held.names):
            raise UserError(f"{source} has two columns of one name; rename one")
        schema, several = _with_verdicts(held), "responses" in held.names
        wanted = [name for name in READ if name in held.names]
        with (
            pq.ParquetWriter(partial, schema, compression="zstd") as writer,
            progress.bar("verifying", file.metadata.num_rows, "rows") as line,
        ):
            for batch in iterate_batches(file, source, held.names):
                rows = batch.select(wanted).to_pylist()
                if several:
                    rows = [{**row, "responses": row["responses"] or []} for row in rows]
                added = verify_rows(rows, rules, judge, summary)
                kept = [name for name in held.names if name in schema.names and name not in _ADDED]
                columns = [batch.column(name) for name in kept]
                columns += [pa.array([row[name] for row in added], schema.field(name).type) for name in _ADDED]
                writer.write_table(pa.Table.from_arrays(columns, schema=schema), row_group_size=BATCH)
                line.advance(len(rows))


_ADDED = ("verdict", "extracted", "reason", "verifier", "judge")


def _with_verdicts(schema: pa.Schema) -> pa.Schema:
    """Return a schema with the columns of the verdicts, lists where there are several responses a row.

    What the datasets library wrote about its columns is left out: it would not know the new ones.
    """
    several = "responses" in schema.names
    text, flag = (pa.list_(pa.string()), pa.list_(pa.bool_())) if several else (pa.string(), pa.bool_())
    fields = [field for field in schema if field.name not in _ADDED]
    types = {"verdict": text, "extracted": text, "reason": text, "verifier": pa.string(), "judge": flag}
    metadata = {key: value for key, value in (schema.metadata or {}).items() if key != b"huggingface"}
    return pa.schema(fields + [pa.field(name, types[name]) for name in _ADDED], metadata)


def _read_parquet(source: Path) -> Iterator[dict[str, Any]]:
    with open_parquet(source) as file:
        wanted = [name for name in READ if name in file.schema_arrow.names]
        for batch in iterate_batches(file, source, wanted):
            yield from batch.to_pylist()


def verify_rows(
    rows: Sequence[Mapping[str, Any]], rules: Rules, judge: Judge | None, summary: Summary
) -> list[dict[str, Any]]:
    """Return what is added to each row; ``summary`` counts on."""
    several, verdicts, appeals = [], [], []
    for row in rows:
        summary.rows += 1
        where = f"row {summary.rows}"
        question, responses = question_of(row, where), responses_of(row, where)
        checker = Checker(question, rules)
        own = [checker.check(response, finish) for response, finish in responses]
        several.append(row.get("responses") is not None)
        verdicts.append(own)
        if judge:
            appeals += _appeals(question, responses, own, where, len(verdicts) - 1)
    if judge and appeals:
        for (place, number, _), verdict in zip(appeals, judge.settle([appeal for *_, appeal in appeals]), strict=True):
            verdicts[place][number] = verdict
    verifier = name_of(rules, judge)
    first = summary.rows - len(rows) + 1
    for number, (row, own) in enumerate(zip(rows, verdicts, strict=True), first):
        _count(summary, row, own, f"row {number}", verifier)
    return [_added(own, lists, verifier) for lists, own in zip(several, verdicts, strict=True)]


def _appeals(
    question: Question, responses: Sequence[tuple[str, str]], verdicts: Sequence[Verdict], where: str, place: int
) -> list[tuple[int, int, Appeal]]:
    """Return (row, response, appeal) of the verdicts that a judge may be asked about."""
    appeals = [
        (place, number, Appeal(f"{where}:{number + 1}", question, response, verdict))
        for number, ((response, _), verdict) in enumerate(zip(responses, verdicts, strict=True))
    ]
    return [entry for entry in appeals if may_appeal(entry[2])]


def _count(summary: Summary, row: Mapping[str, Any], verdicts: Sequence[Verdict], where: str, verifier: str) -> None:
    for verdict in verdicts:
        summary.verdicts[verdict.verdict] += 1
        summary.reasons[verdict.reason] += 1
    before, version = row.get("verdict"), str(row.get("verifier") or "")
    if before is None or version == verifier:
        return
    earlier = before if isinstance(before, list) else [before]
    if len(earlier) == len(verdicts):
        for number, (old, new) in enumerate(zip(earlier, verdicts, strict=True), 1):
            summary.changes.add(str(old), version, new, f"{where}:{number}" if len(verdicts) > 1 else where)


def _added(verdicts: Sequence[Verdict], lists: bool, verifier: str) -> dict[str, Any]:
    columns = {
        name: [getattr(verdict, name) for verdict in verdicts] for name in ("verdict", "extracted", "reason", "judge")
    }
    added: dict[str, Any] = columns if lists else {name: values[0] for name, values in columns.items()}
    return {**added, "verifier": verifier}
