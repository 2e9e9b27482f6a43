"""Folders of buckets that a job sees as folders of its machines, to be read only, and what may not be one."""

import dataclasses
import re
from collections.abc import Mapping
from pathlib import PurePosixPath

from octomed_jax.errors import UserError
from octomed_jax.launching.fields import text
from octomed_jax.launching.spec import JobSpec

BUCKET = "gs://"
# Nothing that a shell, a list of mount options or a list of volumes would read as something else.
PATH = re.compile(r"(/[A-Za-z0-9_][-A-Za-z0-9_]*)+")
PART = re.compile(r"[A-Za-z0-9_][-A-Za-z0-9_.]*")
BUCKET_NAME = re.compile(r"[a-z0-9][-a-z0-9_.]{1,220}[a-z0-9]|YOUR_[A-Z_]+")  # the latter of a sample config
# A mount over one of these would hide what the machine or the container runs on.
SYSTEM = (
    *("bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "proc", "root", "run", "sbin", "sys", "usr", "var"),
    *("home", "octomed", "octomed-buckets", "opt", "tmp"),
)
# Of a bucket this many MiB are kept on a machine's disk: ours, to be measured. A machine with TPUs has 100 GB, and the
# image lies there too.
CACHE_MIB = 20 * 1024


@dataclasses.dataclass(frozen=True)
class Mount:
    """A folder of a bucket (``folder`` is empty: the whole of it) at ``path`` of a job's machines."""

    path: str
    bucket: str
    folder: str

    @property
    def source(self) -> str:
        """The folder as clouds name it."""
        return f"{BUCKET}{self.bucket}/{self.folder}".rstrip("/")


def mounts_of(spec: JobSpec) -> list[Mount]:
    """Return the mounts of a job in the order of their paths."""
    found = []
    for path, source in sorted(spec.mounts.items()):
        bucket, _, folder = source.removeprefix(BUCKET).partition("/")
        found.append(Mount(path, bucket, folder.removesuffix("/")))
    return found


def check_mounts(mounts: Mapping[str, str]) -> None:
    """Refuse mounts that no machine could make.

    Raises:
        UserError: a path that is not absolute, or lies in another mount; a source that is no folder of a bucket.
    """
    for path, source in mounts.items():
        where = f"mounts.{path}"
        text(source, where)
        if not (isinstance(path, str) and PATH.fullmatch(path)):
            raise UserError(f"{where}: the path must be absolute, such as /mnt/shards, of letters, digits, - and _")
        if PurePosixPath(path).parts[1] in SYSTEM:
            raise UserError(f"{where}: the machine's own files lie there; use a path such as /mnt/shards")
        bucket, _, folder = source.removeprefix(BUCKET).partition("/")
        if not source.startswith(BUCKET) or not BUCKET_NAME.fullmatch(bucket):
            raise UserError(f"{where}={source!r} is no folder of a bucket; name one, such as {BUCKET}BUCKET/shards")
        if not all(PART.fullmatch(part) for part in folder.removesuffix("/").split("/") if folder):
            raise UserError(f"{where}={source!r}: a mounted folder has letters, digits, - _ and . only")
    for path in mounts:
        for other in mounts:
            if path.startswith(f"{other}/"):
                raise UserError(f"mounts.{path} lies in the mount {other}; put them beside each other")
