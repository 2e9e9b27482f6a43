"""What is checked of a judge in curation before it is asked: its key, whether it answers, and what it may be sent."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Int64

from octomed_jax import progress
from octomed_jax.curation.corpus import Corpus
from octomed_jax.curation.decontaminate import has_images
from octomed_jax.curation.judge_prompts import judge_name
from octomed_jax.curation.metadata import FIELDS, Filled
from octomed_jax.curation.settings import JUDGE_VERSIONS
from octomed_jax.errors import TryAgain, UserError
from octomed_jax.storage import locked
from octomed_jax.verification.replies import count_remembered

if TYPE_CHECKING:
    from octomed_jax.teacher.ask import Asker

WHERE = "config.curate.judge"


def check_key(settings: Mapping[str, Any]) -> None:
    """Check before all work that the variable with the judge's key is set.

    Raises:
        UserError: it is not.
    """
    from octomed_jax.teacher.client import api_key

    api_key(settings["api_key_env"], WHERE)


def check_judge(corpus: Corpus, steps: Sequence[str], judge: Mapping[str, Any], memory: Path) -> None:
    """Check before all work that the judge may be asked about all questions, and that it answers.

    What steps before its own will take out nobody knows yet, so their questions count too. An endpoint that is gone
    is no error where earlier replies of it may be all that is needed.

    Args:
        corpus: the questions.
        steps: those that ask it.
        judge: ``config.curate.judge``.
        memory: file of replies.

    Raises:
        UserError: a question may not be sent to the judge, or it accepts no request.
        TryAgain: it does not answer, or another process is at work with that memory.
        StopAndLook: the memory is damaged.
    """
    for step in steps:
        asked = missing_fields(corpus, None).values() if step == "metadata" else [np.ones(len(corpus), dtype=bool)]
        check_access(corpus, np.flatnonzero(np.logical_or.reduce(list(asked))), judge["approved_access"])
    with asker_of(judge) as asker, locked(memory):
        heard = [count_remembered(memory, judge_name(judge, JUDGE_VERSIONS[step])) for step in steps]
        try:
            asker.check()
        except (TryAgain, UserError) as error:
            if not all(heard):
                raise
            progress.say(f"warning: {error}; going on by the {sum(heard):,} replies in {memory}")


def asker_of(settings: Mapping[str, Any]) -> "Asker":
    from octomed_jax.teacher.ask import Asker

    own = {name: settings[name] for name in ("endpoint", "model", "api_key_env", "in_flight", "max_tokens")}
    return Asker(**own, settings=WHERE)


def check_access(corpus: Corpus, places: Int64[np.ndarray, " M"], approved: Sequence[str]) -> None:
    """Refuse to send a question that may not be sent, before any is.

    Raises:
        UserError: there is one.
    """
    wanted = np.zeros(len(corpus), dtype=bool)
    wanted[places] = True
    for group in corpus.groups:
        mine = wanted[group.first : group.first + group.rows]
        if not mine.any():
            continue
        for table in group.tables(["id", "access"]):
            for asked, name, access in zip(mine, table["id"].to_pylist(), table["access"].to_pylist(), strict=True):
                if asked and access not in approved:
                    raise UserError(
                        f"{name} is {access!r}, which {WHERE}.approved_access does not allow to be sent; add it only "
                        "if the terms of its source allow that"
                    )


def missing_fields(corpus: Corpus, filled: Filled | None) -> dict[str, Bool[np.ndarray, " N"]]:
    """Return for each field which questions have it neither from their source nor by rule; a modality is an image's."""
    missing = {field: filled.codes[field] == 0 if filled else np.ones(len(corpus), dtype=bool) for field in FIELDS}
    for group in corpus.groups:
        for table in group.tables(["image_hash", *FIELDS]):
            rows = slice(group.first, group.first + group.rows)
            for field in FIELDS:
                missing[field][rows] &= np.array([not value for value in table[field].to_pylist()], dtype=bool)
            missing["modality"][rows] &= has_images(table)
    return missing
