"""``octomed teacher check`` against a server that lacks one thing after another (openai_server.py)."""

import json
import socket

import pytest

from octomed_jax.cli.main import main
from octomed_jax.teacher.reply import read_message, reasoning_place
from tests.teacher.openai_server import ANSWER, KEY, MODEL, THOUGHT, openai_server

ORDER = [
    "reachable", "model", "context", "key", "text answer", "reasoning", "usage", "max_tokens", "n=4", "seeds",
    "repeatable", "image answer", "images",
]  # fmt: skip


def checked(capsys, url, *words):
    """The exit code, the findings by name, the rest of the JSON, and the last line of stderr."""
    code = main(["teacher", "check", url, "--json", "--timeout=10", *words])
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    findings = {finding["name"]: finding for finding in result.pop("findings")}
    assert len(captured.out.splitlines()) == 1
    errors = captured.err.splitlines()
    assert len(errors) == (code != 0)
    return code, findings, result, (errors or [""])[-1]


def test_an_endpoint_that_lacks_nothing(capsys):
    with openai_server() as (url, asked):
        code, findings, result, _ = checked(capsys, url)
        assert code == 0
        assert result == {
            "url": f"{url}/v1", "model": MODEL, "ok": True, "max_model_len": 4096, "images": 10,
            "reasoning": "reasoning",
        }  # fmt: skip
        assert list(findings) == ORDER
        assert [name for name, finding in findings.items() if finding["ok"] is None] == [
            "context", "reasoning", "repeatable",
        ]  # fmt: skip
        assert findings["image answer"]["found"] == '"Orange." about an orange picture'
        assert findings["image answer"]["meaning"] == "questions with images can be sent"
        assert findings["repeatable"]["found"] == "the same seed repeats its answer"
        assert all(finding["ok"] is not False and finding["meaning"] for finding in findings.values())
        assert all(
            set(body) == {"model", "messages", "n", "seed", "temperature", "top_p", "max_tokens"} for body in asked
        )


def test_every_fact_is_one_line_for_people(capsys):
    with openai_server() as (url, _):
        assert main(["teacher", "check", f"{url}/v1"]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert [line[2:].split("  ")[0] for line in lines] == ORDER
    assert {line[0] for line in lines} == {"\N{CHECK MARK}", "\N{MIDDLE DOT}"}
    assert f'"{ANSWER}' not in lines[0]
    assert last == f"octomed distill can use it: --endpoint={url}/v1 --model={MODEL}"


@pytest.mark.parametrize(
    ("how", "name", "found", "cure"),
    [
        ({"most_n": 1}, "n=4", "1 choice came back", "--config.distill.samples_per_request=1"),
        ({"most_n": 3}, "n=4", "3 choices came back", "--config.distill.samples_per_request=1"),
        ({"fixed": "choices"}, "n=4", "4 choices, 1 different", "must draw each choice anew"),
        ({"fixed": "seeds"}, "seeds", "different seeds give the same answer", "must take the seed of a request"),
        ({"finish": False}, "max_tokens", "8 tokens of 8, finish_reason stop", "a cut attempt would pass for a whole"),
        ({"images": 0}, "image answer", "HTTP 400: At most 0 image(s) may be provided", "--images=0 here"),
        ({"images": -1}, "image answer", "which adds 0 tokens: it is dropped", "--images=0 here"),
        ({"sees": " "}, "image answer", 'refused: "" about an orange picture, finish_reason stop', "--images=0 here"),
        ({"models": ("a", "b")}, "model", "the server lists a, b", "with --model"),
        ({"models": None}, "model", "the server lists none", "with --model"),
        ({"asks_for_key": True}, "key", "HTTP 401: Unauthorized", "with --api-key-env"),
        ({"fault": "garbage"}, "text answer", "the reply is no chat completion", "OpenAI-compatible endpoint itself"),
        ({"fault": "huge"}, "text answer", "the reply is no chat completion", "OpenAI-compatible endpoint itself"),
        ({"fault": "redirect"}, "text answer", "HTTP 307: a redirect", "distill sends plain chat requests"),
    ],
)
def test_what_is_missing_is_named_with_its_cure(capsys, how, name, found, cure):
    with openai_server(**how) as (url, _):
        code, findings, result, error = checked(capsys, url)
    assert code == 2
    assert not result["ok"]
    assert [key for key, finding in findings.items() if finding["ok"] is False] == [name]
    assert found in findings[name]["found"]
    assert cure in findings[name]["meaning"]
    assert error == (
        f"octomed: {url}/v1 is no teacher for distill yet. {name}: {findings[name]['found']}; "
        f"{findings[name]['meaning']}"
    )


@pytest.mark.parametrize("place", ["reasoning", "reasoning_content", "<think>", "</think>", ""])
def test_the_place_of_the_thought_is_told(capsys, place):
    with openai_server(place=place) as (url, _):
        code, findings, result, _ = checked(capsys, url, "--images=0")
    assert (code, result["reasoning"]) == (0, place)
    assert findings["reasoning"]["found"] == (f"in {place}" if place else "nowhere")


def test_the_place_agrees_with_what_distill_reads():
    for message, place in [
        ({"content": ANSWER, "reasoning": THOUGHT}, "reasoning"),
        ({"content": ANSWER, "reasoning": None, "reasoning_content": THOUGHT}, "reasoning_content"),
        ({"content": f"\n<think>{THOUGHT}</think>{ANSWER}", "reasoning": None}, "<think>"),
        ({"content": f"<think>{THOUGHT}"}, "<think>"),
        ({"content": [{"type": "text", "text": f"{THOUGHT}</think>{ANSWER}"}]}, "</think>"),
    ]:
        assert reasoning_place(message) == place
        assert read_message(message, "stop")[1] == THOUGHT
    assert reasoning_place({"content": f"{ANSWER} <think>"}) == reasoning_place({"content": None}) == ""


@pytest.mark.parametrize("most", [1, 2, 3, 9, 10])
def test_the_number_of_images_is_found(capsys, most):
    with openai_server(images=most) as (url, asked):
        code, findings, result, _ = checked(capsys, url)
        assert (code, result["images"]) == (0, most)
        found = findings["images"]["found"]
        assert found.startswith(f"{most} in a prompt")
        assert (f"{most + 1} are refused: HTTP 400: At most {most} image(s) may be provided" in found) == (most < 10)
        assert len(asked) < 17
        code, findings, result, error = checked(capsys, url, f"--images={most + 2}")
        assert (code, result["images"]) == (2, most)
        assert f"serve it with --images={most + 2}" in error
        assert checked(capsys, url, f"--images={most}")[0] == 0


def test_no_image_is_sent_where_none_is_wanted(capsys):
    with openai_server(images=0) as (url, asked):
        code, findings, result, _ = checked(capsys, url, "--images=0")
        assert "image_url" not in json.dumps(asked)
    assert (code, result["images"]) == (0, None)
    assert findings["image answer"]["found"] == "not tried"


def test_what_is_only_good_to_know_stops_nobody(capsys):
    with openai_server(usage=False, random=True) as (url, _):
        code, findings, _, _ = checked(capsys, url)
    assert code == 0
    assert findings["usage"]["found"] == "not told"
    assert findings["repeatable"]["found"] == "the same seed gives another answer"


def test_the_key_is_sent_and_never_shown(capsys, monkeypatch):
    monkeypatch.setenv("TEACHER_KEY", KEY)
    with openai_server(asks_for_key=True) as (url, _):
        code, findings, _, _ = checked(capsys, url, "--api-key-env=TEACHER_KEY")
        assert (code, findings["key"]["found"]) == (0, "accepted")
        monkeypatch.setenv("TEACHER_KEY", "sk-wrong")
        code, findings, _, error = checked(capsys, url, "--api-key-env=TEACHER_KEY")
        assert (code, findings["key"]["found"]) == (2, "HTTP 401: Unauthorized")
        assert "put the right key into the variable" in error
    monkeypatch.setenv("TEACHER_KEY", KEY)
    with openai_server(fault="echo") as (url, _):
        _, findings, _, error = checked(capsys, url, "--api-key-env=TEACHER_KEY")
        assert findings["text answer"]["found"] == "HTTP 400: bad [31mkey Bearer ***"
        assert "planted" not in error


def test_a_model_is_chosen_among_several(capsys):
    with openai_server(models=("a", "b")) as (url, asked):
        code, findings, _, _ = checked(capsys, url, "--model=b")
        assert (code, findings["model"]["found"]) == (0, "b, of a, b")
        assert {body["model"] for body in asked} == {"b"}
        code, findings, _, error = checked(capsys, url, "--model=made/teacer")
        assert code == 2
        assert "model: HTTP 404: The model `made/teacer` does not exist." in error
    with openai_server(models=None) as (url, _):
        code, findings, _, _ = checked(capsys, url, "--model=any")
        assert (code, findings["model"]["ok"], findings["context"]["found"]) == (0, None, "not told")


@pytest.mark.parametrize("fault", ["hang", "500", "503", "429"])
def test_no_answer_is_worth_another_try(capsys, fault):
    with openai_server(fault=fault) as (url, _):
        code, findings, result, error = checked(capsys, url, "--timeout=0.5")
    assert (code, result["ok"], list(findings)) == (42, False, ORDER[:3])
    assert ("no reply in time" in error) == (fault == "hang")
    assert error.startswith(
        f"octomed: no answer from {url}/v1/chat" if fault == "hang" else f"octomed: {url}/v1 is busy"
    )


def test_nobody_at_home_is_worth_another_try(capsys):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    code, findings, _, error = checked(capsys, url)
    assert (code, findings) == (42, {})
    assert error == f"octomed: no answer from {url}/v1/models (Connection refused); start the server or mend the URL"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["localhost:8000"], "is no URL"),
        (["http://user:planted@host"], "holds a password"),
        (["http://127.0.0.1:9", "--api-key-env=ABSENT_KEY"], "--api-key-env names the variable ABSENT_KEY"),
        (["http://127.0.0.1:9", "--images=-1"], "--images=-1"),
        (["http://127.0.0.1:9", "--timeout=0"], "--timeout=0"),
        (["http://127.0.0.1:9", "--config.a=1"], "has no config"),
        (["http://127.0.0.1:9", "--modle=x"], "(did you mean '--model'?)"),
        ([], "required: URL"),
    ],
)
def test_a_mistake_is_one_line(capsys, words, message):
    assert main(["teacher", "check", *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "planted" not in error
    assert len(error.splitlines()) == 1
