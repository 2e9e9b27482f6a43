"""The index of a set of shards: what every (record, response) takes, and the hash of what rendered it."""

import dataclasses
import functools
import io
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from octomed_jax.errors import StopAndLook, UserError
from octomed_jax.images.patches import PatchSpec
from octomed_jax.inputs.builder import ExampleBuilder
from octomed_jax.inputs.index_files import COLUMNS, load_index
from octomed_jax.inputs.plan import ExampleIndex
from octomed_jax.inputs.tokenizer import load_tokenizer
from octomed_jax.manifests import read_manifest
from octomed_jax.schema import Record
from octomed_jax.storage import fingerprint, read_json, sha256_file, write_bytes
from octomed_jax.traces.shards import ShardReader

PIECE_RECORDS = 2048  # of a range that is measured in one go; a killed process loses no more
NAMES = {"source": "sources", "benchmark": "benchmarks"}  # columns that number names, and the names
RENDER_VERSION = 6  # of the template, the positions, the window layout and the columns of the index


def read_patch_spec(folder: str | Path) -> PatchSpec:
    """Read how a student folder cuts images: preprocessor_config.json, and the window of config.json.

    Raises:
        UserError: a file is missing.
    """
    fields = {}
    for name in ("preprocessor_config.json", "config.json"):
        path = Path(folder) / name
        if not path.is_file():
            raise UserError(f"no {name} in {folder}; a student folder holds one")
        fields[name] = read_json(path)
        if not isinstance(fields[name], dict):
            raise UserError(f"{path} is no JSON object")
    pixels, vision = fields["preprocessor_config.json"], fields["config.json"].get("vision_config")
    if not isinstance(vision, dict):
        raise UserError(f"config.json in {folder} has no vision_config: it is not of Qwen2.5-VL")
    size = pixels.get("size") or {}
    patch, merge = pixels.get("patch_size", 14), pixels.get("merge_size", 2)
    return PatchSpec(
        patch_size=patch,
        merge_size=merge,
        temporal_patch_size=pixels.get("temporal_patch_size", 2),
        window_cells=vision.get("window_size", 112) // patch // merge,
        min_pixels=pixels.get("min_pixels") or size["shortest_edge"],
        max_pixels=pixels.get("max_pixels") or size["longest_edge"],
    )


def example_builder(student: str | Path, answer_format: str) -> ExampleBuilder:
    """Return what renders examples for a student folder."""
    return ExampleBuilder(load_tokenizer(student), read_patch_spec(student), answer_format)


def render_key(student: str | Path, answer_format: str) -> str:
    """Return the hash of everything that decides how a record becomes tokens and patches."""
    spec = read_patch_spec(student)
    tokenizer = sha256_file(Path(student) / "tokenizer.json")
    return fingerprint([RENDER_VERSION, tokenizer, [str(spec)], answer_format])


@dataclasses.dataclass(frozen=True)
class Piece:
    """A range of the records of a folder of shards, to be measured by any process.

    Attributes:
        shards, student, answer_format: what is read, and what renders it.
        first, last: from this record on, to before that one.
        made: hash of the shards and of what renders them, so that a process opens both once.
        output: file for what was measured.
    """

    shards: str
    student: str
    answer_format: str
    made: str
    first: int
    last: int
    output: str


def pieces_of(records: int, shards: Path, student: Path, answer_format: str, folder: Path) -> list[Piece]:
    """Return the pieces of so many records; what they measure goes into ``folder``."""
    read, model = str(shards.absolute()), str(student.absolute())
    made = fingerprint([read_manifest(shards, "shard").identity, render_key(student, answer_format)])
    return [
        Piece(
            read,
            model,
            answer_format,
            made,
            first,
            min(first + PIECE_RECORDS, records),
            f"{folder.absolute()}/{first}.npz",
        )
        for first in range(0, records, PIECE_RECORDS)
    ]


@dataclasses.dataclass(frozen=True)
class _Tools:
    """What measures pieces of one folder of shards: opened once a process."""

    reader: ShardReader
    builder: ExampleBuilder
    key: str


@functools.lru_cache(maxsize=1)
def _tools(shards: str, student: str, answer_format: str, _made: str) -> _Tools:
    return _Tools(ShardReader(shards), example_builder(student, answer_format), render_key(student, answer_format))


def measure_piece(piece: Piece) -> None:
    """Measure the records of a piece, unless that is done. Initialises no backend of JAX: it runs in any process."""
    if Path(piece.output).exists():
        return
    tools = _tools(piece.shards, piece.student, piece.answer_format, piece.made)
    records = ((number, tools.reader[number]) for number in range(piece.first, piece.last))
    index = _measured(records, tools.builder, tools.key)
    data = io.BytesIO()
    columns: dict[str, Any] = {name: np.asarray(value) for name, value in vars(index).items()}
    np.savez(data, **columns)
    write_bytes(piece.output, data.getvalue())


def render_index(records: Iterable[Record], student: str | Path, answer_format: str) -> ExampleIndex:
    """Measure every (record, response), in order, in this process."""
    return _measured(enumerate(records), example_builder(student, answer_format), render_key(student, answer_format))


def joined(pieces: Sequence[Piece]) -> ExampleIndex:
    """Return the index of all pieces, in order; what it holds does not depend on how it was cut.

    Raises:
        StopAndLook: what was measured of one is damaged.
    """
    parts = [_read_piece(Path(piece.output)) for piece in pieces]
    names: dict[str, Any] = {
        many: tuple(sorted({name for part in parts for name in getattr(part, many)})) for many in NAMES.values()
    }
    columns: dict[str, Any] = {}
    for column in COLUMNS:
        arrays = [getattr(part, column) for part in parts]
        if many := NAMES.get(column):
            places = {name: place for place, name in enumerate(names[many])}
            arrays = [
                np.array([places[name] for name in getattr(part, many)], array.dtype)[array]
                for part, array in zip(parts, arrays, strict=True)
            ]
        columns[column] = np.concatenate(arrays)
    return ExampleIndex(**columns, **names, render_key=parts[0].render_key)


def _measured(records: Iterable[tuple[int, Record]], builder: ExampleBuilder, key: str) -> ExampleIndex:
    """Measure records that come with their numbers."""
    columns: dict[str, list] = {name: [] for name in COLUMNS}
    for number, record in records:
        for response, size in enumerate(builder.measure_record(record)):
            entry = dataclasses.asdict(size) | {
                "record": number,
                "response": response,
                "images": len(record.question.images),
                "source": record.question.source,
                "benchmark": record.question.benchmark,
            }
            for name, value in entry.items():
                columns[name].append(value)
    names: dict[str, Any] = {many: tuple(sorted(set(columns[column]))) for column, many in NAMES.items()}
    for column, many in NAMES.items():
        columns[column] = [names[many].index(name) for name in columns[column]]
    arrays: dict[str, Any] = {name: np.array(columns[name], dtype) for name, dtype in COLUMNS.items()}
    return ExampleIndex(**arrays, **names, render_key=key)


def _read_piece(path: Path) -> ExampleIndex:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            names: dict[str, Any] = {many: tuple(arrays[many].tolist()) for many in NAMES.values()}
            columns: dict[str, Any] = {name: arrays[name].astype(dtype) for name, dtype in COLUMNS.items()}
            return ExampleIndex(**columns, **names, render_key=str(arrays["render_key"]))
    except (KeyError, ValueError, OSError, zipfile.BadZipFile) as error:
        raise StopAndLook(f"{path} is damaged ({error}); run `octomed shard` again, which measures it anew") from error


def read_index(folder: str | Path, student: str | Path, answer_format: str) -> ExampleIndex:
    """Read the index of a rendering of shards.

    Raises:
        UserError: it was rendered with another tokenizer, template or pixel cap.
        StopAndLook: it is damaged.
    """
    index = load_index(folder)
    if index.render_key != render_key(student, answer_format):
        raise UserError(
            f"the index in {folder} was rendered with another tokenizer, template or pixel limit than {student} has; "
            "run `octomed shard` again"
        )
    return index
