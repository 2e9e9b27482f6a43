"""The curate stage: questions of one folder or of several, without those that a recipe's steps take out.

Steps are done in the order of the config. Each decides, from small arrays, which of the questions that are still there
go; nothing is copied before the end. Features of texts and images are worked out piece by piece, in processes or on a
Ray cluster, and kept, so that a stage that was killed goes on; the result is the same bytes from any number of them.
Images are compared as the sources have them, also where a step before changes how they are written.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from etils import epath
from ml_collections import ConfigDict

from octomed_jax import configuration, manifests, storage
from octomed_jax.curation.card import write_card
from octomed_jax.curation.contents import Contents
from octomed_jax.curation.corpus import Corpus, by_id, open_corpus
from octomed_jax.curation.evaluation_sets import OWN, EvaluationSet, SetPlaces, evaluation_sets
from octomed_jax.curation.judge import check_key
from octomed_jax.curation.metadata import METADATA_FILE, RULES_VERSION, with_metadata, write_metadata
from octomed_jax.curation.pictures.image_sources import (
    SOURCES_FILE,
    image_sources,
    joined,
    read_sources,
    write_sources,
)
from octomed_jax.curation.record import EXAMPLES_FILE, REMOVED_FILE, write_examples, write_removed
from octomed_jax.curation.settings import asks_judge, check_settings, result_settings
from octomed_jax.curation.steps import STEPS, Work, do_step
from octomed_jax.errors import UserError
from octomed_jax.manifests import QUESTION_STAGES, Manifest
from octomed_jax.schema import QUESTION_SCHEMA
from octomed_jax.storage import PathLike
from octomed_jax.traces import lake

STAGE = "curate"
TRAIN_FILE, TEST_FILE, CARD_FILE = "questions.parquet", "heldout.parquet", "card.md"
WORK = ".work"
JUDGE_FILE = "curate-judge.jsonl"


def curate(
    config: ConfigDict,
    questions: Sequence[PathLike],
    output: PathLike,
    against: Sequence[PathLike] = (),
    attempts: PathLike | None = None,
    engine: str = "local",
    workers: int = 0,
) -> Manifest:
    """Curate the questions of finished folders into one.

    Args:
        config: uses ``curate`` and ``seed``.
        questions: folders; of equal questions that of the first one stays.
        output: folder for ``questions.parquet``, ``heldout.parquet``, ``removed.parquet``, ``examples.parquet``,
            ``card.md`` and the manifest; with the step metadata also ``metadata.parquet``, and where images were
            changed, here or before, ``image_sources.parquet``.
        against: further folders whose held-out questions count, and are not carried on, beside those that the config
            registers; each as ``FOLDER`` or ``NAME=FOLDER``.
        attempts: of the student or teacher at these questions; needed for the difficulty filter.
        engine, workers: as in ``run_pieces``.

    Raises:
        UserError: the config or the input is wrong, or ``output`` holds other work.
        TryAgain: the disk is full, a process was lost, or another one is at work there.
        StopAndLook: a file is damaged.
    """
    if "curate" not in config:
        raise UserError("the config has no field curate; configs/demo.py shows what it holds")
    settings = config.curate
    check_settings(settings)
    for step, given, option in (("decontaminate", against, "against"), ("difficulty", attempts, "attempts")):
        if given and step not in settings.steps:
            raise UserError(f"--{option} is for the step {step}, which config.curate.steps does not name")
    before = [manifests.read_manifest(folder, *QUESTION_STAGES) for folder in questions]
    sets = evaluation_sets(settings.get("against", {}), against) if "decontaminate" in settings.steps else ()
    others = [manifests.read_manifest(one.folder, *QUESTION_STAGES) for one in sets]
    inputs = {f"questions {number}": one.identity for number, one in enumerate(before, 1)}
    inputs |= {f"against {one.name}": manifest.identity for one, manifest in zip(sets, others, strict=True)}
    if "difficulty" in settings.steps and settings.difficulty.by != "judge":
        if attempts is None:
            raise UserError("the step difficulty takes attempts that were made before; name them with --attempts=DIR")
        inputs["attempts"] = manifests.read_manifest(attempts, "distill").identity
    asked_for = {**result_settings(settings), "seed": int(config.seed)}
    if sets:
        asked_for["against"] = {one.name: one.split for one in sets}
    if done := manifests.finished(output, STAGE, asked_for, inputs):
        return done
    judge = configuration.plain(settings)["judge"] if any(asks_judge(settings, step) for step in STEPS) else {}
    if judge:
        check_key(judge)
    corpus = _open(questions, TRAIN_FILE)
    held_out, places = _compared_with(questions, sets)
    if not len(corpus):
        raise UserError(f"{questions[0]} holds no questions to learn from")
    for one in (corpus, _open(questions, TEST_FILE)):
        _check_ids(one)
    with storage.staged_folder(output, request=manifests.request_of(STAGE, asked_for, inputs)) as folder:
        scratch = _scratch(folder, asked_for, inputs, engine)
        _remove_torn(folder)
        kept = np.ones(len(corpus), dtype=bool)
        given = epath.Path(attempts) if attempts is not None else None
        memory = judge_memory(output)
        folders = [_whole(one) for one in (*questions, *(one.folder for one in sets))]
        sources = image_sources(read_sources(folders))
        work = Work(
            corpus, held_out, places, kept, given, int(config.seed), scratch, engine, workers, sources, judge, memory
        )
        told, gone = [], []
        for number, step in enumerate(asked_for["steps"]):
            row, found = do_step(work, step, number)
            told.append(row)
            gone.append((step["step"], found))
        if not work.kept.any():
            raise UserError(f"the steps take out all {len(corpus)} questions; the last one is {told[-1]['step']}")
        shown = write_removed(folder / REMOVED_FILE, corpus, held_out, places, gone)
        write_examples(folder / EXAMPLES_FILE, corpus, held_out, gone)
        contents = Contents()
        _write(folder / TRAIN_FILE, _left(work), contents)
        _write(folder / TEST_FILE, _held_out(questions), contents)
        known = joined([read_sources(folders), *([work.changed.sources()] if work.changed else [])])
        if known.num_rows:
            write_sources(folder / SOURCES_FILE, known)
        if work.filled:
            write_metadata(folder / METADATA_FILE, corpus, work.kept, work.filled)
        # Examples and shared words are of questions that went, and of --against: theirs is the access class too.
        contents.access.update(one.access for one in (*before, *others))
        return _finish(folder, scratch, asked_for, inputs, before, told, contents, shown)


def _open(folders: Sequence[PathLike], file: str) -> Corpus:
    """Return the questions of a file of each folder."""
    return open_corpus([_whole(folder) / file for folder in folders])


def _whole(folder: PathLike) -> epath.Path:
    """Return a folder by a name that other processes understand."""
    return epath.Path(folder if storage.in_bucket(folder) else Path(folder).absolute())


def _compared_with(questions: Sequence[PathLike], sets: Sequence[EvaluationSet]) -> tuple[Corpus, SetPlaces]:
    """Return the held-out questions of the folders and after them those of the evaluation sets, and which are whose."""
    files = {"test": (TEST_FILE,), "train": (TRAIN_FILE,), "all": (TEST_FILE, TRAIN_FILE)}
    paths = [[_whole(folder) / TEST_FILE for folder in questions]]
    paths += [[_whole(one.folder) / file for file in files[one.split]] for one in sets]
    rows = [len(open_corpus(some)) for some in paths]
    names = (OWN, *(one.name for one in sets))
    return open_corpus([path for some in paths for path in some]), SetPlaces(names, tuple(rows))


def _scratch(folder: epath.Path, asked_for: Mapping[str, Any], inputs: Mapping[str, str], engine: str) -> Path:
    """Return where features are kept until the end: in the folder itself, for a bucket on this machine."""
    if not storage.in_bucket(folder):
        scratch = Path(folder) / WORK
    elif engine != "local":
        raise UserError(f"--engine={engine} needs an --output on a disk that all machines share; copy it from there")
    else:
        scratch = storage.cache_folder() / "curate" / manifests.request_of(STAGE, asked_for, inputs)
    scratch.mkdir(parents=True, exist_ok=True)
    return scratch


def _remove_torn(folder: epath.Path) -> None:
    """Remove files that a killed process had begun: nothing reads them, and the folder is handed on as it is."""
    for torn in [path for path in folder.iterdir() if path.name.endswith(".partial")]:
        torn.unlink()


def judge_memory(output: PathLike) -> Path:
    """Return the file of the judge's replies: beside the output, for a bucket on this machine.

    It stays when the output is removed, and other outputs in the same folder share it: each reply is paid for once.
    """
    beside = storage.cache_folder() if storage.in_bucket(output) else Path(output).absolute().parent
    return beside / JUDGE_FILE


def _check_ids(corpus: Corpus) -> None:
    """Refuse an id that comes twice, before any work.

    Raises:
        UserError: one does.
    """
    for _ in by_id(list(_streams(corpus, ["id"]))):
        pass


def _streams(corpus: Corpus, columns: Sequence[str] | None) -> Iterator[Iterator[pa.Table]]:
    for path in dict.fromkeys(group.path for group in corpus.groups):
        groups = [group for group in corpus.groups if group.path == path]
        yield (table for group in groups for table in group.tables(columns))


def _left(work: Work) -> Iterator[pa.Table]:
    """Yield the questions that are left, sorted by id."""

    def groups(path: str) -> Iterator[tuple[int, pa.Table]]:
        for group in work.corpus.groups:
            if group.path == path and work.kept[group.first : group.first + group.rows].any():
                for table in group.tables(QUESTION_SCHEMA.names):
                    yield group.first, table

    def stream(path: str) -> Iterator[pa.Table]:
        for first, table in work.changed.put_in(groups(path)) if work.changed else groups(path):
            known = with_metadata(table, work.filled, first) if work.filled else table
            yield known.filter(pa.array(work.kept[first : first + table.num_rows]))

    return by_id([stream(path) for path in dict.fromkeys(group.path for group in work.corpus.groups)])


def _held_out(folders: Sequence[PathLike]) -> Iterator[pa.Table]:
    """Yield the held-out questions of the folders themselves, sorted by id."""
    return by_id(list(_streams(_open(folders, TEST_FILE), None)))


def _write(path: epath.Path, tables: Iterator[pa.Table], contents: Contents) -> None:
    with lake.open_table_writer(path, QUESTION_SCHEMA) as writer:
        for table in lake.row_groups(tables):
            contents.add(table)
            writer.write_table(table.cast(QUESTION_SCHEMA), row_group_size=table.num_rows)


def _finish(
    folder: epath.Path,
    scratch: Path,
    asked_for: Mapping[str, Any],
    inputs: Mapping[str, str],
    before: Sequence[Manifest],
    steps: Sequence[Mapping[str, Any]],
    contents: Contents,
    shown: Sequence[str],
) -> Manifest:
    """Write card and manifest; ``shown`` are the licences of questions that went and of those that they are like."""
    counts = {**contents.table(), "licences": sorted(contents.licences), "licences_shown": list(shown)}
    folders = [{"identity": one.identity, "train": one.counts["train"], "test": one.counts["test"]} for one in before]
    further = {name: identity for name, identity in inputs.items() if not name.startswith("questions ")}
    splits = asked_for.get("against", {})
    storage.write_text(folder / CARD_FILE, write_card(folders, steps, counts, further, splits))
    shutil.rmtree(scratch)
    rules = {"metadata": RULES_VERSION} if any(step["step"] == "metadata" for step in steps) else {}
    manifest = Manifest(
        stage=STAGE,
        config=asked_for,
        inputs=inputs,
        counts={**contents.table(), "steps": list(steps)},
        # Beside them lies the mark of a folder that is not finished.
        files={name: digest for name, digest in manifests.hash_files(folder).items() if not name.startswith(".")},
        licences=tuple(sorted(contents.licences)),
        access="credentialed" if contents.access["credentialed"] else "open",
        extra={"licences_shown": list(shown), **({"rules": rules} if rules else {})},
    )
    manifests.write_manifest(folder, manifest)
    return manifest
