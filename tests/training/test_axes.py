"""Every mesh computes the same: rows over devices, pieces of rows, pieces of layers; and nothing leaks across them."""

import functools
import itertools
import math

import jax
import numpy as np
import optax
import pytest
from flax import nnx
from jax.sharding import AbstractMesh

from octomed_jax.errors import UserError
from octomed_jax.inputs.rows import Bucket, assemble
from octomed_jax.models.compute import Compute
from octomed_jax.models.lora import LoRA
from octomed_jax.models.mesh import AXES, check_axes, make_mesh, one_device, parameter_shardings, to_devices
from octomed_jax.models.qwen2_5_vl.config import parse_config
from octomed_jax.models.qwen2_5_vl.model import split_model
from octomed_jax.models.trained import Trained
from octomed_jax.models.trees import flatten_names
from octomed_jax.training.optimizer import make_optimizer
from octomed_jax.training.step import Student, initial_state
from tests.models import test_packing as packing
from tests.models.student import SPEC, small_config
from tests.models.test_config import published
from tests.training.test_step import EXAMPLES, micro_batches, stepper, train_config

STEPS = 3
BUCKET = Bucket("image", 256, 128)  # half of its patches are whole blocks of the splash kernel
ALL = Trained()
PRODUCTS = [sizes for sizes in itertools.product((1, 2, 4, 8), repeat=4) if math.prod(sizes) == 8]


def mesh_of(sizes):
    return make_mesh(dict(zip(AXES, sizes, strict=True)))


def trained_by(mesh, attention="xla", trained=ALL):
    """Return (loss, gradient norm) of the steps, and Adam's first moment after the first one: its gradients, scaled."""
    student = Student(small_config(), trained, Compute(attention=attention))
    optimizer = make_optimizer(train_config())
    state, step = initial_state(student, optimizer, mesh, 0), stepper(student, optimizer, mesh)
    rows = micro_batches(mesh, EXAMPLES, bucket=BUCKET)
    curve, moments = [], None
    for _ in range(STEPS):
        state, metrics = step(state, rows)
        curve.append([float(metrics["loss"]), float(metrics["grad_norm"])])
        moments = moments or flatten_names(jax.device_get(optax.tree_utils.tree_get(state["optimizer"], "mu")))
    return curve, moments


@functools.cache
def on_one_device(trained=ALL):
    return trained_by(one_device(), trained=trained)


def check(sizes, attention="xla", trained=ALL):
    curve, gradients = trained_by(mesh_of(sizes), attention, trained)
    expected, theirs = on_one_device(trained)
    np.testing.assert_allclose(curve, expected, rtol=1e-5)
    # Not the parameters: Adam divides a gradient by its own size, so where one is but rounding, any of its values may
    # make a whole step. How far they part then says which processor added up, not whether the mesh is right.
    for name, leaf in theirs.items():
        np.testing.assert_allclose(gradients[name], leaf, rtol=0, atol=1e-5 * np.abs(leaf).max(), err_msg=name)


@pytest.mark.integration
@pytest.mark.parametrize("sizes", PRODUCTS, ids=str)
def test_every_mesh_of_eight_trains_as_one_device_does(sizes):
    check(sizes)


@pytest.mark.integration
@pytest.mark.parametrize("sizes", [(1, 4, 2, 1), (1, 2, 2, 2)], ids=str)  # JAX cannot interpret it along "data"
def test_the_splash_kernel_takes_pieces_of_rows(sizes):
    check(sizes, "splash_interpreted")


def test_a_kernel_that_cannot_take_pieces_of_rows_refuses_them():
    with pytest.raises(UserError, match="'triton' does not divide rows; use xla, or a mesh of sequence=1"):
        trained_by(mesh_of((1, 4, 2, 1)), "triton_interpreted")


@pytest.mark.integration
def test_adapters_train_on_any_mesh():
    check((1, 2, 2, 2), trained=Trained((), LoRA(2, 4.0, ("q", "o", "up", "down"))))


def test_nothing_crosses_an_example_where_rows_are_cut_into_pieces():
    graph, _ = split_model(small_config())
    compute, mesh = Compute(), mesh_of((1, 1, 4, 2))
    function = jax.jit(lambda tree, rows: nnx.merge(graph, tree).logits(rows, compute))

    def logits(rows):
        with jax.set_mesh(mesh):
            return np.asarray(
                function(packing.parameters(), to_devices(mesh, assemble([rows], 1, packing.BUCKET, SPEC)))
            )[0]

    first, second, third = packing.EXAMPLES
    base, own = logits(packing.EXAMPLES), len(first.token_ids)
    start = own + len(second.token_ids)
    other = packing.example("two images", [(56, 84), (140, 56)], "sagittal", seed=9)
    changed = logits([first, second, other])
    assert (base[:start] == changed[:start]).all()
    assert (base[start:] != changed[start:]).any()
    changed = logits([packing.example("Which plane is this slice?", [(112, 140)], "axial", seed=2), second, third])
    end = start + len(third.token_ids)
    assert (base[own:end] == changed[own:end]).all()
    assert (base[:own] != changed[:own]).any()


@pytest.mark.parametrize(
    ("size", "sizes", "reason"),
    [
        ("7B", {"tensor": 3}, "tensor=3 does not divide the 28 attention heads"),
        ("7B", {"tensor": 7}, "tensor=7 does not divide the 18,944 features of an MLP"),
        ("7B", {"tensor": 14}, "tensor=14 does not divide the 18,944 features"),
        ("3B", {"tensor": 8}, "tensor=8 does not divide the 3,420 features of an MLP of the vision tower"),
        ("7B", {"sequence": 3}, "sequence=3 does not divide rows of 8,192 tokens"),
    ],
)
def test_a_mesh_that_does_not_fit_the_model_is_refused(size, sizes, reason):
    with pytest.raises(UserError, match=reason):
        check_axes(sizes, parse_config(published(size)), 8192)


@pytest.mark.parametrize("tensor", [1, 2, 4])
@pytest.mark.parametrize("size", ["3B", "7B"])
def test_the_published_models_take_tensor_1_2_and_4(size, tensor):
    check_axes({"tensor": tensor, "sequence": 4}, parse_config(published(size)), 8192)


@pytest.mark.parametrize("sizes", [(1, 64, 4, 1), (1, 4, 4, 1), (2, 16, 4, 2), (1, 8, 1, 4), (1, 256, 1, 1)], ids=str)
@pytest.mark.parametrize("size", ["3B", "7B"])
def test_no_matrix_lies_twice_within_a_replica(size, sizes):
    """What is trained, and so its moments, is in as many pieces as a replica has devices; small vectors are not."""
    mesh = AbstractMesh(sizes, AXES)
    _, abstract = split_model(parse_config(published(size)))
    shardings = flatten_names(parameter_shardings(mesh, abstract))
    whole = pieces = 0
    for name, leaf in flatten_names(abstract).items():
        held = math.prod(shardings[name].shard_shape(leaf.shape))
        if name.endswith((".kernel", "embedding")):
            assert held * math.prod(sizes[1:]) == leaf.size, name
        whole, pieces = whole + leaf.size, pieces + held
    assert pieces * math.prod(sizes[1:]) < 1.1 * whole
