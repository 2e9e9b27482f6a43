"""Which rows of the lake go to which shard: worked out without reading an image.

The lake is measured a part at a time, each in a process of its own; the assignment is a pure function of the lake and
the config. Shards follow the lake's order, a question is in one of them, and all are about equally large.
"""

import dataclasses
import itertools
import json
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
from etils import epath

from octomed_jax.errors import StopAndLook
from octomed_jax.storage import whole_file
from octomed_jax.traces import lake
from octomed_jax.traces.choose import training_record
from octomed_jax.traces.grouped import WITHOUT_IMAGES
from octomed_jax.traces.record import pack_record

DICTIONARY_BYTES = 2**20  # about: how much of a column Parquet writes with equal values once
IMAGES = "image.list.element"  # as Parquet names its parts


@dataclasses.dataclass(frozen=True)
class PartPiece:
    """A part of the lake to be measured.

    Attributes:
        path: of the part.
        target: file for what is found.
        settings: which responses of a row are taken, ``config.traces``.
    """

    path: str
    target: str
    settings: Mapping[str, Any]


def measure_part(piece: PartPiece) -> None:
    """Write which rows of a part give a record, how many bytes each takes, and which accepted responses are not taken.

    Raises:
        StopAndLook: the part is damaged, or its questions are not in order.
    """
    rows: list[int] = []
    sizes: list[int] = []
    images: list[int] = []
    left_out: Counter[str] = Counter()
    first = last = ""
    found = image_sizes(piece.path)
    for number, row in enumerate(lake.iterate_rows(piece.path, WITHOUT_IMAGES)):
        if row["id"] <= last:
            raise StopAndLook(f"{piece.path} is not sorted by id at {row['id']!r}; make it again")
        first, last = first or row["id"], row["id"]
        count, size = next(found)
        record = training_record(row, piece.settings, left_out)
        if record is not None:
            rows.append(number)
            sizes.append(len(pack_record(record)) + int(count * size))
            images.append(count)
    with whole_file(piece.target) as file:
        words = np.array([first, last, json.dumps(left_out)])
        np.savez(file, rows=_numbers(rows), sizes=_numbers(sizes), images=_numbers(images), words=words)


def _numbers(values: Sequence[int]) -> np.ndarray:
    return np.asarray(values, np.int64)


def image_sizes(path: str) -> Iterator[tuple[int, float]]:
    """Yield, for each row of a part, how many images it has, and the mean size of those of its row group.

    Both are told by what lies beside the images, which are not read.
    """
    with lake.opened(path) as file:
        for number in range(file.num_row_groups):
            table = file.read_row_group(number, columns=[f"{IMAGES}.path", "image_hash"])
            counts = pc.fill_null(pc.list_value_length(table["image"]), 0).to_numpy()
            different = pc.count_distinct(pc.list_flatten(table["image_hash"])).as_py()
            # Of the first megabyte equal images were written once.
            size = _column_size(file.metadata.row_group(number), f"{IMAGES}.bytes")
            whole = max(size, min(size, DICTIONARY_BYTES) * counts.sum() / max(1, different))
            for count in counts.tolist():
                yield count, whole / max(1, counts.sum())


def _column_size(group: pq.RowGroupMetaData, path: str) -> int:
    columns = (group.column(place) for place in range(group.num_columns))
    return next(column.total_uncompressed_size for column in columns if column.path_in_schema == path)


@dataclasses.dataclass(frozen=True)
class Span:
    """Rows of a part of the lake, from ``first`` to ``last``."""

    path: str
    first: int
    last: int


@dataclasses.dataclass(frozen=True)
class ShardRows:
    """What goes to one shard: how many records, of which rows of the lake, and whether any has an image."""

    records: int
    spans: tuple[Span, ...]
    has_images: bool


def plan_shards(
    parts: Sequence[str], measured: Sequence[epath.Path], most: int
) -> tuple[list[ShardRows], "Counter[str]"]:
    """Return what goes to each shard, and how many accepted responses go to none, by reason.

    Args:
        parts: paths of the lake's parts, in order.
        measured: what ``measure_part`` wrote of each.
        most: bytes of a shard, about.

    Raises:
        StopAndLook: the questions of the lake are not in order.
    """
    columns: dict[str, list[np.ndarray]] = {name: [] for name in ("rows", "sizes", "images", "part")}
    left_out: Counter[str] = Counter()
    last = ""
    for number, path in enumerate(measured):
        arrays = _load(path)
        first, end, reasons = arrays.pop("words").tolist()
        left_out.update(json.loads(reasons))
        if not first:
            continue
        if first <= last:
            raise StopAndLook(f"{parts[number]} begins with {first!r}, not after {last!r}; make the lake again")
        last = end
        for name, array in arrays.items():
            columns[name].append(array)
        columns["part"].append(np.full(len(arrays["rows"]), number))
    if not sum(map(len, columns["rows"])):
        return [], left_out
    rows, sizes, images, part = (np.concatenate(columns[name]) for name in ("rows", "sizes", "images", "part"))
    before = np.cumsum(sizes) - sizes
    wanted = -(-int(sizes.sum()) // most)  # of equal size; a record that is larger by itself is not cut
    shard = before * wanted // int(sizes.sum())
    starts = [0, *(np.flatnonzero(np.diff(shard)) + 1).tolist(), len(rows)]
    plan = [
        ShardRows(end - start, _spans(parts, part[start:end], rows[start:end]), bool(images[start:end].any()))
        for start, end in itertools.pairwise(starts)
    ]
    return plan, left_out


def _spans(parts: Sequence[str], part: np.ndarray, rows: np.ndarray) -> tuple[Span, ...]:
    spans = []
    for number in np.unique(part):
        of_part = rows[part == number]
        spans.append(Span(parts[number], int(of_part[0]), int(of_part[-1])))
    return tuple(spans)


def _load(path: epath.Path) -> dict[str, np.ndarray]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return dict(arrays)
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        raise StopAndLook(f"{path} is damaged ({error}); remove its folder and run the same command again") from error
