"""A model of random weights that writes capital letters and does not stop.

Its tokenizer has learnt no pairs of these: its text is cut into the tokens that it wrote, by whoever reads it.
"""

import jax
import numpy as np

from octomed_jax.inputs.tokenizer import load_tokenizer
from octomed_jax.models.qwen2_5_vl.model import initial_parameters
from tests.hf.folders import make_student, publish


def write_model(folder):
    """Write a Hugging Face folder, and return it. Its heads are of 32: vLLM refuses smaller ones on a CPU."""
    config = make_student(folder / "side")
    tokenizer = load_tokenizer(folder / "side").tokenizer
    texts = [tokenizer.decode([number]) for number in range(config.text.vocab_size)]
    plain = np.array([text in "BCDEFGHIJKLMNOPQRSTUVXYZ" and bool(text) for text in texts])
    rng, tree = np.random.default_rng(0), initial_parameters(config, 0)
    tree = jax.tree.map(lambda leaf: leaf + 0.4 * rng.normal(size=leaf.shape).astype(np.float32), tree)
    tree["text"]["embedding"] = tree["text"]["embedding"] * np.where(plain, 1.0, 1e-3)[:, None].astype(np.float32)
    return publish(folder / "model", (folder / "side", config), tree, dtype="float32")
