"""Whether the files of finished folders are as they were written: hashed whole, several at a time."""

import hashlib
import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from etils import epath

from octomed_jax import manifests, progress, storage
from octomed_jax.lineage.findings import Findings

MOST_THREADS = 8  # a disk is read no faster by more
PIECE = 4 * 2**20
MEGABYTE = 10**6
DATA = ("parquet", "array_record")  # what readers take up by its name, whoever put it there
STUDENT = "student"  # in the folder of an import, in which the files of its manifest lie


class _File(NamedTuple):
    """A file of a manifest."""

    findings: Findings
    name: str
    path: epath.Path


def check_files(folders: Sequence[Findings], quick: bool) -> None:
    """Compare the files of folders with their manifests.

    Args:
        folders: problems and what is proven are noted there.
        quick: look at what takes no more than a moment, as ``manifests.check_files`` does.
    """
    present = [one for findings in folders for one in _present(findings)]
    for findings in folders:
        _unknown(findings)
    if quick:
        for findings in folders:
            _quick(findings)
        return
    _hash_all(present)
    for findings in folders:
        if findings.files:
            findings.prove(f"{findings.files:,} files hashed", ("checksum", "missing file"))


def _base(findings: Findings) -> epath.Path:
    found = findings.found
    return found.folder / STUDENT if found.stage == "import" else found.folder


def _present(findings: Findings) -> list[_File]:
    """Return the files of a manifest that are there."""
    found = []
    for name in findings.found.manifest.files:
        path = _base(findings) / name
        findings.files += 1
        if path.exists():
            findings.bytes += path.stat().length
            found.append(_File(findings, name, path))
        else:
            findings.broken.add(name)
            findings.problem("missing file", f"{path} is missing")
    return found


def _unknown(findings: Findings) -> None:
    """Note files beside those of the manifest that a reader would take for some of them."""
    names = set(findings.found.manifest.files)
    kinds = {(name.rpartition("/")[0], kind) for name in names for kind in DATA if f".{kind}" in name}
    for folder, kind in sorted(kinds):
        for path in sorted((_base(findings) / folder).glob(f"*.{kind}*")):
            name = f"{folder}/{path.name}" if folder else path.name
            if name not in names and not path.name.startswith("."):
                findings.problem("unknown file", f"{path} is no file of this folder's manifest", f"move {path} away")


def _quick(findings: Findings) -> None:
    """Hash the smallest files; of larger ones, counting their rows looks at the ends."""
    digests = {name: digest for name, digest in findings.found.manifest.files.items() if name not in findings.broken}
    sizes = {name: (_base(findings) / name).stat().length for name in digests}
    hashed = 0
    for name in sorted(digests, key=lambda one: (sizes[one], one)):
        hashed += sizes[name]
        if name.endswith(manifests.EDITED) or (hashed > manifests.HASHED_BYTES and sizes[name]):
            continue
        if storage.sha256_file(_base(findings) / name) != digests[name]:
            _not_as_written(findings, name)
    if digests:
        most = f"{manifests.HASHED_BYTES // 2**20} MiB"
        findings.prove(f"{findings.files:,} files there, the smallest ({most}) hashed", ("checksum", "missing file"))


def _not_as_written(findings: Findings, name: str) -> None:
    findings.broken.add(name)
    findings.problem("checksum", f"{_base(findings) / name} is not as it was written (its SHA-256 is another)")


def _hash_all(files: Sequence[_File]) -> None:
    sizes = [one.path.stat().length for one in files]
    total = -(-sum(sizes) // MEGABYTE)
    lock = threading.Lock()
    done = 0
    with progress.bar("hashing", total, "MB") as line:

        def advance(count: int) -> None:
            nonlocal done
            with lock:
                before, done = done // MEGABYTE, done + count
                if done // MEGABYTE > before:
                    line.advance(done // MEGABYTE - before)

        def digest(one: _File) -> str | None:
            found = hashlib.sha256()
            try:
                with one.path.open("rb") as file:
                    while piece := file.read(PIECE):
                        found.update(piece)
                        advance(len(piece))
            except OSError:
                return None
            return found.hexdigest()

        # The largest first, so that no thread has one left for the end.
        order = sorted(range(len(files)), key=lambda number: -sizes[number])
        with ThreadPoolExecutor(min(MOST_THREADS, os.cpu_count() or 1)) as pool:
            digests = dict(zip(order, pool.map(digest, [files[number] for number in order]), strict=True))
    for number, one in enumerate(files):
        if digests[number] == one.findings.found.manifest.files[one.name]:
            continue
        if one.name.endswith(manifests.EDITED) and digests[number] is not None:
            continue  # cards and pages may be written on
        if digests[number] is not None:
            _not_as_written(one.findings, one.name)
        else:
            one.findings.broken.add(one.name)
            one.findings.problem("checksum", f"{one.path} cannot be read")
