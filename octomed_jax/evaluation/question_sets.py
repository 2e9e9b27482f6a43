"""Which questions an evaluation asks: benchmarks by name or by category, out of folders of questions, or whole folders.

A benchmark of the registry may lie in any of the folders, under any of its names. A name that is not registered is one
that questions have.
"""

import dataclasses
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from octomed_jax import manifests, storage
from octomed_jax.curation.curate import TEST_FILE, TRAIN_FILE
from octomed_jax.errors import UserError, did_you_mean
from octomed_jax.evaluation.benchmarks import (
    BENCHMARKS,
    CATEGORIES,
    EVERY,
    WITH_IMAGES,
    Benchmark,
    benchmark_of,
    category_members,
    find_benchmark,
    held_in,
    same_name,
)
from octomed_jax.evaluation.checks import check_questions
from octomed_jax.schema import Question
from octomed_jax.storage import PathLike
from octomed_jax.traces.lake import iterate_questions, iterate_rows

GROUPS = {name.lower(): name for name in (*CATEGORIES, EVERY, WITH_IMAGES)}


@dataclasses.dataclass(frozen=True)
class QuestionSets:
    """What is to be asked; nothing but names and counts is in memory.

    Attributes:
        folders: that are read, with their manifests.
        called: of each folder, the names of benchmarks that are taken of it.
        named: what was asked for, as results say it: names, and a folder by its manifest's identity.
    """

    folders: Mapping[Path, manifests.Manifest]
    called: Mapping[Path, Collection[str]]
    named: tuple[str, ...]

    @property
    def where(self) -> str:
        """The folders, for a message."""
        return ", ".join(map(str, self.folders))

    @property
    def inputs(self) -> dict[str, str]:
        """Name to identity, of the folders: as inputs of a manifest."""
        found = sorted(one.identity for one in self.folders.values())
        if len(found) == 1:
            return {"questions": found[0]}
        return {"questions": storage.fingerprint(found)} | {
            f"questions.{place}": one for place, one in enumerate(found)
        }

    @property
    def licences(self) -> tuple[str, ...]:
        """Of all folders."""
        return tuple(sorted({licence for one in self.folders.values() for licence in one.licences}))

    @property
    def access(self) -> str:
        """The strictest access class of the folders."""
        return max((one.access for one in self.folders.values()), key=("open", "credentialed").index)

    def read(self) -> list[Question]:
        """Return the questions, in the order of the folders.

        Raises:
            UserError: an id is there twice, or a question has no gold answer that can be one.
        """
        found = [
            question
            for folder in self.folders
            for question in iterate_questions(folder / TEST_FILE)
            if question.benchmark in self.called[folder]
        ]
        check_questions(found, self.where)
        return found

    def train_counts(self) -> Counter[str]:
        """Return benchmark to its number of questions to learn from."""
        return Counter(
            row["benchmark"] for folder in self.folders for row in iterate_rows(folder / TRAIN_FILE, ["benchmark"])
        )


def choose(questions: PathLike | Sequence[PathLike], benchmarks: Sequence[str]) -> QuestionSets:
    """Return what some names ask for.

    Args:
        questions: folders of questions, or folders that hold such folders.
        benchmarks: names of benchmarks, of the registry or of the questions' own; categories; folders, of which all is
            taken. None: all that ``questions`` hold. Folders alone: ``questions`` are not looked at.

    Raises:
        UserError: a folder is missing or holds no held-out question, or a name is unknown or not in the folders.
    """
    whole = _each_once([Path(name) for name in benchmarks if _is_folder(name)])
    names = [name for name in benchmarks if not _is_folder(name)]
    given = [questions] if isinstance(questions, str | Path) or not isinstance(questions, Sequence) else list(questions)
    searched = [] if whole and not names else [one for folder in given for one in _folders(Path(folder))]
    beside = {folder.resolve() for folder in whole}
    searched = [folder for folder in _each_once(searched) if folder.resolve() not in beside]
    held = {folder: held_in(folder) for folder in (*searched, *whole)}
    for folder in whole:
        if not held[folder]:
            raise UserError(f"{folder} holds no held-out question; build it with some, or name another folder")
    where = ", ".join(map(str, searched))
    there = {name for folder in searched for name in held[folder]}
    if searched and not there:
        raise UserError(f"{where} holds no held-out question; build it with some, or name another folder")
    there |= {name for folder in whole for name in held[folder]}
    wanted = {called for name in names for called in _called(name, there, where)} if names else there
    called = {
        folder: set(found) if folder in whole else set(found) & wanted
        for folder, found in held.items()
        if folder in whole or set(found) & wanted
    }
    read = {folder: manifests.read_manifest(folder, *manifests.QUESTION_STAGES) for folder in called}
    named = [*names, *(f"folder {read[folder].identity[:16]}" for folder in whole)]
    return QuestionSets(read, called, tuple(named))


def all_held_in(questions: PathLike) -> dict[str, int]:
    """Return ``held_in`` of a folder of questions, or of all that a folder holds.

    Raises:
        UserError: one is not finished, or holds no questions.
    """
    found = sum((Counter(held_in(folder)) for folder in _folders(Path(questions))), Counter[str]())
    return dict(sorted(found.items()))


def _is_folder(name: str) -> bool:
    """Say whether a name is a folder's: it has a slash, or is one and nothing that is registered."""
    return "/" in name or (name.lower() not in (*BENCHMARKS, *GROUPS) and (Path(name) / manifests.MANIFEST).is_file())


def _folders(folder: Path) -> list[Path]:
    """Return a folder of questions, or those that a folder holds."""
    if (folder / manifests.MANIFEST).is_file() or not folder.is_dir():
        return [folder]
    return sorted(one for one in folder.iterdir() if (one / TEST_FILE).is_file()) or [folder]


def _each_once(folders: Sequence[Path]) -> list[Path]:
    """Return folders without those that were named before, also by another way to them."""
    return list({folder.resolve(): folder for folder in reversed(folders)}.values())[::-1]


def _called(name: str, there: Collection[str], where: str) -> list[str]:
    """Return what the questions call a benchmark, or those of a category.

    Raises:
        UserError: nobody knows the name, or there is no question of it.
    """
    found = [called for one in _registered(name) for called in there if benchmark_of(called) is one]
    if found or name in there:
        return found or [name]
    if benchmark_of(name) and (alike := [called for called in there if same_name(called, name)]):
        return alike
    if name.lower() in GROUPS:
        raise UserError(f"{where} holds no question of any benchmark of {name!r}; there are: {_list(there)}")
    try:
        one = find_benchmark(name)
    except UserError:
        known = [*there, *BENCHMARKS, *GROUPS]
        hint = did_you_mean(name, known) or did_you_mean(name.lower(), known)
        raise UserError(
            f"no benchmark {name!r} among the held-out questions of {where}{hint}; there are: {_list(there)}"
        ) from None
    cure = f"build them with `octomed questions build --source={one.readings[0].source}`" if one.readings else one.note
    raise UserError(f"{where} holds no question of {one.name}; {cure}, or give their folder too (--questions=DIR)")


def _registered(name: str) -> Sequence[Benchmark]:
    """Return the benchmarks of a category, or the one of a name, unless it is one of the other names of it."""
    if name.lower() in GROUPS:
        return category_members(GROUPS[name.lower()])
    try:
        one = find_benchmark(name)
    except UserError:
        return ()
    return () if any(same_name(name, other) for other in one.names) else (one,)


def _list(names: Collection[str]) -> str:
    return ", ".join(sorted(names))
