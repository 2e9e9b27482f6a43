"""A sweep as uncertainty-baselines writes it: names without a prefix, and numbers that are drawn."""

import sweep_common

TRIALS = 4


def get_config():
    """Return the config."""
    return sweep_common.config()


def get_sweep(hyper):
    """Return 2 x 4 points."""
    drawn = hyper.zipit(
        [
            hyper.loguniform("rate", hyper.interval(1e-4, 1e-1)),
            hyper.uniform("seed", hyper.discrete(range(int(1e6)))),
        ],
        length=TRIALS,
    )
    return hyper.product([hyper.sweep("rows", hyper.categorical(["apart", "together"])), drawn])
