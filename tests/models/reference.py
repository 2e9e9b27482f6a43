"""transformers' model with random weights, and ours with the same. Needs torch (the parity extra)."""

import functools

import numpy as np
import pytest

from octomed_jax.hf.names import modern_name
from octomed_jax.inputs.examples import Example
from octomed_jax.models.qwen2_5_vl.config import Qwen25VLConfig, to_fields
from tests.models.student import tree_of_hub

torch = pytest.importorskip("torch", reason="the parity extra is not installed (make test PARITY=1)")


@functools.cache
def reference(config: Qwen25VLConfig):
    """Return transformers' model; biases and norms are random too, so that a forgotten one would show."""
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    torch.manual_seed(0)
    model = Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(**to_fields(config, "float32"))).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def our_parameters(config: Qwen25VLConfig, model) -> dict:
    """Return the weights of transformers' model as our tree."""
    tensors = {key: value.detach().float().numpy().copy() for key, value in model.state_dict().items()}
    return tree_of_hub(config, lambda hub: tensors[modern_name(hub)])


def inputs_of(example: Example, pad_left: int = 0, pad_right: int = 0, pad_id: int = 0) -> dict:
    """Return transformers' inputs for one example, padded on either side."""
    ids = np.concatenate([np.full(pad_left, pad_id), example.token_ids, np.full(pad_right, pad_id)]).astype(np.int64)
    real = np.concatenate([np.zeros(pad_left), np.ones(len(example.token_ids)), np.zeros(pad_right)]).astype(np.int64)
    inputs = {"input_ids": torch.from_numpy(ids[None]), "attention_mask": torch.from_numpy(real[None])}
    inputs["mm_token_type_ids"] = (inputs["input_ids"] == example.image_token_id).int()
    if example.images:
        grids = [(1, 2 * rows, 2 * columns) for rows, columns in (image.layout.grid for image in example.images)]
        inputs["image_grid_thw"] = torch.tensor(grids)
        inputs["pixel_values"] = torch.from_numpy(np.concatenate([image.patches for image in example.images]))
    return inputs


def loss_of(example: Example, logits):
    """Return the weighted sum of token losses, as ours."""
    weights = torch.from_numpy(example.loss_weights[1:])
    targets = torch.from_numpy(example.token_ids[1:].astype(np.int64))
    return (torch.nn.functional.cross_entropy(logits[:-1], targets, reduction="none") * weights).sum()
