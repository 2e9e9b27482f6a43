"""A student folder reads back as what was meant, and transformers accepts its files."""

import json

import pytest

from configs.demo import get_config
from octomed_jax.errors import UserError
from octomed_jax.hf.base import student_identity
from octomed_jax.hf.student import write_student
from octomed_jax.inputs.render import example_builder, read_patch_spec, render_key
from octomed_jax.inputs.tokenizer import load_tokenizer
from octomed_jax.models.qwen2_5_vl.config import parse_config, read_config, to_fields
from tests.tiny import tiny_config

TEXTS = ["Which plane is this? axial coronal sagittal", "<think>Asked: plane.</think>\n\n\\boxed{axial}"] * 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    config = tiny_config()
    path = tmp_path_factory.mktemp("student")
    write_student(path, config.student, TEXTS, config.shard)
    return path


def test_config_round_trip(folder):
    config = read_config(folder)
    assert parse_config(to_fields(config, "float32")) == config
    assert config.text.vocab_size == load_tokenizer(folder).tokenizer.get_vocab_size()
    spec = read_patch_spec(folder)
    assert (spec.window_cells, spec.slot_patches, spec.max_pixels) == (2, 16, 12544)


def test_transformers_reads_the_config_and_the_tokenizer(folder):
    from transformers import AutoConfig, AutoTokenizer

    theirs = AutoConfig.from_pretrained(folder)
    assert theirs.vision_config.window_size == 56
    assert theirs.vision_config.fullatt_block_indexes == list(read_config(folder).vision.fullatt_block_indexes)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    text = "Which plane? \\boxed{axial}"
    assert tokenizer(text)["input_ids"] == load_tokenizer(folder).encode(text)
    ids = tokenizer.apply_chat_template(
        [{"role": "user", "content": text}], add_generation_prompt=True, return_dict=False
    )
    builder = example_builder(folder, "boxed")
    from octomed_jax.inputs.template import encode_prompt

    assert list(ids) == encode_prompt(builder.tokenizer, text, [])


def test_the_vocabulary_is_the_same_every_time(folder, tmp_path):
    config = tiny_config()
    write_student(tmp_path, config.student, TEXTS, config.shard)
    assert (tmp_path / "tokenizer.json").read_bytes() == (folder / "tokenizer.json").read_bytes()
    assert render_key(tmp_path, "boxed") == render_key(folder, "boxed") != render_key(folder, "direct")


def test_a_base_brings_its_files_and_takes_our_pixel_limits(folder, tmp_path):
    config = get_config("tiny")
    config.student.base = str(folder)
    config.shard.max_pixels = 50176
    assert write_student(tmp_path, config.student, [], config.shard) == read_config(folder)
    assert (tmp_path / "tokenizer.json").read_bytes() == (folder / "tokenizer.json").read_bytes()
    assert read_patch_spec(tmp_path).max_pixels == 50176
    assert read_patch_spec(folder).max_pixels == 12544
    before = student_identity(config.student)
    assert str(folder) not in str(before)
    config.student.base = str(tmp_path)
    assert student_identity(config.student) != before


def test_mistakes_are_named(folder, tmp_path):
    config = get_config("tiny")
    config.student.vocab_size = 100
    with pytest.raises(UserError, match=r"vocab_size=100 is too small"):
        write_student(tmp_path, config.student, TEXTS, config.shard)
    config.student.base = str(tmp_path / "missing")
    with pytest.raises(UserError, match="is no folder"):
        write_student(tmp_path, config.student, TEXTS, config.shard)
    fields = json.loads((folder / "config.json").read_text())
    fields["model_type"] = "qwen3_vl"
    with pytest.raises(UserError, match="qwen3_vl"):
        parse_config(fields)
    del fields["rms_norm_eps"]
    (tmp_path / "config.json").write_text(json.dumps(fields | {"model_type": "qwen2_5_vl"}))
    with pytest.raises(UserError, match="lacks the field 'rms_norm_eps'"):
        read_config(tmp_path)
