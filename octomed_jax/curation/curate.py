"""The curate stage: questions of one folder or of several, without those that a recipe's steps take out.

Steps are done in the order of the config. Each decides, from small arrays, which of the questions that are still there
go; nothing is copied before the end. Features of texts and images are worked out piece by piece, in processes or on a
Ray cluster, and kept, so that a stage that was killed goes on; the result is the same bytes from any number of them.
Images are compared as the sources have them, also where a step before changes how they are written.
"""

import contextlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from etils import epath
from ml_collections import ConfigDict

from octomed_jax import configuration, manifests, places, progress, storage
from octomed_jax.curation.card import write_card
from octomed_jax.curation.contents import Contents
from octomed_jax.curation.corpus import Corpus, Piece, by_id, open_corpus
from octomed_jax.curation.difficulty import check_model
from octomed_jax.curation.evaluation_sets import OWN, EvaluationSet, SetPlaces, check_folders, evaluation_sets
from octomed_jax.curation.judge_checks import check_judge, check_key
from octomed_jax.curation.metadata import RULES_VERSION, with_metadata
from octomed_jax.curation.metadata_marks import METADATA_FILE, has_marks, write_metadata
from octomed_jax.curation.pictures.image_sources import (
    SOURCES_FILE,
    image_sources,
    joined,
    read_sources,
    write_sources,
)
from octomed_jax.curation.record import EXAMPLES_FILE, REMOVED_FILE, write_examples, write_removed
from octomed_jax.curation.removed import MOST_LEFT_OUT
from octomed_jax.curation.settings import asks_judge, check_settings, check_sources, result_settings
from octomed_jax.curation.steps import STEPS, Work, do_step
from octomed_jax.curation.without_pandas import without_pandas
from octomed_jax.errors import UserError
from octomed_jax.executor import engine_started
from octomed_jax.manifests import QUESTION_STAGES, Manifest
from octomed_jax.schema import QUESTION_SCHEMA
from octomed_jax.storage import PathLike
from octomed_jax.traces import lake

STAGE = "curate"
TRAIN_FILE, TEST_FILE, CARD_FILE = "questions.parquet", "heldout.parquet", "card.md"
WORK = ".work"
JUDGE_FILE = "curate-judge.jsonl"


class NothingLeft(UserError):
    """The steps take out all questions; nothing is left behind of that."""

    keeps_work = False


def curate(
    config: ConfigDict,
    questions: Sequence[PathLike],
    output: PathLike,
    against: Sequence[PathLike] = (),
    attempts: PathLike | None = None,
    engine: str = "local",
    workers: int = 0,
    most_left_out: float = MOST_LEFT_OUT,
) -> Manifest:
    """Curate the questions of finished folders into one.

    Args:
        config: uses ``curate`` and ``seed``.
        questions: folders; of equal questions that of the first one stays.
        output: folder for ``questions.parquet``, ``heldout.parquet``, ``removed.parquet``, ``examples.parquet``,
            ``card.md`` and the manifest; where metadata was filled in, here or before, also ``metadata.parquet``, and
            where images were changed, here or before, ``image_sources.parquet``.
        against: further folders whose held-out questions count, and are not carried on, beside those that the config
            registers; each as ``FOLDER`` or ``NAME=FOLDER``.
        attempts: of the student or teacher at these questions; needed for the difficulty filter.
        engine, workers: as in ``run_pieces``.
        most_left_out: share of a step's questions that may go for images that cannot be read.

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
    if attempts and asks_judge(settings, "difficulty"):
        raise UserError("--attempts is not read: config.curate.difficulty.by=judge; leave it out, or name another")
    sets = evaluation_sets(settings.get("against", {}), against) if "decontaminate" in settings.steps else ()
    check_folders([*questions, *(one.folder for one in sets)])
    before = [manifests.read_manifest(folder, *QUESTION_STAGES) for folder in questions]
    others = [manifests.read_manifest(one.folder, *QUESTION_STAGES) for one in sets]
    inputs = {f"questions {number}": one.identity for number, one in enumerate(before, 1)}
    inputs |= {f"against {one.name}": manifest.identity for one, manifest in zip(sets, others, strict=True)}
    if "difficulty" in settings.steps and settings.difficulty.by != "judge":
        if attempts is None:
            raise UserError("the step difficulty takes attempts that were made before; name them with --attempts=DIR")
        inputs["attempts"] = manifests.read_manifest(attempts, "distill").identity
        check_model(epath.Path(attempts), settings.difficulty.model)
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
    check_sources(settings, corpus.names("source"))
    own = _open(questions, TEST_FILE)
    for one in (corpus, own):
        _check_ids(one)
    memory = judge_memory(output)
    if judge:
        check_judge(corpus, [step for step in settings.steps if asks_judge(settings, step)], judge, memory)
    # What was worked out is kept by the settings that it depends on (steps.py), so that it serves other ones too.
    splits = {"against": asked_for.get("against", {})}
    request = manifests.request_of(STAGE, splits, {name: one for name, one in inputs.items() if name != "attempts"})
    with _own_place(output, request, engine) as (folder, scratch), engine_started(engine, workers, without_pandas):
        _remove_begun(folder)
        kept = np.ones(len(corpus), dtype=bool)
        given = epath.Path(attempts) if attempts is not None else None
        folders = [_whole(one) for one in (*questions, *(one.folder for one in sets))]
        known = read_sources(folders)
        work = Work(
            *(corpus, held_out, places, kept, given, int(config.seed), scratch, engine, workers),
            *(image_sources(known), judge, memory, most_left_out),
        )
        told, gone = [], []
        for step in asked_for["steps"]:
            row, found = do_step(work, step)
            told.append(row)
            gone.append((step["step"], found))
            if not work.kept.any():
                raise NothingLeft(f"the steps take out all {len(corpus)} questions; the last one is {step['step']}")
        shown = write_removed(folder / REMOVED_FILE, corpus, held_out, places, gone)
        write_examples(folder / EXAMPLES_FILE, corpus, held_out, gone)
        contents = Contents()
        _write(folder / TRAIN_FILE, _left(work), int(work.kept.sum()), contents)
        _write(folder / TEST_FILE, by_id(list(_streams(own, None))), len(own), contents)
        known = joined([known, *([work.changed.sources()] if work.changed else [])])
        if known.num_rows:
            write_sources(folder / SOURCES_FILE, known)
        marked = {}
        if work.filled or has_marks(corpus):
            marked = write_metadata(folder / METADATA_FILE, corpus, work.kept, work.filled)
        # Examples and shared words are of questions that went, and of --against: theirs is the access class too.
        contents.access.update(one.access for one in (*before, *others))
        return _finish(folder, scratch, asked_for, inputs, before, told, contents, shown, marked)


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


@contextlib.contextmanager
def _own_place(output: PathLike, request: str, engine: str) -> Iterator[tuple[epath.Path, Path]]:
    """Yield the folder to write and the one where features are kept until the end, both of this process alone.

    On a disk features lie in the folder itself, which ``staged_folder`` locks. A bucket has no locks: there they lie on
    this machine, by the name of the output, and it is by that place that two processes here shut each other out.

    Raises:
        UserError: the engine's machines do not share this one's disk.
        TryAgain: another process makes the same output.
    """
    if not storage.in_bucket(output):
        with storage.staged_folder(output, request=request) as folder:
            yield folder, _made(Path(folder) / WORK)
        return
    if engine != "local":
        raise UserError(f"--engine={engine} needs an --output on a disk that all machines share; copy it from there")
    place = places.cache_folder() / "curate" / storage.fingerprint(str(output))
    # The lock lies beside what it is for, which goes at the end: who was quick would hold a lock on nothing.
    with storage.locked(place.with_suffix(".lock")), storage.staged_folder(output, request=request) as folder:
        for other in [other for other in _made(place).iterdir() if other.name != request]:
            shutil.rmtree(other)  # of a request that was given up
        yield folder, _made(place / request)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _remove_begun(folder: epath.Path) -> None:
    """Remove the files that a killed process wrote, of other settings perhaps; the folder is handed on as it is."""
    for path in list(folder.iterdir()):
        if path.name.endswith(".partial") or not path.name.startswith("."):
            path.unlink()


def judge_memory(output: PathLike) -> Path:
    """Return the file of the judge's replies: beside the output, for a bucket on this machine.

    It stays when the output is removed, and other outputs in the same folder share it: each reply is paid for once.
    """
    beside = places.cache_folder() if storage.in_bucket(output) else Path(output).absolute().parent
    return beside / JUDGE_FILE


def _check_ids(corpus: Corpus) -> None:
    """Refuse an id that comes twice, before any work.

    Raises:
        UserError: one does.
    """
    with progress.bar("checking ids", len(corpus), "questions") as line:
        for table in by_id(list(_streams(corpus, ["id"]))):
            line.advance(table.num_rows)


def _streams(corpus: Corpus, columns: Sequence[str] | None) -> Iterator[Iterator[pa.Table]]:
    for path in dict.fromkeys(group.path for group in corpus.groups):
        groups = [group for group in corpus.groups if group.path == path]
        yield (table for group in groups for table in group.tables(columns))


def _left(work: Work) -> Iterator[pa.Table]:
    """Yield the questions that are left, sorted by id."""

    def tables(groups: Sequence[Piece]) -> Iterator[tuple[int, pa.Table]]:
        for group in groups:
            if work.kept[group.first : group.first + group.rows].any():
                for table in group.tables(QUESTION_SCHEMA.names):
                    yield group.first, table

    def stream(path: str) -> Iterator[pa.Table]:
        groups = [group for group in work.corpus.groups if group.path == path]
        places = range(groups[0].first, groups[-1].first + groups[-1].rows)
        for first, table in work.changed.put_in(tables(groups), places) if work.changed else tables(groups):
            known = with_metadata(table, work.filled, first) if work.filled else table
            yield known.filter(pa.array(work.kept[first : first + table.num_rows]))

    return by_id([stream(path) for path in dict.fromkeys(group.path for group in work.corpus.groups)])


def _write(path: epath.Path, tables: Iterator[pa.Table], count: int, contents: Contents) -> None:
    with (
        lake.open_table_writer(path, QUESTION_SCHEMA) as writer,
        progress.bar(f"writing {path.name}", count, "questions") as line,
    ):
        for table in lake.row_groups(tables):
            contents.add(table)
            writer.write_table(table.cast(QUESTION_SCHEMA), row_group_size=table.num_rows)
            line.advance(table.num_rows)


def _finish(
    folder: epath.Path,
    scratch: Path,
    asked_for: Mapping[str, Any],
    inputs: Mapping[str, str],
    before: Sequence[Manifest],
    steps: Sequence[Mapping[str, Any]],
    contents: Contents,
    shown: Sequence[str],
    marked: Mapping[str, Mapping[str, int]],
) -> Manifest:
    """Write card and manifest.

    ``shown`` are the licences of questions that went and of those that they are like, ``marked`` says who filled in how
    many values of the questions that are left.
    """
    told = {"licences_shown": list(shown), **({"filled_by": marked} if marked else {})}
    counts = {**contents.table(), "licences": sorted(contents.licences), **told}
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
        extra={**told, **({"rules": rules} if rules else {})},
    )
    manifests.write_manifest(folder, manifest)
    return manifest
