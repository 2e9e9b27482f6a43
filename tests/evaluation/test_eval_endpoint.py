"""An evaluation through an endpoint, a fake one on loopback: what is asked, kept, refused and forced."""

import json
import shutil

import pytest
from eval_helpers import at, make_question, png, result_bytes, write_heldout
from eval_server import MODEL, eval_server

from octomed_jax.cli.main import main
from octomed_jax.errors import TryAgain, UserError
from octomed_jax.evaluation.run import evaluate
from octomed_jax.teacher import pool
from tests.hf.folders import make_student


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(pool, "FIRST_WAIT", 0.01)


@pytest.fixture(scope="module")
def questions(tmp_path_factory):
    made = [make_question(number) for number in range(9)]
    made += [make_question(9, [png(40)]), make_question(10, [png(700, 1), png(30, 2)])]
    return write_heldout(tmp_path_factory.mktemp("made") / "questions", made)


@pytest.fixture(scope="module")
def endless(tmp_path_factory):
    made = [make_question(number, question="An endless one?" if number % 2 else "Which?") for number in range(4)]
    return write_heldout(tmp_path_factory.mktemp("endless") / "questions", made)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    """A folder with a tokenizer and a chat template."""
    folder = tmp_path_factory.mktemp("student")
    make_student(folder)
    return folder


def rows_of(folder):
    files = sorted((folder / "samples").glob("*.jsonl"))
    return [json.loads(line) for path in files for line in path.read_text().strip().split("\n")]


def run(server, questions, output, **fields):
    return evaluate(at(server, **fields), "", questions, output)


def test_every_question_is_asked_with_the_protocol(questions, tmp_path):
    with eval_server() as server:
        manifest = run(server, questions, tmp_path / "a", seeds=3, temperature=0.6, top_p=0.95, max_new_tokens=77)
    assert manifest.counts == {"questions": 11, "samples": 33}
    asked = [body for body in server.asked if body["max_tokens"] == 77]
    assert len(asked) == 33
    assert {(body["temperature"], body["top_p"], body["n"], body["model"]) for body in asked} == {(0.6, 0.95, 1, MODEL)}
    assert len({body["seed"] for body in asked}) == 33
    texts = [body["messages"][0]["content"] for body in asked]
    plain = next(text for text in texts if isinstance(text, str))
    assert plain.endswith("Please reason step-by-step, and put your final answer within \\boxed{}.")
    images = [part["image_url"]["url"] for text in texts if isinstance(text, list) for part in text[:-1]]
    assert len(images) == 3 * 3
    rows = rows_of(tmp_path / "a")
    assert {row["verdict"] for row in rows} == {"correct", "wrong"}
    assert {(row["forced"], row["error"], row["completion_tokens"]) for row in rows} == {(False, "", 7)}
    assert {row["response"] for row in rows} == {f"<think>so</think>\n\n\\boxed{{{letter}}}" for letter in "AB"}
    results = json.loads((tmp_path / "a" / "results.json").read_text())
    assert results["settings"]["eval"]["max_new_tokens"] == 77
    assert results["backend"]["max_model_len"] == 4096
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["manifest.json", "results.json", "samples"]
    assert server.url not in str(result_bytes(tmp_path / "a"))


def test_the_command_takes_an_endpoint(questions, tmp_path, root, monkeypatch, capsys):
    monkeypatch.chdir(root)
    words = ["--config=configs/demo.py:tiny", f"--questions={questions}", f"--output={tmp_path / 'a'}", "--json"]
    with eval_server() as server:
        assert main(["eval", "run", *words, f"--endpoint={server.url}", f"--model={MODEL}"]) == 0
        assert main(["eval", "run", *words, f"--endpoint={server.url}"]) == 2
    assert set(json.loads(capsys.readouterr().out)["benchmarks"]) == {"letters", "signs"}


def test_a_failed_request_is_no_answer_and_asked_again(questions, tmp_path):
    def fault(body):
        return 400 if "number 4" in str(body["messages"]) and body["max_tokens"] > 1 else 0

    with eval_server(fault=fault) as server:
        with pytest.raises(TryAgain, match="1 of 11 requests failed for good, 1 of them with: HTTP 400: fault 400"):
            run(server, questions, tmp_path / "a")
        manifest = run(server, questions, tmp_path / "a", most_failed=0.2)
        assert manifest.counts["failed"] == 1
        (row,) = [row for row in rows_of(tmp_path / "a") if row["error"]]
        assert (row["finish_reason"], row["reason"], row["id"]) == ("error", "request_failed", "made:4")
        server.how.fault = None
        before = len(server.asked)
        manifest = run(server, questions, tmp_path / "a")
        assert manifest.counts == {"questions": 11, "samples": 11}
        assert [body["max_tokens"] for body in server.asked[before:]].count(12) == 1
        run(server, questions, tmp_path / "b")
    assert result_bytes(tmp_path / "a") == result_bytes(tmp_path / "b")


@pytest.mark.parametrize("finish", ["error", "abort"])
def test_a_reply_that_was_broken_off_is_no_answer_and_asked_again(questions, tmp_path, finish):
    with eval_server(finish=finish) as server:
        manifest = run(server, questions, tmp_path / "a", most_failed=1.0)
        assert manifest.counts == {"questions": 11, "samples": 11, "failed": 11}
        assert {row["error"] for row in rows_of(tmp_path / "a")} == {
            f"the server broke off its reply (finish_reason {finish})"
        }
        server.how.finish = "stop"
        assert run(server, questions, tmp_path / "a").counts == {"questions": 11, "samples": 11}


def test_another_model_that_takes_over_on_the_way_ends_it(questions, tmp_path):
    def fault(_):
        server.how.name = MODEL if len(server.asked) < 8 else "made/fallback"
        return 0

    with eval_server() as server:
        server.how.fault = fault
        with pytest.raises(UserError, match="was asked for 'made/model' and answers as 'made/fallback'"):
            run(server, questions, tmp_path / "a", in_flight=1)
        server.how.fault, server.how.name, before = None, MODEL, len(server.asked)
        run(server, questions, tmp_path / "a")
        assert sum(body["max_tokens"] > 1 for body in server.asked[before:]) < 11, "what had come is kept"


def test_an_odd_end_of_line_in_an_answer_is_none_of_its_row(questions, tmp_path):
    def fault(body):
        return 400 if "number 4" in str(body["messages"]) and body["max_tokens"] > 1 else 0

    with eval_server(fault=fault, thought="so\u2028on\x85and\x1con") as server:
        run(server, questions, tmp_path / "a", most_failed=0.2)
        server.how.fault = None
        assert run(server, questions, tmp_path / "a").counts == {"questions": 11, "samples": 11}
        run(server, questions, tmp_path / "b")
    assert result_bytes(tmp_path / "a") == result_bytes(tmp_path / "b")
    assert all("so\u2028on\x85and\x1con" in row["response"] for row in rows_of(tmp_path / "a"))


def test_lengths_by_another_tokenizer_are_another_result(questions, tmp_path, tokenizer):
    with eval_server() as server:
        run(server, questions, tmp_path / "a", tokenizer=str(tokenizer))
        shutil.copytree(tokenizer, tmp_path / "moved")
        run(server, questions, tmp_path / "a", tokenizer=str(tmp_path / "moved"))
        for other in ("", str(tmp_path / "changed")):
            shutil.copytree(tokenizer, tmp_path / "changed", dirs_exist_ok=True)
            with (tmp_path / "changed" / "tokenizer.json").open("a") as file:
                file.write(" ")
            with pytest.raises(UserError, match="was made with other settings"):
                run(server, questions, tmp_path / "a", tokenizer=other)


def test_what_may_pass_is_tried_again(questions, tmp_path):
    seen = set()

    def fault(body):
        known = str(body) in seen
        seen.add(str(body))
        return 0 if known or body["max_tokens"] == 1 else 503

    with eval_server(fault=fault) as server:
        assert run(server, questions, tmp_path / "a").counts == {"questions": 11, "samples": 11}


def test_without_a_count_of_tokens_no_length_of_a_thought_is_made_up(questions, tmp_path):
    with eval_server(usage=False) as server:
        run(server, questions, tmp_path / "a")
    assert {row["thinking_tokens"] for row in rows_of(tmp_path / "a")} == {None}
    results = json.loads((tmp_path / "a" / "results.json").read_text())
    assert results["benchmarks"]["signs"]["thinking_tokens_mean"] is None


@pytest.mark.parametrize(("field", "cut"), [("", "length"), ("reasoning", "length"), ("reasoning", "max_tokens")])
def test_a_thought_without_end_is_ended(endless, tmp_path, field, cut):
    with eval_server(field=field, cut=cut) as server:
        run(server, endless, tmp_path / "a", force_end_of_thinking=True, forced_answer_tokens=33)
    rows = {row["id"]: row for row in rows_of(tmp_path / "a")}
    assert [rows[f"made:{number}"]["forced"] for number in range(4)] == [False, True, False, True]
    row = rows["made:1"]
    assert row["response"] == "<think>on and on</think>\n\nFinal Answer: B"
    assert (row["verdict"], row["finish_reason"], row["completion_tokens"]) == ("correct", "stop", 14)
    (first, _) = [body for body in server.asked if body["max_tokens"] == 33]
    assert first["messages"][-1] == {
        "role": "assistant", "content": "<think>\non and on\n</think>\n\nFinal Answer:",
    }  # fmt: skip
    assert first["continue_final_message"]
    assert not first["add_generation_prompt"]
    results = json.loads((tmp_path / "a" / "results.json").read_text())
    assert results["backend"]["continued_by"] == "continue_final_message"
    assert results["settings"]["closing"] == "\n</think>\n\nFinal Answer:"


def test_without_force_a_thought_without_end_is_truncated(endless, tmp_path):
    with eval_server() as server:
        run(server, endless, tmp_path / "a")
    assert [row["verdict"] == "truncated" for row in rows_of(tmp_path / "a")] == [True, True, False, False]


@pytest.mark.parametrize("chat", ["ignores", "refuses"])
def test_a_completion_stands_in_for_the_chat(endless, tmp_path, tokenizer, chat):
    fields = {"force_end_of_thinking": True, "tokenizer": str(tokenizer)}
    with eval_server(chat=chat) as server:
        run(server, endless, tmp_path / "a", **fields)
    assert [row["forced"] for row in rows_of(tmp_path / "a")] == [True, True, False, False]
    asked = [body for body in server.asked if "prompt" in body]
    assert len(asked) == 1 + 2
    assert not any("messages" in body for body in asked)


@pytest.mark.parametrize(
    ("how", "fields", "why"),
    [
        ({"chat": "ignores"}, {}, "ignores continue_final_message, and config.eval.tokenizer names no folder"),
        ({"chat": "refuses"}, {}, r"refuses continue_final_message \(HTTP 400: extra field"),
        ({"chat": "ignores", "completions": False}, {"tokenizer": True}, "gives no completion"),
    ],
)
def test_an_endpoint_that_cannot_go_on_is_refused_before_it_is_asked(endless, tmp_path, tokenizer, how, fields, why):
    if fields:
        fields = {"tokenizer": str(tokenizer)}
    with eval_server(**how) as server, pytest.raises(UserError, match=why):
        run(server, endless, tmp_path / "a", force_end_of_thinking=True, **fields)
    assert max(body["max_tokens"] for body in server.asked) == 1
    assert not (tmp_path / "a").exists()


def test_with_images_a_completion_does_not_do(tmp_path, tokenizer):
    questions = write_heldout(tmp_path / "questions", [make_question(0, [png(40)])])
    with eval_server(chat="ignores") as server, pytest.raises(UserError, match="a completion takes no image"):
        run(server, questions, tmp_path / "a", force_end_of_thinking=True, tokenizer=str(tokenizer))


@pytest.mark.parametrize(
    ("how", "fields", "why"),
    [
        ({"models": ("made/modal",)}, {}, "does not serve 'made/model' .did you mean 'made/modal'.. but made/modal"),
        ({"models": None, "name": "other"}, {}, "asked for 'made/model' and answers as 'other'"),
        ({"name": "made/model-large"}, {}, "asked for 'made/model' and answers as 'made/model-large'"),
        ({"length": 100}, {"max_new_tokens": 90}, r"tokens and its answer may have 90, together more than the 100"),
        ({"length": 20}, {"max_new_tokens": 5}, "refuses the longest prompt, that of question made:"),
        ({}, {"benchmarks": ("leters",)}, "no benchmark 'leters' .*did you mean 'letters'"),
        ({}, {"max_images": 1}, "made:10 has 2 images, more than config.eval.max_images=1"),
        ({}, {"seeds": 0}, "config.eval.seeds=0"),
        ({}, {"answer_format": "roman"}, "answer_format='roman'"),
    ],
)  # fmt: skip
def test_what_would_spoil_it_is_said_first(questions, tmp_path, how, fields, why):
    with eval_server(**how) as server, pytest.raises(UserError, match=why) as caught:
        run(server, questions, tmp_path / "a", **fields)
    assert "\n" not in str(caught.value)
    assert all(body["max_tokens"] == 1 for body in server.asked)
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("made", "why"),
    [
        ([make_question(1), make_question(1, question="Another?")], "made:1 is there 2 times"),
        ([make_question(1), make_question(2, answer=" ", task="report", options=())], "made:2 of signs has no gold"),
        ([make_question(1, access="credentialed")], "made:1 is credentialed and may not be sent to http"),
        ([], "holds no held-out question"),
    ],
)
def test_questions_that_would_spoil_it_reach_no_endpoint(tmp_path, made, why):
    questions = write_heldout(tmp_path / "questions", made)
    with eval_server() as server, pytest.raises(UserError, match=why):
        run(server, questions, tmp_path / "a")
    assert not server.asked


@pytest.mark.parametrize("name", ["made/model-2026-01-31", "model", ""])
def test_a_gateway_may_spell_the_name_its_way(questions, tmp_path, name):
    with eval_server(name=name) as server:
        assert run(server, questions, tmp_path / "a", benchmarks=("signs",)).counts["questions"] == 6


def test_credentialed_questions_go_where_that_is_approved(tmp_path):
    questions = write_heldout(tmp_path / "questions", [make_question(1, access="credentialed")])
    with eval_server() as server:
        manifest = run(server, questions, tmp_path / "a", approved_access=("open", "credentialed"))
    assert manifest.counts["samples"] == 1


def test_a_bucket_is_no_place_for_it(questions):
    with eval_server() as server, pytest.raises(UserError, match="gs://b/eval lies in a bucket; an evaluation is"):
        run(server, questions, "gs://b/eval")
    assert not server.asked


def test_a_key_that_is_refused_on_the_way_ends_it_and_keeps_what_came(questions, tmp_path):
    answered = []

    def fault(body):
        if body["max_tokens"] > 1:
            answered.append(body)
        return 401 if len(answered) > 5 else 0

    with eval_server(fault=fault) as server:
        with pytest.raises(UserError, match="refuses the key"):
            run(server, questions, tmp_path / "a", in_flight=1)
        assert not (tmp_path / "a").exists()
        server.how.fault, before = None, len(server.asked)
        run(server, questions, tmp_path / "a", in_flight=1)
    assert [body["max_tokens"] for body in server.asked[before:]].count(12) == 11 - 5


def test_nobody_there_is_a_matter_of_time(questions, tmp_path):
    with eval_server() as server:
        gone = at(server)
    with pytest.raises(TryAgain, match="no answer from http"):
        evaluate(gone, "", questions, tmp_path / "a")
