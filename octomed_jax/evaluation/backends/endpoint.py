"""Answers by an endpoint of the OpenAI protocol, asked by the pool of the teachers: it backs off, and tries again."""

import asyncio
import contextlib
import dataclasses
import itertools
import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from octomed_jax.errors import UserError
from octomed_jax.evaluation.backends.base import (
    Answer,
    Answers,
    Asked,
    forced_answer,
    is_cut_in_thought,
    with_closing,
)
from octomed_jax.evaluation.backends.continuing import Continuing, find_way
from octomed_jax.evaluation.backends.endpoint_checks import served_length, weight_of
from octomed_jax.evaluation.checks import check_context
from octomed_jax.evaluation.protocol import CLOSING, Protocol
from octomed_jax.inputs.tokenizer import ChatTokenizer, load_tokenizer
from octomed_jax.schema import Question
from octomed_jax.teacher.client import Messages, api_key
from octomed_jax.teacher.pool import Pool
from octomed_jax.teacher.prepare import Preparer
from octomed_jax.teacher.prompts import Prompt
from octomed_jax.teacher.reply import Completion, RequestFailed
from octomed_jax.teacher.requests import Sampling
from octomed_jax.verification.candidates import THINK_START

SETTINGS = "config.eval"
_DATE = re.compile(r"([-@:][\d-]+)?")
_BROKEN_OFF = ("error", "abort")  # what gateways and vLLM say of a reply that failed on the way
AHEAD = 2  # times as many samples are begun as may be in flight: their images are ready when a place is


@dataclasses.dataclass(frozen=True)
class _Words(Prompt):
    """The protocol's words for each question."""

    protocol: Protocol

    def text(self, question: Question) -> str:
        return self.protocol.text_of(question)


class EndpointBackend:
    """A model behind an endpoint; made by ``endpoint_backend``."""

    def __init__(
        self,
        pool: Pool,
        runner: asyncio.Runner,
        preparer: Preparer,
        protocol: Protocol,
        *,
        in_flight: int,
        identity: str,
        tokenizer: ChatTokenizer | None,
    ):
        self.identity = identity
        self.told: Mapping[str, Any] = {"thinking_tokens": "tokenizer" if tokenizer else "share of the text"}
        self._pool, self._runner, self._preparer, self._protocol = pool, runner, preparer, protocol
        self._in_flight, self._tokenizer = in_flight, tokenizer
        self._continuing: Continuing | None = None

    def count_tokens(self, text: str, whole: Answer) -> int | None:
        """Return how many tokens a part of an answer has; without a tokenizer its share of all, by length.

        None where the endpoint counts none.
        """
        if self._tokenizer:
            return len(self._tokenizer.encode(text))
        if not whole.completion_tokens:
            return None
        return round(whole.completion_tokens * len(text) / max(1, len(whole.text)))

    def check(self, questions: Sequence[Question], length: int | None, template: Path | None) -> None:
        """Find out whether the questions can be asked, by real requests: for one token after the longest prompt.

        Args:
            questions: all of them.
            length: tokens of prompt and answer together, as the endpoint says it; None where it does not.
            template: folder with the model's tokenizer and chat template.

        Raises:
            TryAgain: the endpoint does not answer.
            UserError: it refuses such requests, serves another model, or has too short a context; or it cannot go on
                with a response, and the protocol needs that.
        """
        self._runner.run(self._check(questions, length, template))

    async def _check(self, questions: Sequence[Question], length: int | None, template: Path | None) -> None:
        longest = max(questions, key=lambda question: weight_of(question, self._protocol.max_pixels))
        await self._pool.check(await self._preparer.messages(longest), self._sampling(0, 1))
        completion = await self._tried(longest, "the longest prompt")
        most = max(questions, key=lambda question: len(question.images))
        if len(most.images) > len(longest.images):
            await self._tried(most, f"{len(most.images)} images")
        client = self._pool.endpoints[0].client
        closing = len(self._tokenizer.encode(CLOSING)) if self._tokenizer else len(CLOSING)  # at least a letter a token
        check_context(completion.prompt_tokens, self._protocol.budget(closing), length, longest.id, client.url)
        self.told = {**self.told, "longest_prompt_tokens": completion.prompt_tokens, "max_model_len": length}
        if self._protocol.force_end_of_thinking:
            with_images = any(question.images for question in questions)
            self._continuing = await find_way(client, template, with_images)
            self.told = {**self.told, "continued_by": self._continuing.way}

    async def _tried(self, question: Question, what: str) -> Completion:
        """Return one token after a question that is the hardest in some way.

        Raises:
            TryAgain: the endpoint does not answer.
            UserError: it refuses that, or answers as another model.
        """
        client = self._pool.endpoints[0].client
        try:
            async with self._pool.completing(await self._preparer.messages(question), self._sampling(0, 1)) as found:
                _check_name(found, client.model, client.url)
                return found
        except RequestFailed as failure:
            if failure.transient:
                raise client.explain(failure) from None
            raise UserError(
                f"{client.url} refuses {what}, that of question {question.id} ({failure}); "
                "serve it with a longer context or more images, or leave that benchmark out"
            ) from None

    def answer(self, asked: Sequence[Asked]) -> Generator[Answers, None, None]:
        """Yield answers as they come; a request that failed for good is one with an ``error``."""
        todo = iter(asked)
        running: set[asyncio.Task[tuple[Asked, Answer]]] = set()

        async def step() -> Answers:
            for one in itertools.islice(todo, AHEAD * self._in_flight - len(running)):
                running.add(asyncio.create_task(self._answer(one)))
            if not running:
                return []
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            good = {task for task in done if not task.exception()}
            running.difference_update(good or done)  # what came with an error is handed over before that is raised
            return [task.result() for task in good or done]

        async def end() -> None:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

        try:
            while answers := self._runner.run(step()):
                yield answers
        finally:
            self._runner.run(end())

    async def _answer(self, asked: Asked) -> tuple[Asked, Answer]:
        messages = await self._preparer.messages(asked.question)
        try:
            sampling = self._sampling(asked.draw, self._protocol.max_new_tokens)
            completion = await self._completed(messages, sampling)
            choice = completion.choices[0]
            if not (self._continuing and is_cut_in_thought(choice.response, choice.finish_reason)):
                return asked, Answer(choice.response, choice.finish_reason, choice.completion_tokens)
            begun = with_closing(_as_written(completion))
            more = self._continuing.request(messages, begun)
            sampling = self._sampling(asked.draw, self._protocol.forced_answer_tokens)
            rest = await self._completed(more.messages, sampling, more.fields)
        except RequestFailed as failure:
            return asked, Answer("", "error", 0, error=str(failure))
        last = rest.choices[0]
        tokens = choice.completion_tokens + last.completion_tokens
        return asked, forced_answer(begun, _continued(rest), last.finish_reason, tokens)

    async def _completed(
        self, messages: Messages, sampling: Sampling, fields: Mapping[str, Any] | None = None
    ) -> Completion:
        """Return a whole reply.

        Raises:
            RequestFailed: for good; or the server broke off its reply, which is no answer.
            UserError: another model answers than at first.
        """
        client = self._pool.endpoints[0].client
        async with self._pool.completing(messages, sampling, fields) as completion:
            _check_name(completion, client.model, client.url)
            if (end := completion.choices[0].finish_reason) in _BROKEN_OFF:
                raise RequestFailed(f"the server broke off its reply (finish_reason {end})", transient=True)
            return completion

    def _sampling(self, draw: int, max_tokens: int) -> Sampling:
        return Sampling(1, draw, float(self._protocol.temperature), float(self._protocol.top_p), max_tokens)


@contextlib.contextmanager
def endpoint_backend(
    url: str,
    model: str,
    protocol: Protocol,
    questions: Sequence[Question],
    *,
    identity: str,
    in_flight: int,
    patience: float,
    api_key_env: str = "",
    tokenizer: Path | None = None,
) -> Iterator[EndpointBackend]:
    """Yield an endpoint that has been checked for these questions.

    Args:
        url, model: where it is, and the name that it knows.
        protocol: how questions are asked.
        questions: all that will be.
        identity: of the back end.
        in_flight: most requests at a time.
        patience: seconds without any reply after which it is given up.
        api_key_env: name of the variable with the key, or empty.
        tokenizer: folder with the model's tokenizer and chat template, where it is at hand.

    Raises:
        TryAgain: it does not answer.
        UserError: it cannot be asked so; see ``EndpointBackend.check``.
    """
    pool = Pool([url], model, api_key_env, in_flight, patience, SETTINGS)
    loaded = load_tokenizer(tokenizer) if tokenizer else None
    length = served_length(pool.endpoints[0].client, api_key(api_key_env, SETTINGS))
    prompt = _Words(protocol.answer_format, "the words of training", {}, protocol)
    with asyncio.Runner() as runner, Preparer(prompt, protocol.max_pixels) as preparer:
        runner.run(pool.__aenter__())
        try:
            backend = EndpointBackend(
                pool, runner, preparer, protocol, in_flight=in_flight, identity=identity, tokenizer=loaded
            )
            backend.check(questions, length, tokenizer)
            yield backend
        finally:
            runner.run(pool.__aexit__(None, None, None))


def _check_name(completion: Completion, model: str, url: str) -> None:
    """Check the name under which a model answered; a gateway may add a date to it, or leave out the owner."""
    asked, answers = (name.rpartition("/")[2].lower() for name in (model, completion.model))
    if completion.model and not (answers.startswith(asked) and _DATE.fullmatch(answers[len(asked) :])):
        raise UserError(f"{url} was asked for {model!r} and answers as {completion.model!r}; set config.eval.model")


def _as_written(completion: Completion) -> str:
    """Return a thought that was cut as the model wrote it, also where the server put it into a field of its own."""
    if completion.contents[0].strip():
        return completion.contents[0]
    return f"{THINK_START}\n{completion.choices[0].reasoning}"


def _continued(completion: Completion) -> str:
    """Return what was written after a response that was begun; a reasoning parser may take it for the thought."""
    choice = completion.choices[0]
    if completion.contents[0].strip() or not choice.reasoning:
        return completion.contents[0]
    return choice.reasoning
