"""What a teacher is to be asked: questions that may be sent, and of each the requests that are still missing."""

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from octomed_jax.errors import UserError
from octomed_jax.schema import Attempt, Question, with_option_order
from octomed_jax.storage import PathLike
from octomed_jax.teacher.ledger import Held, Ledger
from octomed_jax.teacher.option_order import option_order
from octomed_jax.teacher.prompts import PROMPTS
from octomed_jax.teacher.reply import Choice, Completion, RequestFailed
from octomed_jax.teacher.requests import Sampling, request_hash, request_seed
from octomed_jax.teacher.settings import Teacher, groups_each
from octomed_jax.traces import lake
from octomed_jax.verification.check import VERIFIER_VERSION, Checker


@dataclasses.dataclass(frozen=True)
class Work:
    """One request to be made: a group of samples of a question.

    Attributes:
        question: with its options as they are.
        shown: with its options in the order of this request, ``order``.
        group: the number of the request among all to this question.
        first: ``sample_index`` of its first sample.
    """

    question: Question
    shown: Question
    order: tuple[int, ...]
    teacher: Teacher
    group: int
    first: int
    sampling: Sampling
    hash: str


def check_access(source: PathLike, teachers: Sequence[Teacher]) -> Counter[bool]:
    """Return how many questions there are without and with images, after a check that each may be sent.

    Raises:
        UserError: a question's access class is not approved for a teacher that takes it, no teacher takes it, or it is
            held out.
    """
    counts: Counter[bool] = Counter()
    for row in lake.iterate_rows(source, ("id", "access", "split", "image_hash")):
        with_images = bool(row["image_hash"])
        taking = [teacher for teacher in teachers if teacher.takes_question(with_images)]
        if not taking:
            kind = "images" if with_images else "text"
            raise UserError(f"question {row['id']} has {kind}, and no teacher takes that; name one in distill.teachers")
        for teacher in taking:
            if row["access"] not in teacher.approved_access:
                raise UserError(
                    f"question {row['id']} is {row['access']} and may not be sent to this endpoint; only if its terms "
                    f"allow that give --approve={row['access']}, or name it in {teacher.settings}.approved_access"
                )
        if row["split"] != "train":
            raise UserError(f"question {row['id']} is held out (split {row['split']}); it is never distilled")
        counts[with_images] += 1
    if not counts.total():
        raise UserError(f"{source} holds no question; build the questions again")
    return counts


def most_requests(settings: ConfigDict, teachers: Sequence[Teacher], questions: "Counter[bool]") -> int:
    """Return how many requests there are at most."""
    taken = sum(count * teacher.takes_question(kind) for teacher in teachers for kind, count in questions.items())
    return taken * groups_each(settings)


def due(groups: range, held: Mapping[int, Held], accept: int) -> Sequence[int]:
    """Return the requests to make now, of a teacher to a question.

    Without ``accept`` all that are missing. With it the first that is missing, as long as fewer than ``accept``
    attempts are correct.
    """
    missing = [group for group in groups if group not in held]
    if not accept:
        return missing
    correct = sum(held[group].correct for group in groups if group in held)
    return missing[:1] if correct < accept else ()


def samples_in(settings: ConfigDict, place: int) -> int:
    """Return how many samples a teacher's request to a question asks for; ``place`` counts from its first."""
    return min(settings.samples_per_request, settings.samples - place * settings.samples_per_request)


def work_at(config: ConfigDict, question: Question, teacher: Teacher, group: int) -> Work:
    """Return one request."""
    settings = config.distill
    place = group - teacher.first_group[bool(question.images)]
    before = teacher.first_group[bool(question.images)] // groups_each(settings) * settings.samples
    sampling = Sampling(
        n=samples_in(settings, place),
        seed=request_seed(config.seed, question.id, group),
        temperature=float(settings.temperature),
        top_p=float(settings.top_p),
        max_tokens=int(settings.max_tokens),
    )
    order = option_order(question, config.seed, group) if settings.shuffle_options else ()
    shown = with_option_order(question, order)
    name = request_hash(shown, teacher.model, PROMPTS[settings.answer_format], settings.max_pixels, sampling)
    first = before + place * settings.samples_per_request
    return Work(question, shown, order, teacher, group, first, sampling, name)


def missing_work(config: ConfigDict, question: Question, teacher: Teacher, ledger: Ledger) -> Iterator[Work]:
    """Yield the requests of a teacher to a question that are due.

    Raises:
        UserError: the ledger holds attempts at another version of the question.
    """
    settings = config.distill
    groups = teacher.groups(bool(question.images), groups_each(settings))
    held = ledger.held.get(question.id, {})
    for group in groups:
        if group in held and held[group].hash != work_at(config, question, teacher, group).hash:
            raise UserError(
                f"{ledger.folder} holds attempts at another version of {question.id}; choose another --output"
            )
    for group in due(groups, held, settings.accept):
        yield work_at(config, question, teacher, group)


def attempts_of(work: Work, result: Completion | RequestFailed) -> list[Attempt]:
    """Return the attempts that a request led to, judged; one that failed for good leaves them with an ``error``."""
    common: dict[str, Any] = {
        "question_id": work.question.id,
        "teacher": work.teacher.model,
        "verifier": VERIFIER_VERSION,
        "option_order": work.order,
        "group": work.group,
        "seed": work.sampling.seed,
        "request_hash": work.hash,
    }
    if isinstance(result, RequestFailed):
        empty: dict[str, Any] = {"response": "", "reasoning": "", "finish_reason": "error"}
        empty |= {"prompt_tokens": 0, "completion_tokens": 0}
        empty |= {"verdict": "unparsed", "extracted": "", "reason": "request_failed", "error": str(result)}
        return [Attempt(sample_index=work.first + index, **common, **empty) for index in range(work.sampling.n)]
    common["prompt_tokens"] = result.prompt_tokens
    return judged(work.shown, result.choices, work.first, common)


def judged(shown: Question, choices: Sequence[Choice], first: int, fields: Mapping[str, Any]) -> list[Attempt]:
    """Return the attempts that some responses are, each with its verdict.

    Args:
        shown: the question with its options in the order in which the teacher saw them.
        choices: the responses.
        first: ``sample_index`` of the first of them.
        fields: what they have in common.
    """
    checker = Checker(shown)
    attempts = []
    for index, choice in enumerate(choices, first):
        verdict = checker.check(choice.response, choice.finish_reason)
        read: dict[str, Any] = {"verdict": verdict.verdict, "extracted": verdict.extracted, "reason": verdict.reason}
        attempts.append(Attempt(sample_index=index, **fields, **vars(choice), **read))
    return attempts
