"""`octomed data write`: a folder of traces or questions as a data set that others load from the hub."""

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow.parquet as pq
from etils import epath

from octomed_jax import licences, manifests, progress, storage
from octomed_jax.errors import UserError
from octomed_jax.manifests import Manifest
from octomed_jax.schema import Record, is_without_gold, question_from_row
from octomed_jax.storage import PathLike
from octomed_jax.traces import lake
from octomed_jax.traces.grouped import accepted, iterate_lake, parts_of, record_of
from octomed_jax.traces.publish_card import CARD, write_card
from octomed_jax.traces.published import orders_of, rows_of, schema

STAGE = "data"
FILE_BYTES = 500 * 2**20  # of a file of a data set, about
TRAIN, TEST = "questions.parquet", "heldout.parquet"


@dataclasses.dataclass
class Contents:
    """What the files of a data set are to hold.

    Attributes:
        paths: split to the file that it is made of, or the folder of traces; a split without rows is left out.
        rows, sizes: split to rows, and to their bytes before compression (of what they are made of, until written).
        questions, responses: by source.
        unchecked: how many of the responses are taken as published, since their questions have no gold, by source.
        licences: licence to number of questions, by source.
        access: of each source, the strictest.
        several_images: whether a question has more than one.
        not_for_release: whether it is marked so.
    """

    paths: dict[str, epath.Path] = dataclasses.field(default_factory=dict)
    rows: dict[str, int] = dataclasses.field(default_factory=dict)
    sizes: dict[str, int] = dataclasses.field(default_factory=dict)
    questions: dict[str, "Counter[str]"] = dataclasses.field(default_factory=dict)
    responses: "Counter[str]" = dataclasses.field(default_factory=Counter)
    unchecked: "Counter[str]" = dataclasses.field(default_factory=Counter)
    licences: dict[str, "Counter[str]"] = dataclasses.field(default_factory=dict)
    access: dict[str, str] = dataclasses.field(default_factory=dict)
    several_images: bool = False
    not_for_release: bool = False

    def files(self, split: str) -> list[tuple[str, int]]:
        """Return the names of a split's files, each with its rows."""
        rows, size = self.rows[split], self.sizes[split]
        count = max(1, min(rows, -(-size // FILE_BYTES)))
        ends = [rows * number // count for number in range(count + 1)]
        name = f"data/{split}-{{:05d}}-of-{count:05d}.parquet"
        return [(name.format(number), ends[number + 1] - ends[number]) for number in range(count)]


def write_data(
    output: PathLike,
    traces: PathLike | None = None,
    questions: PathLike | None = None,
    credentialed: bool = False,
    not_for_release: bool = False,
) -> Manifest:
    """Write a data set in OctoMed's published schema, whole or not at all; memory holds a row group.

    Args:
        output: folder for ``data/*.parquet``, ``README.md`` and the manifest.
        traces: what ``octomed verify`` wrote; its questions with their responses become the split ``train``.
        questions: what ``octomed questions build`` wrote; its held-out questions become ``test``, and without
            ``traces`` the others become ``train``.
        credentialed: whether rows of that access class may be written.
        not_for_release: whether the set stays with whoever writes it, so that rows whose licence allows no derivatives
            may be written; the card says so.

    Raises:
        UserError: nothing to write, a row may not be written, the two folders do not belong together, or ``output``
            holds other work.
        StopAndLook: a file of the traces is gone or damaged.
    """
    if not (traces or questions):
        raise UserError("nothing to write; give --traces=DIR, --questions=DIR, or both")
    given = {"verify": traces, "questions": questions}
    before = {stage: manifests.read_manifest(folder, stage) for stage, folder in given.items() if folder}
    asked_for = {"credentialed": credentialed, "not_for_release": not_for_release}
    inputs = {stage: manifest.identity for stage, manifest in before.items()}
    if done := manifests.finished(output, STAGE, asked_for, inputs):
        return done
    if traces:
        manifests.check_files(traces, before["verify"].files)
    contents = _look(traces, questions, credentialed, not_for_release)
    with storage.staged_folder(output) as folder:
        for split in contents.paths:
            contents.sizes[split] = _write_split(folder, split, contents)
        teachers = before["verify"].extra.get("teachers", []) if traces else []
        storage.write_text(folder / CARD, write_card(contents, teachers, traces is not None))
        manifest = Manifest(
            stage=STAGE,
            config=asked_for,
            inputs=inputs,
            counts={
                "rows": contents.rows,
                "questions": {split: contents.questions[split].total() for split in contents.paths},
                "responses": contents.responses.total(),
            },
            files=manifests.hash_files(folder),
            licences=tuple(sorted({licence for counts in contents.licences.values() for licence in counts})),
            access="credentialed" if "credentialed" in contents.access.values() else "open",
        )
        manifests.write_manifest(folder, manifest)
    return manifest


def _look(traces: PathLike | None, questions: PathLike | None, credentialed: bool, not_for_release: bool) -> Contents:
    """Count what is to be written, without reading images.

    Raises:
        UserError: a row may not be written, there is none, or a question stands in both splits.
    """
    contents = Contents(not_for_release=not_for_release)
    splits = {"train": epath.Path(traces) if traces else epath.Path(questions or "") / TRAIN}
    if questions:
        splits["test"] = epath.Path(questions) / TEST
    for split, path in splits.items():
        _count(contents, split, path, credentialed)
    if not contents.paths:
        raise UserError(f"{traces or questions} holds no row to write; look at its manifest for why")
    if len(contents.paths) > 1:
        _check_apart(contents.paths["train"], contents.paths["test"])
    return contents


def _count(contents: Contents, split: str, path: epath.Path, credentialed: bool) -> None:
    questions: Counter[str] = Counter()
    rows = 0
    for row in _iterate(path, ["id", "source", "task", "answer", "image_hash", "licence", "access", "split"]):
        if row["access"] != "open" and not credentialed:
            raise UserError(
                f"question {row['id']} in {path} is {row['access']}, whose terms bind whoever gets it; "
                "give --credentialed if they may, or leave its source out"
            )
        if licences.NO_DERIVATIVES in licences.terms(row["licence"]) and not contents.not_for_release:
            raise UserError(
                f"question {row['id']} in {path} is of {row['source']} under {row['licence']}, which allows no "
                "derivatives; give --not-for-release for a set that stays with you, or leave its source out"
            )
        if row["split"] != split:
            raise UserError(f"question {row['id']} in {path} is of the split {row['split']}; build the folder again")
        source = row["source"]
        orders = [row["attempts"][place]["option_order"] or () for place in _accepted(row)]
        rows += orders_of(orders)
        questions[source] += 1
        contents.responses[source] += len(orders)
        if is_without_gold(row["task"], row["answer"]):
            contents.unchecked[source] += len(orders)
        contents.licences.setdefault(source, Counter())[row["licence"]] += 1
        contents.access[source] = max(
            contents.access.get(source, "open"), row["access"], key=("open", "credentialed").index
        )
        contents.several_images |= len(row["image_hash"] or ()) > 1
    if rows:
        contents.paths[split], contents.rows[split], contents.questions[split] = path, rows, questions
        contents.sizes[split] = sum(map(_size, _files(path))) * rows // questions.total()


def _files(path: epath.Path) -> list[epath.Path]:
    """Return the Parquet files that a split is made of."""
    return [path] if path.suffix == ".parquet" else parts_of(path, manifests.read_manifest(path, "verify").files)


def _iterate(path: epath.Path, columns: list[str] | None = None) -> Iterator[dict[str, Any]]:
    """Yield the questions of a file, or those of a folder of traces that have an accepted response."""
    if path.suffix == ".parquet":
        yield from lake.iterate_rows(path, columns)
        return
    names = [*columns, "attempts", "verdicts"] if columns else None
    yield from (row for row in iterate_lake(path, names) if accepted(row))


def _accepted(row: Mapping[str, Any]) -> list[int]:
    return accepted(row) if "verdicts" in row else []


def _check_apart(train: epath.Path, test: epath.Path) -> None:
    """Refuse a held-out question that has traces; both files are sorted by id."""
    held_out = (row["id"] for row in lake.iterate_rows(test, ("id",)))
    other = next(held_out, None)
    for row in _iterate(train, ["id"]):
        while other is not None and other < row["id"]:
            other = next(held_out, None)
        if other == row["id"]:
            raise UserError(f"question {other} of {train} is held out in {test}; give the folders of one run")


def _write_split(folder: epath.Path, split: str, contents: Contents) -> int:
    """Write the files of a split; return their bytes before compression."""
    rows = _rows(contents, split)
    size = 0
    with progress.bar(f"writing {split}", contents.rows[split], "rows") as line:
        for name, count in contents.files(split):
            with lake.open_writer(folder / name, schema(contents.several_images)) as writer:
                for _ in range(count):
                    images, row = next(rows)
                    writer.write(row, images)
                    line.advance()
            size += _size(folder / name)
    return size


def _size(path: epath.Path) -> int:
    """Return the bytes of the rows of a Parquet file before compression."""
    with path.open("rb") as file:
        held = pq.read_metadata(file)
    return sum(held.row_group(group).total_byte_size for group in range(held.num_row_groups))


def _rows(contents: Contents, split: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield the rows of a split, each with the bytes of its images."""
    for row in _iterate(contents.paths[split]):
        record = record_of(row, accepted(row)) if "verdicts" in row else Record(question_from_row(row), ())
        size = sum(map(len, record.question.images))
        for one in rows_of(record, contents.several_images):
            yield size, one
