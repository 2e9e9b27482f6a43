"""A Hugging Face folder as a model that one talks to from Python: ``octomed_jax.load(folder)``."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from octomed_jax.errors import UserError, did_you_mean
from octomed_jax.hf.base import side_folder
from octomed_jax.hf.source import load_parameters
from octomed_jax.inputs.buckets import LENGTHS, prompt_batches
from octomed_jax.inputs.conversation import Messages, answer_text, chat_template, encode_messages, images_of
from octomed_jax.inputs.examples import Example, ImagePatches, image_patches
from octomed_jax.inputs.positions import mrope_positions
from octomed_jax.inputs.render import read_patch_spec
from octomed_jax.inputs.rows import assemble
from octomed_jax.inputs.tokenizer import load_tokenizer
from octomed_jax.models.compute import Compute
from octomed_jax.models.mesh import batch_devices, check_axes, make_mesh, one_device, to_devices
from octomed_jax.models.ops.attention import UNITS
from octomed_jax.models.options import AUTO, DTYPES
from octomed_jax.models.qwen2_5_vl.config import read_config
from octomed_jax.models.qwen2_5_vl.generate import Generated, generate
from octomed_jax.models.qwen2_5_vl.model import split_model
from octomed_jax.models.qwen2_5_vl.sampling import CLOSE, Sampling, Thought, close_automaton
from octomed_jax.models.runtime import start_jax

MOST_LISTED = 1000  # tokens at each place: more would be larger than the cache
BATCH = 8  # conversations computed at once, where nothing else is asked for
CLOSING = f"\n{CLOSE}\n\n"  # what ends a thought whose budget has run out


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


@dataclasses.dataclass(frozen=True)
class Reply:
    """What the model answers.

    Attributes:
        text: without special tokens.
        token_ids: the new tokens, the stop token included.
        finish_reason: ``stop``, or ``length`` where the budget ran out first.
        prompt_tokens: of the conversation, image tokens included.
        logprobs: for each new token the most likely ones, best first, before temperature and top-p.
        thought_cut: whether its thought was closed because the budget for it had run out.
    """

    text: str
    token_ids: list[int]
    finish_reason: str
    prompt_tokens: int
    logprobs: list[list[dict[str, float]]]
    thought_cut: bool = False


class ChatModel:
    """A folder's weights, tokenizer, chat template and pixel limits, ready for conversations."""

    def __init__(self, folder: str | Path, dtype: str = "float32", mesh: Mapping[str, int] | None = None):
        """Load a Hugging Face folder in the hub's or the newer layout.

        Args:
            folder: holds config, weights, tokenizer, chat template and preprocessor config; or an import's.
            dtype: of weights and computation, ``float32`` or ``bfloat16``.
            mesh: sizes of its axes over the devices, one of them -1 for what is left: conversations are
                spread over ``data`` and ``fsdp``, weights over ``fsdp`` and ``tensor``. By default one device is used.

        Raises:
            UserError: a file is missing or does not fit, or an unknown dtype or mesh.
        """
        if dtype not in DTYPES:
            hint = did_you_mean(dtype, tuple(DTYPES))
            raise UserError(f"dtype {dtype!r} is unknown{hint}; one of: {', '.join(DTYPES)}")
        start_jax()
        side = side_folder(Path(folder))
        self._tokenizer, self._template = load_tokenizer(side), chat_template(side)
        self._spec = read_patch_spec(side)
        self._mesh = make_mesh(mesh) if mesh else one_device()
        check_axes(self._mesh.shape, read_config(side), tokens_per_row=self._mesh.shape["sequence"])
        self._config, self._parameters = load_parameters(Path(folder), self._mesh, DTYPES[dtype])
        if self._config.image_token_id != self._tokenizer.ids["<|image_pad|>"]:
            raise UserError(
                f"{folder}: image_token_id {self._config.image_token_id} in config.json is not the tokenizer's "
                f"<|image_pad|>, {self._tokenizer.ids['<|image_pad|>']}"
            )
        self._graph, _ = split_model(self._config)
        self._compute = Compute(DTYPES[dtype], AUTO[jax.default_backend()])

    def score(
        self,
        conversations: Sequence[Messages],
        folder: str | Path = ".",
        batch: int = BATCH,
        advance: Callable[[int], None] = lambda _: None,
    ) -> list[Score]:
        """Return the score of the last, the assistant's, message of each conversation.

        Args:
            conversations: lists of messages (inputs/conversation.py).
            folder: where image paths begin.
            batch: conversations computed at once.
            advance: called with the number of conversations just finished.

        Raises:
            UserError: a conversation is none, does not end with the assistant, or is too long.
        """
        _check({"batch": (batch, batch >= 1, "at least 1")})
        examples = [
            self._scored(messages, folder, f"conversation {number}") for number, messages in enumerate(conversations)
        ]
        scores: dict[int, Score] = {}
        for chosen, rows in self._batches(examples, batch):
            with jax.set_mesh(self._mesh):
                placed = to_devices(self._mesh, rows)
                losses_BL = np.asarray(_token_losses(self._graph, self._parameters, placed, self._compute))
            for row, number in enumerate(chosen):
                scored = rows["loss_weights"][row] > 0
                scores[number] = _score(rows["targets"][row][scored], losses_BL[row][scored])
            advance(len(chosen))
        return [scores[number] for number in range(len(conversations))]

    def generate(
        self,
        conversations: Sequence[Messages],
        folder: str | Path = ".",
        *,
        max_new_tokens: int = 512,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int = 0,
        top_logprobs: int = 0,
        thinking_tokens: int | None = None,
        batch: int = BATCH,
        advance: Callable[[int], None] = lambda _: None,
    ) -> list[Reply]:
        """Return the assistant's next message of each conversation.

        Args:
            conversations: lists of messages (inputs/conversation.py).
            folder: where image paths begin.
            max_new_tokens: the budget of each.
            temperature: 0 takes the most likely token.
            top_p: sample from the smallest set of tokens whose probability reaches this.
            seed: with it and a conversation's place in the list, a sample is drawn.
            top_logprobs: how many tokens are listed at each place.
            thinking_tokens: the budget of the thought, part of ``max_new_tokens``: where ``</think>`` has not come by
                then, it is put in and the answer begins.
            batch: conversations computed at once; another one may change the last bits.
            advance: called with the number of conversations just finished.

        Raises:
            UserError: a conversation is none or too long, or a setting makes no sense.
        """
        listed = min(self._config.text.vocab_size, MOST_LISTED)
        _check(
            {
                "batch": (batch, batch >= 1, "at least 1"),
                "max_new_tokens": (max_new_tokens, 1 <= max_new_tokens <= LENGTHS[-1], f"from 1 to {LENGTHS[-1]}"),
                "temperature": (
                    temperature,
                    temperature == 0 or 1e-3 <= temperature <= 1e3,
                    "0, or from 0.001 to 1000",
                ),
                "top_p": (top_p, 0 < top_p <= 1, "above 0 and at most 1"),
                "top_logprobs": (top_logprobs, 0 <= top_logprobs <= listed, f"from 0 to {listed}"),
                "seed": (seed, 0 <= seed < 2**32, "from 0 to 4294967295"),
            }
        )
        thought = None if thinking_tokens is None else self._thought(thinking_tokens, max_new_tokens)
        examples = [
            self._prompt(messages, folder, f"conversation {number}") for number, messages in enumerate(conversations)
        ]
        keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(seed), jnp.arange(len(examples)))
        replies: dict[int, Reply] = {}
        for chosen, rows in self._batches(examples, batch):
            with jax.set_mesh(self._mesh):
                result = generate(
                    self._graph,
                    self._parameters,
                    to_devices(self._mesh, rows),
                    keys[np.resize(chosen, len(rows["input_ids"]))],
                    max_new_tokens=max_new_tokens,
                    stop_ids=self._tokenizer.stop_ids,
                    sampling=Sampling(temperature, top_p),
                    compute=self._compute,
                    top_logprobs=top_logprobs,
                    thought=thought,
                )
            for row, number in enumerate(chosen):
                replies[number] = self._reply(result, row, len(examples[number].token_ids))
            advance(len(chosen))
        return [replies[number] for number in range(len(conversations))]

    def _reply(self, result: Generated, row: int, prompt_tokens: int) -> Reply:
        tokens = result.tokens[row, : result.lengths[row]]
        best = [part[row, : len(tokens)].tolist() for part in result.best]
        return Reply(
            text=self._tokenizer.decode(tokens),
            token_ids=tokens.tolist(),
            finish_reason="stop" if result.stopped[row] else "length",
            prompt_tokens=prompt_tokens,
            logprobs=[
                [{"id": number, "logprob": logprob} for number, logprob in zip(*place, strict=True)]
                for place in zip(*best, strict=True)
            ],
            thought_cut=bool(result.cut[row]),
        )

    def _thought(self, budget: int, max_new_tokens: int) -> Thought:
        closing = self._tokenizer.encode(CLOSING)
        if not 0 <= budget < max_new_tokens - len(closing):
            raise UserError(
                f"thinking_tokens={budget} must be from 0 to less than max_new_tokens={max_new_tokens} without the "
                f"{len(closing)} tokens that close a thought"
            )
        return Thought(jnp.int32(budget), self._automaton, jnp.asarray(closing, jnp.int32))

    @functools.cached_property
    def _automaton(self) -> jax.Array:
        return jnp.asarray(close_automaton(self._tokenizer.vocabulary, self._config.text.vocab_size))

    def _batches(self, examples: Sequence[Example], batch: int) -> Iterator[tuple[list[int], dict[str, np.ndarray]]]:
        """Yield (numbers of examples, their rows) of one shape after the other, filled up with empty rows."""
        devices = batch_devices(self._mesh)
        # Few conversations take fewer rows, a power of two of them on each device.
        each = min(-(-batch // devices), 1 << (-(-len(examples) // devices) - 1).bit_length())
        sizes = [(len(example.token_ids), example.cells) for example in examples]
        unit = UNITS[self._compute.attention] * self._mesh.shape["sequence"]
        for bucket, chosen in prompt_batches(sizes, each * devices, self._spec, unit):
            yield chosen, assemble([[examples[number]] for number in chosen], each * devices, bucket, self._spec)

    def _scored(self, messages: Messages, folder: str | Path, name: str) -> Example:
        """Return a conversation whose last message is the target."""
        images = self._images(messages, folder, name)
        target = [*self._tokenizer.encode(answer_text(messages[-1])), self._tokenizer.ids["<|im_end|>"]]
        return self._example(messages[:-1], images, target)

    def _prompt(self, messages: Messages, folder: str | Path, name: str) -> Example:
        """Return a conversation to go on with."""
        return self._example(messages, self._images(messages, folder, name), [])

    def _images(self, messages: Messages, folder: str | Path, name: str) -> tuple[ImagePatches, ...]:
        return tuple(image_patches(image, self._spec) for image in images_of(messages, folder, name))

    def _example(self, messages: Messages, images: tuple[ImagePatches, ...], target: list[int]) -> Example:
        grids = [image.layout.grid for image in images]
        cells = [rows * columns for rows, columns in grids]
        prompt = encode_messages(self._tokenizer, self._template, messages, cells)
        ids = np.asarray([*prompt, *target], np.int32)
        weights = (np.arange(len(ids)) >= len(prompt)).astype(np.float32)
        image_token_id = self._tokenizer.ids["<|image_pad|>"]
        return Example(ids, weights, mrope_positions(ids, image_token_id, grids), images, image_token_id)


def _check(settings: Mapping[str, tuple[float, bool, str]]) -> None:
    for name, (value, good, rule) in settings.items():
        if not good:
            raise UserError(f"{name}={value} must be {rule}")


def _score(token_ids: np.ndarray, losses: np.ndarray) -> Score:
    return Score(token_ids.tolist(), (-losses.astype(np.float64)).tolist(), float(losses.astype(np.float64).mean()))


@functools.partial(jax.jit, static_argnames=("graph", "compute"))
def _token_losses(graph: nnx.GraphDef, parameters: dict, rows: Mapping[str, jax.Array], compute: Compute) -> jax.Array:
    return nnx.merge(graph, parameters).token_losses(rows, compute)
