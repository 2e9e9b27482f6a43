"""A sweep as big_vision's transfer configs write it: named functions, one of them chosen, and packed arguments."""

import sweep_common as bvcc


def sweep_best(add, arg=None):
    """Each resolution with its own rate; the argument of the sweep is passed on."""
    words = bvcc.parse_arg(arg)
    words.pop("res")
    add(rate=3e-5, **bvcc.arg(res=224, **words), **{"train.optimizer.b2": 0.999})
    add(**bvcc.arg(res=448, **words), rate=1e-5, train={"steps": 20, "optimizer": {"b1": 0.8}})


def sweep_seeds(add):
    """Seeds alone."""
    for seed in range(3):
        add(seed=seed)


sweep = sweep_best


def get_config(arg=None):
    """Some words of the argument are fields too; `freeze` is none."""
    words = bvcc.parse_arg(arg)
    config = bvcc.config()
    config.res = words["res"]
    if not words["freeze"]:
        config.train.steps = 40
    return config
