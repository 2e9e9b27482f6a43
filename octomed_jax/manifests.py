"""What a stage's folder says about itself: ``manifest.json``, written last, by which finished work is known."""

import dataclasses
import functools
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from etils import epath

from octomed_jax import __version__
from octomed_jax.errors import StopAndLook, UserError
from octomed_jax.storage import PathLike, canonical_json, fingerprint, in_bucket, read_json, sha256_file, write_json

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
HASHED_BYTES = 256 * 2**20  # of a finished folder, which are read again each time its command is given
EDITED = (".md", ".html")  # cards and pages, which people may write on
# The command of a stage, where it is not the stage's name.
QUESTION_STAGES = ("questions", "curate")  # that write a folder of questions
COMMANDS = {
    "questions": "questions build",
    "eval": "eval run",
    "data": "data write",
    "render": "shard",
    "student": "shard",
}


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
    """Return the commit of the checkout this process runs from, or ``unknown``."""
    return _commit(Path(__file__).resolve().parent.parent)


@functools.cache  # the code was loaded once too
def _commit(root: Path) -> str:
    if not (root / ".git").exists():
        return "unknown"
    result = subprocess.run(
        ["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, check=False, timeout=10
    )
    return result.stdout.strip() or "unknown"


def write_manifest(folder: PathLike, manifest: Manifest) -> None:
    """Write ``manifest.json`` into a folder; call it last."""
    write_json(epath.Path(folder) / MANIFEST, dataclasses.asdict(manifest))


def read_manifest(folder: PathLike, stage: str, *others: str) -> Manifest:
    """Read the manifest of a finished stage, or of one of some others that write the same files.

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
    if fields["stage"] not in (stage, *others):
        raise UserError(f"{folder} holds the result of `octomed {fields['stage']}`, not of `octomed {stage}`")
    fields["licences"] = tuple(fields["licences"])
    return Manifest(**fields)


def is_finished(folder: PathLike) -> bool:
    """Return whether a stage has finished in a folder."""
    return (epath.Path(folder) / MANIFEST).exists()


def finished(
    folder: PathLike, stage: str, config: Mapping[str, Any], inputs: Mapping[str, str], files_in: str = ""
) -> Manifest | None:
    """Return the manifest if exactly this work is already done in ``folder``, None if it is not begun or unfinished.

    Args:
        folder: of the stage.
        stage: its name.
        config, inputs: what is asked for.
        files_in: the part of the folder that the manifest's files lie in, where they do not lie in it directly.

    Raises:
        UserError: the folder holds finished work of another config or other inputs; it is never overwritten.
        StopAndLook: a file of it is gone or damaged, as far as ``check_files`` looks.
    """
    if not is_finished(folder):
        return None
    manifest = read_manifest(folder, stage)
    if manifest.request == request_of(stage, config, inputs):
        check_files(epath.Path(folder) / files_in if files_in else folder, manifest.files)
        return manifest
    raise UserError(
        f"{folder} was made with other settings ({_difference(manifest, config, inputs)}); "
        "remove that folder or choose another one"
    )


def check_files(folder: PathLike, files: Mapping[str, str]) -> None:
    """Check that the files of a finished folder are as they were written, as far as that takes no more than a moment.

    Each must be there and hold something. The smallest are hashed, up to ``HASHED_BYTES`` in all, so that an ordinary
    folder is checked byte by byte; of larger files only the two ends are looked at that Parquet has, so that one that
    was cut off is found, and one with a changed byte where it is read. Cards and pages may have been written on. In a
    bucket, where files appear whole, they must be there.

    Args:
        folder: in which the names begin.
        files: name to SHA-256, as a manifest has them.

    Raises:
        StopAndLook: one is not; the message names it.
    """
    cure = f"put that file back, or move {folder} away and run the same command again"
    sizes = {}
    for name in files:
        path = epath.Path(folder) / name
        if not path.exists():
            raise StopAndLook(f"{path} is missing, which belongs to finished work; {cure}")
        sizes[name] = path.stat().length
    hashed = 0
    for name in sorted(files, key=lambda one: (sizes[one], one)):
        path = epath.Path(folder) / name
        hashed += sizes[name]
        if name.endswith(EDITED) or in_bucket(folder):
            continue
        whole = sha256_file(path) == files[name] if hashed <= HASHED_BYTES else sizes[name] and _has_both_ends(path)
        if not whole:
            raise StopAndLook(f"{path} is not as it was written; {cure}")


def _has_both_ends(path: epath.Path) -> bool:
    """Return whether a Parquet file begins and ends as one; true of every other file."""
    if path.suffix != ".parquet":
        return True
    with path.open("rb") as file:
        begins = file.read(4) == b"PAR1"
        file.seek(-4, os.SEEK_END)
        return begins and file.read(4) == b"PAR1"


def _difference(manifest: Manifest, config: Mapping[str, Any], inputs: Mapping[str, str]) -> str:
    if manifest.code_version != __version__:
        return f"version {manifest.code_version} -> {__version__}"
    changed = changes(manifest.config, config)
    changed += [f"the {name} it was made from" for name in inputs if manifest.inputs.get(name) != inputs[name]]
    more = f" and {len(changed) - 2} more" if len(changed) > 2 else ""
    return ", ".join(changed[:2]) + more


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return what differs between two trees of settings, a text for each field."""
    before, after = (json.loads(canonical_json(dict(tree))) for tree in (old, new))
    if _has_steps(before) and _has_steps(after):
        before, after = _by_step(before, after), _by_step(after, before)
    before, after = flatten(before), flatten(after)
    return [
        f"{key}: {before.get(key, 'nothing')!r} -> {after.get(key, 'nothing')!r}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key, "nothing") != after.get(key, "nothing")
    ]


def _has_steps(tree: Mapping[str, Any]) -> bool:
    """Return whether settings are those of steps in their order, each a mapping that names its step."""
    steps = tree.get("steps")
    return isinstance(steps, list) and all(isinstance(one, Mapping) and "step" in one for one in steps)


def _by_step(tree: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with the names of the steps, and by name the fields of those that the other settings have too."""
    both = {one["step"] for one in other["steps"]}
    fields = {one["step"]: {name: one[name] for name in one if name != "step"} for one in tree["steps"]}
    return {
        **tree,
        "steps": [one["step"] for one in tree["steps"]],
        **{name: fields[name] for name in fields if name in both},
    }


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one mapping with dotted names."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


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
