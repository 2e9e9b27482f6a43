"""Writes synthetic questions as a finished folder of questions and as datatrove reads them; for benchmarks/curation.py.

    python benchmarks/curation_folder.py FOLDER ROWS EVALUATION PLANTED COPIES IMAGES

Texts and what is planted in them are those of curation_questions.py. So many IMAGES rows that nothing else was planted
in have a small image each; PLANTED of each kind of IMAGE_OVERLAPS share it with a held-out question, and of those of
IMAGE_LOOKALIKES it is that of one, flipped. COPIES rows have the text of an earlier one and its image, recompressed,
and as many have the text and another image.

FOLDER gets ``questions`` (with held-out ones), ``kinds.npy`` and ``of.npy``: what each row is, as its place in KINDS,
and the held-out question that it was made of; and ``text`` and ``evaluation-text`` for datatrove.
"""

import argparse
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from bare_package import ROOT  # noqa: F401  (makes the project importable)
from curation_questions import BLOCK, BROKEN, CLEAN, DUPLICATES, LOOKALIKES, OVERLAPS, Item, Questions
from PIL import Image, ImageOps

from octomed_jax import manifests
from octomed_jax.schema import QUESTION_SCHEMA
from octomed_jax.storage import sha256_bytes
from octomed_jax.traces import lake

SEED = 1
IMAGE_OVERLAPS = ("image, same bytes", "image, same pixels", "image, recompressed")
IMAGE_LOOKALIKES = ("image, flipped",)
IMAGE_COPIES = ("same question, image recompressed",)
OTHER_IMAGES = ("same question, other image",)
KINDS = (
    *(CLEAN, *OVERLAPS, BROKEN, *DUPLICATES, *LOOKALIKES),
    *(*IMAGE_OVERLAPS, *IMAGE_LOOKALIKES, *IMAGE_COPIES, *OTHER_IMAGES),
)
HELD_OUT_IMAGES = 1 << 30  # numbers of images from here on are those of held-out questions


def image(number: int, kind: str = "") -> bytes:
    """Return one of many small images that show something else each, or a copy of it."""
    rng = np.random.default_rng([SEED, 7, number])
    coarse = Image.fromarray(rng.integers(0, 256, (10, 10), dtype=np.uint8))
    shown = coarse.resize((48, 48), Image.Resampling.BICUBIC)
    file = io.BytesIO()
    if kind in ("image, recompressed", *IMAGE_COPIES):
        shown.save(file, format="JPEG", quality=90)
    else:
        shown = shown.convert("RGB") if kind == "image, same pixels" else shown
        shown = ImageOps.mirror(shown) if kind in IMAGE_LOOKALIKES else shown
        shown.save(file, format="PNG", compress_level=1)
    return file.getvalue()


class Pictured:
    """Which rows have an image, and what it is.

    Attributes:
        kinds, of: of each row, as in the files.
    """

    def __init__(self, made: Questions, planted: int, copies: int, count: int) -> None:
        rng = np.random.default_rng([SEED, 6])
        self.kinds = np.zeros(made.count, dtype=np.int8)
        self.of = np.full(made.count, -1)
        taken = np.array([*made.planted, *made.copies, *made.sources], dtype=np.int64)
        free = np.setdiff1d(np.arange(made.count), taken)
        self.rows = np.sort(rng.choice(free, count, replace=False)) if count else free[:0]
        self.number = dict(zip(self.rows.tolist(), range(count), strict=True))
        self.source: dict[int, int] = {}
        self.texts: dict[int, Item] = {}
        if not count:
            return
        # Copies are of rows of the first half, and lie in the second one; the others lie anywhere between.
        first, second = rng.permutation(count // 2), count // 2 + rng.permutation(count // 2)
        for at, kind in enumerate((*IMAGE_COPIES, *OTHER_IMAGES)):
            part = slice(at * copies, (at + 1) * copies)
            later, earlier = self.rows[second[part]].tolist(), self.rows[first[part]].tolist()
            self.source.update(zip(later, earlier, strict=True))
            self.kinds[later] = KINDS.index(kind)
        left = self.rows[np.concatenate([first[2 * copies :], second[2 * copies :]])]
        shared = (*IMAGE_OVERLAPS, *IMAGE_LOOKALIKES)
        for at, row in enumerate(left[: planted * len(shared)].tolist()):
            self.kinds[row], self.of[row] = KINDS.index(shared[at % len(shared)]), at
        self.held_out = planted * len(shared)
        self.sources = set(self.source.values())

    def put(self, row: int, item: Item) -> tuple[Item, bytes | None]:
        """Return the question of a row with its image; None for one without."""
        number = self.number.get(row)
        if number is None:
            return item, None
        if row in self.sources:
            self.texts[row] = item
        kind = KINDS[self.kinds[row]]
        if row in self.source:
            source = self.source[row]
            return self.texts[source], image(self.number[source] if kind in IMAGE_COPIES else number, kind)
        return item, image(number if self.of[row] < 0 else HELD_OUT_IMAGES + int(self.of[row]), kind)


def table_of(items: Sequence[Item], ids: Sequence[str], images: Sequence[bytes | None], split: str) -> pa.Table:
    """Return questions as a stage before curation writes them."""
    count = len(items)
    columns = {
        "id": ids,
        "question": [item.question for item in items],
        "options": [item.options for item in items],
        "answer": [item.answer for item in items],
        "image": [[] if one is None else [{"bytes": one, "path": None}] for one in images],
        "image_hash": [[] if one is None else [sha256_bytes(one)] for one in images],
        "aliases": [[]] * count,
        "source": ["made"] * count,
        "benchmark": ["made"] * count,
        "split": [split] * count,
        "task": ["mcq"] * count,
        "licence": ["CC0-1.0"] * count,
        "access": ["open"] * count,
    }
    rest = {field.name: [None if pa.types.is_floating(field.type) else ""] * count for field in QUESTION_SCHEMA}
    return pa.table({**rest, **columns}, schema=QUESTION_SCHEMA)


def write(folder: Path, rows: int, evaluation: int, planted: int, copies: int, images: int) -> None:
    """Write questions as our side and as datatrove reads them."""
    made = Questions(SEED, rows, evaluation, planted, copies)
    pictured = Pictured(made, planted, copies, images)
    output = folder / "questions"
    for name in ("questions", "text", "evaluation-text"):
        (folder / name).mkdir(parents=True)

    def learnt() -> Iterator[pa.Table]:
        row = 0
        for items in made.blocks():
            found = [pictured.put(row + at, item) for at, item in enumerate(items)]
            for at, item in enumerate(items):
                if item.kind != CLEAN:
                    pictured.kinds[row + at], pictured.of[row + at] = KINDS.index(item.kind), item.of
            ids = [f"made:{row + at:09d}" for at in range(len(items))]
            row += len(items)
            yield table_of([item for item, _ in found], ids, [data for _, data in found], "train")

    def held_out() -> Iterator[pa.Table]:
        ids = [f"test:{number:09d}" for number in range(evaluation)]
        yield table_of(made.evaluation, ids, [None] * evaluation, "test")
        count = pictured.held_out if images else 0
        for start in range(0, count, BLOCK):
            numbers = range(start, min(start + BLOCK, count))
            items = made._clean((1 << 21) + start // BLOCK, len(numbers))
            ids = [f"test:{evaluation + number:09d}" for number in numbers]
            yield table_of(items, ids, [image(HELD_OUT_IMAGES + number) for number in numbers], "test")

    for file, name, tables in (
        ("questions.parquet", "text", learnt()),
        ("heldout.parquet", "evaluation-text", held_out()),
    ):
        with (
            lake.open_table_writer(output / file, QUESTION_SCHEMA) as ours,
            pq.ParquetWriter(folder / name / "0.parquet", TEXT_SCHEMA, compression="zstd") as theirs,
        ):
            for table in tables:
                ours.write_table(table, row_group_size=lake.ROW_GROUP)
                theirs.write_table(plain(table), row_group_size=lake.ROW_GROUP)
    # The image's questions come after those of texts, by whose numbers `of` names the others.
    shared = np.isin(pictured.kinds, [KINDS.index(kind) for kind in (*IMAGE_OVERLAPS, *IMAGE_LOOKALIKES)])
    pictured.of[shared] += evaluation
    np.save(folder / "kinds.npy", pictured.kinds)
    np.save(folder / "of.npy", pictured.of)
    counts = {"train": rows, "test": evaluation + (pictured.held_out if images else 0)}
    files = manifests.hash_files(output)
    manifests.write_manifest(output, manifests.Manifest(stage="questions", config={}, counts=counts, files=files))


TEXT_SCHEMA = pa.schema([("text", pa.string()), ("id", pa.string())])


def plain(table: pa.Table) -> pa.Table:
    """Return question and options as one text each, under the number of the row."""
    rows = zip(table["question"].to_pylist(), table["options"].to_pylist(), strict=True)
    ids = [str(int(name.rpartition(":")[2])) for name in table["id"].to_pylist()]
    return pa.table({"text": [" ".join((text, *options)) for text, options in rows], "id": ids}, schema=TEXT_SCHEMA)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    for name in ("rows", "evaluation", "planted", "copies", "images"):
        parser.add_argument(name, type=int)
    write(**vars(parser.parse_args()))
