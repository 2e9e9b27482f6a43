"""Proves a chain of folders: that files are as they were written, hold what is said of them, and belong together."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from octomed_jax import progress, storage
from octomed_jax.errors import StopAndLook, UserError
from octomed_jax.lineage.check_attempts import check_attempts, count_attempts
from octomed_jax.lineage.check_questions import Advance, check_questions, count_questions, rows_of_questions
from octomed_jax.lineage.check_shards import check_rendering, check_shards, count_shards
from octomed_jax.lineage.check_traces import check_traces, count_traces
from octomed_jax.lineage.check_trained import check_export, check_run
from octomed_jax.lineage.checksums import check_files
from octomed_jax.lineage.findings import MOST, Findings
from octomed_jax.lineage.folders import (
    Folders,
    Found,
    manifest_folders,
    neighbours,
    read_found,
    stages_of,
    unfinished,
)
from octomed_jax.storage import PathLike

READING = (pa.ArrowException, OSError, ValueError, KeyError, TypeError)  # of what is forged, or of another version


class _Stage(NamedTuple):
    """How a stage's folder is checked: whole or quickly, and how many rows a whole check goes through."""

    whole: Callable[[Findings, Folders, Advance], None]
    quick: Callable[[Findings], None] | None
    rows: Callable[[Found], int]
    unit: str


def _said(name: str) -> Callable[[Found], int]:
    return lambda found: int(found.manifest.counts.get(name, 0))


def _one(_: Found) -> int:
    return 1


_QUESTIONS = _Stage(check_questions, count_questions, rows_of_questions, "questions")
_STAGES = {
    "questions": _QUESTIONS,
    "curate": _QUESTIONS,
    "distill": _Stage(check_attempts, count_attempts, _said("questions"), "questions"),
    "verify": _Stage(check_traces, count_traces, _said("questions"), "questions"),
    "shard": _Stage(check_shards, count_shards, _said("records"), "records"),
    "render": _Stage(check_rendering, None, _said("examples"), "examples"),
    "train": _Stage(check_run, None, _one, "runs"),
    "export": _Stage(check_export, None, _one, "exports"),
}


@dataclasses.dataclass
class Checked:
    """What a check has found.

    Attributes:
        folders: the findings of each folder, in the order of the stages.
        broken: problems of manifests that are none.
        unfinished: folders of a run without a manifest, which were not looked into.
    """

    folders: list[Findings]
    broken: list[str]
    unfinished: list[str]

    @property
    def problems(self) -> list[str]:
        """A line for each problem, with the cure."""
        return [*self.broken, *(line for findings in self.folders for line in findings.problems)]

    def table(self) -> dict[str, Any]:
        """Return what was found as plain data."""
        folders = [findings.table() for findings in self.folders]
        problems = self.problems
        return {"folders": folders, "unfinished": self.unfinished, "problems": problems, "holds": not problems}


def check(places: Sequence[PathLike], quick: bool = False) -> Checked:
    """Check the folders of runs, or of single stages.

    Args:
        places: of runs or of stages. Of a stage's folder that is given alone, those that it was made from are looked
            for beside it and not checked.
        quick: hash only what takes a moment, and count rows without reading them.

    Raises:
        UserError: a place is not there, or holds nothing finished.
    """
    found, broken = _read(places)
    beside = [read for place in places for read in _read(neighbours(place))[0]]
    folders = Folders([*found, *beside])
    checked = [Findings(one) for one in Folders(found).all]
    check_files(checked, quick)
    whole_run = not any(neighbours(place) for place in places)
    unreadable: dict[str, str] = {}  # identity of a folder to why those made from it are not compared with it
    for findings in checked:
        _check_links(findings, folders, whole_run)
        if why := _why_not(findings, unreadable):
            findings.proven.append(f"not looked into, as {why}")
        else:
            _check_contents(findings, folders, quick)
        # Of a broken table the rows that differ are named after it; records of a broken shard are lost.
        if why or "damaged" in findings.kinds or (findings.broken and findings.found.stage == "shard"):
            unreadable[findings.found.manifest.identity] = why or f"{findings.found.folder} cannot be read"
    return Checked(checked, broken, [str(folder) for place in places for folder in unfinished(place)])


def _why_not(findings: Findings, unreadable: Mapping[str, str]) -> str:
    """Return why a folder cannot be looked into: a file of it is missing, or what it was made from cannot be read."""
    missing = sorted(name for name in findings.broken if not (findings.found.folder / name).exists())
    if missing:
        return f"{missing[0]} is missing"
    return next((unreadable[one] for one in findings.found.manifest.inputs.values() if one in unreadable), "")


def _read(places: Sequence[PathLike]) -> tuple[list[Found], list[str]]:
    found, broken = [], []
    for place in places:
        paths = manifest_folders(place)
        if not paths:
            raise UserError(f"{place} holds no finished stage; give the folder of a run, or of one of its stages")
        for path in paths:
            try:
                found.append(read_found(path))
            except (StopAndLook, UserError) as error:
                broken.append(str(error))
    return found, broken


def _check_contents(findings: Findings, folders: Folders, quick: bool) -> None:
    """Check what a folder holds, as far as it can be read."""
    stage = _STAGES.get(findings.found.stage)
    if stage is None or (quick and stage.quick is None):
        return
    if storage.in_bucket(findings.found.folder) and findings.found.stage in ("shard", "render", "train"):
        findings.proven.append("not looked into: shards are read from a disk; mount the bucket")
        return
    try:
        if quick and stage.quick:
            stage.quick(findings)
            return
        with progress.bar(f"checking {findings.found.folder}", stage.rows(findings.found), stage.unit) as line:
            stage.whole(findings, folders, line.advance)
    except (StopAndLook, UserError) as error:
        findings.problem("damaged", str(error).partition("; ")[0])
    except Exception as error:
        # Reading what is not as it was written may end in any way; of what is, the error would be ours.
        if not findings.broken and not isinstance(error, READING):
            raise
        said = (str(error).splitlines() or [""])[0][:160]
        findings.problem("damaged", f"{findings.found.folder} cannot be read ({type(error).__name__}: {said})")


def _check_links(findings: Findings, folders: Folders, whole_run: bool) -> None:
    """Check that the folders are at hand that a folder was made from."""
    found = findings.found
    named = [(name, identity) for name, identity in found.manifest.inputs.items() if stages_of(name)]
    for name, identity in named:
        if folders.named(identity):
            continue
        others = [one for one in folders.of(*stages_of(name)) if one.folder != found.folder]
        if others:
            held = ", ".join(f"{one.folder} has {one.manifest.identity}" for one in others[:MOST])
            findings.problem(
                "link",
                f"{found.folder} was made from a folder ({name}) of identity {identity}, and {held}",
                f"put the one back that belongs there, give its folder too, or run {found.again} again elsewhere",
            )
        elif whole_run:
            findings.problem(
                "link",
                f"{found.folder} was made from a folder ({name}) of identity {identity}, which is not at hand",
                "give its folder too",
            )
        else:
            findings.proven.append(f"without its input {name} {identity}, which is not at hand")
    if named:
        findings.prove(f"made from {', '.join(name for name, _ in named)}", ("link",))
