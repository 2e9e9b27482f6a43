"""The shard stage: from the accepted responses of a folder of traces to training shards."""

from collections.abc import Iterator, Sequence

from ml_collections import ConfigDict

from octomed_jax import manifests, schema, storage
from octomed_jax.configuration import plain
from octomed_jax.errors import UserError
from octomed_jax.storage import PathLike
from octomed_jax.traces.grouped import iterate_records
from octomed_jax.traces.shards import write_shards

STAGE = "shard"


def shard(config: ConfigDict, traces: PathLike, output: PathLike) -> manifests.Manifest:
    """Write shards, whole or not at all.

    Args:
        config: uses ``traces`` and ``shard.records_per_shard``.
        traces: what ``octomed verify`` wrote.
        output: folder for the shards.

    Raises:
        UserError: the traces are not there, there is not one, or ``output`` holds other work.
    """
    if config.traces.per_question < 1:
        raise UserError(f"traces.per_question={config.traces.per_question}: at least one trace a question must be kept")
    given = manifests.read_manifest(traces, "verify")
    request = {"records_per_shard": config.shard.records_per_shard, "traces": plain(config.traces)}
    inputs = {"verify": given.identity}
    if done := manifests.finished(output, STAGE, request, inputs):
        return done
    chosen = list(_chosen(traces, config.traces.per_question))
    if not chosen:
        raise UserError(f"{traces} holds no accepted trace; look at its funnel.json for why")
    with storage.staged_folder(output) as folder:
        write_shards(iter(chosen), len(chosen), folder, config.shard.records_per_shard)
        manifest = manifests.Manifest(
            stage=STAGE,
            config=request,
            inputs=inputs,
            counts={
                "records": len(chosen),
                "examples": sum(len(record.responses) for record in chosen),
                "images": sum(len(record.question.images) for record in chosen),
            },
            files=manifests.hash_files(folder),
            licences=given.licences,
            access=given.access,
            extra={"sources": _sources(chosen), "teachers": given.extra.get("teachers", [])},
        )
        manifests.write_manifest(folder, manifest)
    return manifest


def _chosen(traces: PathLike, per_question: int) -> Iterator[schema.Record]:
    """Yield records with at most ``per_question`` of their accepted responses, the first ones."""
    for record in iterate_records(traces):
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
