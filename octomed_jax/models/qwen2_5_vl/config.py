"""The configuration of a Qwen2.5-VL, read from a Hugging Face ``config.json``.

Every field that shapes the numbers is read from the file. Where published files leave a field out, the value here is
the one transformers 4.57.1 gives to published files; it is named in ``FILE_DEFAULTS``, nowhere else.
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from octomed_jax.errors import UserError

# Left out of the hub's files; these are the values with which transformers reads those files.
FILE_DEFAULTS = {
    "vision.patch_size": 14,
    "vision.temporal_patch_size": 2,
    "vision.spatial_merge_size": 2,
    "vision.num_heads": 16,
    "vision.depth": 32,
    "vision.hidden_size": 3584,
    "vision.in_channels": 3,
    "vision.window_size": 112,
    "vision.fullatt_block_indexes": (7, 15, 23, 31),
    "vision.intermediate_size": 3420,
}


@dataclasses.dataclass(frozen=True)
class TextConfig:
    """The language model."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    rms_norm_eps: float
    rope_theta: float
    mrope_section: tuple[int, int, int]
    tie_word_embeddings: bool

    @property
    def head_dim(self) -> int:
        """Values of one attention head."""
        return self.hidden_size // self.num_attention_heads


@dataclasses.dataclass(frozen=True)
class VisionConfig:
    """The vision tower."""

    depth: int
    hidden_size: int
    intermediate_size: int
    num_heads: int
    out_hidden_size: int
    patch_size: int
    temporal_patch_size: int
    spatial_merge_size: int
    window_size: int
    fullatt_block_indexes: tuple[int, ...]
    in_channels: int = 3

    @property
    def head_dim(self) -> int:
        """Values of one attention head."""
        return self.hidden_size // self.num_heads

    @property
    def window_cells(self) -> int:
        """Merged cells on a side of a window."""
        return self.window_size // self.patch_size // self.spatial_merge_size

    @property
    def merge_unit(self) -> int:
        """Patches of a merged cell."""
        return self.spatial_merge_size**2

    @property
    def patch_values(self) -> int:
        """Values of one patch."""
        return self.in_channels * self.temporal_patch_size * self.patch_size**2


@dataclasses.dataclass(frozen=True)
class Qwen25VLConfig:
    """A whole model, with the ids that its inputs use."""

    text: TextConfig
    vision: VisionConfig
    image_token_id: int
    vision_start_token_id: int
    vision_end_token_id: int
    video_token_id: int
    eos_token_id: int
    pad_token_id: int

    def __post_init__(self) -> None:
        text, vision = self.text, self.vision
        _divides("hidden_size", text.hidden_size, "num_attention_heads", text.num_attention_heads)
        _divides("num_attention_heads", text.num_attention_heads, "num_key_value_heads", text.num_key_value_heads)
        _divides("vision hidden_size", vision.hidden_size, "num_heads", vision.num_heads)
        if vision.out_hidden_size != text.hidden_size:
            raise UserError(
                f"vision out_hidden_size {vision.out_hidden_size} is not the text hidden_size {text.hidden_size}"
            )
        if 2 * sum(text.mrope_section) != text.head_dim:
            raise UserError(f"mrope_section {text.mrope_section} does not add up to half of head_dim {text.head_dim}")
        if vision.head_dim % 4:
            raise UserError(f"vision head_dim {vision.head_dim} is no multiple of 4, which 2-D rotary positions need")
        wrong = [index for index in vision.fullatt_block_indexes if not 0 <= index < vision.depth]
        if wrong:
            raise UserError(f"fullatt_block_indexes {wrong} lie outside the {vision.depth} vision blocks")


def _divides(whole_name: str, whole: int, part_name: str, part: int) -> None:
    if whole % part:
        raise UserError(f"{whole_name} {whole} is not a multiple of {part_name} {part}")


def read_config(folder: str | Path) -> Qwen25VLConfig:
    """Read ``config.json`` of a Hugging Face folder.

    Raises:
        UserError: no such file, another architecture, or a missing field.
    """
    path = Path(folder) / "config.json"
    if not path.is_file():
        raise UserError(f"no config.json in {folder}; a model folder holds one")
    try:
        return parse_config(json.loads(path.read_text()))
    except KeyError as error:
        raise UserError(f"{path} lacks the field {error.args[0]!r}") from error
    except (ValueError, TypeError, AttributeError, ArithmeticError) as error:  # no JSON, or other types in it
        raise UserError(f"{path} is no config of Qwen2.5-VL ({error})") from error


def parse_config(fields: Mapping[str, Any]) -> Qwen25VLConfig:
    """Build the config from the fields of ``config.json``, in the old (flat) or the nested spelling.

    Raises:
        KeyError: a field is missing.
        UserError: another architecture.
    """
    if fields.get("model_type") != "qwen2_5_vl":
        raise UserError(f"model_type {fields.get('model_type')!r} is not supported; this is Qwen2.5-VL ('qwen2_5_vl')")
    text = {**fields, **fields.get("text_config", {})}
    rope = text.get("rope_scaling") or text["rope_parameters"]
    _refuse_what_is_not_done(text, fields["vision_config"], rope)
    theta = text.get("rope_theta", rope.get("rope_theta"))
    if theta is None:
        raise KeyError("rope_theta")
    tied = fields.get("tie_word_embeddings", text.get("tie_word_embeddings", False))
    text_config = TextConfig(
        vocab_size=text["vocab_size"],
        hidden_size=text["hidden_size"],
        intermediate_size=text["intermediate_size"],
        num_hidden_layers=text["num_hidden_layers"],
        num_attention_heads=text["num_attention_heads"],
        num_key_value_heads=text["num_key_value_heads"],
        rms_norm_eps=text["rms_norm_eps"],
        rope_theta=theta,
        mrope_section=tuple(rope["mrope_section"]),
        tie_word_embeddings=tied,
    )
    vision = fields["vision_config"]

    def vision_field(name: str, *older: str) -> Any:
        for spelling in (name, *older):
            if spelling in vision:
                return vision[spelling]
        return FILE_DEFAULTS[f"vision.{name}"]

    vision_config = VisionConfig(
        depth=vision_field("depth"),
        hidden_size=vision_field("hidden_size"),
        intermediate_size=vision_field("intermediate_size"),
        num_heads=vision_field("num_heads"),
        out_hidden_size=vision.get("out_hidden_size", text_config.hidden_size),
        patch_size=vision_field("patch_size", "spatial_patch_size"),
        temporal_patch_size=vision_field("temporal_patch_size"),
        spatial_merge_size=vision_field("spatial_merge_size"),
        window_size=vision_field("window_size"),
        fullatt_block_indexes=tuple(vision_field("fullatt_block_indexes")),
        in_channels=vision_field("in_channels", "in_chans"),
    )
    return Qwen25VLConfig(
        text=text_config,
        vision=vision_config,
        image_token_id=fields["image_token_id"],
        vision_start_token_id=fields["vision_start_token_id"],
        vision_end_token_id=fields["vision_end_token_id"],
        video_token_id=fields["video_token_id"],
        eos_token_id=text["eos_token_id"],
        pad_token_id=_pad_token_id(text),
    )


def _pad_token_id(text: Mapping[str, Any]) -> int:
    """Return the first id that the file gives; 0 is one too."""
    given = [text.get(name) for name in ("pad_token_id", "bos_token_id")]
    return next((number for number in given if number is not None), text["eos_token_id"])


def _refuse_what_is_not_done(text: Mapping[str, Any], vision: Mapping[str, Any], rope: Mapping[str, Any]) -> None:
    """Refuse fields that would change the numbers in a way that this model does not compute."""
    for where in (text, vision):
        if where.get("hidden_act", "silu") != "silu":
            raise UserError(f"hidden_act {where['hidden_act']!r} is not supported; Qwen2.5-VL has 'silu'")
    if text.get("use_sliding_window"):
        raise UserError("use_sliding_window true is not supported; the published Qwen2.5-VL have false")
    kinds = {rope[name] for name in ("type", "rope_type") if name in rope}
    if unknown := kinds - {"mrope", "default"}:
        raise UserError(f"rope type {sorted(unknown)[0]!r} is not supported; Qwen2.5-VL has 'mrope' (or 'default')")


def to_fields(config: Qwen25VLConfig, dtype: str) -> dict[str, Any]:
    """Return the fields of a ``config.json`` in the hub's flat layout, for a model that has no base folder."""
    text, vision = config.text, config.vision
    return {
        "architectures": ["Qwen2_5_VLForConditionalGeneration"],
        "model_type": "qwen2_5_vl",
        "attention_dropout": 0.0,
        "bos_token_id": config.pad_token_id,
        "eos_token_id": config.eos_token_id,
        "pad_token_id": config.pad_token_id,
        "vision_start_token_id": config.vision_start_token_id,
        "vision_end_token_id": config.vision_end_token_id,
        "vision_token_id": config.video_token_id,
        "image_token_id": config.image_token_id,
        "video_token_id": config.video_token_id,
        "hidden_act": "silu",
        "hidden_size": text.hidden_size,
        "initializer_range": 0.02,
        "intermediate_size": text.intermediate_size,
        "max_position_embeddings": 32768,
        "max_window_layers": text.num_hidden_layers,
        "num_attention_heads": text.num_attention_heads,
        "num_hidden_layers": text.num_hidden_layers,
        "num_key_value_heads": text.num_key_value_heads,
        "rms_norm_eps": text.rms_norm_eps,
        "rope_theta": text.rope_theta,
        "rope_scaling": {"type": "mrope", "mrope_section": list(text.mrope_section)},
        "sliding_window": 32768,
        "use_sliding_window": False,
        "tie_word_embeddings": text.tie_word_embeddings,
        "torch_dtype": dtype,
        "use_cache": True,
        "vocab_size": text.vocab_size,
        "vision_config": {
            "model_type": "qwen2_5_vl",
            "depth": vision.depth,
            "hidden_act": "silu",
            "hidden_size": vision.hidden_size,
            "intermediate_size": vision.intermediate_size,
            "num_heads": vision.num_heads,
            "in_chans": vision.in_channels,
            "in_channels": vision.in_channels,
            "out_hidden_size": vision.out_hidden_size,
            "patch_size": vision.patch_size,
            "spatial_merge_size": vision.spatial_merge_size,
            "spatial_patch_size": vision.patch_size,
            "temporal_patch_size": vision.temporal_patch_size,
            "window_size": vision.window_size,
            "fullatt_block_indexes": list(vision.fullatt_block_indexes),
            "tokens_per_second": 2,
        },
    }
