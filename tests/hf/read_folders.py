"""Read exported folders with whatever transformers this Python has, for test_versions.py; our package is not needed.

    python read_folders.py CASES

Each folder of CASES holds a model in ``model`` and perhaps ``inputs.npz`` (of several prompts: ``NAME/input``). Beside
them come ``loaded.json``, what transformers made of the files, and ``logits.npz``, by prompt.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
import transformers


def main(cases: Path) -> None:
    for case in sorted(cases.iterdir()):
        model, loading = transformers.Qwen2_5_VLForConditionalGeneration.from_pretrained(
            case / "model", dtype="auto", output_loading_info=True, local_files_only=True
        )
        (case / "loaded.json").write_text(json.dumps(loaded(model, loading)))
        if (case / "inputs.npz").is_file():
            with np.load(case / "inputs.npz") as arrays:
                prompts = {name.split("/")[0] for name in arrays}
                np.savez(case / "logits.npz", **{prompt: logits(model, arrays, prompt) for prompt in prompts})


def loaded(model: torch.nn.Module, loading: dict) -> dict:
    """Return the version, the keys that did not fit, and the fields that shape the numbers."""
    text = model.config.get_text_config()
    # transformers 5 keeps the base among the rope's parameters, 4 beside them.
    rope = getattr(text, "rope_parameters", None) or text.rope_scaling | {"rope_theta": text.rope_theta}
    return {
        "transformers": transformers.__version__,
        "keys": {kind: sorted(map(str, loading[f"{kind}_keys"])) for kind in ("missing", "unexpected", "mismatched")},
        "tie_word_embeddings": model.config.tie_word_embeddings,
        "one_matrix": model.get_output_embeddings().weight is model.get_input_embeddings().weight,
        "rope_theta": rope["rope_theta"],
        "mrope_section": rope["mrope_section"],
        "rms_norm_eps": text.rms_norm_eps,
        "dtypes": sorted({str(parameter.dtype) for parameter in model.parameters()}),
    }


def logits(model: torch.nn.Module, arrays: np.lib.npyio.NpzFile, prompt: str) -> np.ndarray:
    """Return the logits of a prompt. [L, V]"""
    inputs = {name.split("/")[1]: torch.from_numpy(arrays[name]) for name in arrays if name.startswith(f"{prompt}/")}
    if int(transformers.__version__.split(".")[0]) >= 5:  # positions come from these; 4 finds them by itself
        inputs["mm_token_type_ids"] = (inputs["input_ids"] == model.config.image_token_id).int()
    with torch.no_grad():
        return model.eval()(**inputs).logits[0].numpy()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
