"""``octomed shard``: accepted traces become training shards with their index."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from ml_collections import ConfigDict

from octomed_jax import manifests, prompts, schema, storage
from octomed_jax.cli.options import Parser, finish
from octomed_jax.configuration import plain
from octomed_jax.errors import UserError
from octomed_jax.hf.base import student_identity
from octomed_jax.hf.student import write_student
from octomed_jax.inputs.render import INDEX, render_index, write_index
from octomed_jax.inputs.template import SYSTEM_LINE
from octomed_jax.progress import bar, say
from octomed_jax.traces.lake import iterate_records
from octomed_jax.traces.shards import ShardReader, write_shards


def run(arguments: Sequence[str]) -> int:
    """Parse the options and write the shards."""
    parser = Parser(
        "shard", "Write accepted traces as training shards with their index.", "octomed shard --config=configs/demo.py"
    )
    parser.add_config()
    parser.add_argument("--traces", metavar="DIR", help="what `octomed verify` wrote (default RUN/traces)")
    parser.add_argument("--output", metavar="DIR", help="where the shards go (default RUN/shards)")
    parser.add_argument("--json", action="store_true", help="print the counts as JSON")
    options, config = parser.read_config(arguments)
    output = options.output or f"{config.run}/shards"
    manifest = make_shards(config, options.traces or f"{config.run}/traces", output)
    counts = manifest.counts
    summary = (
        f"{counts['examples']:,} examples of {counts['records']:,} questions, {counts['tokens']:,} tokens: {output}"
    )
    return finish(summary, {"output": str(output), **counts}, options.json)


def make_shards(config: ConfigDict, traces: storage.PathLike, output: storage.PathLike) -> manifests.Manifest:
    """Write shards, their index and the student folder that rendered it.

    Raises:
        UserError: the traces are not there, or there is not one.
    """
    traces = Path(traces)
    if config.traces.per_question < 1:
        raise UserError(f"traces.per_question={config.traces.per_question}: at least one trace a question must be kept")
    given = manifests.read_manifest(traces, "verify")
    request = {
        "shard": plain(config.shard),
        "traces": plain(config.traces),
        "student": student_identity(config.student),
        "answer_format": config.distill.answer_format,
    }
    inputs = {"verify": given.identity}
    if done := manifests.finished(output, "shard", request, inputs):
        return done
    chosen = list(_chosen(traces / "traces.parquet", config.traces.per_question))
    if not chosen:
        raise UserError(f"{traces} holds no accepted trace; look at its funnel.json for why")
    with storage.staged_folder(output) as staged:
        folder = Path(staged)
        texts = _texts(chosen, config.distill.answer_format)
        write_student(folder / "student", config.student, texts, config.shard)
        write_shards(iter(chosen), len(chosen), folder, config.shard.records_per_shard)
        reader = ShardReader(folder)
        with bar("shard: measuring", len(chosen), "questions") as line:
            index = render_index(reader, folder / "student", config.distill.answer_format, line.advance)
        write_index(folder / INDEX, index)
        counts = {
            "records": len(chosen),
            "examples": len(index),
            "tokens": int(index.tokens.sum()),
            "images": sum(len(record.question.images) for record in chosen),
            "longest": int(index.tokens.max()),
        }
        manifest = manifests.Manifest(
            stage="shard",
            config=request,
            inputs=inputs,
            counts=counts,
            files=manifests.hash_files(folder),
            licences=given.licences,
            access=given.access,
            extra={"sources": _sources(chosen), "teachers": given.extra.get("teachers", [])},
        )
        manifests.write_manifest(folder, manifest)
    say(f"shard: mean {counts['tokens'] / counts['examples']:.0f} tokens an example, longest {counts['longest']}")
    return manifest


def _chosen(path: Path, per_question: int) -> Iterator[schema.Record]:
    """Yield records with at most ``per_question`` of their accepted responses, the first ones."""
    for record in iterate_records(path):
        yield record.first(per_question)


def _sources(records: Sequence[schema.Record]) -> dict[str, dict[str, int]]:
    """Return how many questions and accepted responses came of each source, and how many are taken as published."""
    counts: dict[str, dict[str, int]] = {}
    for record in sorted(records, key=lambda record: record.question.source):
        count = counts.setdefault(record.question.source, {"questions": 0, "responses": 0})
        count["questions"] += 1
        count["responses"] += len(record.responses)
        if record.question.without_gold:
            count["published"] = count.get("published", 0) + len(record.responses)
    return counts


def _texts(records: Sequence[schema.Record], answer_format: str) -> Iterator[str]:
    """Yield what the vocabulary of a student of its own is trained on."""
    for record in records:
        yield f"system\n{SYSTEM_LINE}"
        yield f"user\n{prompts.user_text(record.question, answer_format)}"
        yield from (f"assistant\n{response}" for response in record.responses)
