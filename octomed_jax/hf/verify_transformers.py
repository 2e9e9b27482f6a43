"""The level ``transformers``: its logits on prompts of every kind are ours."""

import gc
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from PIL import Image

from octomed_jax.errors import StopAndLook
from octomed_jax.hf.source import load_parameters
from octomed_jax.inputs.examples import Example, image_patches
from octomed_jax.inputs.positions import mrope_positions
from octomed_jax.inputs.render import example_builder, read_patch_spec
from octomed_jax.inputs.rows import Bucket, assemble
from octomed_jax.inputs.template import encode_chat
from octomed_jax.models.compute import Compute
from octomed_jax.models.mesh import one_device
from octomed_jax.models.qwen2_5_vl.model import split_model

# (least tokens, images as height and width): long prompts, because short ones do not show mistakes of rotary positions
PROMPTS = ((20, ()), (500, ()), (20, ((140, 196),)), (500, ((140, 196), (112, 420))))
BOUND = 1e-4  # of a logit; in float32 of the largest logit, where that is above 1


def verify_transformers(folder: Path, dtype: str) -> dict[str, Any]:
    """Load a folder with transformers and compare logits, one side after the other.

    Args:
        folder: a Hugging Face folder.
        dtype: of both computations, ``float64`` or ``float32``.

    Returns:
        transformers' version, the largest difference of a logit, the share of places with the same best token, the
        largest divergence of two distributions (nats), and how many prompts of how many tokens.

    Raises:
        StopAndLook: missing or unexpected keys, or logits that differ.
    """
    import transformers

    examples = [probe_example(folder, tokens, sizes) for tokens, sizes in PROMPTS]
    theirs = _their_logits(folder, examples, dtype)
    gc.collect()
    ours = our_logits(folder, examples, dtype)
    pairs = list(zip(ours, theirs, strict=True))
    difference = max(float(np.abs(one - other).max()) for one, other in pairs)
    scale = max(1.0, max(float(np.abs(other).max()) for other in theirs)) if dtype == "float32" else 1.0
    if not difference <= BOUND * scale:
        raise StopAndLook(f"logits differ from transformers by {difference:.2e} (bound {BOUND * scale:.0e})")
    return {
        "transformers": transformers.__version__,
        "dtype": dtype,
        "max_logit_diff": difference,
        "same_best_token": float(np.mean(np.concatenate([one.argmax(-1) == other.argmax(-1) for one, other in pairs]))),
        "max_divergence": max(_divergence(one, other) for one, other in pairs),
        "prompts": len(examples),
        "prompt_tokens": max(len(example.token_ids) for example in examples),
    }


def _their_logits(folder: Path, examples: list[Example], dtype: str) -> list[np.ndarray]:
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()
    model, loading = transformers.Qwen2_5_VLForConditionalGeneration.from_pretrained(
        folder, dtype=getattr(torch, dtype), output_loading_info=True, local_files_only=True
    )
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if loading[kind]:
            raise StopAndLook(f"transformers finds {kind.replace('_', ' ')} in {folder}: {sorted(loading[kind])[:3]}")
    merge = read_patch_spec(folder).merge_size
    logits = []
    for example in examples:
        ids = torch.from_numpy(example.token_ids[None].astype(np.int64))
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        if example.images:
            grids = [image.layout.grid for image in example.images]
            patches = np.concatenate([image.patches for image in example.images])
            inputs["pixel_values"] = torch.from_numpy(patches).to(getattr(torch, dtype))
            inputs["image_grid_thw"] = torch.tensor([(1, rows * merge, columns * merge) for rows, columns in grids])
            if int(transformers.__version__.split(".")[0]) >= 5:
                inputs["mm_token_type_ids"] = (ids == example.image_token_id).int()
        with torch.no_grad():
            logits.append(model.eval()(**inputs).logits[0].numpy())
    return logits


def probe_example(folder: Path, least: int, sizes: tuple[tuple[int, int], ...]) -> Example:
    """Return a prompt of at least so many tokens with images of these sizes, the same for every folder."""
    builder = example_builder(folder, "boxed")
    rng = np.random.default_rng(0)
    images = tuple(
        image_patches(Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)), builder.spec) for size in sizes
    )
    grids = [image.layout.grid for image in images]
    cells = [rows * columns for rows, columns in grids]
    text, words = "", 0
    while len((chat := encode_chat(builder.tokenizer, text, cells)).token_ids) < least + sum(cells):
        words += 20
        text = " ".join(f"finding {number} of the study" for number in range(words))
    image_token_id = builder.tokenizer.ids["<|image_pad|>"]
    positions = mrope_positions(chat.token_ids, image_token_id, grids)
    return Example(chat.token_ids, chat.loss_weights, positions, images, image_token_id)


def our_logits(folder: Path, examples: list[Example], dtype: str) -> list[np.ndarray]:
    """Return this project's logits of examples, computed on the host in ``dtype``, as rows of one batch. [L, V] each"""
    spec = read_patch_spec(folder)
    cells = max(example.cells for example in examples)
    bucket = Bucket(
        "probe", max(len(one.token_ids) for one in examples), -(-cells // spec.slot_cells) * spec.slot_cells
    )
    batch = assemble([[example] for example in examples], len(examples), bucket, spec)
    with jax.enable_x64(True), jax.default_matmul_precision("highest"):
        config, parameters = load_parameters(folder, one_device("cpu"), np.dtype(dtype))
        graph, _ = split_model(config)
        compute = Compute(dtype=jnp.dtype(dtype))
        compiled = jax.jit(lambda tree, rows: nnx.merge(graph, tree).logits(rows, compute))
        logits_BLV = np.asarray(compiled(parameters, batch))
    return [logits_BLV[row, : len(example.token_ids)] for row, example in enumerate(examples)]


def _divergence(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Return the largest Kullback-Leibler divergence of two distributions at one place, in nats."""
    one, other = [part.astype(np.float64) for part in (ours, theirs)]
    one, other = [part - np.logaddexp.reduce(part, axis=-1, keepdims=True) for part in (one, other)]
    return float((np.exp(other) * (other - one)).sum(axis=-1).max())
