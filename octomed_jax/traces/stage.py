"""The shard stage: from the accepted responses of a folder of traces to training shards.

The lake is measured, its rows are shared out, and each shard is a piece of work of its own: in processes or on a Ray
cluster, gone on with where a killed run was, and the same bytes from any number of them.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from etils import epath
from ml_collections import ConfigDict

from octomed_jax import manifests, progress, storage
from octomed_jax.errors import UserError, did_you_mean
from octomed_jax.executor import run_pieces
from octomed_jax.licences import COLUMNS, check_release
from octomed_jax.schema import ACCESS_CLASSES, Record
from octomed_jax.storage import PathLike, read_json
from octomed_jax.traces.choose import NOT_CHOSEN, SOURCES, settings_of, tell_left_out
from octomed_jax.traces.grouped import parts_of, trained_on
from octomed_jax.traces.record import RECORD_VERSION
from octomed_jax.traces.shard_pieces import ShardPiece, is_written, merge_count, write_piece, write_records
from octomed_jax.traces.shard_plan import PartPiece, ShardRows, measure_part, plan_shards
from octomed_jax.traces.tfds_files import FEATURES_FILE, INFO_FILE, shard_name, write_description

STAGE = "shard"
WORK = ".work"
REQUEST = ".request"
FUNNEL = "funnel.json"

T = TypeVar("T")


def shard(
    config: ConfigDict, traces: PathLike, output: PathLike, engine: str = "local", workers: int = 0
) -> manifests.Manifest:
    """Write shards.

    Args:
        config: uses ``traces`` and ``shard.bytes``.
        traces: what ``octomed verify`` wrote. Finished shards that lie where it does not exist are as they are.
        output: folder for the shards. In a bucket each is sent when it is whole.
        engine, workers: as in ``run_pieces``.

    Raises:
        UserError: the traces are not there, there is not one, or ``output`` holds other work.
        TryAgain: the disk is full, a process was lost, or another one is at work there.
        StopAndLook: the lake is damaged, or a part of it is gone.
    """
    settings = settings_of(config)
    if config.shard.bytes < 1:
        raise UserError(f"shard.bytes={config.shard.bytes}: a shard has some bytes, such as {256 * 2**20} (256 MiB)")
    request = {"record": RECORD_VERSION, "bytes": config.shard.bytes, "traces": settings}
    inputs = _inputs(traces, output)
    if done := manifests.finished(output, STAGE, request, inputs):
        _clear(epath.Path(output))
        return done
    given = manifests.read_manifest(traces, "verify")
    manifests.check_files(traces, given.files)
    parts = parts_of(_absolute(traces), given.files)
    _check_traces(traces, settings)
    with _begun(output, manifests.request_of(STAGE, request, inputs)) as folder:
        if manifests.is_finished(folder):  # killed just before it took its place
            _clear(folder)
            return manifests.read_manifest(folder, STAGE)
        run = _Run(folder, settings, engine, workers)
        plan, left_out = run.plan([str(path) for path in parts], config.shard.bytes)
        not_chosen = left_out.pop(NOT_CHOSEN, 0)
        tell_left_out(left_out, not_chosen)
        if not plan:
            raise UserError(f"{traces} holds no accepted trace; look at its funnel.json for why")
        manifest = _finish(folder, run.write(plan), request, inputs, left_out, not_chosen, given)
        _clear(folder)
    return manifest


def _check_traces(traces: PathLike, settings: Mapping[str, Any]) -> None:
    """Refuse sources that are named and not there, and what may not be released."""
    named = {source for name in SOURCES for source in settings.get(name, ())}
    if not (named or settings["release"]):
        return
    kinds = {tuple(row[name] for name in COLUMNS) for row in trained_on(traces, COLUMNS)}
    sources = {source for source, *_ in kinds}
    for source in sorted(named - sources):
        hint = did_you_mean(source, sorted(sources))
        raise UserError(f"config.traces names a source {source!r}{hint}; {traces} holds {', '.join(sorted(sources))}")
    if settings["release"]:
        left = [kind for kind in kinds if kind[0] not in settings.get("leave_out", ())]
        rows = [dict(zip(COLUMNS, kind, strict=True)) for kind in left]
        check_release(rows, str(traces), settings.get("permitted", ()))


def sources_for(traces: PathLike, output: PathLike) -> tuple[str, ...]:
    """Return the sources of finished shards, or those that have accepted traces, before anything is written.

    Raises:
        UserError: there are neither.
        StopAndLook: the funnel of the traces is gone or damaged.
    """
    if manifests.is_finished(output):
        return tuple(manifests.read_manifest(output, STAGE).extra["sources"])
    told = manifests.read_manifest(traces, "verify").files.get(FUNNEL, "")
    manifests.check_files(traces, {FUNNEL: told})
    sources = read_json(epath.Path(traces) / FUNNEL)["sources"]
    return tuple(sorted(name for name, row in sources.items() if row["kept"]))


def shard_records(records: Sequence[Record], output: PathLike) -> manifests.Manifest:
    """Write records that are in no lake, such as those of a benchmark, as a folder of one shard."""
    with storage.staged_folder(output) as folder:
        name = shard_name(0, 1)
        has_images = any(record.question.images for record in records)
        with storage.whole_path(folder / name) as path:
            told = write_records(path, records, has_images)
        return _finish(folder, {name: told}, {"record": RECORD_VERSION}, {}, {})


def _inputs(traces: PathLike, output: PathLike) -> Mapping[str, str]:
    """Return of which traces shards are to be; those of finished ones where no traces are at hand, as on a mount.

    Raises:
        UserError: there are no traces, nor finished shards.
    """
    if manifests.is_finished(output) and not epath.Path(traces).exists():
        progress.say(f"shard: {traces} is not here; the finished shards in {output} are taken as they are")
        return manifests.read_manifest(output, STAGE).inputs
    return {"verify": manifests.read_manifest(traces, "verify").identity}


def _finish(
    folder: epath.Path,
    shards: Mapping[str, Mapping[str, Any]],
    request: Mapping[str, Any],
    inputs: Mapping[str, str],
    left_out: Mapping[str, int],
    not_chosen: int = 0,
    given: manifests.Manifest | None = None,
) -> manifests.Manifest:
    """Describe a folder of shards, for tensorflow-datasets and in the manifest; ``shards``: what is told of each."""
    told = list(shards.values())
    sources = _sources([one["sources"] for one in told])
    licences = tuple(sorted({licence for source in sources.values() for licence in source["licences"]}))
    counts = [one["records"] for one in told]
    write_description(folder, counts, sum(one["record_bytes"] for one in told), licences)
    files = {name: one["sha256"] for name, one in shards.items()}
    files |= {name: storage.sha256_file(folder / name) for name in (FEATURES_FILE, INFO_FILE)}
    manifest = manifests.Manifest(
        stage=STAGE,
        config=request,
        inputs=inputs,
        counts={
            **{name: sum(one[name] for one in told) for name in ("records", "examples", "images")},
            "left_out": dict(sorted(left_out.items())),
            NOT_CHOSEN: not_chosen,
        },
        files=dict(sorted(files.items())),
        licences=licences,
        access=max((source["access"] for source in sources.values()), key=ACCESS_CLASSES.index),
        extra={
            "sources": sources,
            "teachers": given.extra.get("teachers", []) if given else [],
            "shards": {name: {"records": one["records"], "bytes": one["bytes"]} for name, one in shards.items()},
        },
    )
    manifests.write_manifest(folder, manifest)
    return manifest


@contextlib.contextmanager
def _begun(output: PathLike, request: str) -> Iterator[epath.Path]:
    """Yield the folder to write in, with what an earlier run of the same request has done.

    On a disk it takes its place when it is complete. In a bucket, where files appear whole and a name cannot be
    changed, it is the place itself, and the manifest says when it is complete.

    Raises:
        UserError: other work lies there.
    """
    if not storage.in_bucket(output):
        with storage.staged_folder(output, request=request) as folder:
            yield folder
        return
    storage.see_what_others_write()
    folder = epath.Path(output)
    mark = folder / WORK / REQUEST
    if not mark.exists():
        if folder.exists() and any(folder.iterdir()):
            raise UserError(f"{folder} already exists and is not empty; remove it or choose another folder")
        storage.write_text(mark, request)
    elif mark.read_text() != request:
        raise UserError(f"{folder} was begun with other settings; remove it or choose another folder")
    yield folder


class _Run:
    """The pieces of work of a run, and the folder in which it is kept which of them are done."""

    def __init__(self, folder: epath.Path, settings: Mapping[str, Any], engine: str, workers: int):
        self._folder, self._work, self._settings = folder, folder / WORK, settings
        self._engine, self._workers = engine, workers

    def plan(self, parts: Sequence[str], most: int) -> tuple[list[ShardRows], "Counter[str]"]:
        """Measure the parts of the lake; return as ``plan_shards``."""
        targets = [self._work / f"measured-{number:05d}.npz" for number in range(len(parts))]
        pieces = [PartPiece(path, str(target), self._settings) for path, target in zip(parts, targets, strict=True)]
        left = [piece for piece, target in zip(pieces, targets, strict=True) if not target.exists()]
        self._do("shard: measuring the lake", "parts", measure_part, left, len(pieces), lambda _: 1)
        return plan_shards(parts, targets, most)

    def write(self, plan: Sequence[ShardRows]) -> dict[str, dict[str, Any]]:
        """Write the shards that are not there yet; return what is told of each."""
        names = [shard_name(number, len(plan)) for number in range(len(plan))]
        receipts = [self._work / f"{name}.json" for name in names]
        pieces = [
            ShardPiece(str(self._folder / name), str(receipt), rows, self._settings)
            for name, receipt, rows in zip(names, receipts, plan, strict=True)
        ]
        left = [piece for piece in pieces if not is_written(piece)]
        total = sum(rows.records for rows in plan)
        self._do("shard: writing", "questions", write_piece, left, total, lambda piece: piece.rows.records)
        return {name: read_json(receipt) for name, receipt in zip(names, receipts, strict=True)}

    def _do(
        self,
        title: str,
        unit: str,
        work: Callable[[T], None],
        left: Sequence[T],
        total: int,
        units: Callable[[T], int],
    ) -> None:
        done = total - sum(map(units, left))
        with progress.bar(title, total, unit, done) as line:
            for piece, _ in run_pieces(work, left, self._engine, self._workers):
                line.advance(units(piece))


def _clear(folder: epath.Path) -> None:
    """Remove from finished shards what only a run that goes on needs, and files that a killed process had begun."""
    if not (folder / WORK).exists():
        return
    for path in [path for path in folder.iterdir() if path.name.endswith(".partial")]:
        path.unlink()
    (folder / WORK).rmtree()  # last, for a run that is killed here


def _absolute(folder: PathLike) -> epath.Path:
    return epath.Path(folder if storage.in_bucket(folder) else Path(folder).absolute())


def _sources(of_shards: Sequence[Mapping[str, Mapping[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Return what came of each source: questions, responses, those taken as published, licences and access class."""
    total: dict[str, dict[str, Any]] = {}
    for sources in of_shards:
        for source, found in sources.items():
            merge_count(total.setdefault(source, {}), found)
    for counts in total.values():
        counts["licences"] = dict(sorted(counts["licences"].items()))
    return dict(sorted(total.items()))
