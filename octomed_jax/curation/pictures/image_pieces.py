"""What the images of a corpus are known by beyond their bytes, piece by piece; and which of them are the same.

``pixels``: decoded, they are equal. ``near``: they show the same (image_index.py). Memory: some 70 bytes an image.
Pictures and their views, 960 bytes of each, are files that all processes of a machine map, and of which the system
keeps in memory what it has room for.

Legend: I images, P pictures.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Int64

from octomed_jax.curation.corpus import Corpus, Piece
from octomed_jax.curation.groups import Groups
from octomed_jax.curation.pictures.image_hashes import PICTURE_BYTES, hash_image
from octomed_jax.curation.pictures.image_index import NUMBERS, VIEWS, ImageIndex, Pairs, stacked_views
from octomed_jax.curation.pictures.images_of import KEY_DIGITS, Images
from octomed_jax.curation.removed import Removed, unreadable
from octomed_jax.curation.scratch import do_pieces, joined_arrays, load_array, save_array, save_parts, whole_folder
from octomed_jax.curation.texts.exact import first_of_each
from octomed_jax.errors import UserError
from octomed_jax.traces import lake

_ROWS = {"pictures.npy": (PICTURE_BYTES,), "views.npy": (VIEWS, NUMBERS)}  # files of a folder of pictures
AT_ONCE = 4096  # pictures that are looked up in a piece of work
UNREAD_FILE, UNREAD_SCHEMA = "unreadable.parquet", pa.schema([("place", pa.int64()), ("detail", pa.string())])
PAIRS_SCHEMA = pa.schema([("left", pa.int64()), ("right", pa.int64()), ("score", pa.float64())])


@dataclasses.dataclass(frozen=True)
class HashPiece:
    """A piece whose images are hashed into the folder ``target``."""

    piece: Piece
    target: str


@dataclasses.dataclass(frozen=True)
class LookUp:
    """Pictures from ``start`` to before ``stop`` that are looked up among others: those of an index, or their own.

    Attributes:
        pictures, index: folders of pictures; ``index`` is empty where they are looked up among their own.
        target: file of the pairs.
    """

    pictures: str
    index: str
    start: int
    stop: int
    target: str


@dataclasses.dataclass(frozen=True)
class Hashed:
    """The images of a corpus, in the order of their questions.

    Attributes:
        images: with keys of their pixels.
        picture: the number of each one's picture; images of equal pixels have one.
        first: of each picture the first image that has it.
        pictures: of what they show, with their views; a folder of files that are read where they are needed.
        unreadable: questions with images that cannot be decoded; these are none of the images.
    """

    images: Images
    picture: Int64[np.ndarray, " I"]
    first: Int64[np.ndarray, " P"]
    pictures: Path
    unreadable: Removed


def hash_images(corpus: Corpus, title: str, folder: Path, engine: str, workers: int) -> Hashed:
    """Hash the images of a corpus; what lies in ``folder`` is used again."""
    pieces = corpus.pieces()
    targets = [folder / "hashed" / f"{number:05d}" for number in range(len(pieces))]
    work = [HashPiece(piece, str(target)) for piece, target in zip(pieces, targets, strict=True)]
    do_pieces(title, hash_piece, work, targets, engine, workers)
    owner = joined_arrays([target / "owner.npy" for target in targets], np.zeros(0, np.int64))
    keys = joined_arrays([target / "keys.npy" for target in targets], np.zeros((0, 2), np.uint64))
    first, picture = np.unique(first_of_each(keys), return_inverse=True)
    pictures = folder / "pictures"
    if not pictures.exists():
        with whole_folder(pictures) as partial:
            partial.mkdir()
            for name, row in _ROWS.items():
                parts = _some_of([target / name for target in targets], first)
                save_parts(partial / name, (len(first), *row), np.dtype(np.int8), parts)
    unread = pa.concat_tables(
        [UNREAD_SCHEMA.empty_table(), *(pq.read_table(target / UNREAD_FILE) for target in targets)]
    )
    lost = unreadable(unread["place"].to_numpy(), unread["detail"].to_pylist())
    return Hashed(Images(owner, keys), picture, first, pictures, lost)


def _some_of(paths: Sequence[Path], numbers: Int64[np.ndarray, " P"]) -> Iterator[np.ndarray]:
    """Yield of the rows of several files, counted through, those of some numbers, which are sorted."""
    begin = 0
    for path in paths:
        rows = load_array(path)
        low, high = np.searchsorted(numbers, [begin, begin + len(rows)])
        yield rows[numbers[low:high] - begin]
        begin += len(rows)


def hash_piece(one: HashPiece) -> None:
    """Write the hashes of one piece's images."""
    owner: list[int] = []
    pixels: list[str] = []
    pictures: list[bytes] = []
    unread: list[dict[str, Any]] = []
    place = one.piece.first
    for table in one.piece.tables(["id", "image"]):
        for row in table.to_pylist():
            for image in row["image"] or ():
                try:
                    hashes = hash_image(image["bytes"], f"an image of {row['id']}")
                except UserError as error:
                    unread.append({"place": place, "detail": str(error)})
                    continue
                owner.append(place)
                pixels.append(hashes.pixels[:KEY_DIGITS])
                pictures.append(hashes.picture)
            place += 1
    keys = np.frombuffer(bytes.fromhex("".join(pixels)), ">u8").astype(np.uint64).reshape(-1, 2)
    with whole_folder(Path(one.target)) as partial:
        partial.mkdir(parents=True)
        lake.write_rows(partial / UNREAD_FILE, unread, UNREAD_SCHEMA)
        save_array(partial / "owner.npy", np.array(owner, dtype=np.int64))
        save_array(partial / "keys.npy", keys)
        shown = np.frombuffer(b"".join(pictures), np.int8).reshape(-1, PICTURE_BYTES)
        save_array(partial / "pictures.npy", shown)
        save_array(partial / "views.npy", stacked_views(shown))


def same_pictures(ours: Path, index: Path | None, title: str, folder: Path, engine: str, workers: int) -> Pairs:
    """Return the pairs of pictures that show the same.

    Args:
        ours: folder of the pictures that are looked up, left in each pair.
        index: folder of those that they are looked up in; None: among themselves, the earlier one on the left.
        title: of the progress line.
        folder: for what is worked out; what lies there is used again.
        engine, workers: as in ``run_pieces``.
    """
    count = len(load_array(ours / "pictures.npy"))
    starts = range(0, count, AT_ONCE)
    targets = [folder / f"{number:05d}.parquet" for number in range(len(starts))]
    work = [
        LookUp(str(ours), str(index or ""), start, min(start + AT_ONCE, count), str(target))
        for start, target in zip(starts, targets, strict=True)
    ]
    do_pieces(title, look_up, work, targets, engine, workers)
    table = pa.concat_tables([PAIRS_SCHEMA.empty_table(), *map(pq.read_table, targets)])
    return Pairs(table["left"].to_numpy(), table["right"].to_numpy(), table["score"].to_numpy(), compared=0)


def look_up(one: LookUp) -> None:
    """Write the pairs of some pictures."""
    pictures = _index(one.pictures)
    if one.index:
        found = _index(one.index).pairs_with(pictures.pictures[one.start : one.stop])
    else:
        found = pictures.pairs_within(one.start, one.stop)
    first = one.start if one.index else 0
    columns = {"left": found.left + first, "right": found.right, "score": found.score}
    lake.write_table(one.target, pa.table(columns, schema=PAIRS_SCHEMA))


def _index(folder: str) -> ImageIndex:
    return ImageIndex(*(load_array(Path(folder) / name) for name in _ROWS))


def merged_keys(hashed: Hashed, pairs: Pairs) -> Images:
    """Return images with the keys of those that show the same made equal, directly or through others."""
    groups = Groups(len(hashed.first))
    groups.join(np.stack([pairs.left, pairs.right], axis=1))
    return Images(hashed.images.owner, hashed.images.keys[hashed.first[groups.first()]][hashed.picture])
