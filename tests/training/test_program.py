"""What a compiled program does, against programs whose products and messages are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from octomed_jax.training.planning.hlo import bytes_of, parse
from octomed_jax.training.planning.program import read_program, totals

F32 = jnp.float32


def program_of(function, *shapes, specs=None, out=None):
    mesh = Mesh(np.array(jax.devices()).reshape(2, 4), ("a", "b"))
    specs = specs or [PartitionSpec()] * len(shapes)
    given = [
        jax.ShapeDtypeStruct(shape, F32, sharding=NamedSharding(mesh, spec))
        for shape, spec in zip(shapes, specs, strict=True)
    ]
    jitted = jax.jit(function, out_shardings=NamedSharding(mesh, out) if out is not None else None)
    with jax.set_mesh(mesh):
        return read_program(jitted.lower(*given).compile().as_text())


def test_products_in_loops_count_as_often_as_the_loops_run():
    def step(x, w):
        def inner(x, w):
            return jnp.sin(x @ w), None

        def outer(x, _):
            return jax.lax.scan(inner, x, w)[0], None

        return jax.lax.scan(outer, x, None, length=5)[0]

    program = program_of(step, (16, 32), (7, 32, 32))
    assert program.flops == 5 * 7 * 2 * 16 * 32 * 32
    assert program.unknown_loops == 0
    assert program.messages == ()


def test_a_loop_whose_length_is_data_is_said_to_be_unknown():
    def step(x):
        return jax.lax.while_loop(lambda x: x.sum() < 5, lambda x: jnp.sin(x @ x), x)

    program = program_of(step, (8, 8))
    assert program.unknown_loops == 1
    assert program.flops == 2 * 8**3


def test_batched_products_and_gradients_are_counted():
    def step(q, k):
        return jax.grad(lambda q: jnp.einsum("bqd,bkd->bqk", q, k).sum() ** 2)(q)

    assert program_of(step, (6, 16, 8), (6, 24, 8)).flops >= 2 * 6 * 16 * 24 * 8


def heaviest(program):
    return max(program.messages, key=lambda message: message.bytes * message.times)


def test_collectives_have_their_kind_their_bytes_and_their_group():
    both = PartitionSpec(("a", "b"))
    gathered = program_of(lambda x: x * 2, (64, 128), specs=[both], out=PartitionSpec())
    assert totals(gathered.messages) == {"all-gather": {"count": 1, "bytes": 7 / 8 * 64 * 128 * 4}}
    assert heaviest(gathered).group == tuple(range(8))

    # Rows along "b": a sum over the four devices of each group, which are neighbours in the program's order.
    summed = program_of(lambda x: x.sum(0), (64, 128), specs=[PartitionSpec("b")], out=PartitionSpec())
    assert totals(summed.messages) == {"all-reduce": {"count": 1, "bytes": 2 * 3 / 4 * 128 * 4}}
    assert heaviest(summed).group == (0, 1, 2, 3)
    across = program_of(lambda x: x.sum(0), (64, 128), specs=[PartitionSpec("a")], out=PartitionSpec())
    assert heaviest(across).group == (0, 4)


def test_what_each_kind_of_message_brings_a_device():
    axes = ("a", "b")

    def exchange(x):
        scattered = jax.lax.psum_scatter(x, axes, tiled=True)
        turned = jax.lax.all_to_all(x, "b", 0, 0, tiled=True)
        passed = jax.lax.ppermute(x, "b", [(at, (at + 1) % 4) for at in range(4)])
        return scattered, turned, passed

    spec = PartitionSpec(axes)
    found = program_of(
        jax.shard_map(exchange, in_specs=spec, out_specs=(spec, spec, spec), check_vma=False), (512, 16), specs=[spec]
    )
    own = 64 * 16 * 4  # bytes of a device's part
    assert {kind: total["bytes"] for kind, total in totals(found.messages).items()} == {
        "reduce-scatter": 7 / 8 * own,
        "all-to-all": 3 / 4 * own,
        "collective-permute": own,
    }


def test_traffic_of_a_slice_is_the_slice_not_the_stack():
    def step(x, w):
        return jax.lax.scan(lambda x, w: (x + w, None), x, w)[0]

    program = program_of(step, (256, 256), (50, 256, 256))
    once = 256 * 256 * 4
    # Each turn reads the sum and a slice, and writes the sum; copies into and out of the loop come on top.
    assert 50 * 3 * once <= program.bytes <= 58 * 3 * once


LOOP = """HloModule made_up

%body (p: (s32[], f32[4])) -> (s32[], f32[4]) {
  %p = (s32[]{:T(128)}, f32[4]{0:T(128)}) parameter(0)
  %i = s32[]{:T(128)} get-tuple-element(%p), index=0
  %x = f32[4]{0:T(128)} get-tuple-element(%p), index=1
  %two = s32[]{:T(128)} constant(2)
  %cp = (f32[4]{0}, f32[4]{0}, u32[]{:S(2)}, u32[]{:S(2)}) collective-permute-start(%x), PAIRS
  %y = f32[4]{0} collective-permute-done(%cp)
  %next = s32[]{:T(128)} add(%i, %two)
  ROOT %t = (s32[], f32[4]) tuple(%next, %y)
}

%condition (p: (s32[], f32[4])) -> pred[] {
  %p = (s32[]{:T(128)}, f32[4]{0:T(128)}) parameter(0)
  %i = s32[]{:T(128)} get-tuple-element(%p), index=0
  %end = s32[]{:T(128)} constant(7)
  ROOT %lt = pred[]{:T(1024)} compare(%i, %end), direction=LT
}

ENTRY %main (x: f32[4]) -> f32[4] {
  %x = f32[4]{0} parameter(0)
  %zero = s32[] constant(0)
  %start = (s32[], f32[4]) tuple(%zero, %x)
  %w = (s32[], f32[4]{0}) while(%start), condition=%condition, body=%body
  ROOT %out = f32[4]{0} get-tuple-element(%w), index=1
}
""".replace("PAIRS", "source_target_pairs={{0,1},{1,0}}")


def test_an_unrolled_loop_counts_by_more_than_one():
    """As XLA's TPU compiler writes loops: their length in the condition alone, their step in the body."""
    program = read_program(LOOP)
    assert totals(program.messages) == {"collective-permute": {"count": 4, "bytes": 4 * 16}}


def test_groups_are_read_in_every_form():
    forms = {
        "replica_groups={{0,2},{1,3}}": (0, 2),
        "replica_groups=[2,2]<=[4]": (0, 1),
        "replica_groups=[2,2]<=[2,2]T(1,0)": (0, 2),
        "replica_groups=mesh['a'=2,'b'=2] {'b'}": (0, 1),
        "replica_groups=mesh['a'=2,'b'=2] {'a'}": (0, 2),
        "replica_groups=mesh['a'=2,'b'=2], device_ids=([2,2]T(1,0)) {'a'}": (0, 1),
    }
    for form, group in forms.items():
        text = LOOP.replace("collective-permute-start", "all-to-all").replace("source_target_pairs={{0,1},{1,0}}", form)
        assert read_program(text).messages[0].group == group


@pytest.mark.parametrize(
    ("type_", "size"),
    [
        ("f32[3,4]{1,0:T(8,128)}", 48),
        ("bf16[3,4]{1,0:T(8,128)(2,1)}", 24),
        ("(f32[2]{0}, s8[5]{0}, pred[])", 14),
        ("bf16[8]{0:T(128)S(1)}", 0),  # in the chip's cache
        ("f8e4m3fn[16]{0}", 16),
        ("token[]", 0),
    ],
)
def test_bytes_of_types(type_, size):
    assert bytes_of(type_) == size


def test_every_line_of_a_program_is_read():
    text = (
        jax.jit(lambda x: jnp.sort(x @ x.T, axis=0).cumsum())
        .lower(jax.ShapeDtypeStruct((9, 7), F32))
        .compile()
        .as_text()
    )
    computations, entry = parse(text)
    assert sum(map(len, computations.values())) == sum(
        " = " in line for line in text.splitlines() if line.startswith("  ")
    )
    assert entry in computations
