"""What the client makes of messages, replies and images."""

from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from teacher_helpers import make_question, png

from octomed_jax.errors import UserError
from octomed_jax.teacher.client import chat_url
from octomed_jax.teacher.prompts import PROMPTS
from octomed_jax.teacher.reply import RequestFailed, message_of, read_completion, read_message
from octomed_jax.teacher.requests import Sampling, prepare_image, request_hash, request_seed, user_messages

WHOLE = ("<think>why</think>\n\nB", "why")


@pytest.mark.parametrize(
    ("message", "finish", "expected"),
    [
        ({"content": "<think>why</think>\n\nB"}, "stop", WHOLE),
        ({"content": "\n<think>\nwhy\n</think>\nB\n"}, "stop", WHOLE),
        ({"content": "why\n</think>\n\nB"}, "stop", WHOLE),
        ({"content": "\n\nB", "reasoning": "why"}, "stop", WHOLE),
        ({"content": "\n\nB", "reasoning_content": "why\n"}, "stop", WHOLE),
        ({"content": "B", "reasoning": "<think>why</think>"}, "stop", WHOLE),
        ({"content": "<think>why</think>B", "reasoning": ""}, "stop", WHOLE),
        ({"content": [{"type": "text", "text": "B"}], "reasoning": "why"}, "stop", WHOLE),
        ({"content": "B"}, "stop", ("B", "")),
        ({"content": None, "reasoning": "why"}, "length", ("<think>why", "why")),
        ({"content": None, "reasoning": "why"}, "stop", ("<think>why</think>\n\n", "why")),
        ({"content": "<think>why"}, "length", ("<think>why", "why")),
        ({"content": None}, "stop", ("", "")),
        ({}, "stop", ("", "")),
    ],
)
def test_one_spelling_of_a_response(message, finish, expected):
    assert read_message(message, finish) == expected


def choice(index, text):
    return {"index": index, "message": {"content": text}, "finish_reason": "stop"}


def test_choices_go_by_index_and_tokens_add_up():
    reply = {"choices": [choice(1, "bb"), choice(0, "a")], "usage": {"prompt_tokens": 7, "completion_tokens": 10}}
    completion = read_completion(reply, 2)
    assert [one.response for one in completion.choices] == ["a", "bb"]
    assert sum(one.completion_tokens for one in completion.choices) == 10
    assert completion.prompt_tokens == 7
    with pytest.raises(RequestFailed, match="2 choices came back for n=4"):
        read_completion(reply, 4)


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        ({"error": {"message": "upstream\ndied", "code": 502}}, "the reply is no chat completion: upstream died"),
        ({"error": "gone"}, "the reply is no chat completion: gone"),
        ({"id": 1}, "the reply is no chat completion"),
        ({"choices": []}, "the reply holds no choice"),
    ],
)
def test_a_reply_without_an_answer_says_why(reply, why):
    with pytest.raises(RequestFailed) as caught:
        read_completion(reply, 1)
    assert (str(caught.value), caught.value.transient, type(caught.value)) == (why, True, RequestFailed)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.floats(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["choices", "error", "message", "content", "index", "usage", "reasoning"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=150)
@given(reply=JSON, n=st.integers(1, 3))
def test_any_reply_is_read_or_refused(reply, n):
    try:
        completion = read_completion(reply, n)
    except RequestFailed:
        return
    assert len(completion.choices) == n


def test_urls():
    for endpoint in ("http://h:8000", "http://h:8000/", "http://h:8000/v1", "http://h:8000/v1/chat/completions"):
        assert chat_url(endpoint) == "http://h:8000/v1/chat/completions"
    assert chat_url("https://h/proxy/v1") == "https://h/proxy/v1/chat/completions"
    for endpoint in ("h:8000", "ftp://h", "", "http://"):
        with pytest.raises(UserError, match="is no URL"):
            chat_url(endpoint)


def test_small_images_are_sent_untouched_and_large_ones_shrunk():
    small = png(1, 32)
    assert prepare_image(small, 32 * 32) is small
    shrunk = prepare_image(png(1, 128), 64 * 64)
    with Image.open(BytesIO(shrunk)) as image:
        assert image.size == (56, 56)
    assert prepare_image(png(1, 128), 64 * 64) == shrunk
    with pytest.raises(UserError, match="image of question x cannot be read"):
        prepare_image(b"GIF89a", 100, "x")


def test_images_come_before_the_text():
    content = user_messages(make_question(0), PROMPTS["boxed"], 2**31)[0]["content"]
    assert [part["type"] for part in content] == ["image_url", "text"]
    assert content[0]["image_url"]["url"].startswith("data:image/png;base64,")
    assert content[1]["text"].startswith("Which plane?\nOptions: axial, coronal, sagittal\n")
    assert isinstance(user_messages(make_question(2), PROMPTS["boxed"], 2**31)[0]["content"], str)


def test_the_hash_knows_everything_that_is_asked():
    sampling = Sampling(n=2, seed=1, temperature=0.6, top_p=0.95, max_tokens=10)
    base = request_hash(make_question(0), "m", PROMPTS["boxed"], 1000, sampling)
    assert base == request_hash(make_question(0), "m", PROMPTS["boxed"], 1000, sampling)
    others = {
        request_hash(make_question(4), "m", PROMPTS["boxed"], 1000, sampling),
        request_hash(make_question(0), "other", PROMPTS["boxed"], 1000, sampling),
        request_hash(make_question(0), "m", PROMPTS["direct"], 1000, sampling),
        request_hash(make_question(0), "m", PROMPTS["boxed"], 999, sampling),
        request_hash(make_question(0), "m", PROMPTS["boxed"], 1000, Sampling(2, 2, 0.6, 0.95, 10)),
    }
    assert len(others | {base}) == 6
    assert len({request_seed(0, f"q:{index}", group) for index in range(100) for group in range(4)}) == 400
    assert request_seed(0, "q:1", 0) == 1968378244  # fixed: resuming old runs depends on it


def test_half_a_character_in_an_error_can_be_written():
    assert message_of(b'{"error": {"message": "bad \\ud800"}}').encode() == b"bad ?"
