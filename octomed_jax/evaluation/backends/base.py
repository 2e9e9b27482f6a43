"""What a back end is: questions go in, answers come out as they are ready."""

import dataclasses
from collections.abc import Generator, Mapping, Sequence
from typing import Any, Protocol

from octomed_jax.evaluation.protocol import CLOSING
from octomed_jax.schema import Question
from octomed_jax.teacher.reply import read_message
from octomed_jax.verification.candidates import THINK_END, THINK_START
from octomed_jax.verification.check import TRUNCATED_FINISHES


@dataclasses.dataclass(frozen=True)
class Asked:
    """One sample to be drawn.

    Attributes:
        question: what is asked.
        seed: the number of the sample, from 0.
        draw: what the random numbers of this sample begin with: 31 bits out of the run's seed, the question and
            ``seed``.
        key: the name of the sample among all that were ever drawn (``journal.key_of``).
    """

    question: Question
    seed: int
    draw: int
    key: str


@dataclasses.dataclass(frozen=True)
class Answer:
    """One sampled response.

    Attributes:
        text: with its thought as ``<think>...</think>``, whatever the server's spelling.
        finish_reason: ``stop``, ``length``, or ``error`` for a request that failed for good.
        completion_tokens: of all that the model wrote.
        forced: whether its thought had used up the tokens, and was ended for it.
        error: why the request failed; empty where it did not.
    """

    text: str
    finish_reason: str
    completion_tokens: int
    forced: bool = False
    error: str = ""


Answers = list[tuple[Asked, Answer]]


class Backend(Protocol):
    """A model that is ready to answer.

    Attributes:
        identity: equal for equal weights computed by equal means, as far as that can be known.
        told: what is known of the model and of how it is asked; plain data for results.json.
    """

    identity: str
    told: Mapping[str, Any]

    def answer(self, asked: Sequence[Asked]) -> Generator[Answers, None, None]:
        """Yield what was asked with its answers, those together that came together, in any order."""
        ...

    def count_tokens(self, text: str, whole: Answer) -> int | None:
        """Return how many tokens a part of an answer's text has; None where nobody knows."""
        ...


def is_cut_in_thought(text: str, finish_reason: str) -> bool:
    """Return whether a response, in our spelling, has used up its tokens within a thought."""
    return finish_reason in TRUNCATED_FINISHES and text.startswith(THINK_START) and THINK_END not in text


def with_closing(written: str) -> str:
    """Return what a model had written of a thought, ended, up to where its answer begins."""
    return written.rstrip() + CLOSING


def forced_answer(begun: str, more: str, finish_reason: str, completion_tokens: int) -> Answer:
    """Return the answer that the model gave once its thought was ended.

    Args:
        begun: of ``with_closing``.
        more: what the model wrote from there on.
        finish_reason: of that.
        completion_tokens: of both, without the closing text.
    """
    text = read_message({"content": f"{begun} {more.strip()}".rstrip()}, finish_reason)[0]
    return Answer(text, finish_reason, completion_tokens, forced=True)
