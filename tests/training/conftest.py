"""Shards, and a config that trains on them in a moment."""

import pytest

from octomed_jax.errors import UserError
from octomed_jax.training.planning.tpu_aot import libtpu
from tests.tiny import tiny_config


@pytest.fixture
def config():
    config = tiny_config()
    config.train.update({"steps": 6, "examples_per_step": 12, "tokens_per_row": 272, "warmup_ratio": 0.125})
    config.checkpoint.every = 2
    return config


@pytest.fixture(scope="session")
def shards(made_shards):
    """Tests read them only."""
    return made_shards


@pytest.fixture
def compiler():
    """XLA's TPU compiler: `make test-integration` sets it up; where it is not, its tests say so."""
    try:
        libtpu()
    except UserError as error:
        pytest.skip(str(error))
