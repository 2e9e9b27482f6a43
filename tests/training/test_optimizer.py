"""The optimizer: its schedule, what is decayed, a rate for each part, and the dtype of its moments."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs.demo import get_config
from octomed_jax.errors import UserError
from octomed_jax.models.lora import LoRA
from octomed_jax.models.qwen2_5_vl.model import initial_parameters
from octomed_jax.models.trees import flatten_names, unflatten_names
from octomed_jax.training.optimizer import decayed, make_optimizer, make_schedule
from tests.models.student import small_config


def settings(**fields):
    config = get_config().train
    with config.unlocked():
        config.update({"steps": 100, "warmup_ratio": 0.1, "peak_learning_rate": 1e-3} | fields)
    return config


@pytest.fixture(scope="module")
def parameters():
    return initial_parameters(small_config(), 0, LoRA(2, 4.0, ("q",)))


@pytest.mark.parametrize("name", ["cosine", "linear", "constant"])
def test_the_schedule_rises_and_falls_as_named(name):
    rate = make_schedule(settings(schedule=name))
    found = [float(rate(step)) for step in range(101)]
    np.testing.assert_allclose(found[:11], [1e-4 * step for step in range(11)], rtol=1e-5)
    wanted = {
        "cosine": lambda share: 0.5 * (1 + np.cos(np.pi * share)),
        "linear": lambda share: 1 - share,
        "constant": lambda _: 1.0,
    }[name]
    np.testing.assert_allclose(found[10:], [1e-3 * wanted(step / 90) for step in range(91)], atol=1e-9)


def test_only_matrices_are_decayed(parameters):
    for name, is_decayed in flatten_names(decayed(parameters)).items():
        assert is_decayed == (not name.endswith(("scale", "bias"))), name


def test_each_part_has_its_rate(parameters):
    gradients = jax.tree.map(jnp.ones_like, parameters)

    def change(**rates):
        optimizer = make_optimizer(settings(rates=rates, warmup_ratio=0.0, weight_decay=0.0))
        update = jax.jit(lambda one, other: optimizer.update(one, optimizer.init(other), other)[0])
        return flatten_names(update(gradients, parameters))

    plain, scaled = change(vision=1.0, merger=1.0, text=1.0), change(vision=0.1, merger=3.0, text=1.0)
    for name, leaf in plain.items():
        factor = 3.0 if name.startswith("vision.merger") else 0.1 if name.startswith("vision") else 1.0
        np.testing.assert_allclose(scaled[name], factor * leaf, rtol=1e-6, err_msg=name)


def test_the_whole_is_optax_adamw(parameters):
    config = settings()
    ours = make_optimizer(config)
    theirs = optax.chain(
        optax.clip_by_global_norm(config.clip_norm),
        optax.adamw(
            make_schedule(config), b1=config.adam_b1, b2=config.adam_b2, weight_decay=config.weight_decay, mask=decayed
        ),
    )
    updates = [jax.jit(optimizer.update) for optimizer in (ours, theirs)]
    states, trees, rng = (
        [ours.init(parameters), theirs.init(parameters)],
        [parameters, parameters],
        np.random.default_rng(0),
    )
    for _ in range(3):
        gradients = unflatten_names(
            {name: rng.normal(size=leaf.shape) for name, leaf in flatten_names(parameters).items()}
        )
        for side, update in enumerate(updates):
            changes, states[side] = update(gradients, states[side], trees[side])
            trees[side] = optax.apply_updates(trees[side], changes)
    one, other = [flatten_names(tree) for tree in trees]
    assert all(np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_first_moment_has_its_dtype_and_the_second_is_float32(parameters, dtype):
    state = make_optimizer(settings(moments=dtype)).init(parameters)
    adam = next(part for part in jax.tree.leaves(state, is_leaf=lambda x: hasattr(x, "mu")) if hasattr(part, "mu"))
    assert {str(leaf.dtype) for leaf in jax.tree.leaves(adam.mu)} == {dtype}
    assert {str(leaf.dtype) for leaf in jax.tree.leaves(adam.nu)} == {"float32"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"schedule": "cosin"}, "did you mean 'cosine'"),
        ({"warmup_ratio": 1.5}, "warmup_ratio=1.5 must be from 0 to 1"),
        ({"moments": "float16"}, "train.moments='float16' is unknown"),
        ({"rates": {"head": 2.0}}, "train.rates.head is no part of the model"),
    ],
)
def test_what_makes_no_sense_is_refused(fields, message):
    with pytest.raises(UserError, match=message):
        make_optimizer(settings(**fields))
