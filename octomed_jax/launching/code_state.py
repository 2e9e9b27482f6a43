"""Which code a launch was made from: the commit, and what was changed since."""

import dataclasses
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from octomed_jax.errors import UserError
from octomed_jax.storage import sha256_file

MOST_UNTRACKED = 10 * 2**20  # bytes of a file that is hashed: a larger one is data, and there may be many
NOT_HASHED = "not hashed"
MOST_BYTES = 20 * 2**20  # of changes: more is no change of code


@dataclasses.dataclass(frozen=True)
class CodeState:
    """The state of a checkout.

    Attributes:
        commit: of HEAD; ``unknown`` outside of a checkout.
        patch: what was changed in the files that git knows, as ``git apply`` takes it.
        untracked: files that git neither knows nor ignores, with their SHA-256, or NOT_HASHED and the size where they
            are large. Their contents are not kept: keys and tokens lie about in such files.
    """

    commit: str = "unknown"
    patch: bytes = b""
    untracked: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def not_hashed(self) -> int:
        """How many of these are only known by their size."""
        return sum(value.startswith(NOT_HASHED) for value in self.untracked.values())


def code_state(folder: Path) -> CodeState:
    """Return the state of the checkout that ``folder`` lies in.

    Raises:
        UserError: there are more changes than a record takes.
    """
    found = _git(folder, "rev-parse", "--show-toplevel")
    if found is None:
        return CodeState()
    root = Path(os.fsdecode(found).removesuffix("\n"))
    commit = _git(root, "rev-parse", "--verify", "HEAD")
    if commit is None:
        return CodeState()  # nothing was ever committed
    # Whatever the user's own settings of git are: `git apply` must take it.
    plain = ("--binary", "--no-color", "--no-ext-diff", "--no-textconv", "--src-prefix=a/", "--dst-prefix=b/")
    patch = _git(root, "diff", *plain, "HEAD") or b""
    if len(patch) > MOST_BYTES:
        raise UserError(f"{root} has changes of {len(patch) / 2**20:.0f} MiB that are not committed; commit them first")
    names = os.fsdecode(_git(root, "ls-files", "--others", "--exclude-standard", "-z") or b"").split("\0")
    untracked = {name: _hash(root / name) for name in sorted(names) if name and (root / name).is_file()}
    return CodeState(commit.decode().strip(), patch, untracked)


def _hash(path: Path) -> str:
    size = path.stat().st_size
    return sha256_file(path) if size <= MOST_UNTRACKED else f"{NOT_HASHED}: {size} bytes"


def _git(folder: Path, *words: str) -> bytes | None:
    """Return what git says; None where it refuses, or is not here."""
    try:
        ran = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, check=False, timeout=120)
    except FileNotFoundError:
        return None
    return ran.stdout if ran.returncode == 0 else None
