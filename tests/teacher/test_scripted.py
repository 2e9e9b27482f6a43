"""The programmatic teacher: a real server process with honest rates, that answers only what it was given."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from teacher_helpers import make_question, png, write_folder

from octomed_jax.errors import UserError
from octomed_jax.schema import Question
from octomed_jax.teacher.prompts import PROMPTS
from octomed_jax.teacher.requests import data_url, request_seed, user_messages
from octomed_jax.teacher.script import Rates, fate, write_response, wrong_answer
from octomed_jax.teacher.scripted import scripted_teacher
from octomed_jax.verification.check import check_response

RATES = Rates(wrong=0.1, malformed=0.05, truncated=0.05)


def ask(url, messages, **fields):
    body = json.dumps({"model": "scripted", "messages": messages, **fields}).encode()
    request = urllib.request.Request(f"{url}/v1/chat/completions", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as reply:
        return json.load(reply)


def refusal(url, messages, **fields):
    with pytest.raises(urllib.error.HTTPError) as refused:
        ask(url, messages, **fields)
    assert refused.value.code == 400
    return json.load(refused.value)["error"]["message"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("q") / "questions", [make_question(index) for index in range(24)])


@pytest.fixture(scope="module")
def url(folder):
    with scripted_teacher(folder, RATES) as url:
        yield url


def test_it_answers_with_the_worked_explanation(url):
    for index, boxed in ((0, "axial"), (2, "4"), (3, "B")):
        question = make_question(index)
        reply = ask(url, user_messages(question, PROMPTS["boxed"], 2**31), temperature=0, n=2, seed=5, max_tokens=100)
        assert [choice["index"] for choice in reply["choices"]] == [0, 1]
        for choice in reply["choices"]:
            assert choice["message"]["content"] == f"<think>{question.explanation}</think>\n\n\\boxed{{{boxed}}}"
            assert choice["finish_reason"] == "stop"
        words = sum(len(choice["message"]["content"].split()) for choice in reply["choices"])
        assert reply["usage"]["completion_tokens"] == words


def test_equal_requests_get_equal_replies_and_other_seeds_others(url):
    messages = user_messages(make_question(2), PROMPTS["boxed"], 2**31)
    replies = [ask(url, messages, seed=seed, n=16, temperature=0.6)["choices"] for seed in (1, 1, 2)]
    assert replies[0] == replies[1] != replies[2]


def test_max_tokens_cuts(url):
    reply = ask(url, user_messages(make_question(3), PROMPTS["boxed"], 2**31), max_tokens=3, temperature=0)
    choice = reply["choices"][0]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("length", "<think>Counting on gives")
    assert reply["usage"]["completion_tokens"] == 3


def test_an_image_is_known_by_its_pixels_too(url):
    question = make_question(0)
    with Image.open(BytesIO(png(0))) as image:
        file = BytesIO()
        image.convert("RGB").save(file, format="PNG", compress_level=1)
    text = user_messages(question, PROMPTS["boxed"], 2**31)[0]["content"][1]["text"]
    parts = [{"type": "image_url", "image_url": {"url": data_url(file.getvalue())}}, {"type": "text", "text": text}]
    reply = ask(url, [{"role": "user", "content": parts}], temperature=0)
    assert "axial" in reply["choices"][0]["message"]["content"]


def test_what_it_was_not_given_is_refused_in_one_line(url):
    known = user_messages(make_question(2), PROMPTS["boxed"], 2**31)
    assert "was not given this question: 'What is love?'" in refusal(
        url, [{"role": "user", "content": "What is love?"}]
    )
    assert "was not given" in refusal(url, user_messages(make_question(0, images=(png(99),)), PROMPTS["boxed"], 2**31))
    assert "n=0" in refusal(url, known, n=0)
    assert "n=100000" in refusal(url, known, n=100000)
    assert "max_tokens=1.5" in refusal(url, known, max_tokens=1.5)
    assert "no user turn" in refusal(url, [])
    remote = [{"type": "image_url", "image_url": {"url": "http://example.org/a.png"}}]
    assert "fetches nothing" in refusal(url, [{"role": "user", "content": remote}])


def test_models_are_listed(url):
    with urllib.request.urlopen(f"{url}/v1/models", timeout=10) as reply:
        model = json.load(reply)["data"][0]
    assert (model["id"], model["description"]) == ("scripted", "programmatic teacher")


def test_rates_lie_within_binomial_bounds():
    seeds = [request_seed(0, f"q:{index}", 0) for index in range(2500)]
    fates = [fate(RATES, seed, choice, 0.6) for seed in seeds for choice in range(4)]
    for name, rate in (("wrong", 0.1), ("malformed", 0.05), ("truncated", 0.05), ("clean", 0.8)):
        bound = 4 * (rate * (1 - rate) / len(fates)) ** 0.5
        assert abs(fates.count(name) / len(fates) - rate) < bound, name
    assert {fate(RATES, seed, 0, 0.0) for seed in seeds} == {"clean"}


def test_what_is_spoilt_is_never_judged_correct_and_what_is_clean_always():
    limits = {"lower_limit": 55.29, "upper_limit": 61.11}
    common = {"id": "a:1", "source": "a", "benchmark": "b", "split": "train", "question": "?"}
    more = [
        Question(task="numeric", answer="58.2", **limits, **common),
        Question(task="numeric", answer="0", **common),
        Question(task="short_answer", answer="Gout", aliases=("podagra",), **common),
        Question(task="multi_label", answer="Edema;Mass", options=("Edema", "Mass", "Nodule"), **common),
        Question(task="multi_label", answer="Edema;Mass", **common),
    ]
    kinds = set()
    for question in [make_question(index, 8) for index in range(8)] + more:
        for seed in range(60):
            kind = fate(Rates(0.4, 0.3, 0.2), seed, 0, 0.6)
            response, finish = write_response(
                question, Rates(0.4, 0.3, 0.2), seed, 0, 0.6, ("Gout", "Lupus", "Podagra")
            )
            verdict = check_response(question, response, finish)
            kinds.add((kind, verdict.verdict))
            assert (verdict.verdict == "correct") == (kind == "clean"), (question.task, response, verdict)
            if kind == "truncated":
                assert verdict.verdict == "truncated"
            if kind == "wrong":
                assert verdict.verdict == "wrong", (response, verdict)
    assert {kind for kind, _ in kinds} == {"clean", "wrong", "malformed", "truncated"}


def test_a_wrong_number_lies_outside_the_limits():
    question = make_question(2, answer="7.00", lower_limit=6.65, upper_limit=7.35)
    for variant in range(50):
        assert not 6.65 <= float(wrong_answer(question, variant)) <= 7.35


def test_rates_are_checked():
    with pytest.raises(UserError, match=r"wrong=1\.2"):
        Rates(wrong=1.2)
    with pytest.raises(UserError, match="more than 1"):
        Rates(0.5, 0.5, 0.5)


def test_a_folder_it_cannot_read_is_named(tmp_path):
    with (
        pytest.raises(UserError, match="programmatic teacher did not start: no such file"),
        scripted_teacher(tmp_path, RATES),
    ):
        pass


def listening(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_it_ends_with_the_block_and_with_its_parent(folder):
    with scripted_teacher(folder, RATES) as url:
        port = int(url.rpartition(":")[2])
        assert listening(port)
    assert not listening(port)

    code = (
        "import sys, time\nfrom octomed_jax.teacher.scripted import Rates, scripted_teacher\n"
        "with scripted_teacher(sys.argv[1], Rates()) as url:\n    print(url, flush=True)\n    time.sleep(60)\n"
    )
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root}
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True, env=environment
    )
    port = int(parent.stdout.readline().strip().rpartition(":")[2])
    assert listening(port)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 10
    while listening(port) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not listening(port)
