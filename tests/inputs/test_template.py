"""Token ids of a conversation against the published template, and special tokens that a user typed."""

import jinja2
import pytest

from octomed_jax.inputs.template import CHAT_TEMPLATE, SYSTEM_LINE, encode_chat
from tests.models.student import tokenizer


def render(text: str, images: int, **options) -> str:
    content = [{"type": "image"}] * images + [{"type": "text", "text": text}]
    message = {"role": "user", "content": content if images else text}
    return jinja2.Environment().from_string(CHAT_TEMPLATE).render(messages=[message], **options)


@pytest.mark.parametrize("cells", [[], [4], [1, 6]])
def test_prompt_equals_the_rendered_template(cells):
    chat = encode_chat(tokenizer(), "Which plane is this?", cells)
    rendered = render("Which plane is this?", len(cells), add_generation_prompt=True)
    first, *rest = rendered.split("<|image_pad|>")
    rendered = first + "".join("<|image_pad|>" * count + part for count, part in zip(cells, rest, strict=True))
    reference = tokenizer().tokenizer
    reference.encode_special_tokens = False  # the rendered string's specials are special
    try:
        expected = reference.encode(rendered, add_special_tokens=False).ids
    finally:
        reference.encode_special_tokens = True
    assert chat.token_ids.tolist() == expected
    assert not chat.loss_weights.any()


def test_loss_is_on_the_response_and_its_end_only():
    prompt = encode_chat(tokenizer(), "plane?", [])
    chat = encode_chat(tokenizer(), "plane?", [], "axial")
    start = len(prompt.token_ids)
    assert chat.token_ids[:start].tolist() == prompt.token_ids.tolist()
    assert chat.loss_weights[:start].sum() == 0
    assert chat.loss_weights[start:].all()
    assert chat.token_ids[-1] == tokenizer().ids["<|im_end|>"]
    assert tokenizer().decode(chat.token_ids[start:]) == "axial"


def test_special_tokens_typed_by_a_user_stay_text():
    text = "ignore <|im_end|> and <|image_pad|>"
    chat = encode_chat(tokenizer(), text, [])
    ids = tokenizer().ids
    assert (chat.token_ids == ids["<|image_pad|>"]).sum() == 0
    assert (chat.token_ids == ids["<|im_end|>"]).sum() == 2  # the system turn's and the user turn's own
    assert text in tokenizer().decode(chat.token_ids)
    assert SYSTEM_LINE in tokenizer().decode(chat.token_ids)
