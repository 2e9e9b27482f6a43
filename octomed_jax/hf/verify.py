"""Checks of an exported folder: is it what was meant, and does transformers read the same model out of it?"""

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from PIL import Image

from octomed_jax.errors import StopAndLook
from octomed_jax.hf.load import load_parameters, tensor_files
from octomed_jax.inputs.examples import Example, image_patches
from octomed_jax.inputs.positions import mrope_positions
from octomed_jax.inputs.render import example_builder, read_patch_spec
from octomed_jax.inputs.rows import Bucket, assemble
from octomed_jax.inputs.template import encode_chat
from octomed_jax.models.compute import Compute
from octomed_jax.models.qwen2_5_vl.model import split_model
from octomed_jax.models.trees import flatten_names

PROMPT_TOKENS = 500  # short prompts do not show mistakes of rotary positions


def verify_structure(folder: Path, parameters: Mapping[str, Any], dtype: np.dtype) -> dict[str, Any]:
    """Read the folder back and compare every parameter, rounded to the folder's dtype, bit for bit.

    Raises:
        StopAndLook: something differs.
    """
    _, restored = load_parameters(folder)
    ours, back = flatten_names(parameters), flatten_names(restored)
    wrong = [name for name in ours if not np.array_equal(np.asarray(ours[name]).astype(dtype), back[name])]
    if wrong:
        raise StopAndLook(f"read back from {folder}, {wrong[0]} differs ({len(wrong)} parameters in all)")
    return {"tensors": len(tensor_files(folder))}


def verify_transformers(folder: Path) -> dict[str, Any] | None:
    """Load the folder with transformers and compare logits on a long prompt with two images.

    Returns:
        transformers' version, the largest difference of a logit and the prompt's length; None without torch.

    Raises:
        StopAndLook: transformers finds missing or unexpected keys.
    """
    if importlib.util.find_spec("torch") is None:
        return None
    import torch
    import transformers

    # Both in float64: the rounding of float32, as large as the bound of 1e-4 on a trained student, hides a mistake.
    model, loading = transformers.Qwen2_5_VLForConditionalGeneration.from_pretrained(
        folder, dtype=torch.float64, output_loading_info=True, local_files_only=True
    )
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if loading[kind]:
            raise StopAndLook(f"transformers finds {kind.replace('_', ' ')} in {folder}: {sorted(loading[kind])[:3]}")
    example = probe_example(folder)
    ids = torch.from_numpy(example.token_ids[None].astype(np.int64))
    merge = read_patch_spec(folder).merge_size
    grids = [(1, rows * merge, columns * merge) for rows, columns in (image.layout.grid for image in example.images)]
    extra = {}
    if "mm_token_type_ids" in model.forward.__code__.co_varnames or transformers.__version__ >= "5":
        extra["mm_token_type_ids"] = (ids == example.image_token_id).int()
    with torch.no_grad():
        theirs = (
            model.eval()(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                pixel_values=torch.from_numpy(np.concatenate([image.patches for image in example.images])).double(),
                image_grid_thw=torch.tensor(grids),
                **extra,
            )
            .logits[0]
            .numpy()
        )
    ours = our_logits(folder, example)
    return {
        "transformers": transformers.__version__,
        "max_logit_diff": float(np.abs(theirs - ours).max()),
        "prompt_tokens": len(example.token_ids),
    }


def probe_example(folder: Path) -> Example:
    """Return a prompt of at least 500 tokens with two images of different sizes, the same for every folder."""
    builder = example_builder(folder, "boxed")
    rng = np.random.default_rng(0)
    images = []
    for height, width in ((140, 196), (112, 84)):
        pixels = rng.integers(0, 256, (height, width, 3), np.uint8)
        images.append(image_patches(Image.fromarray(pixels), builder.spec))
    grids = [image.layout.grid for image in images]
    cells = [rows * columns for rows, columns in grids]
    text, words = "", 0
    while True:
        chat = encode_chat(builder.tokenizer, text, cells)
        if len(chat.token_ids) >= PROMPT_TOKENS:
            break
        words += 20
        text = " ".join(f"finding {number} of the study" for number in range(words))
    image_token_id = builder.tokenizer.ids["<|image_pad|>"]
    positions = mrope_positions(chat.token_ids, image_token_id, grids)
    return Example(chat.token_ids, chat.loss_weights, positions, tuple(images), image_token_id)


def our_logits(folder: Path, example: Example) -> np.ndarray:
    """Return this project's logits of one example, computed in float64. [L, V]"""
    config, parameters = load_parameters(folder)
    graph, _ = split_model(config)
    builder = example_builder(folder, "boxed")
    slot_cells = builder.spec.slot_cells
    bucket = Bucket("probe", len(example.token_ids), -(-example.cells // slot_cells) * slot_cells)
    batch = assemble([[example]], 1, bucket, builder.spec)
    with jax.enable_x64(True), jax.default_matmul_precision("highest"):
        compute = Compute(dtype=jnp.float64)
        compiled = jax.jit(lambda tree, rows: nnx.merge(graph, tree).logits(rows, compute))
        return np.asarray(compiled(parameters, batch)[0])
