"""Conversations become the ids that transformers makes of them; what is none is refused by name."""

import base64
import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from octomed_jax.errors import UserError
from octomed_jax.inputs.conversation import (
    answer_text,
    chat_template,
    encode_messages,
    images_of,
    read_conversations,
)
from octomed_jax.inputs.template import CHAT_TEMPLATE, encode_prompt
from octomed_jax.inputs.tokenizer import SPECIAL_TOKENS, chat_tokenizer, train_tokenizer

TOKENIZER = chat_tokenizer(train_tokenizer(["Which plane is this? user assistant system You are helpful."] * 3, 300))
PAD = TOKENIZER.ids["<|image_pad|>"]
IMAGE = {"type": "image", "image": "x.png"}


def user(*content):
    return {"role": "user", "content": content[0] if len(content) == 1 else list(content)}


def png(size=(8, 8)):
    file = io.BytesIO()
    Image.new("RGB", size, (200, 10, 10)).save(file, "PNG")
    return file.getvalue()


def encode(messages, cells=()):
    return encode_messages(TOKENIZER, CHAT_TEMPLATE, messages, cells)


def test_one_question_is_what_training_renders():
    assert encode([user("Which plane?\n\nNow.")]) == encode_prompt(TOKENIZER, "Which plane?\n\nNow.", [])
    two = user(IMAGE, IMAGE, {"type": "text", "text": "Which plane?"})
    assert encode([two], [6, 2]) == encode_prompt(TOKENIZER, "Which plane?", [6, 2])


@given(st.lists(st.sampled_from(["a", "\n", " ", "\n\nb", "é", "<|im_", "|>", *SPECIAL_TOKENS]), max_size=8))
def test_typed_special_tokens_stay_text(pieces):
    text = "".join(pieces)
    ids = encode([user(text)])
    assert ids == encode_prompt(TOKENIZER, text, [])
    count = sum(ids.count(number) for number in TOKENIZER.ids.values())
    assert count == 5  # the template's own: two turns with their ends, and the assistant's beginning


def test_ids_equal_those_of_transformers(tmp_path):
    transformers = pytest.importorskip("transformers")
    TOKENIZER.tokenizer.save(str(tmp_path / "tokenizer.json"))
    fields = {"tokenizer_class": "Qwen2Tokenizer", "chat_template": CHAT_TEMPLATE, "eos_token": "<|im_end|>"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(fields))
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    conversations = [
        [user("Which plane?")],
        [
            {"role": "system", "content": "Be brief."},
            user("  Which?\n"),
            {"role": "assistant", "content": "a"},
            user("b"),
        ],
        [user({"type": "text", "text": "one "}, IMAGE, {"type": "text", "text": "two"}), user(IMAGE, IMAGE)],
    ]
    for messages in conversations:
        expected = theirs.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
        images = [
            part for message in messages for part in message["content"] if isinstance(part, dict) and "image" in part
        ]
        assert encode(messages, [1] * len(images)) == list(expected)
        longer = encode(messages, [3] * len(images))
        assert longer.count(PAD) == 3 * len(images)
        assert [token for token in longer if token != PAD] == [token for token in expected if token != PAD]


def test_images_come_from_beside_the_file_and_from_data_urls(tmp_path):
    (tmp_path / "x.png").write_bytes(png((12, 8)))
    url = "data:image/png;base64," + base64.b64encode(png()).decode()
    found = images_of([user(IMAGE, {"type": "image", "image": url}), user("text")], tmp_path)
    assert [image.size for image in found] == [(12, 8), (8, 8)]
    assert np.array_equal(np.asarray(found[1])[0, 0], [200, 10, 10])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([{"type": "image", "image": "../x.png"}], "leads out of"),
        ([{"type": "image", "image": "/etc/passwd"}], "leads out of"),
        ([{"type": "image", "image": "absent.png"}], "no such image: .*absent.png"),
        ([{"type": "image", "image": "notes.txt"}], "notes.txt is not a PNG or JPEG"),
        ([{"type": "image", "image": "https://x.org/a.png"}], "message 1 of it is a web address; download it"),
        ([{"type": "image", "image": "data:image/png;base64,@@"}], "data URL of message 1 of it is not base64"),
        ([{"type": "image", "image": "data:image/png,abc"}], "is not base64"),
        ([{"type": "video", "video": "x.mp4"}], "a part of message 1 of it is a video"),
        ([{"type": "text"}], "a part of message 1 of it is neither"),
        (["plain"], "a part of message 1 of it is neither"),
        (3, "content of message 1 of it is neither"),
    ],
)
def test_what_is_no_message_is_refused_by_name(tmp_path, content, message):
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(UserError, match=message):
        images_of([user("first"), {"role": "user", "content": content}], tmp_path, "it")


def test_other_mistakes_are_refused(tmp_path):
    for bad in ([], [{"content": "x"}], [{"role": "user"}], ["x"]):
        with pytest.raises(UserError, match="message"):
            images_of(bad, tmp_path)
    with pytest.raises(UserError, match="last message is the user's"):
        answer_text(user("x"))
    with pytest.raises(UserError, match="no character"):
        encode([user("a\ufdd0b")])
    with pytest.raises(UserError, match=r"does not place the 1 images"):
        encode_messages(TOKENIZER, "{{ messages[0].role }}", [user(IMAGE, IMAGE)], [4])
    with pytest.raises(UserError, match="refuses the conversation: only users"):
        encode_messages(TOKENIZER, "{{ raise_exception('only users') }}", [user("x")], [])
    with pytest.raises(UserError, match="template fails"):
        encode_messages(TOKENIZER, "{{ messages.__class__.__mro__ }}", [user("x")], [])
    with pytest.raises(UserError, match="template fails"):  # a template of a text model
        encode_messages(TOKENIZER, "{{ 'user: ' + messages[0].content }}", [user(IMAGE, IMAGE)], [4, 4])
    (tmp_path / "m.json").write_text('{"role": "user"}')
    with pytest.raises(UserError, match="is not a list of conversations"):
        read_conversations(tmp_path / "m.json")


def test_the_template_is_found_in_any_of_its_files(tmp_path):
    with pytest.raises(UserError, match="no chat template in"):
        chat_template(tmp_path)
    named = [{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": named}))
    assert chat_template(tmp_path) == "d"
    (tmp_path / "chat_template.json").write_text(json.dumps({"chat_template": "j"}))
    assert chat_template(tmp_path) == "j"
    (tmp_path / "chat_template.jinja").write_text("x")
    assert chat_template(tmp_path) == "x"
