"""The widths of the 7B student, two layers of each tower, against transformers in float32 and bfloat16."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from octomed_jax.inputs.rows import Bucket, assemble
from octomed_jax.models.compute import Compute
from octomed_jax.models.qwen2_5_vl.config import Qwen25VLConfig, TextConfig, VisionConfig
from octomed_jax.models.qwen2_5_vl.model import split_model
from tests.models.student import SPEC, config, example

pytestmark = pytest.mark.integration


def real_width() -> Qwen25VLConfig:
    """7B's widths, heads and windows; two layers, two blocks, and a vocabulary that fits the memory of a test."""
    tiny = config()
    return Qwen25VLConfig(
        text=TextConfig(4096, 3584, 18944, 2, 28, 4, 1e-6, 1e6, (16, 24, 24), False),
        vision=VisionConfig(2, 1280, 3420, 16, 3584, 14, 2, 2, 112, (1,)),
        image_token_id=tiny.image_token_id,
        vision_start_token_id=tiny.vision_start_token_id,
        vision_end_token_id=tiny.vision_end_token_id,
        video_token_id=tiny.video_token_id,
        eos_token_id=tiny.eos_token_id,
        pad_token_id=tiny.pad_token_id,
    )


def test_one_forward_in_float32_and_bfloat16():
    from tests.models.reference import inputs_of, our_parameters, reference, torch

    wide = real_width()
    item = example("Which plane is this slice?", [(224, 168), (84, 308)], "axial")
    model = reference(wide)
    parameters = our_parameters(wide, model)
    inputs = inputs_of(item)
    with torch.no_grad():
        exact = model(**inputs).logits[0].numpy()
        model.to(torch.bfloat16)
        if "pixel_values" in inputs:
            inputs["pixel_values"] = inputs["pixel_values"].to(torch.bfloat16)
        their_rough = model(**inputs).logits[0].float().numpy()
    reference.cache_clear()

    graph, _ = split_model(wide)
    length = len(item.token_ids)
    rows = assemble([[item]], 1, Bucket("image", 256, 160), SPEC)

    def logits(dtype):
        compute = Compute(dtype=dtype)
        compiled = jax.jit(lambda tree, batch: nnx.merge(graph, tree).logits(batch, compute))
        return np.asarray(compiled(parameters, rows)[0, :length])

    scale = np.abs(exact).max()
    np.testing.assert_allclose(logits(jnp.float32), exact, atol=2e-5 * scale)
    ours, theirs = [np.abs(rough - exact).mean() for rough in (logits(jnp.bfloat16), their_rough)]
    assert 0 < ours < 1.25 * theirs  # no rounder than the reference is
