"""Whether the attempts of a folder are whole: each of a question that is there, all samples of every request."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from octomed_jax.lineage.check_questions import Advance
from octomed_jax.lineage.findings import Findings
from octomed_jax.lineage.folders import Folders
from octomed_jax.lineage.rows import Sorted, open_table, parts, tables, unsorted
from octomed_jax.manifests import QUESTION_STAGES
from octomed_jax.schema import ATTEMPT_SCHEMA
from octomed_jax.teacher.tally import Tally

ATTEMPTS, QUESTIONS = "attempts", "questions.parquet"


def count_attempts(findings: Findings) -> None:
    """Compare only the numbers of questions and attempts with the manifest."""
    counts, folder = findings.found.manifest.counts, findings.found.folder
    with open_table(folder / QUESTIONS) as file:
        questions = file.metadata.num_rows
    attempts = 0
    for path in parts(folder / ATTEMPTS):
        with open_table(path) as file:
            attempts += file.metadata.num_rows
    for name, counted in (("questions", questions), ("attempts", attempts)):
        if counted != counts.get(name):
            findings.problem("counts", f"{folder} holds {counted} {name}, and its manifest says {counts.get(name)}")
    findings.prove("numbers of questions and attempts", ("counts",))


def check_attempts(findings: Findings, folders: Folders, advance: Advance) -> None:
    """Check the attempts of a folder; ``advance`` is called with each number of questions that are done."""
    found, tally, questions = findings.found, Tally(), 0
    attempts = Sorted(parts(found.folder / ATTEMPTS), "question_id", ATTEMPT_SCHEMA.names)
    last = ""
    for table in tables(found.folder / QUESTIONS, ["id"]):
        ids = table["id"]
        if wrong := unsorted(ids, last):
            findings.problem("order", f"{found.folder / QUESTIONS} is not sorted by id, or has one twice, at {wrong!r}")
        last = ids[-1].as_py() if len(ids) else last
        some = attempts.up_to(last)
        _check_some(findings, some, ids)
        tally.add(some)
        questions += len(ids)
        advance(len(ids))
    rest = attempts.up_to(None)
    _check_some(findings, rest, pa.chunked_array([pa.array([], pa.string())]))
    tally.add(rest)
    _check_counts(findings, {"questions": questions, **tally.told()})
    findings.prove(
        f"{tally.counts['attempts']:,} attempts, each at a question", ("counts", "order", "unknown question")
    )
    findings.prove("all samples of each request", ("samples", "twice"))
    for _, _, before in folders.inputs(found, *QUESTION_STAGES):
        if before and before.manifest.files.get(QUESTIONS) != found.manifest.files.get(QUESTIONS):
            findings.problem("questions", f"{found.folder / QUESTIONS} is another file than that of {before.folder}")


def _check_some(findings: Findings, some: pa.Table, ids: pa.ChunkedArray) -> None:
    """Check attempts at some questions."""
    folder = findings.found.folder / ATTEMPTS
    unknown = some.filter(pc.invert(pc.is_in(some["question_id"], value_set=ids.combine_chunks())))
    for name in pc.unique(unknown["question_id"]).to_pylist():
        findings.problem("unknown question", f"{folder} holds attempts at the unknown question {name!r}")
    if not some.num_rows:
        return
    samples = some["sample_index"].to_numpy()
    names = some["question_id"].combine_chunks()
    same = pc.equal(names[1:], names[:-1]).to_numpy(zero_copy_only=False)
    for place in np.flatnonzero(same & (np.diff(samples) <= 0))[:1]:
        findings.problem(
            "twice", f"{folder}: the attempts at {names[int(place)]} are out of order, or one stands twice"
        )
    requests = some.group_by(["question_id", "group"]).aggregate(
        [("sample_index", "min"), ("sample_index", "max"), ("sample_index", "count")]
    )
    spans = pc.subtract(requests["sample_index_max"], requests["sample_index_min"]).to_numpy() + 1
    for place in np.flatnonzero(spans != requests["sample_index_count"].to_numpy()):
        row = requests.slice(int(place), 1).to_pylist()[0]
        findings.problem(
            "samples",
            f"{folder}: of the samples {row['sample_index_min']} to {row['sample_index_max']} of {row['question_id']} "
            f"there are only {row['sample_index_count']}",
        )


def _check_counts(findings: Findings, counted: dict) -> None:
    said = findings.found.manifest.counts
    for name, value in counted.items():
        if name in said and said[name] != value:
            findings.problem(
                "counts", f"{findings.found.folder / ATTEMPTS}: {name} are {value}, and the manifest says {said[name]}"
            )
