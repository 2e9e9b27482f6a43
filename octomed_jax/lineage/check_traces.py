"""Whether the lake of a folder of traces is what its attempts and its verdicts say."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from etils import epath

from octomed_jax import storage
from octomed_jax.lineage.check_attempts import ATTEMPTS, QUESTIONS
from octomed_jax.lineage.check_questions import Advance
from octomed_jax.lineage.findings import Findings
from octomed_jax.lineage.folders import Folders
from octomed_jax.lineage.images import wrong_images
from octomed_jax.lineage.rows import Sorted, open_table, parts, tables, unsorted
from octomed_jax.schema import ATTEMPT_SCHEMA, QUESTION_SCHEMA, VERDICT_SCHEMA
from octomed_jax.traces.grouped import LAKE, LAKE_SCHEMA
from octomed_jax.verification.verify import COUNTS, VERDICTS

FUNNEL = "funnel.json"
_FACTS = [field.name for field in LAKE_SCHEMA.field("attempts").type.value_type]
_ASKED = [name for name in QUESTION_SCHEMA.names if name != "image"]


def count_traces(findings: Findings) -> None:
    """Compare only the numbers of questions and verdicts with the manifest."""
    folder, counts = findings.found.folder, findings.found.manifest.counts
    questions = 0
    for path in parts(folder / LAKE):
        with open_table(path) as file:
            questions += file.metadata.num_rows
    with open_table(folder / VERDICTS) as file:
        verdicts = file.metadata.num_rows
    for what, counted, name in ((LAKE, questions, "questions"), (VERDICTS, verdicts, "asked")):
        if counted != counts.get(name):
            findings.problem(
                "counts", f"{folder / what} holds {counted} rows, and the manifest says {counts.get(name)}"
            )
    findings.prove("numbers of questions and verdicts", ("counts",))


def check_traces(findings: Findings, folders: Folders, advance: Advance) -> None:
    """Check a folder of traces; ``advance`` is called with each number of questions that are done."""
    found = findings.found
    before = folders.named(found.manifest.inputs.get("distill", ""))
    streams = {"verdicts": Sorted([found.folder / VERDICTS], "question_id", VERDICT_SCHEMA.names)}
    if before:
        streams["questions"] = Sorted([before.folder / QUESTIONS], "id", _ASKED)
        columns = [name for name in ATTEMPT_SCHEMA.names if name in (*_FACTS, "question_id", "response")]
        streams["attempts"] = Sorted(parts(before.folder / ATTEMPTS), "question_id", columns)
    funnel, last = _Funnel(), ""
    with ThreadPoolExecutor() as pool:
        for path in parts(found.folder / LAKE):
            for table in tables(path):
                if wrong := unsorted(table["id"], last):
                    findings.problem("order", f"{path} is not sorted by id, or has one twice, at {wrong!r}")
                last = table["id"][-1].as_py() if table.num_rows else last
                for name, what in wrong_images(table, pool):
                    findings.problem("image", f"{path}: question {name} {what}")
                _check_table(findings, path, table, {name: one.up_to(last) for name, one in streams.items()})
                funnel.add(table)
                advance(table.num_rows)
    for name, stream in streams.items():
        if (rest := stream.up_to(None)).num_rows:
            key = "id" if name == "questions" else "question_id"
            findings.problem(
                name, f"{found.folder / LAKE} lacks question {rest[key][0].as_py()!r}, which is among the {name}"
            )
    funnel.compare(findings)
    findings.prove("lake and table of verdicts agree", ("verdicts", "lengths"))
    if before:
        findings.prove("lake and attempts agree", ("attempts", "questions", "lengths"))
    findings.prove("images are those of their hashes", ("image",))


def _check_table(findings: Findings, path: epath.Path, table: pa.Table, others: dict[str, pa.Table]) -> None:
    """Compare some rows of the lake with those of the tables that they were made of."""
    lengths = [pc.fill_null(pc.list_value_length(table[name]), 0) for name in ("responses", "attempts", "verdicts")]
    if not lengths[0].equals(lengths[1]) or not lengths[0].equals(lengths[2]):
        findings.problem("lengths", f"{path}: a question has not as many responses as attempts and verdicts")
        return
    owners = pc.take(table["id"].combine_chunks(), pc.list_parent_indices(table["attempts"].combine_chunks()))
    facts, verdicts = [_flat(table, name) for name in ("attempts", "verdicts")]
    facts = facts.append_column("question_id", owners)
    facts = facts.append_column("response", pc.list_flatten(table["responses"].combine_chunks()))
    verdicts = verdicts.append_column("question_id", owners).append_column("sample_index", facts["sample_index"])
    same = {
        "verdicts": (verdicts, VERDICTS),
        "attempts": (facts, "the attempts"),
        "questions": (table, "the attempts'"),
    }
    for name, other in others.items():
        mine, what = same[name]
        keys = ("id",) if name == "questions" else ("question_id", "sample_index")
        _compare(findings, name, path, mine.select(other.column_names), other, keys, what)


def _flat(table: pa.Table, name: str) -> pa.Table:
    return pa.Table.from_struct_array(pc.list_flatten(table[name].combine_chunks()))


def _compare(
    findings: Findings, kind: str, path: epath.Path, mine: pa.Table, other: pa.Table, keys: Sequence[str], what: str
) -> None:
    """Note the rows in which two tables differ; only where they do, rows are looked at one by one."""
    mine, other = mine.combine_chunks(), other.combine_chunks()
    if mine.num_rows == other.num_rows and all(mine[name].equals(other[name]) for name in mine.column_names):
        return
    left, right = [{":".join(str(row[key]) for key in keys): row for row in one.to_pylist()} for one in (mine, other)]
    of = "questions" if kind == "questions" else what
    for name in [*left, *(name for name in right if name not in left)]:
        if name not in right:
            findings.problem(kind, f"{path} holds {name}, which is not among {of}")
        elif name not in left:
            findings.problem(kind, f"{path} lacks {name}, which is among {of}")
        elif left[name] != right[name]:
            column = next(column for column in left[name] if left[name][column] != right[name][column])
            values = [_short(one[name][column]) for one in (left, right)]
            findings.problem(kind, f"{path}: {column} of {name} is {values[0]}, and {values[1]} among {of}")
    if len(left) != mine.num_rows or len(right) != other.num_rows:
        findings.problem(kind, f"{path} or {what}: a row stands twice")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


class _Funnel:
    """Counts what ``funnel.json`` and the manifest say, from the lake."""

    def __init__(self) -> None:
        self._attempts: Counter[tuple[str, str, str, bool]] = Counter()  # source, verdict, reason, answered
        self._questions: Counter[tuple[str, bool]] = Counter()  # source, has a trace

    def add(self, table: pa.Table) -> None:
        """Count the questions of a table."""
        verdicts, attempts = table["verdicts"].combine_chunks(), table["attempts"].combine_chunks()
        owners = pc.list_parent_indices(verdicts)
        judged = pc.list_flatten(verdicts)
        columns = {
            "source": pc.take(table["source"].combine_chunks(), owners),
            "verdict": pc.struct_field(judged, "verdict"),
            "reason": pc.struct_field(judged, "reason"),
            "answered": pc.equal(pc.struct_field(pc.list_flatten(attempts), "error"), ""),
        }
        grouped = pa.table(columns).group_by(list(columns)).aggregate([([], "count_all")])
        for row in grouped.to_pylist():
            self._attempts[row["source"], row["verdict"], row["reason"], row["answered"]] += row["count_all"]
        kept = set(pc.filter(owners, pc.equal(columns["verdict"], "correct")).to_pylist())
        for number, source in enumerate(table["source"].to_pylist()):
            self._questions[source, number in kept] += 1

    def table(self) -> dict[str, Any]:
        """Return the counts as ``funnel.json`` has them."""
        sources = sorted({source for source, _ in self._questions})
        return {"sources": {name: self._row([name]) for name in sources}, "total": self._row(sources)}

    def _row(self, sources: Sequence[str]) -> dict[str, Any]:
        row: Counter[str] = Counter()
        reasons: Counter[str] = Counter()
        for (source, verdict, reason, answered), count in self._attempts.items():
            if source in sources:
                published, correct = reason == "published", verdict == "correct"
                row.update(
                    asked=count,
                    answered=count * answered,
                    parsed=count * (verdict in ("correct", "wrong") and not published),
                    correct=count * (correct and not published),
                    published=count * published,
                    kept=count * correct,
                )
                reasons[reason] += count
        for (source, kept), count in self._questions.items():
            if source in sources:
                row.update(questions=count, questions_kept=count * kept)
        return {**{name: row[name] for name in COUNTS}, "reasons": dict(sorted(reasons.items()))}

    def compare(self, findings: Findings) -> None:
        """Compare the counts with the folder's."""
        found, counted = findings.found, self.table()
        told = storage.read_json(found.folder / FUNNEL)
        for name in counted["total"]:
            if found.manifest.counts.get(name) != counted["total"][name]:
                findings.problem(
                    "counts",
                    f"{found.folder / LAKE}: {name} are {counted['total'][name]}, and the manifest says "
                    f"{found.manifest.counts.get(name)}",
                )
        if {name: told.get(name) for name in counted} != counted:
            findings.problem("funnel", f"{found.folder / FUNNEL} has other counts than the lake")
        total = counted["total"]
        findings.prove(
            f"{total['questions']:,} questions, {total['asked']:,} verdicts, {total['kept']:,} kept",
            ("counts", "funnel"),
        )
