"""Sweeps as kauldron writes them: generators of dicts, a default one and named ones."""

import itertools

import sweep_common
from ml_collections import ConfigDict


def get_config():
    """Return the config."""
    return sweep_common.config()


def sweep():
    """With the prefix of a config's flag."""
    for steps, rate in itertools.product([10, 20], [0.5, 0.25]):
        yield {"cfg.train.steps": steps, "cfg.rate": rate}


def sweep_optimizer():
    """Groups of fields as values."""
    yield {"train": {"optimizer": ConfigDict({"b1": 0.8, "b2": 0.9})}, "name": "slow"}
    yield {"train.optimizer.b1": 0.7, "name": "slower"}


def sweep_seed():
    """A list instead of a generator."""
    return [{"train.seed": seed} for seed in range(3)]
