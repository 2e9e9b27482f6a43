"""Answers by a vLLM server that we start on a model folder, and end with the block."""

import contextlib
import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from ml_collections import ConfigDict

from octomed_jax.evaluation.backends.chat_templates import added_tokens
from octomed_jax.evaluation.backends.endpoint import EndpointBackend, endpoint_backend
from octomed_jax.evaluation.checks import check_context, context_of
from octomed_jax.evaluation.protocol import CLOSING, Protocol
from octomed_jax.inputs.builder import ExampleBuilder
from octomed_jax.inputs.render import example_builder
from octomed_jax.schema import Question
from octomed_jax.teacher.server.vllm import VllmSettings, vllm_version
from octomed_jax.teacher.server.vllm_process import serve

NAME = "evaluated"  # under which the folder is served
LEAST_LENGTH = 1024  # tokens of its context: a server of ours is tried with an image of its own
# A folder's generation config may name a penalty or a top-k; the protocol knows none, and our own generation neither.
_NEUTRAL = {"repetition_penalty": 1.0, "top_k": 0, "min_p": 0.0}


@contextlib.contextmanager
def vllm_backend(
    folder: Path, config: ConfigDict, protocol: Protocol, questions: Sequence[Question], *, identity: str, log: Path
) -> Iterator[EndpointBackend]:
    """Yield a server that has been checked for these questions.

    Args:
        folder: the model.
        config: ``config.eval``.
        protocol: how questions are asked.
        questions: all that will be.
        identity: of the folder.
        log: for what the server prints.

    Raises:
        TryAgain: it gives no token in time.
        UserError: it does not start, or the longest prompt does not leave room for its answer.
    """
    loaded = example_builder(folder, protocol.answer_format)
    spec = dataclasses.replace(loaded.spec, max_pixels=min(protocol.max_pixels, loaded.spec.max_pixels))
    formats = {protocol.format_of(question) for question in questions}
    builders = {name: ExampleBuilder(loaded.tokenizer, spec, name) for name in formats}
    sizes = [(builders[protocol.format_of(one)].measure(one, None).tokens, one.id) for one in questions]
    longest, name = max(sizes)
    longest += added_tokens(folder, loaded.tokenizer)
    budget = protocol.budget(len(loaded.tokenizer.encode(CLOSING)))
    context = context_of(folder)
    check_context(longest, budget, context, name, str(folder))
    length = max(longest + budget, min(LEAST_LENGTH, context or LEAST_LENGTH))
    images = max(len(question.images) for question in questions)
    version = vllm_version(config.vllm.command)
    settings = VllmSettings(
        model=str(folder),
        name=NAME,
        cpu="cpu" in version,
        dtype=config.vllm.dtype,
        max_model_len=length,
        tensor_parallel_size=config.vllm.tensor_parallel_size,
        data_parallel_size=config.vllm.data_parallel_size,
        max_num_seqs=config.vllm.max_num_seqs,
        gpu_memory_utilization=config.vllm.gpu_memory_utilization,
        images=images,
        max_pixels=spec.max_pixels if images else 0,
        extra=("--override-generation-config", json.dumps(_NEUTRAL), *config.vllm.extra),
    )
    with (
        serve(config.vllm.command, settings, log, config.vllm.start_seconds) as address,
        endpoint_backend(
            address.base,
            NAME,
            protocol,
            questions,
            identity=f"vllm:{version}:{identity}",
            in_flight=config.in_flight,
            patience=config.patience_seconds,
            tokenizer=folder,
        ) as backend,
    ):
        # Measured, where an endpoint's is that of the prompt which looks longest.
        told = {"vllm": version, "longest_prompt_tokens": longest, "model_max_pixels": loaded.spec.max_pixels}
        backend.told = {**backend.told, **told}
        yield backend
