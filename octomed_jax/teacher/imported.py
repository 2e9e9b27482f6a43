"""A published set with responses becomes a questions folder and an attempts folder: no teacher is asked."""

import contextlib
from pathlib import Path

from octomed_jax import manifests, storage
from octomed_jax.errors import UserError
from octomed_jax.manifests import Manifest
from octomed_jax.progress import say
from octomed_jax.questions.packages.build import STAGE as QUESTIONS_STAGE
from octomed_jax.questions.reading.build import fill, write_folder
from octomed_jax.questions.reading.folder import Folder
from octomed_jax.questions.reading.request import Request, settings_of
from octomed_jax.questions.reading.store import Store
from octomed_jax.storage import PathLike
from octomed_jax.teacher.published import STAGE, check_teacher, write_attempts
from octomed_jax.teacher.published import settings_of as attempts_settings


def import_attempts(request: Request, output: PathLike, attempts: PathLike, teacher: str) -> tuple[Manifest, Manifest]:
    """Bring a published set into a finished questions folder, and its responses into a finished attempts folder.

    The questions are those that ``build_from`` makes of it. Responses to held-out questions are not used. What is
    finished of the two is kept, so that a killed run goes on, and responses may be asked for when questions are there.
    Memory holds a few thousand attempts.

    Args:
        request: what is read.
        output: the questions folder.
        attempts: the attempts folder.
        teacher: who wrote the responses.

    Returns:
        the manifests of both.

    Raises:
        UserError, TryAgain, StopAndLook: as ``build_from``, and where no question to learn from has a response, or
            responses are no texts.
    """
    name, source = check_teacher(teacher), request.adapter.name
    _check_apart(output, attempts)
    with Folder(request.adapter, request.source) as folder, contextlib.ExitStack() as unfinished:
        splits = folder.splits(request.splits)
        settings, asked_for = settings_of(request, folder, splits), attempts_settings(name, source)
        questions = manifests.finished(output, QUESTIONS_STAGE, settings, {})
        if questions and (done := manifests.finished(attempts, STAGE, asked_for, {"questions": questions.identity})):
            return questions, done
        place = unfinished.enter_context(storage.staged_folder(attempts))
        scratch = unfinished.enter_context(storage.scratch_folder(place))
        store = unfinished.enter_context(Store(scratch, keeps_responses=True))
        with contextlib.ExitStack() as begun:
            staged = None if questions else begun.enter_context(storage.staged_folder(output))
            counted = fill(request, folder, splits, store)
            if not (responses := store.count_responses()):
                raise UserError(f"{request.source} holds no responses to questions to learn from; leave out --attempts")
            if store.held_out_responses:
                say(f"{store.held_out_responses} responses to held-out questions are not used")
            if staged:
                write_folder(staged, request, settings, store, counted)
        done = write_attempts(place, store.answered(), responses, output, name, source)
    return manifests.read_manifest(output, QUESTIONS_STAGE), done


def _check_apart(output: PathLike, attempts: PathLike) -> None:
    if storage.in_bucket(output) or storage.in_bucket(attempts):
        return
    one, other = Path(output).absolute(), Path(attempts).absolute()
    if one.is_relative_to(other) or other.is_relative_to(one):
        raise UserError(f"--attempts={attempts} and --output={output} lie in each other; give folders side by side")
