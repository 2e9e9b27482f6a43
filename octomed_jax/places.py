"""Places on this machine: the room on a disk, the cache, and names that are to stay within a folder."""

import os
import shutil
from pathlib import Path

from octomed_jax.errors import UserError
from octomed_jax.storage import PathLike


def check_room(folder: PathLike, size: int) -> None:
    """Refuse to begin what the disk has no room for.

    Args:
        folder: where it is to lie; need not exist yet.
        size: bytes.

    Raises:
        UserError: it has not.
    """
    there = Path(folder).absolute()
    while not there.exists():
        there = there.parent
    if (free := shutil.disk_usage(there).free) < size:
        raise UserError(f"the weights take {size / 1e9:.1f} GB, but {folder} has {free / 1e9:.1f} GB free")


def cache_folder() -> Path:
    """Return the local folder for what can be made or fetched again: ``$OCTOMED_CACHE`` or ``~/.cache/octomed_jax``."""
    return Path(os.environ.get("OCTOMED_CACHE") or "~/.cache/octomed_jax").expanduser()


def inside(folder: PathLike, name: str) -> Path:
    """Return ``folder/name``, refusing names that lead out of the folder, absolute ones and symbolic links.

    In the hub library's own cache the files of a snapshot are links to blobs beside it, which belong to the same
    repository; these are followed.

    Raises:
        UserError: ``name`` leaves ``folder``.
    """
    root = Path(folder).resolve()
    path = root / name
    if Path(name).is_absolute() or ".." in Path(name).parts or not _belongs(path.resolve(), root):
        raise UserError(f"{name!r} leads out of {folder}; put the file itself there")
    return path


def _belongs(path: Path, root: Path) -> bool:
    """Return whether a file lies in a folder, or is a blob of the repository of which that is (in) a snapshot.

    Both are without links, so that a cache that somebody else made leads no further than to the blobs in it.
    """
    if path.is_relative_to(root):
        return True
    for folder in (root, *root.parents):
        repository = folder.parent.parent  # of .../datasets--OWNER--NAME/snapshots/COMMIT
        if folder.parent.name == "snapshots" and repository.name.startswith(("models--", "datasets--")):
            return path.parent == repository / "blobs"
    return False
