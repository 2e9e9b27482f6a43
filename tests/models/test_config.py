"""The published sizes, the spellings of config.json, and what is refused."""

import copy
import json

import jax
import pytest
from transformers import Qwen2_5_VLConfig

from octomed_jax.errors import UserError
from octomed_jax.models.qwen2_5_vl.config import FILE_DEFAULTS, parse_config, read_config
from octomed_jax.models.qwen2_5_vl.model import split_model

# hidden, inner, layers, heads, kv heads, vocabulary, tied; the tower's inner width; parameters
SIZES = {
    "3B": (2048, 11008, 36, 16, 2, 151936, True, 3420, 3_754_622_976),
    "7B": (3584, 18944, 28, 28, 4, 152064, False, 3420, 8_292_166_656),
    "32B": (5120, 27648, 64, 40, 8, 152064, False, 3456, 33_452_718_336),
    "72B": (8192, 29568, 80, 64, 8, 152064, False, 3456, 73_410_777_344),
}


def published(size: str) -> dict:
    """Return config.json as the hub has it: flat, with the older names."""
    hidden, inner, layers, heads, kv_heads, vocabulary, tied, tower, _ = SIZES[size]
    return {
        "architectures": ["Qwen2_5_VLForConditionalGeneration"],
        "attention_dropout": 0.0,
        "bos_token_id": 151643,
        "eos_token_id": 151645,
        "vision_start_token_id": 151652,
        "vision_end_token_id": 151653,
        "vision_token_id": 151654,
        "image_token_id": 151655,
        "video_token_id": 151656,
        "hidden_act": "silu",
        "hidden_size": hidden,
        "initializer_range": 0.02,
        "intermediate_size": inner,
        "max_position_embeddings": 128000,
        "max_window_layers": layers,
        "model_type": "qwen2_5_vl",
        "num_attention_heads": heads,
        "num_hidden_layers": layers,
        "num_key_value_heads": kv_heads,
        "rms_norm_eps": 1e-06,
        "rope_theta": 1000000.0,
        "sliding_window": 32768,
        "tie_word_embeddings": tied,
        "torch_dtype": "bfloat16",
        "use_cache": True,
        "use_sliding_window": False,
        "vision_config": {
            "depth": 32,
            "hidden_act": "silu",
            "hidden_size": 1280,
            "intermediate_size": tower,
            "num_heads": 16,
            "in_chans": 3,
            "out_hidden_size": hidden,
            "patch_size": 14,
            "spatial_merge_size": 2,
            "spatial_patch_size": 14,
            "window_size": 112,
            "fullatt_block_indexes": [7, 15, 23, 31],
            "tokens_per_second": 2,
            "temporal_patch_size": 2,
        },
        "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]},
        "vocab_size": vocabulary,
    }


@pytest.mark.parametrize("size", SIZES)
def test_published_sizes_have_the_published_number_of_parameters(size):
    config = parse_config(published(size))
    _, abstract = split_model(config)
    assert sum(leaf.size for leaf in jax.tree.leaves(abstract)) == SIZES[size][-1]
    assert config.text.head_dim == 128
    assert config.vision.head_dim == 80
    assert (config.text.rms_norm_eps, config.text.rope_theta) == (1e-6, 1e6)
    assert config.text.tie_word_embeddings == (size == "3B")


@pytest.mark.parametrize("size", SIZES)
def test_the_spelling_of_transformers_5_means_the_same(size, tmp_path):
    flat = published(size)
    Qwen2_5_VLConfig(**copy.deepcopy(flat)).save_pretrained(tmp_path)
    nested = json.loads((tmp_path / "config.json").read_text())
    assert "rope_parameters" in nested["text_config"]
    assert "rope_scaling" not in nested
    assert read_config(tmp_path) == parse_config(flat)


def test_a_published_file_that_leaves_fields_out_means_what_transformers_makes_of_it():
    fields = published("7B")
    fields["vision_config"] = {"model_type": "qwen2_5_vl", "hidden_size": 1280, "in_chans": 3, "spatial_patch_size": 14}
    assert parse_config(fields) == parse_config(published("7B"))
    theirs = Qwen2_5_VLConfig(**fields).vision_config
    for name, value in FILE_DEFAULTS.items():
        if name != "vision.hidden_size":
            theirs_value = getattr(theirs, name.removeprefix("vision."))
            assert (tuple(theirs_value) if isinstance(theirs_value, list) else theirs_value) == value


def test_the_padding_token_may_be_number_0():
    assert parse_config(published("7B") | {"pad_token_id": 0}).pad_token_id == 0
    assert parse_config(published("7B") | {"pad_token_id": None}).pad_token_id == published("7B")["bos_token_id"]


@pytest.mark.parametrize("field", ["rms_norm_eps", "num_key_value_heads", "vocab_size", "image_token_id", "rope_theta"])
def test_a_missing_field_is_named_and_not_guessed(field, tmp_path):
    fields = published("7B")
    del fields[field]
    (tmp_path / "config.json").write_text(json.dumps(fields))
    with pytest.raises(UserError, match=f"lacks the field '{field}'"):
        read_config(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "qwen3_vl"}, "'qwen3_vl' is not supported"),
        ({"num_attention_heads": 27}, "not a multiple of num_attention_heads 27"),
        ({"rope_scaling": {"type": "mrope", "mrope_section": [8, 8, 8]}}, "does not add up to half of head_dim 128"),
        ({"use_sliding_window": True}, "use_sliding_window"),
        ({"hidden_act": "gelu"}, "hidden_act 'gelu'"),
        ({"rope_scaling": {"type": "yarn", "mrope_section": [16, 24, 24]}}, "'yarn'"),
    ],
)
def test_what_this_model_does_not_do_is_refused(change, message):
    with pytest.raises(UserError, match=message):
        parse_config(published("7B") | change)
