"""Answers by this project's own generation: for small models and CI, or on the training chips."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from octomed_jax.errors import UserError
from octomed_jax.hf.source import holds_weights, load_parameters
from octomed_jax.inputs.buckets import prompt_batches
from octomed_jax.inputs.examples import Example
from octomed_jax.inputs.render import example_builder
from octomed_jax.inputs.rows import Bucket, assemble
from octomed_jax.models.compute import Compute
from octomed_jax.models.mesh import one_device
from octomed_jax.models.ops.attention import UNITS
from octomed_jax.models.options import AUTO
from octomed_jax.models.qwen2_5_vl.config import read_config
from octomed_jax.models.qwen2_5_vl.generate import generate
from octomed_jax.models.qwen2_5_vl.model import initial_parameters, split_model
from octomed_jax.models.qwen2_5_vl.sampling import Sampling
from octomed_jax.models.runtime import start_jax
from octomed_jax.schema import Question


@dataclasses.dataclass(frozen=True)
class Answer:
    """One sampled response."""

    text: str
    finish_reason: str
    completion_tokens: int


class JaxBackend:
    """A model folder, ready to answer questions."""

    def __init__(self, folder: Path, answer_format: str, weights: Path, random_seed: int | None = None):
        """Load a model.

        Args:
            folder: tokenizer, processor and config.
            answer_format: how questions ask for their answer.
            weights: the folder of the weights, mostly ``folder`` itself.
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
        self._builder = example_builder(folder, answer_format)
        self.count_tokens: Callable[[str], int] = lambda text: len(self._builder.tokenizer.encode(text))

    def answer(
        self,
        questions: Sequence[Question],
        *,
        sampling: Sampling,
        seed: int,
        max_new_tokens: int,
        batch: int,
        advance: Callable[[int], None] = lambda _: None,
    ) -> list[Answer]:
        """Return one answer for each question, in order.

        Args:
            questions: any mix of text and images.
            sampling: temperature and top-p.
            seed: with it and the question's place in the list, a sample is drawn.
            max_new_tokens: the budget of each answer.
            batch: prompts generated at once.
            advance: called with the number of answers just finished.
        """
        measured = [self._builder.measure(question, None) for question in questions]
        sizes = [(size.tokens, size.cells) for size in measured]
        answers: dict[int, Answer] = {}
        keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(seed), jnp.arange(len(questions)))
        for bucket, chosen in prompt_batches(sizes, batch, self._builder.spec, UNITS[self._compute.attention]):
            examples = [self._builder.build(questions[number], None) for number in chosen]
            padded = np.resize(chosen, batch)
            answers |= zip(
                chosen, self._generate(examples, keys[padded], bucket, sampling, max_new_tokens, batch), strict=True
            )
            advance(len(chosen))
        return [answers[number] for number in range(len(questions))]

    def _generate(
        self, examples: list[Example], keys: jax.Array, bucket: Bucket, sampling: Sampling, budget: int, batch: int
    ) -> list[Answer]:
        tokenizer = self._builder.tokenizer
        rows = assemble([[example] for example in examples], batch, bucket, self._builder.spec)
        result = generate(
            self._graph,
            self._parameters,
            rows,
            keys,
            max_new_tokens=budget,
            stop_ids=tokenizer.stop_ids,
            sampling=sampling,
            compute=self._compute,
        )
        return [
            Answer(
                text=tokenizer.decode(result.tokens[row, : result.lengths[row]]),
                finish_reason="stop" if result.stopped[row] else "length",
                completion_tokens=int(result.lengths[row]),
            )
            for row in range(len(examples))
        ]
