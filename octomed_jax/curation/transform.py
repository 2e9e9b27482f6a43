"""The image transform: large images are made smaller and burned-in text is dealt with, before they are stored.

The paper resizes every image to at most 262,144 pixels. Text that a machine burned into an ultrasound or X-ray image
may name a patient or give the answer away: it is kept, painted over, or its question goes. What is found is not all of
it (burned_text.py): this is no de-identification. Held-out images stay as they are; evaluation resizes them itself.

Only changed images are written, by place, and put in where the questions are written.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Bool

from octomed_jax.curation.corpus import Corpus, Piece
from octomed_jax.curation.metadata import Filled, with_metadata
from octomed_jax.curation.pictures.image_sources import SOURCES_SCHEMA, joined
from octomed_jax.curation.pictures.image_transform import transform_image
from octomed_jax.curation.removed import UNREADABLE, Removed, removed_columns
from octomed_jax.curation.scratch import do_pieces, load_array, save_array
from octomed_jax.errors import UserError
from octomed_jax.schema import QUESTION_SCHEMA
from octomed_jax.storage import sha256_bytes
from octomed_jax.traces import lake

CHANGED_SCHEMA = pa.schema(
    [
        ("place", pa.int64()),
        ("image", QUESTION_SCHEMA.field("image").type),
        ("image_hash", QUESTION_SCHEMA.field("image_hash").type),
        ("source_hash", QUESTION_SCHEMA.field("image_hash").type),  # of each image as it was
        ("resized", pa.int32()),  # images of the question
        ("text", pa.int32()),  # images in which text was found
        ("reason", pa.string()),  # for which the question goes; empty: it stays
        ("detail", pa.string()),
    ]
)


@dataclasses.dataclass(frozen=True)
class TransformPiece:
    """A piece whose changed images go to ``target``.

    Attributes:
        kept, text: files that say of each question of the corpus whether it is still there, and whether its images are
            of a modality whose text is looked for.
        max_pixels, policy: as in ``transform_image``.
    """

    piece: Piece
    kept: str
    text: str
    max_pixels: int
    policy: str
    target: str


@dataclasses.dataclass(frozen=True)
class Changed:
    """Questions whose images were changed, in files sorted by place.

    Attributes:
        targets: the files.
        starts: of each the place from which on its questions are.
    """

    targets: tuple[Path, ...]
    starts: tuple[int, ...]

    @property
    def counts(self) -> dict[str, int]:
        """How many images were made smaller, and in how many text was found."""
        tables = [pq.read_table(target, columns=["resized", "text"]) for target in self.targets]
        return {name: sum(sum(table[name].to_pylist()) for table in tables) for name in ("resized", "text")}

    def dropped(self) -> Removed:
        """Return the questions that go for text in an image, or for one that cannot be read."""
        names = ("place", "reason", "detail")
        gone = [row for target in self.targets for row in lake.iterate_rows(target, names) if row["reason"]]
        places, reasons, details = ([row[name] for row in gone] for name in names)
        return removed_columns(places, reasons, None, details)

    def sources(self) -> pa.Table:
        """Return what the images that were changed had been before: a table of SOURCES_SCHEMA."""
        found = [SOURCES_SCHEMA.empty_table()]
        for target in self.targets:
            rows = pq.read_table(target, columns=["image_hash", "source_hash", "reason"])
            rows = rows.filter(pc.equal(rows["reason"], ""))
            pairs = [pc.list_flatten(rows[name]) for name in ("image_hash", "source_hash")]
            table = pa.table(pairs, schema=SOURCES_SCHEMA)
            found.append(table.filter(pc.not_equal(*pairs)))
        return joined(found)

    def put_in(self, tables: Iterator[tuple[int, pa.Table]], places: range) -> Iterator[tuple[int, pa.Table]]:
        """Yield questions again, each table with the place of its first, with changed images in the stead of theirs.

        Args:
            tables: questions of one file, or some of them.
            places: of all questions of that file; nothing that was changed of others is read.
        """
        targets = (target for start, target in zip(self.starts, self.targets, strict=True) if start in places)
        groups = (group for target in targets for group in _groups(target))
        held = next(groups, None)
        for first, table in tables:
            found = []
            while held is not None:
                low, high = np.searchsorted(held["place"].to_numpy(), [first, first + table.num_rows])
                found.append(held.slice(low, high - low))
                if high < held.num_rows:
                    held = held.slice(high)
                    break
                held = next(groups, None)
            yield first, _with_images(table, first, found)


def _groups(target: Path) -> Iterator[pa.Table]:
    """Yield the questions of a file whose images are others, a row group at a time."""
    with pq.ParquetFile(target) as file:
        for number in range(file.num_row_groups):
            table = file.read_row_group(number, columns=["place", "image", "image_hash", "reason"])
            yield table.filter(pc.equal(table["reason"], ""))


def _with_images(table: pa.Table, first: int, changed: Sequence[pa.Table]) -> pa.Table:
    """Return questions, the first of which has a place, with the images of others, which are named by place."""
    others = pa.concat_tables(changed) if changed else None
    if not others:
        return table
    rows = np.arange(table.num_rows)
    rows[others["place"].to_numpy() - first] = table.num_rows + np.arange(others.num_rows)
    for name in ("image", "image_hash"):
        field = QUESTION_SCHEMA.field(name)
        both = pa.chunked_array([*table[name].cast(field.type).chunks, *others[name].chunks]).combine_chunks()
        table = table.set_column(table.schema.get_field_index(name), field, both.take(pa.array(rows)))
    return table


def transform(
    corpus: Corpus,
    kept: Bool[np.ndarray, " N"],
    filled: Filled | None,
    settings: Mapping[str, Any],
    folder: Path,
    engine: str,
    workers: int,
) -> Changed:
    """Transform the images of the questions that are kept.

    Args:
        corpus, kept: the questions.
        filled: modalities that were filled in, or None.
        settings: ``max_pixels``, ``burned_text`` (a policy) and ``modalities`` whose text is looked for.
        folder: for what is worked out; what lies there is used again.
        engine, workers: as in ``run_pieces``.
    """
    text = _of_modalities(corpus, filled, settings["modalities"])
    # A judge whose requests failed says more the next time: what was worked out for other questions is no use then.
    folder = folder / sha256_bytes(kept.tobytes() + text.tobytes())[:16]
    folder.mkdir(parents=True, exist_ok=True)
    save_array(folder / "kept.npy", kept)
    save_array(folder / "text.npy", text)
    pieces = corpus.pieces()
    targets = [folder / f"{number:05d}.parquet" for number in range(len(pieces))]
    given = (str(folder / "kept.npy"), str(folder / "text.npy"), settings["max_pixels"], settings["burned_text"])
    work = [TransformPiece(piece, *given, str(target)) for piece, target in zip(pieces, targets, strict=True)]
    do_pieces("transforming images", transform_piece, work, targets, engine, workers)
    return Changed(tuple(targets), tuple(piece.first for piece in pieces))


def _of_modalities(corpus: Corpus, filled: Filled | None, modalities: Sequence[str]) -> Bool[np.ndarray, " N"]:
    found = [np.zeros(0, dtype=bool)]
    for first, table in corpus.tables(["modality", "body_region"], "reading modalities"):
        known = with_metadata(table, filled, first) if filled else table
        found.append(np.isin(np.array(known["modality"].to_pylist(), dtype=object), list(modalities)))
    return np.concatenate(found)


def transform_piece(one: TransformPiece) -> None:
    """Write the changed images of one piece, and which questions go for theirs."""
    kept, text = load_array(Path(one.kept)), load_array(Path(one.text))
    place = one.piece.first
    with lake.open_writer(one.target, CHANGED_SCHEMA) as writer:
        for table in one.piece.tables(["id", "image", "image_hash"]):
            for row in table.to_pylist():
                if kept[place] and row["image"]:
                    changed = _changed(row, place, one.max_pixels, one.policy if text[place] else "keep")
                    if changed:
                        writer.write(changed, sum(len(image["bytes"]) for image in changed["image"]))
                place += 1


def _changed(row: Mapping[str, Any], place: int, max_pixels: int, policy: str) -> dict[str, Any] | None:
    """Return what is written of a question; None where its images stay as they are."""
    before = [image["bytes"] for image in row["image"]]
    try:
        made = [transform_image(data, max_pixels, policy, f"an image of {row['id']}") for data in before]
    except UserError as error:
        gone = {"place": place, "image": [], "image_hash": [], "source_hash": [], "resized": 0, "text": 0}
        return {**gone, "reason": UNREADABLE, "detail": str(error)}
    after = [one.data for one in made if one.data is not None]
    if after == before:
        return None
    dropped = len(after) < len(before)
    return {
        "place": place,
        "image": [] if dropped else [{"bytes": data, "path": None} for data in after],
        "image_hash": [] if dropped else [sha256_bytes(data) for data in after],
        "source_hash": [] if dropped else row["image_hash"],
        "resized": sum(one.resized for one in made),
        "text": sum(bool(one.text) for one in made),
        "reason": "burned_text" if dropped else "",
        "detail": "",
    }
