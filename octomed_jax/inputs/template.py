"""The chat template of Qwen2.5-VL as token ids, with the loss mask of the response.

Text between special tokens is encoded piece by piece, as the reference does with the rendered string, so a special
token that a user typed stays text. The response is encoded apart from the ``assistant`` header before it: that is how
generation meets it.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, Int32

from octomed_jax.inputs.tokenizer import ChatTokenizer

SYSTEM_LINE = "You are a helpful assistant."  # what the published template adds when no system turn is given

# The published template of Qwen2.5-VL without its video branch, for folders that we write (ours refuse video).
CHAT_TEMPLATE = (
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}"
    "<|im_start|>system\n" + SYSTEM_LINE + "<|im_end|>\n{% endif %}"
    "<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}<|im_end|>\n"
    "{% else %}{% for content in message['content'] %}"
    "{% if content['type'] == 'image' or 'image' in content or 'image_url' in content %}"
    "<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif 'text' in content %}{{ content['text'] }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@dataclasses.dataclass(frozen=True)
class Chat:
    """Token ids of one conversation; ``loss_weights`` is 1 on the response and its ``<|im_end|>``."""

    token_ids: Int32[np.ndarray, "L"]
    loss_weights: Float32[np.ndarray, "L"]


def encode_chat(tokenizer: ChatTokenizer, text: str, image_cells: Sequence[int], response: str | None = None) -> Chat:
    """Encode a user turn (images first, then text) and the response.

    Args:
        tokenizer: the student's.
        text: the user's text.
        image_cells: merged cells (tokens) of each image.
        response: the target; None for a prompt to generate from.
    """
    prompt = encode_prompt(tokenizer, text, image_cells)
    if response is None:
        return Chat(np.asarray(prompt, np.int32), np.zeros(len(prompt), np.float32))
    target = [*tokenizer.encode(response), tokenizer.ids["<|im_end|>"]]
    ids = np.asarray(prompt + target, np.int32)
    weights = np.zeros(len(ids), np.float32)
    weights[len(prompt) :] = 1.0
    return Chat(ids, weights)


def encode_prompt(tokenizer: ChatTokenizer, text: str, image_cells: Sequence[int]) -> list[int]:
    """Return the ids up to and including ``<|im_start|>assistant\\n``."""
    start, end = tokenizer.ids["<|im_start|>"], tokenizer.ids["<|im_end|>"]
    ids = [start, *tokenizer.encode(f"system\n{SYSTEM_LINE}"), end, *tokenizer.encode("\n")]
    ids += [start]
    if image_cells:
        ids += tokenizer.encode("user\n")
        for cells in image_cells:
            ids.append(tokenizer.ids["<|vision_start|>"])
            ids += [tokenizer.ids["<|image_pad|>"]] * cells
            ids.append(tokenizer.ids["<|vision_end|>"])
        ids += tokenizer.encode(text)
    else:
        ids += tokenizer.encode(f"user\n{text}")
    return [*ids, end, *tokenizer.encode("\n"), start, *tokenizer.encode("assistant\n")]
