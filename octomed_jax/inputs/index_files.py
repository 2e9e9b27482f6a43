"""The index on disk: a plain array a column, which is mapped and not read, and what they mean.

``index/index.json`` names the sources, what rendered it and a checksum of each ``index/COLUMN.npy``. The checksums are
looked at when it is loaded, piece by piece, so that neither damage nor the size of the index goes unnoticed.
"""

import zlib
from pathlib import Path

import numpy as np

from octomed_jax.errors import StopAndLook, UserError
from octomed_jax.inputs.plan import ExampleIndex
from octomed_jax.storage import read_json, write_json

INDEX = "index"
ABOUT = "index.json"
INDEX_VERSION = 1
COLUMNS: dict[str, np.dtype] = {  # of an ExampleIndex
    **dict.fromkeys(
        ("record", "response", "tokens", "patches", "cells", "images", "source", "benchmark"), np.dtype(np.int32)
    ),
    **dict.fromkeys(("window_pairs", "frame_pairs"), np.dtype(np.int64)),
}
PIECE = 1 << 22  # bytes


def write_index(folder: Path, index: ExampleIndex) -> None:
    """Write an index into ``folder/index``. Call inside a staged folder: ``index.json`` comes last."""
    place = Path(folder) / INDEX
    place.mkdir(parents=True, exist_ok=True)
    checksums = {}
    for name, dtype in COLUMNS.items():
        np.save(_file(place, name), np.ascontiguousarray(getattr(index, name), dtype), allow_pickle=False)
        checksums[name] = _checksum(_file(place, name))
    about = {
        "version": INDEX_VERSION,
        "examples": len(index),
        "render_key": index.render_key,
        "sources": list(index.sources),
        "benchmarks": list(index.benchmarks),
        "checksums": checksums,
    }
    write_json(place / ABOUT, about)


def load_index(folder: str | Path) -> ExampleIndex:
    """Return the index of ``write_index``; its columns are mapped, and not to be written to.

    Raises:
        UserError: there is none, or it is of another version.
        StopAndLook: it is damaged.
    """
    place = Path(folder) / INDEX
    if not (place / ABOUT).is_file():
        raise UserError(f"no index in {folder}; make it with `octomed shard`")
    about = read_json(place / ABOUT)
    if not isinstance(about, dict) or about.get("version") != INDEX_VERSION:
        raise UserError(f"{place / ABOUT} is of another version; run `octomed shard` again")
    try:
        columns = {name: _column(place, name, dtype, about) for name, dtype in COLUMNS.items()}
        return ExampleIndex(
            **columns,
            sources=tuple(about["sources"]),
            benchmarks=tuple(about["benchmarks"]),
            render_key=about["render_key"],
        )
    except (KeyError, TypeError) as error:
        raise StopAndLook(f"{place / ABOUT} is damaged ({error!r}); {_cure(place)}") from error


def _column(place: Path, name: str, dtype: np.dtype, about: dict) -> np.ndarray:
    path = _file(place, name)
    try:
        if _checksum(path) != about["checksums"][name]:
            raise StopAndLook(f"{path} is damaged: its checksum is not that of {ABOUT}; {_cure(place)}")
        column = np.asarray(np.load(path, mmap_mode="r" if about["examples"] else None, allow_pickle=False))
    except (ValueError, OSError) as error:
        raise StopAndLook(f"{path} is damaged or gone ({error}); {_cure(place)}") from error
    if column.dtype != dtype or column.shape != (about["examples"],):
        raise StopAndLook(f"{path} holds {column.dtype} {column.shape}, which is no column of it; {_cure(place)}")
    return column


def _cure(place: Path) -> str:
    return f"remove {place.parent} and run `octomed shard` again, which only measures it anew"


def _file(place: Path, column: str) -> Path:
    return place / f"{column}.npy"


def _checksum(path: Path) -> int:
    """Return the CRC-32 of a file, read in pieces: what is mapped counts as memory of the process, once it was read."""
    found = 0
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            found = zlib.crc32(piece, found)
    return found
