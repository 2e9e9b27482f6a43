"""Shards of the small made corpus, and a config that trains on them in a moment."""

import pytest

from configs.demo import get_config
from octomed_jax.cli.shard import make_shards
from octomed_jax.errors import UserError
from octomed_jax.training.planning.tpu_aot import libtpu
from tests.traces.corpus import write_traces


@pytest.fixture
def config():
    config = get_config("tiny")
    config.student.vocab_size = 300
    config.train.update({"steps": 6, "examples_per_step": 12, "tokens_per_row": 272, "warmup_ratio": 0.125})
    config.checkpoint.every = 2
    return config


@pytest.fixture(scope="session")
def shards(tmp_path_factory):
    config = get_config("tiny")
    config.student.vocab_size = 300
    folder = tmp_path_factory.mktemp("corpus")
    make_shards(config, write_traces(folder / "traces"), folder / "shards", workers=1)
    return folder / "shards"


@pytest.fixture
def compiler():
    """XLA's TPU compiler: `make test-integration` sets it up; where it is not, its tests say so."""
    try:
        libtpu()
    except UserError as error:
        pytest.skip(str(error))
