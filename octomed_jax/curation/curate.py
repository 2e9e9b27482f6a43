"""The curate stage: questions of one folder or of several, without those that a recipe's steps take out.

Steps are done in the order of the config. Each decides, from small arrays, which of the questions that are still there
go; nothing is copied before the end. Features of texts and images are worked out piece by piece, in processes or on a
Ray cluster, and kept, so that a stage that was killed goes on; the result is the same bytes from any number of them.
Images are compared as the sources have them, also where a step before changes how they are written.
"""

import dataclasses
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from etils import epath
from jaxtyping import Bool
from ml_collections import ConfigDict

from octomed_jax import manifests, progress, storage
from octomed_jax.curation.balance import balance
from octomed_jax.curation.card import write_card
from octomed_jax.curation.corpus import Corpus, by_id, open_corpus
from octomed_jax.curation.decontaminate import decontaminate_images, decontaminate_words, not_of_sources
from octomed_jax.curation.deduplicate import deduplicate
from octomed_jax.curation.difficulty import difficulty
from octomed_jax.curation.images_of import guard_of, images_by_bytes
from octomed_jax.curation.metadata import METADATA_FILE, RULES_VERSION, Filled, fill, with_metadata, write_metadata
from octomed_jax.curation.record import EXAMPLES_FILE, REMOVED_FILE, write_examples, write_removed
from octomed_jax.curation.removed import SCHEMA, Removed, removed_table
from octomed_jax.curation.settings import check_settings, result_settings
from octomed_jax.errors import UserError
from octomed_jax.manifests import QUESTION_STAGES, Manifest
from octomed_jax.schema import QUESTION_SCHEMA
from octomed_jax.storage import PathLike
from octomed_jax.traces import lake

STAGE = "curate"
TRAIN_FILE, TEST_FILE, CARD_FILE = "questions.parquet", "heldout.parquet", "card.md"
WORK = ".work"


@dataclasses.dataclass
class Work:
    """What the steps have in common.

    Attributes:
        corpus, held_out: the questions to learn from, and those that are held out.
        kept: which of the corpus are still there.
        attempts: folder of attempts for the difficulty filter, or None.
        seed: of the config.
        folder: for what is worked out.
        engine, workers: where pieces are done.
        filled: what the metadata step has filled in.
        told: what the step at hand tells beside its counts.
    """

    corpus: Corpus
    held_out: Corpus
    kept: Bool[np.ndarray, " N"]
    attempts: epath.Path | None
    seed: int
    folder: Path
    engine: str
    workers: int
    filled: Filled | None = None
    told: dict[str, Any] = dataclasses.field(default_factory=dict)


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
            ``card.md`` and the manifest; with the step metadata also ``metadata.parquet``.
        against: further folders whose held-out questions count, and are not carried on.
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
    others = [manifests.read_manifest(folder, *QUESTION_STAGES) for folder in against]
    inputs = {f"questions {number}": one.identity for number, one in enumerate(before, 1)}
    inputs |= {f"against {number}": one.identity for number, one in enumerate(others, 1)}
    if "difficulty" in settings.steps:
        if attempts is None:
            raise UserError("the step difficulty takes attempts that were made before; name them with --attempts=DIR")
        inputs["attempts"] = manifests.read_manifest(attempts, "distill").identity
    asked_for = {**result_settings(settings), "seed": int(config.seed)}
    if done := manifests.finished(output, STAGE, asked_for, inputs):
        return done
    corpus = _open(questions, TRAIN_FILE)
    held_out = _open([*questions, *against], TEST_FILE)
    if not len(corpus):
        raise UserError(f"{questions[0]} holds no questions to learn from")
    for one in (corpus, _open(questions, TEST_FILE)):
        _check_ids(one)
    with storage.staged_folder(output, request=manifests.request_of(STAGE, asked_for, inputs)) as folder:
        scratch = _scratch(folder, asked_for, inputs, engine)
        _remove_torn(folder)
        kept = np.ones(len(corpus), dtype=bool)
        given = epath.Path(attempts) if attempts is not None else None
        work = Work(corpus, held_out, kept, given, int(config.seed), scratch, engine, workers)
        told, gone = [], []
        for number, step in enumerate(asked_for["steps"]):
            row, found = _do(work, step, number)
            told.append(row)
            gone.append((step["step"], found))
        if not work.kept.any():
            raise UserError(f"the steps take out all {len(corpus)} questions; the last one is {told[-1]['step']}")
        write_removed(folder / REMOVED_FILE, corpus, held_out, gone)
        write_examples(folder / EXAMPLES_FILE, corpus, held_out, gone)
        contents = Contents()
        _write(folder / TRAIN_FILE, _left(work), contents)
        _write(folder / TEST_FILE, _held_out(questions), contents)
        if work.filled:
            write_metadata(folder / METADATA_FILE, corpus, work.kept, work.filled)
        return _finish(folder, scratch, asked_for, inputs, before, told, contents)


def _open(folders: Sequence[PathLike], file: str) -> Corpus:
    """Return the questions of a file of each folder, by names that other processes understand."""
    whole = [epath.Path(folder if storage.in_bucket(folder) else Path(folder).absolute()) for folder in folders]
    return open_corpus([folder / file for folder in whole])


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


def _do(work: Work, step: Mapping[str, Any], number: int) -> tuple[dict[str, Any], Removed]:
    """Do one step; return what is told of it, and what it took out."""
    before = int(work.kept.sum())
    name = step["step"]
    work.told = {}
    found = STEPS[name](work, step, work.folder / f"{number:02d}-{name}")
    table = found.table
    found = Removed(table.filter(pa.array(work.kept[table["place"].to_numpy()])))
    found.leave(work.kept)
    after = int(work.kept.sum())
    told = {
        "step": name,
        "settings": {field: value for field, value in step.items() if field != "step"},
        "before": before,
        "removed": before - after,
        "after": after,
        "reasons": found.reasons,
        **work.told,
    }
    progress.say(f"{name}: {before:,} questions, {before - after:,} go, {after:,} are left")
    return told, found


def _decontaminate(work: Work, settings: Mapping[str, Any], folder: Path) -> Removed:
    folder.mkdir(parents=True, exist_ok=True)
    words = decontaminate_words(work.corpus, work.held_out, settings, folder, work.engine, work.workers)
    images = [
        decontaminate_images(images_by_bytes(work.corpus), images_by_bytes(work.held_out), kind)
        for kind in settings["images"]
    ]
    shared = removed_table(pa.concat_tables([SCHEMA.empty_table(), *(one.table for one in images)]))
    if settings["keep_shared_images"]:
        going = not_of_sources(work.corpus, shared, settings["keep_shared_images"])
        staying = np.setdiff1d(shared.places, np.union1d(going.places, words.places))
        work.told["shared_images_kept"] = int(work.kept[staying].sum())
        shared = going
    return removed_table(pa.concat_tables([words.table, shared.table]))


def _deduplicate(work: Work, settings: Mapping[str, Any], folder: Path) -> Removed:
    guard = guard_of(images_by_bytes(work.corpus), len(work.corpus))
    return deduplicate(work.corpus, work.kept, guard, settings, folder, work.engine, work.workers)


def _balance(work: Work, settings: Mapping[str, Any], _folder: Path) -> Removed:
    return balance(work.corpus, work.kept, settings, work.seed)


def _metadata(work: Work, settings: Mapping[str, Any], folder: Path) -> Removed:
    work.filled = fill(work.corpus, work.kept, settings, folder, work.engine, work.workers)
    work.told["filled"] = work.filled.counts
    return Removed(SCHEMA.empty_table())


def _difficulty(work: Work, settings: Mapping[str, Any], _folder: Path) -> Removed:
    assert work.attempts is not None
    return difficulty(work.corpus, work.kept, settings, work.attempts)


STEPS: dict[str, Callable[[Work, Mapping[str, Any], Path], Removed]] = {
    "decontaminate": _decontaminate,
    "deduplicate": _deduplicate,
    "balance": _balance,
    "metadata": _metadata,
    "difficulty": _difficulty,
}


@dataclasses.dataclass
class Contents:
    """The questions of the new folder, counted by benchmark and split, licence and access class."""

    benchmarks: "Counter[tuple[str, str]]" = dataclasses.field(default_factory=Counter)
    licences: "Counter[str]" = dataclasses.field(default_factory=Counter)
    access: "Counter[str]" = dataclasses.field(default_factory=Counter)

    def add(self, table: pa.Table) -> None:
        """Count the questions of a table."""
        columns = {name: table[name].to_pylist() for name in ("benchmark", "split", "licence", "access")}
        self.benchmarks.update(zip(columns["benchmark"], columns["split"], strict=True))
        self.licences.update(columns["licence"])
        self.access.update(columns["access"])

    def table(self) -> dict[str, Any]:
        """Return the counts as plain data."""
        names = sorted({name for name, _ in self.benchmarks})
        by_split = {name: {split: self.benchmarks[name, split] for split in ("train", "test")} for name in names}
        return {
            "train": sum(counts["train"] for counts in by_split.values()),
            "test": sum(counts["test"] for counts in by_split.values()),
            "benchmarks": by_split,
        }


def _left(work: Work) -> Iterator[pa.Table]:
    """Yield the questions that are left, sorted by id."""

    def stream(path: str) -> Iterator[pa.Table]:
        for group in work.corpus.groups:
            if group.path == path and work.kept[group.first : group.first + group.rows].any():
                for table in group.tables(QUESTION_SCHEMA.names):
                    if work.filled:
                        table = with_metadata(table, work.filled, group.first)
                    yield table.filter(pa.array(work.kept[group.first : group.first + group.rows]))

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
) -> Manifest:
    counts = {**contents.table(), "licences": sorted(contents.licences)}
    folders = [{"identity": one.identity, "train": one.counts["train"], "test": one.counts["test"]} for one in before]
    storage.write_text(folder / CARD_FILE, write_card(folders, steps, counts))
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
        extra={"rules": rules} if rules else {},
    )
    manifests.write_manifest(folder, manifest)
    return manifest
