"""A sweep as scenic and vmoe write it: axes made by helpers, zipped, chained and multiplied."""

import numpy as np
import sweep_common


def get_config(runlocal=""):
    """One field is derived from another."""
    config = sweep_common.config()
    config.batch = 8 if runlocal else 64
    return config


def fixed(hyper, **fields):
    """Return one point."""
    return hyper.zipit([hyper.fixed(f"config.{name}", value, length=1) for name, value in fields.items()])


def get_hyper(hyper):
    """Return (2 zipped + 1 fixed) x 2 rates x 2."""
    lengths = hyper.zipit(
        [
            hyper.sweep("config.train.steps", np.array([100, 200])),
            hyper.sweep("config.sizes", [(3, 4), (5, 6)]),
            hyper.fixed("config.rows", "together"),
        ]
    )
    tasks = hyper.chainit([lengths, fixed(hyper, seed=np.int64(7), rows="apart")])
    rates = hyper.sweep("config.rate", hyper.discrete(np.float64(x) for x in (0.25, 0.125)))
    return hyper.product([tasks, rates, hyper.sweep("config.shuffle", hyper.categorical([False, True]))])
