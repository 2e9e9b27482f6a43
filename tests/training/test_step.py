"""The train step against torch: twenty AdamW steps on packed rows equal torch's on the same examples."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from octomed_jax.hf.names import hub_tensors, modern_name
from octomed_jax.inputs.rows import Bucket, assemble
from octomed_jax.models.compute import Compute
from octomed_jax.models.lora import LoRA
from octomed_jax.models.mesh import make_mesh, to_devices
from octomed_jax.models.qwen2_5_vl.model import split_model
from octomed_jax.models.trained import Trained
from octomed_jax.models.trees import flatten_names
from octomed_jax.training.optimizer import make_optimizer, make_schedule
from octomed_jax.training.step import Student, abstract_state, initial_state, jitted_step
from tests.models.student import SPEC, InMemory, example, hub_reader, small_config

STEPS = 20
BUCKET = Bucket("image", 256, 96)
EXAMPLES = [
    [example("Which plane is this slice?", [(112, 140)], "axial", seed=1), example("no image", [], "coronal")],
    [example("two images", [(56, 84), (140, 56)], "sagittal", seed=5)],
    [example("Asked: plane.", [(84, 84)], "<think>finding of the study</think> axial", seed=9)],
]


@functools.cache
def train_config():
    from configs.demo import get_config

    config = get_config().train
    config.update({"peak_learning_rate": 1e-3, "warmup_ratio": 0.0, "schedule": "constant", "steps": STEPS})
    return config


def micro_batches(mesh, rows, count=8, number=1, bucket=BUCKET):
    """Return ``count`` rows in ``number`` micro-batches, where they belong."""
    batch = assemble(rows, count, bucket, SPEC)
    shaped = {name: part.reshape(number, count // number, *part.shape[1:]) for name, part in batch.items()}
    return {"image": to_devices(mesh, shaped, rows=1)}


def batch(mesh):
    return micro_batches(mesh, EXAMPLES)


def stepper(student, optimizer, mesh):
    step = jitted_step(student, optimizer, make_schedule(train_config()), mesh, ["image"])

    def in_mesh(state, batches):
        with jax.set_mesh(mesh):
            return step(state, batches)

    return in_mesh


def test_twenty_steps_equal_torchs():
    pytest.importorskip("torch", reason="the parity extra is not installed (make test PARITY=1)")
    import copy

    from tests.models.reference import inputs_of, loss_of, our_parameters, reference, torch

    config, train = small_config(), train_config()
    model = copy.deepcopy(reference(config))
    start = our_parameters(config, model)

    matrices = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim == 1]
    theirs = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": train.weight_decay}, {"params": others, "weight_decay": 0.0}],
        lr=train.peak_learning_rate,
        betas=(train.adam_b1, train.adam_b2),
    )
    examples = [item for row in EXAMPLES for item in row]
    targets = sum(float(item.loss_weights[1:].sum()) for item in examples)
    their_losses = []
    for _ in range(STEPS):
        theirs.zero_grad()
        loss = sum(loss_of(item, model(**inputs_of(item)).logits[0]) for item in examples) / targets
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), train.clip_norm)
        theirs.step()
        their_losses.append(loss.item())

    mesh = make_mesh(train.mesh)
    student, optimizer = Student(config, Trained(), Compute()), make_optimizer(train)
    state = initial_state(student, optimizer, mesh, 0, InMemory(start))
    step = stepper(student, optimizer, mesh)
    rows, losses = batch(mesh), []
    for _ in range(STEPS):
        state, metrics = step(state, rows)
        losses.append(float(metrics["loss"]))

    np.testing.assert_allclose(losses, their_losses, rtol=1e-4)
    assert losses[-1] < losses[0] - 1
    trained = hub_reader(jax.device_get(state["parameters"]))
    for tensor in hub_tensors(config, state["parameters"]):
        ours = trained(tensor)
        other = model.state_dict()[modern_name(tensor.name)].numpy()
        # Adam divides small gradients by their own size, so rounding shows most where a step is all there is.
        np.testing.assert_allclose(ours, other, atol=1e-4 * max(1.0, np.abs(other).max()), err_msg=tensor.name)


@pytest.mark.parametrize(
    "trained", [Trained(("merger",)), Trained((), LoRA(2, 4.0, ("q", "up")))], ids=["merger", "lora"]
)
def test_frozen_parameters_stay_and_have_no_moments(trained):
    mesh = make_mesh(train_config().mesh)
    student, optimizer = Student(small_config(), trained, Compute(jnp.bfloat16)), make_optimizer(train_config())
    state = initial_state(student, optimizer, mesh, 0)
    before = flatten_names(jax.device_get(state["parameters"]))
    state, _ = stepper(student, optimizer, mesh)(state, batch(mesh))
    after = flatten_names(jax.device_get(state["parameters"]))
    for name, leaf in before.items():
        assert leaf.dtype == (np.float32 if trained.has(name) else jnp.bfloat16)
        # An adapter's b starts at zero, so its a has no gradient in the first step; decay moves it all the same.
        assert np.array_equal(leaf, after[name]) == (not trained.has(name)), name
    moments = sum(leaf.size for leaf in jax.tree.leaves(abstract_state(student, optimizer, mesh)["optimizer"]))
    learned = sum(leaf.size for name, leaf in before.items() if trained.has(name))
    assert 2 * learned <= moments <= 2 * learned + 4  # two a parameter, and counters


def test_the_loss_is_that_of_the_whole_batch_however_it_is_laid_out():
    """One example a row, packed rows, and another order of rows give the same step."""
    mesh = make_mesh(train_config().mesh)
    student, optimizer = Student(small_config(), Trained(), Compute()), make_optimizer(train_config())
    step = stepper(student, optimizer, mesh)
    examples = [item for row in EXAMPLES for item in row]
    results = []
    for rows in (EXAMPLES, [[item] for item in examples], [[item] for item in reversed(examples)]):
        state = initial_state(student, optimizer, mesh, 0)
        _, metrics = step(state, micro_batches(mesh, rows))
        results.append([float(metrics[name]) for name in ("loss", "grad_norm", "target_tokens")])
    np.testing.assert_allclose(results[1], results[0], rtol=1e-5)
    np.testing.assert_allclose(results[2], results[0], rtol=1e-5)


def test_micro_batches_add_up_to_the_whole_batch():
    """All rows at once, and in four micro-batches with another number of targets each, two of them empty."""
    mesh = make_mesh({"data": 1, "fsdp": -1}, jax.devices()[:2])
    student, optimizer = Student(small_config(), Trained(), Compute()), make_optimizer(train_config())
    step, results, parameters = stepper(student, optimizer, mesh), [], []
    examples = [item for row in EXAMPLES for item in row]
    rows = [[item] for item in examples]
    for number in (1, 4):
        state = initial_state(student, optimizer, mesh, 0)
        state, metrics = step(state, micro_batches(mesh, rows, 8, number))
        results.append([float(metrics[name]) for name in ("loss", "grad_norm", "target_tokens")])
        parameters.append(flatten_names(jax.device_get(state["parameters"])))
    for result, found in zip(results[1:], parameters[1:], strict=True):
        np.testing.assert_allclose(result, results[0], rtol=1e-5)
        for name, leaf in parameters[0].items():
            np.testing.assert_allclose(found[name], leaf, atol=2e-5, err_msg=name)


def test_an_update_that_is_not_finite_is_skipped_and_counted():
    """The infinite pixel is a fault put in by the test."""
    mesh = make_mesh(train_config().mesh)
    student, optimizer = Student(small_config(), Trained(), Compute()), make_optimizer(train_config())
    step = stepper(student, optimizer, mesh)
    good = batch(mesh)
    bad = {"image": good["image"] | {"patches": jnp.full_like(good["image"]["patches"], jnp.inf)}}
    state, _ = step(initial_state(student, optimizer, mesh, 0), good)
    before = jax.device_get({name: state[name] for name in ("parameters", "optimizer")})
    for number in (1, 2):
        state, metrics = step(state, bad)
        assert not np.isfinite(float(metrics["loss"]))
        assert int(metrics["skipped_in_row"]) == number
    after = jax.device_get({name: state[name] for name in ("parameters", "optimizer")})
    assert jax.tree.all(jax.tree.map(np.array_equal, before, after))
    state, metrics = step(state, good)
    assert [int(state[name]) for name in ("step", "skipped", "skipped_in_row")] == [4, 2, 0]
    assert not jax.tree.all(jax.tree.map(np.array_equal, before["parameters"], jax.device_get(state["parameters"])))


def test_a_batch_without_a_target_gives_zero_and_nothing_else():
    mesh = make_mesh(train_config().mesh)
    student, optimizer = Student(small_config(), Trained(), Compute()), make_optimizer(train_config())
    state = initial_state(student, optimizer, mesh, 0)
    silent = [[dataclasses.replace(item, loss_weights=0 * item.loss_weights) for item in row] for row in EXAMPLES]
    rows = micro_batches(mesh, silent)
    state, metrics = stepper(student, optimizer, mesh)(state, rows)
    assert [float(metrics[name]) for name in ("loss", "grad_norm", "target_tokens")] == [0, 0, 0]
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(jax.device_get(state["parameters"])))


def test_adapters_are_the_only_addition_to_the_tree():
    plain = set(flatten_names(split_model(small_config())[1]))
    adapted = set(flatten_names(split_model(small_config(), LoRA(2, 4.0, ("q",)))[1]))
    assert adapted - plain == {"text.layers.attention.q.lora.a", "text.layers.attention.q.lora.b"}
    assert not plain - adapted
