"""The config of the smallest student of the demo, and shards that were rendered for it."""

from pathlib import Path

from ml_collections import ConfigDict

from configs.demo import get_config
from octomed_jax.cli.shard import make_shards
from tests.traces.corpus import write_traces


def tiny_config() -> ConfigDict:
    """Return the demo's smallest config, with a vocabulary that is learnt in a moment."""
    config = get_config("tiny")
    config.student.vocab_size = 300
    return config


def write_tiny_shards(folder: Path) -> Path:
    """Write shards of the small made corpus, with one rendering; return their folder."""
    make_shards(tiny_config(), write_traces(folder / "traces"), folder / "shards", workers=1)
    return folder / "shards"
