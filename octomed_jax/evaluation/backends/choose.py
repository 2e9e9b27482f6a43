"""The back end that a config names, ready and checked for the questions."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from ml_collections import ConfigDict

from octomed_jax.configuration import training_seed
from octomed_jax.evaluation.backends.base import Backend
from octomed_jax.evaluation.checks import check_access
from octomed_jax.evaluation.protocol import Protocol
from octomed_jax.schema import Question


@contextlib.contextmanager
def open_backend(
    config: ConfigDict,
    protocol: Protocol,
    questions: Sequence[Question],
    *,
    model: Path,
    weights: Path,
    identity: str,
    random_weights: bool,
    log: Path,
) -> Iterator[Backend]:
    """Yield the back end of ``config.eval``.

    Args:
        config: uses ``eval`` and the seed of training.
        protocol: how questions are asked.
        questions: all that will be.
        model, weights: folders, where the back end has one.
        identity: of these, or of the model behind an endpoint.
        random_weights: start as training starts; jax alone.
        log: for what a server of ours prints.

    Raises:
        TryAgain: a server does not answer.
        UserError: something would spoil the evaluation; see the modules of the back ends.
    """
    settings = config.eval
    if settings.backend == "jax":
        # JAX is initialised where it answers, and nowhere else.
        from octomed_jax.evaluation.backends.jax_backend import JaxBackend

        seed = training_seed(config) if random_weights else None
        own = JaxBackend(model, protocol, weights, batch=settings.batch, identity=identity, random_seed=seed)
        own.check(questions)
        yield own
        return
    if settings.backend == "vllm":
        from octomed_jax.evaluation.backends.vllm import vllm_backend

        with vllm_backend(model, settings, protocol, questions, identity=identity, log=log) as served:
            yield served
        return
    from octomed_jax.evaluation.backends.endpoint import endpoint_backend

    check_access(questions, settings.approved_access, settings.endpoint)
    with endpoint_backend(
        settings.endpoint,
        settings.model,
        protocol,
        questions,
        identity=identity,
        in_flight=settings.in_flight,
        patience=settings.patience_seconds,
        api_key_env=settings.api_key_env,
        tokenizer=Path(settings.tokenizer) if settings.tokenizer else None,
    ) as remote:
        yield remote
