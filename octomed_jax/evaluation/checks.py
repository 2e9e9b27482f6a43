"""Which questions are asked, and what would spoil an evaluation: found before hours are spent."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from octomed_jax.errors import UserError
from octomed_jax.evaluation.constant import BestConstant
from octomed_jax.evaluation.protocol import Protocol
from octomed_jax.schema import Question
from octomed_jax.storage import read_json
from octomed_jax.teacher.requests import is_too_large
from octomed_jax.verification.check import Checker


def check_questions(found: Sequence[Question], where: str) -> None:
    """Check the questions that are to be asked.

    Args:
        found: all of them.
        where: the folders that a message names.

    Raises:
        UserError: an id is there twice, or a question has no gold answer, or one that no answer can be compared with.
    """
    ids = Counter(question.id for question in found)
    twice = [name for name, count in ids.items() if count > 1]
    if twice:
        raise UserError(
            f"question {twice[0]} is there {ids[twice[0]]} times in {where}; leave a folder out, or build it again"
        )
    missing = [question for question in found if not question.answer.strip()]
    if missing:
        raise UserError(
            f"question {missing[0].id} of {missing[0].benchmark} has no gold answer ({len(missing)} such); "
            "name the benchmarks that have one in config.eval.benchmarks"
        )
    for question in found:
        if problem := _broken_gold(question):
            raise UserError(f"{problem}, so that none can be right; build the questions of {question.benchmark} again")


def _broken_gold(question: Question) -> str:
    """Return why no answer can be compared with a gold answer; empty where one can be."""
    if broken := Checker(question).broken_gold:
        return f"question {question.id}: its answer {question.answer!r} is {broken}"
    try:
        BestConstant().add(vars(question))
    except ValueError as error:
        return str(error)
    return ""


def check_images(questions: Iterable[Question], protocol: Protocol) -> dict[str, int]:
    """Check the images of all questions by their number and headers; return how many there are.

    Returns:
        ``images``, those of them that are ``made_smaller`` to ``max_pixels``, and ``most`` of one question.

    Raises:
        UserError: a question has more than the protocol allows, or an image that is none.
    """
    counts = {"images": 0, "made_smaller": 0, "most": 0}
    for question in questions:
        if len(question.images) > protocol.max_images:
            raise UserError(
                f"question {question.id} has {len(question.images)} images, more than "
                f"config.eval.max_images={protocol.max_images}; raise that, or leave its benchmark out"
            )
        counts["images"] += len(question.images)
        counts["most"] = max(counts["most"], len(question.images))
        counts["made_smaller"] += sum(is_too_large(data, protocol.max_pixels, question.id) for data in question.images)
    return counts


def check_access(questions: Iterable[Question], approved: Sequence[str], endpoint: str) -> None:
    """Check that all questions may be sent to an endpoint.

    Raises:
        UserError: one may not.
    """
    for question in questions:
        if question.access not in approved:
            raise UserError(
                f"question {question.id} is {question.access} and may not be sent to {endpoint}; only if its terms "
                f"allow that name {question.access} in config.eval.approved_access"
            )


def check_context(longest: int, budget: int, limit: int | None, name: str, where: str) -> None:
    """Check that the longest prompt and its answer fit into a model's context; nothing where that is not known.

    Args:
        longest: tokens of the longest prompt.
        budget: tokens that may follow it.
        limit: of both together; None: unknown.
        name: of the question.
        where: the model.

    Raises:
        UserError: they do not.
    """
    if limit is not None and longest + budget > limit:
        raise UserError(
            f"the prompt of question {name} has {longest} tokens and its answer may have {budget}, together more than "
            f"the {limit} of {where}; lower config.eval.max_new_tokens, or serve it with a longer context"
        )


def context_of(folder: Path) -> int | None:
    """Return for how many tokens a model was made, by its config.json; None where that does not say it."""
    fields = read_json(folder / "config.json")
    length = fields.get("max_position_embeddings") or (fields.get("text_config") or {}).get("max_position_embeddings")
    return int(length) if length else None
