"""The words of the house (see docs/words.md) as frozen dataclasses, and their Arrow schemas.

The question columns are a superset of those that OctoMed's published data sets use: ``image, image_hash, question,
options, answer, responses``.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

TASKS = ("mcq", "yes_no", "short_answer", "numeric", "multi_label", "classification", "report", "instruction")
OPEN_TASKS = ("report", "instruction")  # whose answer is a text of its own, not one to be marked and compared
ACCESS_CLASSES = ("open", "credentialed")
VERDICTS = ("correct", "wrong", "unparsed", "truncated")


@dataclasses.dataclass(frozen=True)
class Question:
    """One item to be answered.

    Attributes:
        id: unique, stable, made of ``[a-z0-9_.:-]``; ``<source>:<...>``.
        source: name of the source adapter, such as ``medcalc``.
        benchmark: name under which results are reported, such as ``plane`` or ``cha2ds2_vasc``.
        split: ``train`` or ``test``; a test question is never distilled.
        task: one of TASKS.
        question: the text, without options and without an answer instruction.
        options: option texts without letter prefixes; empty for open tasks.
        answer: gold. mcq and classification: the option's text; numeric: a decimal; multi_label: joined by ``;``. Empty
            for one of OPEN_TASKS whose source publishes none.
        aliases: other spellings of the gold that count as right.
        lower_limit, upper_limit: accepted range of a numeric answer (inclusive); None for exact comparison.
        images: encoded image files (PNG or JPEG), in order of appearance before the text.
        image_hashes: SHA-256 of each image's bytes.
        explanation: the source's own worked explanation, if it has one (what a scripted teacher draws on).
        cluster: patient, study, brain or calculator: what may not be split between train and test.
        modality, body_region: where known.
        licence: SPDX id or short text.
        access: one of ACCESS_CLASSES.
    """

    id: str
    source: str
    benchmark: str
    split: str
    task: str
    question: str
    answer: str
    options: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    lower_limit: float | None = None
    upper_limit: float | None = None
    images: tuple[bytes, ...] = ()
    image_hashes: tuple[str, ...] = ()
    explanation: str = ""
    cluster: str = ""
    modality: str = ""
    body_region: str = ""
    licence: str = ""
    access: str = "open"

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise ValueError(f"question {self.id}: unknown task {self.task!r}, one of {', '.join(TASKS)}")
        if self.access not in ACCESS_CLASSES:
            raise ValueError(f"question {self.id}: unknown access class {self.access!r}")
        if self.split not in ("train", "test"):
            raise ValueError(f"question {self.id}: split {self.split!r} is neither 'train' nor 'test'")

    @property
    def without_gold(self) -> bool:
        """Whether its source publishes no answer, so that no response can be compared with one."""
        return is_without_gold(self.task, self.answer)


def is_without_gold(task: str, answer: str) -> bool:
    """Say whether a question of that task and answer has no gold; see ``Question.without_gold``."""
    return task in OPEN_TASKS and not answer.strip()


@dataclasses.dataclass(frozen=True)
class Attempt:
    """One sampled teacher response to one question, whatever became of it; never changed once written.

    Attributes:
        question_id, sample_index: of the question, and of the attempt among all of its attempts.
        teacher: the model's name.
        response, reasoning: the whole text with its thought as ``<think>...</think>``, and the thought alone.
        finish_reason: as the endpoint said it; ``error`` where the request failed for good; ``unknown`` where a
            published set does not say it.
        prompt_tokens, completion_tokens: as the endpoint counted them; 0 where it did not.
        verdict, extracted, reason, verifier: what the verifier of that version read in it.
        option_order: the options as they were shown: at place p stood option ``option_order[p]``; empty: as they are.
        group: the request it came with; ``seed`` (-1: unknown) and ``request_hash`` are of that request.
        error: why the request failed for good; empty where it did not.
    """

    question_id: str
    sample_index: int
    teacher: str
    response: str
    reasoning: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    verdict: str
    extracted: str
    reason: str
    verifier: str
    option_order: tuple[int, ...]
    group: int
    seed: int
    request_hash: str
    error: str = ""


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What the verifier read in one attempt; ``judge``: a judge model decided, not a rule."""

    verdict: str
    extracted: str
    reason: str
    judge: bool = False


@dataclasses.dataclass(frozen=True)
class Record:
    """One entry of a shard: a question with its images once, and its accepted responses.

    Attributes:
        question: with its options as the source has them.
        responses: each belongs to the options in the order in which its teacher saw them.
        option_orders: that order for each response, see ``Attempt``; empty where all saw them as they are.
        samples: the ``sample_index`` of the attempt that each response is of.
    """

    question: Question
    responses: tuple[str, ...]
    option_orders: tuple[tuple[int, ...], ...] = ()
    samples: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.option_orders and len(self.option_orders) != len(self.responses):
            raise ValueError(f"{len(self.responses)} responses, but {len(self.option_orders)} option_orders")

    def shown(self, response: int) -> Question:
        """Return the question as the teacher of a response saw it."""
        return with_option_order(self.question, self.option_orders[response] if self.option_orders else ())

    def first(self, count: int) -> "Record":
        """Return the record with at most ``count`` of its responses."""
        return Record(self.question, self.responses[:count], self.option_orders[:count], self.samples[:count])


def with_option_order(question: Question, order: Sequence[int]) -> Question:
    """Return a question with its options in another order; the gold answer is a text and moves with its option.

    Raises:
        ValueError: ``order`` does not name every option once.
    """
    if not order:
        return question
    if sorted(order) != list(range(len(question.options))):
        raise ValueError(f"question {question.id}: {list(order)} is no order of its {len(question.options)} options")
    return dataclasses.replace(question, options=tuple(question.options[place] for place in order))


_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])

QUESTION_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("source", pa.string()),
        ("benchmark", pa.string()),
        ("split", pa.string()),
        ("task", pa.string()),
        ("question", pa.string()),
        ("options", pa.list_(pa.string())),
        ("answer", pa.string()),
        ("aliases", pa.list_(pa.string())),
        ("lower_limit", pa.float64()),
        ("upper_limit", pa.float64()),
        ("image", pa.list_(_IMAGE)),
        ("image_hash", pa.list_(pa.string())),
        ("explanation", pa.string()),
        ("cluster", pa.string()),
        ("modality", pa.string()),
        ("body_region", pa.string()),
        ("licence", pa.string()),
        ("access", pa.string()),
    ]
)

ATTEMPT_SCHEMA = pa.schema(
    [
        ("question_id", pa.string()),
        ("sample_index", pa.int32()),
        ("teacher", pa.string()),
        ("response", pa.string()),
        ("reasoning", pa.string()),
        ("finish_reason", pa.string()),
        ("prompt_tokens", pa.int32()),
        ("completion_tokens", pa.int32()),
        ("verdict", pa.string()),
        ("extracted", pa.string()),
        ("reason", pa.string()),
        ("verifier", pa.string()),
        ("option_order", pa.list_(pa.int8())),
        ("group", pa.int32()),
        ("seed", pa.int64()),
        ("request_hash", pa.string()),
        ("error", pa.string()),
    ]
)

VERDICT_SCHEMA = pa.schema(
    [
        ("question_id", pa.string()),
        ("sample_index", pa.int32()),
        ("verdict", pa.string()),
        ("extracted", pa.string()),
        ("reason", pa.string()),
        ("judge", pa.bool_()),
        ("verifier", pa.string()),
    ]
)


def question_to_row(question: Question) -> dict[str, Any]:
    """Return a question as a row of QUESTION_SCHEMA."""
    row = {field.name: getattr(question, field.name) for field in dataclasses.fields(question)}
    row["image"] = [{"bytes": data, "path": None} for data in row.pop("images")]
    row["image_hash"] = list(row.pop("image_hashes"))
    row["options"], row["aliases"] = list(question.options), list(question.aliases)
    return row


def question_from_row(row: Mapping[str, Any]) -> Question:
    """Return the question of a row of QUESTION_SCHEMA; other columns are ignored."""
    names = {field.name for field in dataclasses.fields(Question)}
    fields = {name: value for name, value in row.items() if name in names}
    fields["images"] = tuple(image["bytes"] for image in row.get("image") or ())
    fields["image_hashes"] = tuple(row.get("image_hash") or ())
    fields["options"] = tuple(row.get("options") or ())
    fields["aliases"] = tuple(row.get("aliases") or ())
    return Question(**fields)
