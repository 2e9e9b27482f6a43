"""The first stage: questions out of their sources, into one folder with a card."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from etils import epath
from ml_collections import ConfigDict

from octomed_jax import manifests, storage
from octomed_jax.configuration import plain
from octomed_jax.errors import StopAndLook, UserError
from octomed_jax.manifests import Manifest
from octomed_jax.progress import say
from octomed_jax.questions.packages.card import count_by_benchmark, write_card
from octomed_jax.questions.packages.fetch import fetch
from octomed_jax.questions.packages.registry import find_source
from octomed_jax.questions.packages.source import Source, check_settings
from octomed_jax.schema import Question
from octomed_jax.storage import PathLike
from octomed_jax.traces.lake import write_questions

STAGE = "questions"
TRAIN_FILE, TEST_FILE, CARD_FILE = "questions.parquet", "heldout.parquet", "card.md"
MOST_WORKERS = 2  # more processes pay little here, and each holds its own copy of the volumes


def build_questions(config: ConfigDict, output: PathLike, workers: int | None = None) -> Manifest:
    """Build the questions that ``config.questions`` asks for, or return at once where that is done.

    Args:
        config: reads ``config.questions`` (source to settings) and ``config.seed``.
        output: folder for ``questions.parquet``, ``heldout.parquet``, ``card.md`` and the manifest.
        workers: processes that render; the result does not depend on it.

    Raises:
        UserError: unknown source or setting, a file that is not the pinned one, or finished work of other settings.
        TryAgain: a package registry could not be reached, or the disk is full.
    """
    settings = {"questions": plain(config.questions), "seed": plain(config.seed)}
    done = manifests.finished(output, STAGE, settings, {})
    if done is not None:
        return done
    sources = [find_source(name) for name in settings["questions"]]
    if not sources:
        raise UserError("config.questions names no source; name at least one")
    asked = {source.name: check_settings(source, settings["questions"][source.name]) for source in sources}
    workers = min(MOST_WORKERS, usable_cores()) if workers is None else workers
    with storage.staged_folder(output) as folder:
        questions, dropped = _make(sources, asked, settings["seed"], workers)
        write_questions(folder / TRAIN_FILE, (question for question in questions if question.split == "train"))
        write_questions(folder / TEST_FILE, (question for question in questions if question.split == "test"))
        storage.write_text(folder / CARD_FILE, write_card(sources, questions, dropped, settings["seed"]))
        manifest = _manifest(folder, settings, questions, dropped)
        manifests.write_manifest(folder, manifest)
    return manifest


def _make(
    sources: Sequence[Source], asked: Mapping[str, Mapping[str, int]], seed: int, workers: int
) -> tuple[list[Question], dict[str, dict[str, int]]]:
    """Return the questions of all sources, sorted by id and checked, and what each left out."""
    for package in {package: None for source in sources for package in source.packages}:
        fetch(package)  # all of them first: a missing or changed one is found before any work
    questions: list[Question] = []
    dropped: dict[str, dict[str, int]] = {}
    for source in sources:
        say(f"{source.name}: {source.title}")
        made = source.make(asked[source.name], seed, workers)
        questions += made.questions
        dropped[source.name] = dict(made.dropped)
        say(f"  {len(made.questions)} questions; licence {source.licence}. {source.attribution}")
        for reason, count in sorted(made.dropped.items()):
            say(f"  {count} left out: {reason}")
    if not questions:
        raise UserError(f"config.questions asks {', '.join(asked)} for not one question; raise a number there")
    questions.sort(key=lambda question: question.id)
    check_questions(questions)
    return questions, dropped


def usable_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_questions(questions: Sequence[Question]) -> None:
    """Check what every later stage relies on.

    Raises:
        StopAndLook: an id that stands twice, a question without an answer or licence, a choice without its gold, or a
            cluster or an image that stands in both splits.
    """
    for identity, count in Counter(question.id for question in questions).items():
        if count > 1:
            raise StopAndLook(f"question {identity} stands {count} times; its source must make unique ids")
    for question in questions:
        if not question.answer or not question.licence or not question.cluster:
            raise StopAndLook(f"question {question.id} lacks its answer, licence or cluster")
        if question.options and question.answer not in question.options:
            raise StopAndLook(f"question {question.id}: the answer {question.answer!r} is not among its options")
    for what, keys in (
        ("cluster", lambda question: [(question.source, question.cluster)]),
        ("image", lambda question: list(question.image_hashes)),
        ("text", lambda question: [] if question.images else [(question.question, question.options)]),
    ):
        splits: dict[str, set[Any]] = {"train": set(), "test": set()}
        for question in questions:
            splits[question.split].update(keys(question))
        shared = splits["train"] & splits["test"]
        if shared:
            raise StopAndLook(f"{what} {min(shared)} stands in train and in test; its source must split by {what}")


def _manifest(
    folder: epath.Path, settings: dict[str, Any], questions: Sequence[Question], dropped: dict[str, dict[str, int]]
) -> Manifest:
    return Manifest(
        stage=STAGE,
        config=settings,
        counts={
            "train": sum(question.split == "train" for question in questions),
            "test": sum(question.split == "test" for question in questions),
            "benchmarks": count_by_benchmark(questions),
            "dropped": dropped,
        },
        files=manifests.hash_files(folder),
        licences=tuple(sorted({question.licence for question in questions})),
        access="credentialed" if any(question.access == "credentialed" for question in questions) else "open",
    )
