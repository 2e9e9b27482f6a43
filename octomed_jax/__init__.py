"""octomed_jax: the OctoMed medical reasoning data recipe (arXiv 2511.23269) in JAX.

model = octomed_jax.load("runs/demo/export")
model.score([[{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]])
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from octomed_jax.hf.chat import ChatModel

__version__ = "0.1.0"


def load(folder: str, dtype: str = "float32", **options: Any) -> "ChatModel":
    """Load a Hugging Face folder of Qwen2.5-VL for conversations; see ``octomed_jax.hf.chat.ChatModel``."""
    from octomed_jax.hf.chat import ChatModel  # so that the data stages do not import JAX

    return ChatModel(folder, dtype, **options)
