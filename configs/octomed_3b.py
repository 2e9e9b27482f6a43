"""Qwen2.5-VL-3B-Instruct with the paper's recipe (arXiv 2511.23269, which trained the 7B): a smaller student.

All that is not named here is as in ``octomed_7b.py``. Ours, because the paper has no 3B: that its learning rate and its
rows are taken over. ``student.base`` is what
``octomed import --model=Qwen/Qwen2.5-VL-3B-Instruct --output=models/qwen2_5_vl_3b`` writes.
"""

from ml_collections import ConfigDict

from configs.octomed_7b import get_config as octomed_7b_config


def get_config() -> ConfigDict:
    """Return the config of the smaller student."""
    config = octomed_7b_config().lock()
    config.name = "octomed_3b"
    config.run = "runs/octomed_3b"
    config.student.base = "models/qwen2_5_vl_3b"
    config.student.vocab_size = 151936
    config.student.text.update(
        {
            "hidden_size": 2048,
            "intermediate_size": 11008,
            "num_hidden_layers": 36,
            "num_attention_heads": 16,
            "num_key_value_heads": 2,
            "tie_word_embeddings": True,
        }
    )
    return config
