"""HEAD-QA: Spanish health exams, and their English translation; ``ra`` is the ``aid`` of the right answer, from 1.

Published as exams in one JSON file a split, as rows (EleutherAI/headqa, dvilares/head_qa), and by openlifescienceai
with all in a column ``data``. The few questions about an image are passed over: most forms do not have their images.
"""

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from octomed_jax.questions.adapter import Adapter, Cells, PassedOver, Row, Split
from octomed_jax.questions.reading.folder import Folder, Place
from octomed_jax.questions.reading.forms import nested
from octomed_jax.questions.reading.objects import begins_with, read_object
from octomed_jax.verification.rows import RowError


def places(folder: Folder, name: str, files: Sequence[str]) -> Iterator[Place]:
    """Yield the rows of a split, a question each; those of the release have the columns ``name`` and ``language``."""
    for path in folder.tables(name, Split(tuple(files))):
        if path.suffix != ".json" or not begins_with(path, '"exams"'):
            yield from folder.rows(path)
            continue
        release = read_object(path)
        asked = [(exam["name"], question) for exam in release["exams"].values() for question in exam["data"]]
        for number, (exam, question) in enumerate(asked, 1):
            row = {"name": exam, "language": release["language"], **question}
            yield Place(folder.shown(path), number, "question", row)


def cells(source: str, language: str, row: Row, split: str) -> Iterator[Cells]:  # noqa: ARG001
    """Yield the question of a row, if it is of a language."""
    if "data" in row:
        yield nested(row["data"])
        return
    if row.get("language", language) != language:
        raise PassedOver(f"its language is {row['language']}")
    if _shows(row["image"]):
        raise PassedOver("it is about an image")
    answers = {int(answer["aid"]): answer["atext"] for answer in row["answers"]}
    if len(answers) < len(row["answers"]):
        raise RowError("two answers have one aid", "options")
    if int(row["ra"]) not in answers:
        raise RowError(f"ra is {row['ra']!r}, but the answers are {', '.join(map(str, answers))}", "answer")
    yield {
        "id": f"{source}:{row['name']}:{row['qid']}".lower(),
        "question": row["qtext"],
        "task": "mcq",
        "options": list(answers.values()),
        "answer": answers[int(row["ra"])],
    }


def _shows(image: Any) -> bool:
    """Return whether a cell names or holds an image."""
    return any(image.values()) if isinstance(image, Mapping) else bool(image)


def _splits(folder: str, ending: str, language: str, more: Sequence[str] = ()) -> dict[str, Split]:
    """Return the splits of a language: its folder and files in the release, and its folder on the hub."""

    def files(released: str, name: str) -> tuple[str, ...]:
        file = f"{released}_HEAD{ending}.json"
        found = (f"{language}/{name}*.parquet", f"{folder}/{file}", file)
        return (*found, *(pattern.format(name) for pattern in more))

    return {
        "train": Split(files("train", "train"), 2_657),
        "validation": Split(files("dev", "validation"), 1_366, chosen=False),
        "test": Split(files("test", "test"), 2_742, "test"),
    }


def _adapter(name: str, title: str, language: str, splits: Mapping[str, Split]) -> Adapter:
    return Adapter(
        name=name,
        title=title,
        kind="text",
        home="https://github.com/aghie/head-qa",
        licence="MIT",
        citation="Vilares and Gómez-Rodríguez 2019, arXiv:1906.04701",
        splits=splits,
        cells=functools.partial(cells, name, language),
        places=places,
        seen=True,
        hub="EleutherAI/headqa",
    )


ENGLISH = _adapter(
    "headqa",
    "exams for specialists in Spanish health care, translated to English",
    "en",
    _splits("HEAD_EN", "_EN", "en", ("{}.json", "data/{}-*.parquet", "{}*.parquet")),
)
SPANISH = _adapter(
    "headqa-es",
    "exams for specialists in Spanish health care, in Spanish",
    "es",
    _splits("HEAD", "", "es"),
)
SOURCES = (ENGLISH, SPANISH)
