"""A student folder without weights: everything a Hugging Face folder holds besides them.

A run from random weights starts from such a folder; a run from a published checkpoint starts from the checkpoint's own.
"""

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict
from tokenizers import Tokenizer

from octomed_jax.errors import UserError
from octomed_jax.hf.base import base_folder, copy_base, side_folder
from octomed_jax.images.patches import IMAGE_MEAN, IMAGE_STD
from octomed_jax.inputs.template import CHAT_TEMPLATE
from octomed_jax.inputs.tokenizer import SPECIAL_TOKENS, chat_tokenizer, train_tokenizer
from octomed_jax.models.qwen2_5_vl.config import Qwen25VLConfig, TextConfig, VisionConfig, read_config, to_fields


def write_student(folder: Path, config: ConfigDict, texts: Iterable[str], pixels: ConfigDict) -> Qwen25VLConfig:
    """Write a student folder for ``config`` (the config's ``student``) with a vocabulary trained on ``texts``.

    Args:
        folder: made if missing.
        config: sizes of text and vision tower, ``vocab_size``.
        texts: what the vocabulary is trained on.
        pixels: ``min_pixels`` and ``max_pixels``.
    """
    if config.base:
        return write_student_with(folder, config, None, pixels)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = folder / "tokenizer.json"
    train_tokenizer(texts, config.vocab_size).save(str(tokenizer))
    return write_student_with(folder, config, tokenizer, pixels)


def write_student_with(folder: Path, config: ConfigDict, tokenizer: Path | None, pixels: ConfigDict) -> Qwen25VLConfig:
    """Write a student folder whose vocabulary is there already.

    Args:
        folder, config, pixels: as ``write_student``.
        tokenizer: ``tokenizer.json`` of a student of its own; one with a base takes the base's.
    """
    if config.base:
        copy_base(side_folder(base_folder(config)), folder)
        _limit_pixels(folder / "preprocessor_config.json", pixels)
        return read_config(folder)
    assert tokenizer
    folder.mkdir(parents=True, exist_ok=True)
    if tokenizer != folder / "tokenizer.json":
        shutil.copyfile(tokenizer, folder / "tokenizer.json")
    model_config = _model_config(config, Tokenizer.from_file(str(tokenizer)))
    files: dict[str, Any] = {
        "config.json": to_fields(model_config, "float32"),
        "tokenizer_config.json": _tokenizer_fields(),
        "preprocessor_config.json": processor_fields(model_config, pixels),
        "generation_config.json": {
            "bos_token_id": model_config.pad_token_id,
            "pad_token_id": model_config.pad_token_id,
            "eos_token_id": [model_config.eos_token_id, model_config.pad_token_id],
            "do_sample": True,
            "temperature": 0.6,
            "top_p": 0.95,
        },
        "chat_template.json": {"chat_template": CHAT_TEMPLATE},
    }
    for name, fields in files.items():
        (folder / name).write_text(json.dumps(fields, indent=2, ensure_ascii=False) + "\n")
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE)
    return model_config


def _limit_pixels(path: Path, pixels: ConfigDict) -> None:
    """Set the pixel limits of a copied processor config, in the spelling it uses; the rest stays."""
    if not path.is_file():
        raise UserError(f"no {path.name} in the folder of student.base; download it with the model")
    fields = json.loads(path.read_text())
    if "size" in fields and "shortest_edge" in (fields["size"] or {}):
        fields["size"] |= {"shortest_edge": pixels.min_pixels, "longest_edge": pixels.max_pixels}
    if "max_pixels" in fields or "size" not in fields:
        fields |= {"min_pixels": pixels.min_pixels, "max_pixels": pixels.max_pixels}
    path.write_text(json.dumps(fields, indent=2, ensure_ascii=False) + "\n")


def planned_config(config: ConfigDict) -> Qwen25VLConfig:
    """Return the architecture whose sizes the config's ``student`` names; its vocabulary is not there yet."""
    special = range(config.vocab_size - len(SPECIAL_TOKENS), config.vocab_size)
    return _sized_config(config, config.vocab_size, dict(zip(SPECIAL_TOKENS, special, strict=True)))


def _model_config(config: ConfigDict, tokenizer: Tokenizer) -> Qwen25VLConfig:
    ids = chat_tokenizer(Tokenizer.from_str(tokenizer.to_str())).ids
    return _sized_config(config, tokenizer.get_vocab_size(), ids)


def _sized_config(config: ConfigDict, vocab_size: int, ids: Mapping[str, int]) -> Qwen25VLConfig:
    text = {name: config.text[name] for name in config.text}
    vision = {name: config.vision[name] for name in config.vision}
    text["mrope_section"] = tuple(text["mrope_section"])
    vision["fullatt_block_indexes"] = tuple(vision["fullatt_block_indexes"])
    return Qwen25VLConfig(
        text=TextConfig(vocab_size=vocab_size, **text),
        vision=VisionConfig(
            out_hidden_size=config.text.hidden_size,
            patch_size=14,
            temporal_patch_size=2,
            spatial_merge_size=2,
            **vision,
        ),
        image_token_id=ids["<|image_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        video_token_id=ids["<|video_pad|>"],
        eos_token_id=ids["<|im_end|>"],
        pad_token_id=ids["<|endoftext|>"],
    )


def _tokenizer_fields() -> dict[str, Any]:
    return {
        "tokenizer_class": "Qwen2Tokenizer",
        "add_prefix_space": False,
        "add_bos_token": False,
        "bos_token": None,
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "unk_token": None,
        "additional_special_tokens": list(SPECIAL_TOKENS[1:]),
        "clean_up_tokenization_spaces": False,
        "errors": "replace",
        "model_max_length": 32768,
        "split_special_tokens": False,
        "chat_template": CHAT_TEMPLATE,
    }


def processor_fields(config: Qwen25VLConfig, pixels: ConfigDict) -> dict[str, Any]:
    return {
        "image_processor_type": "Qwen2VLImageProcessor",
        "processor_class": "Qwen2_5_VLProcessor",
        "min_pixels": pixels.min_pixels,
        "max_pixels": pixels.max_pixels,
        "patch_size": config.vision.patch_size,
        "temporal_patch_size": config.vision.temporal_patch_size,
        "merge_size": config.vision.spatial_merge_size,
        "image_mean": [round(float(value), 8) for value in IMAGE_MEAN],
        "image_std": [round(float(value), 8) for value in IMAGE_STD],
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "resample": 3,
        "rescale_factor": 1 / 255,
    }
