"""Answers by this project's own generation: for small models and CI, or on the training chips."""

import dataclasses
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from octomed_jax.errors import StopAndLook, UserError
from octomed_jax.evaluation.backends.base import (
    Answer,
    Answers,
    Asked,
    forced_answer,
    is_cut_in_thought,
    with_closing,
)
from octomed_jax.evaluation.backends.chat_templates import check_template
from octomed_jax.evaluation.checks import check_context, context_of
from octomed_jax.evaluation.protocol import CLOSING, Protocol
from octomed_jax.hf.source import holds_weights, load_parameters
from octomed_jax.inputs.buckets import LENGTHS, prompt_batches
from octomed_jax.inputs.builder import ExampleBuilder, ExampleSize
from octomed_jax.inputs.examples import Example
from octomed_jax.inputs.render import example_builder
from octomed_jax.inputs.rows import Bucket, assemble
from octomed_jax.models.compute import Compute
from octomed_jax.models.mesh import one_device
from octomed_jax.models.ops.attention import UNITS
from octomed_jax.models.options import AUTO
from octomed_jax.models.qwen2_5_vl.config import read_config
from octomed_jax.models.qwen2_5_vl.generate import Generated, generate
from octomed_jax.models.qwen2_5_vl.model import initial_parameters, split_model
from octomed_jax.models.qwen2_5_vl.sampling import Sampling
from octomed_jax.models.runtime import start_jax
from octomed_jax.schema import Question
from octomed_jax.teacher.reply import read_message
from octomed_jax.teacher.requests import prepare_image

_FORCED = 2**31 - 1  # folded into the key of a sample for what it writes after its thought was ended


class JaxBackend:
    """A model folder, ready to answer questions."""

    def __init__(
        self,
        folder: Path,
        protocol: Protocol,
        weights: Path,
        *,
        batch: int,
        identity: str,
        random_seed: int | None = None,
    ):
        """Load a model.

        Args:
            folder: tokenizer, processor and config.
            protocol: how questions are asked.
            weights: the folder of the weights, mostly ``folder`` itself.
            batch: prompts generated at once.
            identity: of the folder.
            random_seed: take random weights in their place, as training starts from.

        Raises:
            UserError: no weights and no ``random_seed``, or both.
        """
        start_jax()
        if holds_weights(weights) == (random_seed is not None):
            state = "has weights" if holds_weights(weights) else "has no weights"
            raise UserError(f"{weights} {state}; {'leave out' if holds_weights(weights) else 'give'} --random-weights")
        config = read_config(folder)
        self._graph, _ = split_model(config)
        self._compute = Compute(attention=AUTO[jax.default_backend()])
        if random_seed is None:
            self._parameters = load_parameters(weights, one_device())[1]
        else:
            self._parameters = jax.jit(lambda: initial_parameters(config, random_seed))()
        self._builder = example_builder(folder, protocol.answer_format)
        self._builders = {self._builder.answer_format: self._builder}
        self._folder, self._protocol, self._batch = folder, protocol, batch
        self.identity = f"jax:{identity}:{random_seed}:{batch}"
        self.told: Mapping[str, Any] = {"thinking_tokens": "tokenizer"}

    def count_tokens(self, text: str, whole: Answer) -> int:
        """Return how many tokens a part of an answer's text has."""
        del whole
        return len(self._builder.tokenizer.encode(text))

    def check(self, questions: Sequence[Question]) -> None:
        """Measure all prompts.

        Raises:
            UserError: the longest does not leave room for its answer, or the model is used to other words.
        """
        check_template(self._folder, self._builder.tokenizer)
        sizes = [self._measure(self._shown(question), None).tokens for question in questions]
        longest = int(np.argmax(sizes))
        budget = self._protocol.budget(len(self._builder.tokenizer.encode(CLOSING)))
        name = questions[longest].id
        check_context(sizes[longest], budget, context_of(self._folder), name, str(self._folder))
        begun = budget - self._protocol.forced_answer_tokens if self._protocol.force_end_of_thinking else 0
        check_context(sizes[longest], begun, LENGTHS[-1], name, "our own generation")
        # The model's own limit, as it was trained, comes after the protocol's.
        self.told = {
            **self.told,
            "longest_prompt_tokens": sizes[longest],
            "model_max_pixels": self._builder.spec.max_pixels,
        }

    def answer(self, asked: Sequence[Asked]) -> Generator[Answers, None, None]:
        """Yield the answers of a batch at a time, seed by seed.

        Batches are the same after a kill: each comes back as a whole, in an order that depends on all questions only.
        """
        for seed in sorted({one.seed for one in asked}):
            wanted = [one for one in asked if one.seed == seed]
            shown = [self._shown(one.question) for one in wanted]
            for bucket, chosen in self._batches([self._measure(question, None) for question in shown]):
                examples = [self._built(shown[number]) for number in chosen]
                these = [wanted[number] for number in chosen]
                yield self._with_forced(
                    these, [shown[number] for number in chosen], self._first(these, examples, bucket)
                )

    def _shown(self, question: Question) -> Question:
        """Return a question with its images as they would be sent to an endpoint."""
        images = tuple(prepare_image(data, self._protocol.max_pixels, question.id) for data in question.images)
        return dataclasses.replace(question, images=images)

    def _builder_of(self, question: Question) -> ExampleBuilder:
        """Return what renders a question in the format in which it is asked."""
        name = self._protocol.format_of(question)
        if name not in self._builders:
            self._builders[name] = ExampleBuilder(self._builder.tokenizer, self._builder.spec, name)
        return self._builders[name]

    def _built(self, question: Question) -> Example:
        try:
            return self._builder_of(question).build(question, None)
        except StopAndLook as error:
            error.keeps_work = True  # the answers to the other questions are right all the same
            raise

    def _measure(self, question: Question, begun: str | None) -> ExampleSize:
        return self._builder_of(question).measure(question, begun)

    def _batches(self, sizes: Sequence[ExampleSize]) -> Iterator[tuple[Bucket, list[int]]]:
        tokens = [(size.tokens, size.cells) for size in sizes]
        return prompt_batches(tokens, self._batch, self._builder.spec, UNITS[self._compute.attention])

    def _first(self, asked: Sequence[Asked], examples: list[Example], bucket: Bucket) -> list[tuple[str, str, int]]:
        """Return text, end and number of tokens of what follows each prompt."""
        keys = _keys(asked, self._batch)
        return self._texts(self._generate(examples, keys, bucket, self._protocol.max_new_tokens), len(examples))

    def _with_forced(
        self, asked: Sequence[Asked], shown: Sequence[Question], written: Sequence[tuple[str, str, int]]
    ) -> Answers:
        """Return the answers; thoughts that used up their tokens are ended, and gone on with from there."""
        answers = [Answer(read_message({"content": text}, end)[0], end, tokens) for text, end, tokens in written]
        cut = [
            number
            for number, answer in enumerate(answers)
            if self._protocol.force_end_of_thinking and is_cut_in_thought(answer.text, answer.finish_reason)
        ]
        begun = {number: with_closing(written[number][0]) for number in cut}
        for bucket, chosen in self._batches([self._measure(shown[number], begun[number]) for number in cut]):
            numbers = [cut[place] for place in chosen]
            examples = [
                _to_go_on(self._builder_of(shown[number]).build(shown[number], begun[number])) for number in numbers
            ]
            keys = jax.vmap(jax.random.fold_in, (0, None))(
                _keys([asked[number] for number in numbers], self._batch), _FORCED
            )
            result = self._generate(examples, keys, bucket, self._protocol.forced_answer_tokens)
            for number, (text, end, tokens) in zip(numbers, self._texts(result, len(numbers)), strict=True):
                answers[number] = forced_answer(begun[number], text, end, written[number][2] + tokens)
        return list(zip(asked, answers, strict=True))

    def _generate(self, examples: list[Example], keys: jax.Array, bucket: Bucket, budget: int) -> Generated:
        return generate(
            self._graph,
            self._parameters,
            assemble([[example] for example in examples], self._batch, bucket, self._builder.spec),
            keys,
            max_new_tokens=budget,
            stop_ids=self._builder.tokenizer.stop_ids,
            sampling=Sampling(self._protocol.temperature, self._protocol.top_p),
            compute=self._compute,
        )

    def _texts(self, result: Generated, count: int) -> list[tuple[str, str, int]]:
        decode = self._builder.tokenizer.decode
        return [
            (
                decode(result.tokens[row, : result.lengths[row]]),
                "stop" if result.stopped[row] else "length",
                int(result.lengths[row]),
            )
            for row in range(count)
        ]


def _keys(asked: Sequence[Asked], batch: int) -> jax.Array:
    """Return a random key for each row of a batch."""
    return jax.vmap(jax.random.key)(jnp.array(np.resize([one.draw for one in asked], batch), jnp.uint32))


def _to_go_on(example: Example) -> Example:
    """Return a prompt with a response that is begun: without the token that ends the response."""
    return dataclasses.replace(
        example,
        token_ids=example.token_ids[:-1],
        loss_weights=np.zeros(len(example.token_ids) - 1, np.float32),
        position_ids=example.position_ids[:, :-1],
    )
