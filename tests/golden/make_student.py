"""Make the golden arrays of the student with transformers 4.57.1, the version that OctoMed-7B names.

pip install --target /tmp/t457 --no-deps transformers==4.57.1 'tokenizers<0.23' 'huggingface-hub<1.0'
PYTHONPATH=/tmp/t457:. .venv/bin/python tests/golden/make_student.py
"""

import numpy as np
import torch
import transformers
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from octomed_jax.hf.names import hub_tensors, modern_name
from octomed_jax.models.qwen2_5_vl.config import to_fields
from octomed_jax.models.qwen2_5_vl.model import split_model
from tests.models.golden import CASES, CONFIG, FILE, case, weights

KEPT = 6  # values of each gradient


def main() -> None:
    assert transformers.__version__ == "4.57.1"
    model = Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(**to_fields(CONFIG, "float32"))).eval()
    tensors = list(hub_tensors(CONFIG, split_model(CONFIG)[1]))
    state = {modern_name(t.name): torch.from_numpy(weights(t.name, t.shape)) for t in tensors}
    print(model.load_state_dict(state, strict=True))
    parameters = dict(model.named_parameters())
    arrays = {}
    for name in CASES:
        item = case(name)
        ids = torch.from_numpy(item.token_ids[None].astype(np.int64))
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        grids = None
        if item.images:
            grids = torch.tensor([(1, 2 * rows, 2 * columns) for rows, columns in (i.layout.grid for i in item.images)])
            pixels = torch.from_numpy(np.concatenate([image.patches for image in item.images]))
            inputs |= {"image_grid_thw": grids, "pixel_values": pixels}
            with torch.no_grad():
                arrays[f"{name}/vision_features"] = model.visual(pixels, grid_thw=grids).numpy()
            arrays[f"{name}/windows"] = np.array(model.visual.get_window_index(grids)[0], np.int32)
        arrays[f"{name}/positions"] = model.model.get_rope_index(ids, grids)[0][:, 0].numpy().astype(np.int32)
        model.zero_grad()
        logits = model(**inputs).logits[0]
        losses = torch.nn.functional.cross_entropy(logits[:-1], ids[0, 1:], reduction="none")
        loss = (losses * torch.from_numpy(item.loss_weights[1:])).sum()
        loss.backward()
        arrays[f"{name}/logits"] = logits[-12:].detach().numpy()
        arrays[f"{name}/loss"] = np.float32(loss.item())
        for tensor in tensors:
            gradient = parameters[modern_name(tensor.name)].grad
            if gradient is not None:
                flat = gradient.numpy().ravel()
                some = flat[:: max(1, flat.size // KEPT)][:KEPT]
                arrays[f"{name}/gradients/{tensor.name}"] = np.append(some, np.linalg.norm(flat)).astype(np.float32)
    np.savez_compressed(FILE, **arrays)
    print(f"{FILE}: {len(arrays)} arrays, {FILE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
