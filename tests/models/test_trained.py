"""Freezing, adapters and their merge."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from octomed_jax.errors import UserError
from octomed_jax.inputs.rows import Bucket, assemble
from octomed_jax.models.lora import LoRA, merge_lora
from octomed_jax.models.qwen2_5_vl.model import initial_parameters, split_model
from octomed_jax.models.trained import Trained, joined
from octomed_jax.models.trees import flatten_names
from tests.models.student import SPEC, example, small_config

BUCKET = Bucket("image", 256, 64)
EXAMPLES = [example("Which plane?", [(112, 140)], "axial"), example("none", [], "coronal")]
ROWS = jax.tree.map(jnp.asarray, assemble([EXAMPLES], 1, BUCKET, SPEC))
LORA = LoRA(3, 12.0, ("q", "o", "up", "down"))


def with_random_adapters():
    rng = np.random.default_rng(0)
    flat = flatten_names(initial_parameters(small_config(), 0, LORA))
    adapters = [name for name in flat if ".lora." in name]
    noise = {name: 0.1 * rng.normal(size=flat[name].shape).astype(np.float32) for name in adapters}
    return joined({}, {name: leaf + noise.get(name, 0) for name, leaf in flat.items()})


def test_new_adapters_change_nothing():
    plain, _ = split_model(small_config())
    adapted, _ = split_model(small_config(), LORA)
    tree = initial_parameters(small_config(), 0, LORA)
    flat = flatten_names(tree)
    base = joined({}, {name: leaf for name, leaf in flat.items() if ".lora." not in name})
    np.testing.assert_array_equal(
        jax.jit(lambda t: nnx.merge(adapted, t).logits(ROWS))(tree),
        jax.jit(lambda t: nnx.merge(plain, t).logits(ROWS))(base),
    )


def test_merged_adapters_give_the_same_logits():
    adapted, _ = split_model(small_config(), LORA)
    plain, abstract = split_model(small_config())
    tree = with_random_adapters()
    merged = merge_lora(tree, LORA)
    assert set(flatten_names(merged)) == set(flatten_names(abstract))
    with_adapters = jax.jit(lambda t: nnx.merge(adapted, t).logits(ROWS))(tree)
    np.testing.assert_allclose(jax.jit(lambda t: nnx.merge(plain, t).logits(ROWS))(merged), with_adapters, atol=2e-4)
    unmerged = jax.jit(lambda t: nnx.merge(plain, t).logits(ROWS))(
        joined({}, {n: leaf for n, leaf in flatten_names(tree).items() if ".lora." not in n})
    )
    assert float(jnp.abs(unmerged - with_adapters).max()) > 0.1  # they do something


@pytest.mark.parametrize("groups", [("vision",), ("merger",), ("text",), ("vision", "text")])
def test_gradients_of_a_group_equal_those_of_training_everything(groups):
    graph, _ = split_model(small_config())
    tree = initial_parameters(small_config(), 0)

    def gradients(trained):
        learned, frozen = trained.split(tree)
        gradient = jax.grad(lambda part, rest: nnx.merge(graph, joined(part, rest)).loss_sum(ROWS))
        return flatten_names(jax.jit(gradient)(learned, frozen))

    part, whole = gradients(Trained(groups)), gradients(Trained())
    assert part
    assert set(part) == {name for name in whole if Trained(groups).has(name)}
    for name, gradient in part.items():
        np.testing.assert_allclose(gradient, whole[name], atol=1e-5 * float(jnp.abs(whole[name]).max()) + 1e-9)


def test_every_parameter_has_one_group():
    _, abstract = split_model(small_config(), LORA)
    for name in flatten_names(abstract):
        groups = [group for group in ("vision", "merger", "text") if Trained((group,)).has(name)]
        assert groups == (["vision", "merger", "text"] if ".lora." in name else groups[:1])
        assert groups


def test_mistakes_are_named():
    with pytest.raises(UserError, match=r"'visoin' is unknown \(did you mean 'vision'"):
        Trained(("visoin",))
    with pytest.raises(UserError, match="nothing is trained"):
        Trained(())
    with pytest.raises(UserError, match="leave 'text' out"):
        Trained(("text",), LORA)
    with pytest.raises(UserError, match=r"'gat' is unknown \(did you mean 'gate'"):
        LoRA(4, 8.0, ("gat",))
    with pytest.raises(UserError, match=r"lora.rank -1"):
        LoRA(-1, 8.0)
