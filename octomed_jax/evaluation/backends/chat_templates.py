"""Does a folder's chat template open a conversation as training does? A server asks in the folder's own words."""

from pathlib import Path

from octomed_jax.errors import UserError
from octomed_jax.inputs.conversation import chat_template, encode_messages
from octomed_jax.inputs.template import encode_prompt
from octomed_jax.inputs.tokenizer import ChatTokenizer
from octomed_jax.teacher.requests import LIVENESS


def check_template(folder: Path, tokenizer: ChatTokenizer) -> None:
    """Check that our own generation, which asks in the words of training, asks in those of the model.

    Raises:
        UserError: the folder's template writes something else, such as a system line of its own.
    """
    if _by_template(folder, tokenizer) != encode_prompt(tokenizer, LIVENESS, []):
        raise UserError(
            f"the chat template of {folder} is not that of Qwen2.5-VL, in whose words eval.backend='jax' asks; the "
            "figures would be of another prompt: use --config.eval.backend=vllm"
        )


def added_tokens(folder: Path, tokenizer: ChatTokenizer) -> int:
    """Return how many more tokens the folder's template puts around a question than training does."""
    return max(0, len(_by_template(folder, tokenizer)) - len(encode_prompt(tokenizer, LIVENESS, [])))


def _by_template(folder: Path, tokenizer: ChatTokenizer) -> list[int]:
    return encode_messages(tokenizer, chat_template(folder), [{"role": "user", "content": LIVENESS}], [])
