"""Work on the pieces of a corpus: in processes here or on a Ray cluster, each result a file that is kept.

A piece whose file is there is not worked on again, so that a stage that was killed goes on where it was.
"""

import contextlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from octomed_jax import progress, storage
from octomed_jax.executor import run_pieces

T = TypeVar("T")


def do_pieces(
    title: str, work: Callable[[T], None], pieces: Sequence[T], targets: Sequence[Path], engine: str, workers: int
) -> None:
    """Run ``work`` on every piece whose target is not there yet.

    Args:
        title: of the progress line.
        work: writes the target of a piece, whole or not at all; a function of a module.
        pieces: plain data.
        targets: of each piece, in a folder that all processes see.
        engine, workers: as in ``run_pieces``.
    """
    left = [piece for piece, target in zip(pieces, targets, strict=True) if not target.exists()]
    for folder in {target.parent for target in targets}:
        folder.mkdir(parents=True, exist_ok=True)
    with progress.bar(title, len(pieces), "pieces", len(pieces) - len(left)) as line:
        for _ in run_pieces(work, left, engine, workers):
            line.advance()


def save_array(path: Path, array: "np.ndarray") -> None:
    """Write an array whole or not at all."""
    with storage.whole_file(path) as file:
        np.save(file, array, allow_pickle=False)


def save_parts(path: Path, shape: tuple[int, ...], dtype: "np.dtype[Any]", parts: Iterable["np.ndarray"]) -> None:
    """Write an array of which only a part is there at a time, as ``save_array``."""
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    with storage.whole_file(path) as file:
        np.lib.format.write_array_header_1_0(file, header)
        for part in parts:
            file.write(np.ascontiguousarray(part, dtype).data)


def load_array(path: Path) -> "np.ndarray":
    """Return an array that stays on the disk until it is asked for."""
    return np.load(path, mmap_mode="r", allow_pickle=False)


def joined_arrays(paths: Sequence[Path], none: "np.ndarray", row: int | None = None) -> "np.ndarray":
    """Return the arrays of some files, one after another, or one row of each.

    One file is open at a time: each that is mapped holds a descriptor, of which a process has a thousand.

    Args:
        paths: of the files.
        none: an empty array of the same kind: what there is without files.
        row: of each array, which are then of two axes.
    """

    def parts() -> "Iterator[np.ndarray]":
        for path in paths:
            yield load_array(path) if row is None else load_array(path)[row]

    found = np.empty((sum(map(len, parts())), *none.shape[1:]), none.dtype)
    at = 0
    for part in parts():
        found[at : at + len(part)] = part
        at += len(part)
    return found


@contextlib.contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yield a name to write a folder under, which becomes ``path`` when the block ends.

    Another process may have written the same meanwhile, such as one whose parent was killed: then that stays.
    """
    partial = storage.partial_of(path)
    yield partial
    try:
        partial.rename(path)
    except OSError:
        if not path.is_dir():
            raise
        shutil.rmtree(partial)
