"""The count of operations against the program itself: every matrix product of the traced step, loops unrolled."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from octomed_jax.inputs.rows import Bucket, assemble
from octomed_jax.models.lora import LoRA
from octomed_jax.models.qwen2_5_vl.flops import Work, training_flops, work_of
from octomed_jax.models.qwen2_5_vl.model import split_model
from octomed_jax.models.trained import Trained, joined
from tests.models.student import SPEC, example, small_config

WITH_IMAGE = example("Which plane is this?", [(224, 112)], "axial")  # eight by four cells: two whole windows
TEXT_ONLY = example("no image here, text alone", [], "coronal")
LORA = LoRA(4, 8.0, ("q", "v", "gate", "down"))
CASES = {
    "all": Trained(),
    "text": Trained(("text",)),
    "vision": Trained(("vision",)),
    "merger": Trained(("merger",)),
    "vision and merger": Trained(("vision", "merger")),
    "lora": Trained((), LORA),
    "lora and merger": Trained(("merger",), LORA),
}


def products(jaxpr) -> int:
    """Return the operations of all matrix products of a traced program, loops counted as often as they run."""
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            (contracted, _), (batched, _) = equation.params["dimension_numbers"]
            left, right = [variable.aval.shape for variable in equation.invars]
            inner = np.prod([left[axis] for axis in contracted], dtype=np.int64)
            shared = np.prod([left[axis] for axis in batched], dtype=np.int64)
            rows, columns = [int(np.prod(shape, dtype=np.int64) // inner // shared) for shape in (left, right)]
            # A product with a vector is a sum of a norm's gradient: the count leaves norms out.
            total += 2 * int(inner * shared) * rows * columns if min(rows, columns) > 1 else 0
        times = equation.params.get("length", 1) if equation.primitive.name == "scan" else 1
        for value in equation.params.values():
            for inner_jaxpr in value if isinstance(value, (tuple, list)) else (value,):
                body = getattr(inner_jaxpr, "jaxpr", inner_jaxpr)
                if hasattr(body, "eqns"):
                    total += times * products(body)
    return total


@pytest.mark.parametrize(
    ("name", "item"),
    [*((name, WITH_IMAGE) for name in CASES), *((name, TEXT_ONLY) for name in ("all", "text", "lora"))],
)
def test_the_count_is_that_of_the_program(name, item):
    trained, model = CASES[name], small_config()
    # A row that its one example fills; the plain back end computes both halves of causal attention, we count one.
    bucket = Bucket("row", len(item.token_ids), item.cells)
    rows = jax.tree.map(jnp.asarray, assemble([[item]], 1, bucket, SPEC))
    graph, abstract = split_model(model, trained.lora)
    learned, frozen = trained.split(abstract)
    gradient = jax.value_and_grad(lambda part, rest: nnx.merge(graph, joined(part, rest)).loss_sum(rows))
    counted = products(jax.make_jaxpr(gradient)(learned, frozen).jaxpr)
    work = work_of(model.vision, [(len(item.token_ids), [image.layout.grid for image in item.images])])
    both_halves = Work(work.tokens, 2 * work.token_pairs, work.patches, work.window_pairs, work.frame_pairs)
    assert counted == training_flops(model, both_halves, trained).total


def test_work_counts_edge_windows_and_each_image_apart():
    vision = small_config().vision
    work = work_of(vision, [(100, [(5, 4), (1, 1)]), (50, [])])
    assert work == Work(150, 100**2 / 2 + 50**2 / 2, 84, 64**2 + 16**2 + 4**2, 80**2 + 4**2)
