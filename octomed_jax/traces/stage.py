"""The shard stage: from the accepted responses of a folder of traces to training shards."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from ml_collections import ConfigDict

from octomed_jax import licences, manifests, schema, storage
from octomed_jax.errors import UserError
from octomed_jax.storage import PathLike
from octomed_jax.traces.choose import settings_of, tell_left_out, training_record
from octomed_jax.traces.grouped import iterate_lake, trained_on
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
    settings = settings_of(config)
    given = manifests.read_manifest(traces, "verify")
    if settings["release"]:
        licences.check_release(trained_on(traces, licences.COLUMNS), str(traces))
    request = {"records_per_shard": config.shard.records_per_shard, "traces": settings}
    inputs = {"verify": given.identity}
    if done := manifests.finished(output, STAGE, request, inputs):
        return done
    left_out: Counter[str] = Counter()
    chosen = [record for row in iterate_lake(traces) if (record := training_record(row, settings, left_out))]
    tell_left_out(left_out)
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
                **({"left_out": dict(sorted(left_out.items()))} if left_out else {}),
            },
            files=manifests.hash_files(folder),
            licences=given.licences,
            access=given.access,
            extra={"sources": _sources(chosen), "teachers": given.extra.get("teachers", [])},
        )
        manifests.write_manifest(folder, manifest)
    return manifest


def _sources(records: Sequence[schema.Record]) -> dict[str, dict[str, Any]]:
    """Return what came of each source: questions, responses, those taken as published, licences and access class."""
    counts: dict[str, dict[str, Any]] = {}
    for record in sorted(records, key=lambda record: record.question.source):
        question = record.question
        count = counts.setdefault(question.source, {"questions": 0, "responses": 0, "licences": {}, "access": "open"})
        count["licences"][question.licence] = count["licences"].get(question.licence, 0) + 1
        count["access"] = max(count["access"], question.access, key=schema.ACCESS_CLASSES.index)
        count["questions"] += 1
        count["responses"] += len(record.responses)
        if record.question.without_gold:
            count["published"] = count.get("published", 0) + len(record.responses)
    return counts
