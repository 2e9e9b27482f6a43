"""A Hugging Face folder as a model that one talks to from Python: ``octomed_jax.load(folder)``."""

import dataclasses
import functools
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import jax
import numpy as np
from flax import nnx

from octomed_jax.errors import UserError, did_you_mean
from octomed_jax.hf.load import load_parameters
from octomed_jax.inputs.buckets import prompt_bucket
from octomed_jax.inputs.conversation import Messages, answer_text, chat_template, encode_messages, images_of
from octomed_jax.inputs.examples import Example, image_patches
from octomed_jax.inputs.positions import mrope_positions
from octomed_jax.inputs.render import read_patch_spec
from octomed_jax.inputs.rows import Bucket, assemble
from octomed_jax.inputs.tokenizer import load_tokenizer
from octomed_jax.models.compute import Compute
from octomed_jax.models.options import DTYPES
from octomed_jax.models.qwen2_5_vl.model import split_model
from octomed_jax.models.runtime import start_jax

BATCH = 8  # conversations computed at once


@dataclasses.dataclass(frozen=True)
class Score:
    """How likely the model finds an assistant's message.

    Attributes:
        token_ids: of the message, its closing ``<|im_end|>`` included.
        logprobs: natural logarithm of each token's probability.
        loss: minus their mean.
    """

    token_ids: list[int]
    logprobs: list[float]
    loss: float


class ChatModel:
    """A folder's weights, tokenizer, chat template and pixel limits, ready for conversations."""

    def __init__(self, folder: str | Path, dtype: str = "float32"):
        """Load a Hugging Face folder in the hub's or the newer layout.

        Args:
            folder: holds config, weights, tokenizer, chat template and preprocessor config.
            dtype: of the computation, ``float32`` or ``bfloat16``.

        Raises:
            UserError: a file is missing or does not fit, or an unknown dtype.
        """
        if dtype not in DTYPES:
            hint = did_you_mean(dtype, tuple(DTYPES))
            raise UserError(f"dtype {dtype!r} is unknown{hint}; one of: {', '.join(DTYPES)}")
        start_jax()
        self._tokenizer, self._template = load_tokenizer(folder), chat_template(folder)
        self._spec = read_patch_spec(folder)
        config, parameters = load_parameters(Path(folder))
        self._graph, _ = split_model(config)
        self._parameters = jax.device_put(parameters)
        self._compute = Compute(DTYPES[dtype])

    def score(
        self,
        conversations: Sequence[Messages],
        folder: str | Path = ".",
        advance: Callable[[int], None] = lambda _: None,
    ) -> list[Score]:
        """Return the score of the last, the assistant's, message of each conversation.

        Args:
            conversations: lists of messages (inputs/conversation.py).
            folder: where image paths begin.
            advance: called with the number of conversations just finished.

        Raises:
            UserError: a conversation is none, does not end with the assistant, or is too long.
        """
        examples = [
            self._example(messages, folder, f"conversation {number}") for number, messages in enumerate(conversations)
        ]
        groups: dict[Bucket, list[int]] = defaultdict(list)
        for number, example in enumerate(examples):
            groups[prompt_bucket(len(example.token_ids), example.cells, self._spec)].append(number)
        scores: dict[int, Score] = {}
        for bucket, numbers in groups.items():
            for start in range(0, len(numbers), BATCH):
                chosen = numbers[start : start + BATCH]
                rows = assemble([[examples[number]] for number in chosen], BATCH, bucket, self._spec)
                losses_BL = np.asarray(_token_losses(self._graph, self._parameters, rows, self._compute))
                for row, number in enumerate(chosen):
                    scored = rows["loss_weights"][row] > 0
                    scores[number] = _score(rows["targets"][row][scored], losses_BL[row][scored])
                advance(len(chosen))
        return [scores[number] for number in range(len(conversations))]

    def _example(self, messages: Messages, folder: str | Path, name: str) -> Example:
        images = tuple(image_patches(image, self._spec) for image in images_of(messages, folder, name))
        grids = [image.layout.grid for image in images]
        answer = answer_text(messages[-1])
        prompt = encode_messages(
            self._tokenizer, self._template, messages[:-1], [rows * columns for rows, columns in grids]
        )
        target = [*self._tokenizer.encode(answer), self._tokenizer.ids["<|im_end|>"]]
        ids = np.asarray([*prompt, *target], np.int32)
        weights = (np.arange(len(ids)) >= len(prompt)).astype(np.float32)
        image_token_id = self._tokenizer.ids["<|image_pad|>"]
        return Example(ids, weights, mrope_positions(ids, image_token_id, grids), images, image_token_id)


def _score(token_ids: np.ndarray, losses: np.ndarray) -> Score:
    return Score(token_ids.tolist(), (-losses.astype(np.float64)).tolist(), float(losses.astype(np.float64).mean()))


@functools.partial(jax.jit, static_argnames=("graph", "compute"))
def _token_losses(graph: nnx.GraphDef, parameters: dict, rows: Mapping[str, jax.Array], compute: Compute) -> jax.Array:
    return nnx.merge(graph, parameters).token_losses(rows, compute)
