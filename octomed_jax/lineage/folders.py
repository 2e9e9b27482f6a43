"""The finished folders of a run, and what they were made from: found by the identities that their manifests name."""

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from etils import epath

from octomed_jax import storage
from octomed_jax.errors import StopAndLook, UserError
from octomed_jax.manifests import COMMANDS, FORMAT_VERSION, MANIFEST, QUESTION_STAGES, Manifest
from octomed_jax.storage import PathLike

# In the order in which data go through them.
STAGES = (
    *QUESTION_STAGES,
    "distill",
    "verify",
    "shard",
    "render",
    "student",
    "train",
    "export",
    "eval",
    "data",
    "import",
)
USUAL = ("questions", "curated", "attempts", "traces", "shards", "train", "export")  # names in a run
# Where a run has its folders: beside each other, renderings in the shards that they are of.
_PLACES = ("*", "eval/*", *(f"{where}{name}/*" for where in ("", "*/") for name in ("rendered", "students")))
_FIELDS = {field.name for field in dataclasses.fields(Manifest)}


@dataclasses.dataclass(frozen=True)
class Found:
    """A finished folder with its manifest."""

    folder: epath.Path
    manifest: Manifest

    @property
    def stage(self) -> str:
        """The stage that wrote it."""
        return self.manifest.stage

    @property
    def again(self) -> str:
        """How such a folder is made."""
        return f"`octomed {COMMANDS.get(self.stage, self.stage)}`"

    def about(self) -> dict[str, Any]:
        """Return what the manifest says of the work, as plain data."""
        manifest = self.manifest
        return {
            "stage": manifest.stage,
            "folder": str(self.folder),
            "identity": manifest.identity,
            "code_version": manifest.code_version,
            "code_commit": manifest.code_commit,
            "access": manifest.access,
            "licences": list(manifest.licences),
            "config": dict(manifest.config),
            "inputs": dict(manifest.inputs),
        }


class Folders:
    """Finished folders by stage and by identity."""

    def __init__(self, found: Iterable[Found]):
        kept: dict[str, Found] = {}
        for one in found:
            kept.setdefault(place_of(one.folder), one)
        self.all = tuple(sorted(kept.values(), key=_order))
        self._named = {one.manifest.identity: one for one in reversed(self.all)}
        # A student's folder names its rendering by what was asked for, which is the name of its folder.
        self._named |= {one.folder.name: one for one in reversed(self.all) if one.stage == "render"}

    def named(self, identity: str) -> Found | None:
        """Return the folder with an identity, if it is at hand."""
        return self._named.get(identity)

    def of(self, *stages: str) -> list[Found]:
        """Return the folders of some stages."""
        return [one for one in self.all if one.stage in stages]

    def made_from(self, one: Found, stage: str) -> list[Found]:
        """Return the folders of a stage that name this one among their inputs."""
        return [other for other in self.of(stage) if one.manifest.identity in other.manifest.inputs.values()]

    def inputs(self, one: Found, *stages: str) -> list[tuple[str, str, Found | None]]:
        """Return the inputs of a folder that are of some stages: name, identity, and the folder where it is at hand."""
        return [
            (name, identity, self.named(identity))
            for name, identity in one.manifest.inputs.items()
            if set(stages_of(name)) & set(stages)
        ]


def _order(one: Found) -> tuple[int, str]:
    stage = one.stage
    return STAGES.index(stage) if stage in STAGES else len(STAGES), str(one.folder)


def place_of(folder: PathLike) -> str:
    """Return the one name of a folder, however it was spelt."""
    return str(folder).rstrip("/") if storage.in_bucket(folder) else str(Path(folder).resolve())


def stages_of(name: str) -> tuple[str, ...]:
    """Return the stages that an input of this name may be of; none where it names no folder."""
    kind = name.split(" ")[0]
    if kind in ("questions", "against"):
        return QUESTION_STAGES
    return {"attempts": ("distill",)}.get(kind, (kind,) if kind in STAGES else ())


def manifest_folders(place: PathLike) -> list[epath.Path]:
    """Return the folders with a manifest: of a run, or a stage's folder itself with what lies in it.

    Raises:
        UserError: there is no such folder.
    """
    root = epath.Path(place)
    if not root.is_dir():
        raise UserError(f"no such folder: {place}; give the folder of a run, or of one of its stages")
    found = {
        path.parent for pattern in (MANIFEST, *(f"{one}/{MANIFEST}" for one in _PLACES)) for path in root.glob(pattern)
    }
    return sorted((path for path in found if not path.name.startswith(".")), key=str)


def unfinished(place: PathLike) -> list[epath.Path]:
    """Return the folders of a run that a stage has begun and not finished, or whose manifest is gone."""
    root = epath.Path(place)
    if (root / MANIFEST).exists():
        return []
    return [root / name for name in USUAL if (root / name).is_dir() and not (root / name / MANIFEST).exists()]


def read_found(folder: epath.Path) -> Found:
    """Read the manifest of a folder, of whatever stage.

    Raises:
        UserError: it is of another version.
        StopAndLook: it is none.
    """
    path = folder / MANIFEST
    fields = storage.read_json(path)
    if isinstance(fields, dict) and fields.get("format_version", FORMAT_VERSION) != FORMAT_VERSION:
        raise UserError(
            f"{path} has format version {fields['format_version']}, this program reads {FORMAT_VERSION}; "
            "make the folder again"
        )
    if not isinstance(fields, dict) or fields.keys() != _FIELDS or fields["stage"] not in STAGES:
        raise StopAndLook(f"{path} is no manifest of a stage; put it back, or remove {folder} and make it again")
    return Found(folder, Manifest(**{**fields, "licences": tuple(fields["licences"])}))


def open_folders(places: Sequence[PathLike]) -> Folders:
    """Read the manifests of runs and of stages' folders.

    Raises:
        UserError: a place is not there, or holds nothing finished.
        StopAndLook: a manifest is damaged.
    """
    found = []
    for place in places:
        folders = manifest_folders(place)
        if not folders:
            raise UserError(f"{place} holds no finished stage; give the folder of a run, or of one of its stages")
        found += [read_found(folder) for folder in folders]
    return Folders(found)


def neighbours(place: PathLike) -> Sequence[PathLike]:
    """Return where the inputs of a stage's folder may lie: the run that it is in; none for a run."""
    folder = epath.Path(place)
    if not (folder / MANIFEST).exists() or storage.in_bucket(place):
        return ()
    parent = epath.Path(place).resolve().parent
    if parent.name in ("rendered", "students"):
        return (parent.parent.parent,)
    return (parent.parent if parent.name == "eval" else parent,)
