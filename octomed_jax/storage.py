"""Where stages put their results: folders with a manifest, written whole or not at all.

This is the only module that knows that a folder may lie in a bucket. Paths are ``etils.epath.Path``, which reads
``gs://`` names and ordinary ones alike. A folder is staged beside its final place and renamed when it is complete,
so that a killed stage leaves nothing that looks finished.
"""

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from etils import epath

from octomed_jax import __version__
from octomed_jax.errors import StopAndLook, TryAgain, UserError

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
# The command of a stage, where it is not the stage's name.
COMMANDS = {"questions": "questions build", "eval": "eval run"}

PathLike = str | os.PathLike[str]


def sha256_bytes(data: bytes) -> str:
    """Return the SHA-256 of ``data`` in hex."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: PathLike) -> str:
    """Return the SHA-256 of a file in hex, read in pieces."""
    digest = hashlib.sha256()
    with epath.Path(path).open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def canonical_json(value: Any) -> str:
    """Return ``value`` as JSON with one spelling only: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def fingerprint(value: Any) -> str:
    """Return a 16-digit hex name for plain data, equal for equal data."""
    return sha256_bytes(canonical_json(value).encode())[:16]


def write_bytes(path: PathLike, data: bytes) -> None:
    """Write a file whole or not at all.

    Raises:
        TryAgain: the disk is full.
    """
    with whole_file(path) as file:
        file.write(data)


@contextlib.contextmanager
def whole_file(path: PathLike) -> Iterator[IO[bytes]]:
    """Yield a file to write, which appears at ``path`` when the block ends without an error.

    On a disk it is renamed. In a bucket an object appears whole, and renaming is copying: it is sent at the end.

    Raises:
        TryAgain: the disk is full.
        UserError: the folder cannot be written.
    """
    target = epath.Path(path)
    try:
        if in_bucket(target):
            with tempfile.TemporaryFile() as file:
                yield file
                file.seek(0)
                _upload(file, target)
            return
        partial = partial_of(target)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                yield file
            partial.replace(target)
        except BaseException:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise explain_os_error(error, path) from error


def _upload(file: IO[bytes], target: epath.Path) -> None:
    there = target.open("wb")
    try:
        shutil.copyfileobj(file, there, 1 << 20)
    except BaseException:
        with contextlib.suppress(Exception):
            there.discard()  # closing would keep what has been sent
            there.closed = True
        raise
    there.close()


def partial_of(target: Any) -> Any:
    """Return a name beside ``target`` for what is not whole yet, which no other process has."""
    return target.parent / f".{target.name}.{uuid.uuid4().hex[:8]}.partial"


def sync(path: PathLike) -> None:
    """Wait until a file and its name are on the disk; in a bucket they are."""
    if in_bucket(path):
        return
    for place in (Path(path), Path(path).parent):
        descriptor = os.open(place, os.O_RDONLY)
        try:
            with contextlib.suppress(OSError):  # some mounts know no such thing of a folder
                os.fsync(descriptor)
        finally:
            os.close(descriptor)


def in_bucket(path: PathLike) -> bool:
    """Return whether a path lies in a bucket."""
    return "://" in str(path)


def see_what_others_write() -> None:
    """Let listings of buckets be asked for each time: by default they are kept, and other processes write too."""
    import fsspec.config

    for protocol in ("gcs", "s3", "az"):
        fsspec.config.conf.setdefault(protocol, {})["use_listings_cache"] = False


def write_text(path: PathLike, text: str) -> None:
    """Write a UTF-8 text file whole or not at all."""
    write_bytes(path, text.encode())


def write_json(path: PathLike, value: Any) -> None:
    """Write indented JSON with a closing newline, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, sort_keys=False, ensure_ascii=False) + "\n")


def read_json(path: PathLike) -> Any:
    """Read a JSON file.

    Raises:
        UserError: there is no such file.
        StopAndLook: the file is not JSON.
    """
    try:
        return json.loads(epath.Path(path).read_text())
    except FileNotFoundError as error:
        raise UserError(f"no such file: {path}") from error
    except json.JSONDecodeError as error:
        raise StopAndLook(
            f"{path} is not valid JSON (line {error.lineno}); remove it and run the stage again"
        ) from error


def explain_os_error(error: OSError, path: PathLike) -> Exception:
    """Turn an error of the operating system into one of ours that says what to do."""
    import errno

    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return TryAgain(f"no space left while writing {path}; free some space and run the same command again")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG):
        return UserError(f"cannot write {path}: {error.strerror}; choose another folder")
    if error.errno in (errno.ENOTDIR, errno.EEXIST, errno.EISDIR):
        return UserError(f"cannot write {path}: {error.strerror}; something else lies there")
    return error


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What a stage's folder says about itself. Holds no times and no paths, so equal work gives equal bytes.

    Attributes:
        stage: the verb that wrote the folder, such as ``questions``.
        config: the part of the config that the result depends on.
        inputs: stage name to the ``identity`` of the manifest that was read.
        counts: how many of what; plain numbers, possibly nested by source.
        files: file name (relative, ``/`` as separator) to SHA-256.
        licences: the distinct licences of the sources that went in.
        access: ``open`` or ``credentialed`` (the strictest of the sources).
        extra: anything else a later stage needs.
        code_version: the package version.
        code_commit: the commit of the checkout, or ``unknown``. Not part of the identity.
    """

    stage: str
    config: Mapping[str, Any]
    inputs: Mapping[str, str] = dataclasses.field(default_factory=dict)
    counts: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)
    licences: tuple[str, ...] = ()
    access: str = "open"
    extra: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    format_version: int = FORMAT_VERSION
    code_version: str = __version__
    code_commit: str = dataclasses.field(default_factory=lambda: code_commit())

    @property
    def identity(self) -> str:
        """A hash of everything in the manifest but the commit: the name by which later stages know this folder."""
        fields = dataclasses.asdict(self)
        fields.pop("code_commit")
        return fingerprint(fields)

    @property
    def request(self) -> str:
        """A hash of what was asked for (stage, config, inputs, version), known before the work is done."""
        return request_of(self.stage, self.config, self.inputs)


def request_of(stage: str, config: Mapping[str, Any], inputs: Mapping[str, str]) -> str:
    """Return the hash that names a piece of work before it is done."""
    return fingerprint([FORMAT_VERSION, __version__, stage, dict(config), dict(inputs)])


def code_commit() -> str:
    """Return the commit of the checkout this package runs from, or ``unknown``."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return "unknown"
    result = subprocess.run(
        ["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, check=False, timeout=10
    )
    return result.stdout.strip() or "unknown"


def write_manifest(folder: PathLike, manifest: Manifest) -> None:
    """Write ``manifest.json`` into a folder; call it last."""
    write_json(epath.Path(folder) / MANIFEST, dataclasses.asdict(manifest))


def read_manifest(folder: PathLike, stage: str) -> Manifest:
    """Read the manifest of a finished stage.

    Raises:
        UserError: the folder is missing, unfinished, or another stage's.
    """
    path = epath.Path(folder) / MANIFEST
    if not path.exists():
        state = "is not finished" if epath.Path(folder).exists() else "does not exist"
        raise UserError(f"{folder} {state}; make it first with `octomed {COMMANDS.get(stage, stage)}`")
    fields = read_json(path)
    if fields.get("format_version") != FORMAT_VERSION:
        raise UserError(
            f"{path} has format version {fields.get('format_version')}, this program reads {FORMAT_VERSION}; "
            "make the folder again"
        )
    if fields["stage"] != stage:
        raise UserError(f"{folder} holds the result of `octomed {fields['stage']}`, not of `octomed {stage}`")
    fields["licences"] = tuple(fields["licences"])
    return Manifest(**fields)


def is_finished(folder: PathLike) -> bool:
    """Return whether a stage has finished in a folder."""
    return (epath.Path(folder) / MANIFEST).exists()


def finished(folder: PathLike, stage: str, config: Mapping[str, Any], inputs: Mapping[str, str]) -> Manifest | None:
    """Return the manifest if exactly this work is already done in ``folder``, None if it is not begun or unfinished.

    Raises:
        UserError: the folder holds finished work of another config or other inputs; it is never overwritten.
    """
    if not is_finished(folder):
        return None
    manifest = read_manifest(folder, stage)
    if manifest.request == request_of(stage, config, inputs):
        return manifest
    raise UserError(
        f"{folder} was made with other settings ({_difference(manifest, config, inputs)}); "
        "remove that folder or choose another one"
    )


def _difference(manifest: Manifest, config: Mapping[str, Any], inputs: Mapping[str, str]) -> str:
    if manifest.code_version != __version__:
        return f"version {manifest.code_version} -> {__version__}"
    changed = changes(manifest.config, config)
    changed += [f"the {name} it was made from" for name in inputs if manifest.inputs.get(name) != inputs[name]]
    more = f" and {len(changed) - 2} more" if len(changed) > 2 else ""
    return ", ".join(changed[:2]) + more


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return what differs between two trees of settings, a text for each field."""
    before, after = (flatten(json.loads(canonical_json(dict(tree)))) for tree in (old, new))
    return [
        f"{key}: {before.get(key, 'nothing')!r} -> {after.get(key, 'nothing')!r}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key, "nothing") != after.get(key, "nothing")
    ]


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one mapping with dotted names."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


@contextlib.contextmanager
def staged_folder(folder: PathLike, request: str | None = None, replaces: bool = False) -> Iterator[epath.Path]:
    """Yield an empty folder beside ``folder`` that takes its place when the block ends without an error.

    Args:
        folder: the final place.
        request: name of the work. With it, what was done before a kill or an error is kept, and the next block of the
            same request finds it in its folder; not after StopAndLook, which says that it is wrong.
        replaces: what lies in ``folder`` goes when the new one takes its place.

    Raises:
        UserError: ``folder`` exists and is not empty (nothing is overwritten unless ``replaces``).
        TryAgain: another process is writing it.
    """
    final = _absolute(folder)
    if not replaces and final.exists() and any(final.iterdir()):
        raise UserError(f"{final} already exists and is not empty; remove it or choose another folder")
    staging = final.parent / f".{final.name}.partial"
    mark = staging / ".request"
    with contextlib.ExitStack() as held:
        try:
            staging.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise explain_os_error(error, final) from error
        if not in_bucket(staging):  # a bucket has no locks
            held.enter_context(locked(Path(staging)))
        try:
            if not (request and mark.exists() and mark.read_text() == request):
                _empty(staging)
            if request:
                mark.write_text(request)
            yield staging
            mark.unlink(missing_ok=True)
            if replaces:
                final.rename(_replaced(final))
            elif final.exists():
                final.rmdir()
            staging.rename(final)
            if replaces:
                _replaced(final).rmtree()
        except BaseException as error:
            kept = request and not isinstance(error, StopAndLook) and len(list(staging.iterdir())) > 1
            if not kept:
                with contextlib.suppress(OSError):
                    staging.rmtree()
            if isinstance(error, OSError):
                raise explain_os_error(error, final) from error
            raise


@contextlib.contextmanager
def scratch_folder(folder: PathLike) -> Iterator[Path]:
    """Yield an empty folder of this machine for what is thrown away when the block ends.

    It lies in ``folder``, so that what a killed process leaves goes with it, and where a bucket is meant, among the
    temporary files of the machine.
    """
    local = None if in_bucket(folder) else Path(folder)
    with tempfile.TemporaryDirectory(prefix=".scratch-", dir=local) as name:
        yield Path(name)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[int]:
    """Hold an exclusive lock on a file, which is made, or on a folder; it ends with the processes that hold it.

    Yields:
        the descriptor, which children may inherit.

    Raises:
        TryAgain: another process holds it.
    """
    if not path.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
    flags = os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT
    descriptor = os.open(path, flags | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise TryAgain(f"another process still works there (it holds {path}); wait for it or end it") from error
        yield descriptor
    finally:
        os.close(descriptor)


def put_back(folder: PathLike) -> None:
    """Put back what ``staged_folder`` was about to replace when it was killed; nothing where it was not."""
    final = _absolute(folder)
    old = _replaced(final)
    if old.exists() and not final.exists():
        old.rename(final)
    elif old.exists():
        old.rmtree()


def _replaced(final: epath.Path) -> epath.Path:
    return final.parent / f".{final.name}.replaced"


def _empty(folder: epath.Path) -> None:
    for path in folder.iterdir():
        path.rmtree() if path.is_dir() else path.unlink()


def _absolute(folder: PathLike) -> epath.Path:
    """Return a folder by a name that has a parent: ``.`` has none."""
    return epath.Path(folder) if in_bucket(folder) else epath.Path(Path(folder).absolute())


def hash_files(folder: PathLike) -> dict[str, str]:
    """Return relative name to SHA-256 for the files under ``folder``, in sorted order, the manifest left out."""
    folder = epath.Path(folder)
    files = sorted(path for path in _files_under(folder) if path.name != MANIFEST)
    return {path.relative_to(folder).as_posix(): sha256_file(path) for path in files}


def _files_under(folder: epath.Path) -> Iterator[epath.Path]:
    # etils refuses the pattern ``**``, which would hide how many requests it costs on a bucket.
    for path in folder.iterdir():
        if path.is_dir():
            yield from _files_under(path)
        else:
            yield path


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

    Raises:
        UserError: ``name`` leaves ``folder``.
    """
    root = Path(folder).resolve()
    path = root / name
    if Path(name).is_absolute() or ".." in Path(name).parts or not path.resolve().is_relative_to(root):
        raise UserError(f"{name!r} leads out of {folder}; refusing to follow it")
    return path
