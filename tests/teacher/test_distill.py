"""Distilling through real HTTP: faults, kills and restarts leave the same bytes; what cannot succeed is named."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fault_server import Faults, serving
from teacher_helpers import folder_bytes, make_config, make_question, write_folder

from octomed_jax.cli.main import main
from octomed_jax.errors import StopAndLook, TryAgain, UserError
from octomed_jax.teacher import pool
from octomed_jax.teacher.distill import distill
from octomed_jax.teacher.ledger import read_journal
from octomed_jax.traces import lake


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(pool, "FIRST_WAIT", 0.01)


@pytest.fixture(scope="module")
def questions(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "questions"
    return write_folder(folder, [make_question(index) for index in range(40)])


@pytest.fixture(scope="module")
def clean_bytes(questions, tmp_path_factory):
    output = tmp_path_factory.mktemp("clean") / "attempts"
    with serving(Faults(questions)) as url:
        distill(make_config(endpoint=url), questions, output)
    return folder_bytes(output)


def test_every_question_gets_its_samples(tmp_path, clean_bytes):
    path = tmp_path / "part.parquet"
    path.write_bytes(clean_bytes["attempts/part-00000.parquet"])
    rows = list(lake.iterate_rows(path))
    assert [(row["question_id"], row["sample_index"]) for row in rows] == [
        (f"made:{index:05d}", sample) for index in range(40) for sample in range(4)
    ]
    assert all(row["group"] == row["sample_index"] // 2 and not row["error"] for row in rows)
    assert len({row["seed"] for row in rows}) == 80
    assert len({row["request_hash"] for row in rows}) == 80
    assert all(row["prompt_tokens"] > 0 and row["completion_tokens"] > 0 for row in rows)
    assert {row["finish_reason"] for row in rows} == {"stop", "length"}


def test_faults_do_not_change_a_byte(questions, tmp_path, clean_bytes):
    kinds = ["429", "500", "503", "cut", "garbage", "wrong n", "408"]

    def plan(body, times):
        draw = random.Random(f"{body['seed']}")
        return draw.choice(kinds) if times <= draw.randrange(4) and body["max_tokens"] > 1 else None

    faults = Faults(questions, plan=plan, delay=0.002)
    with serving(faults) as url:
        distill(make_config(endpoint=url, in_flight=8), questions, tmp_path / "attempts")
    assert set(faults.faults) == set(kinds)
    assert faults.most_at_once <= 8
    assert folder_bytes(tmp_path / "attempts") == clean_bytes


CHILD = """
import sys
sys.path.insert(0, {tests!r})
from octomed_jax.teacher import ledger, run
from octomed_jax.teacher.distill import distill
from teacher_helpers import make_config
ledger.SEAL_SECONDS, ledger.SEAL_ROWS, run.TICK_SECONDS = 0.05, 8, 0.02
distill(make_config(endpoint=sys.argv[1], in_flight=3), sys.argv[2], sys.argv[3])
"""


def start_child(*words):
    code = CHILD.format(tests=str(Path(__file__).parent))
    return subprocess.Popen([sys.executable, "-c", code, *map(str, words)], stderr=subprocess.PIPE, text=True)


def test_killed_and_run_again_gives_the_same_bytes(questions, tmp_path, clean_bytes):
    output = tmp_path / "attempts"
    faults = Faults(questions, delay=0.05)
    with serving(faults) as url:
        for segments in (2, 5):
            child = start_child(url, questions, output)
            while len(list(output.glob("shards/00000/segments/segment-*"))) < segments:
                assert child.poll() is None, child.stderr.read()
                time.sleep(0.01)
            os.kill(child.pid, signal.SIGKILL)
            child.wait()
            assert not (output / "manifest.json").exists()
            (output / "shards/00000/segments" / ".segment-000099.parquet.partial").write_bytes(b"torn")
        time.sleep(0.2)  # requests on their way when the child was killed
        faults.delay = 0.0
        shard = output / "shards/00000"
        kept = sum(lake.count_rows(path) for path in shard.glob("segments/segment-*"))
        sealed = {path.stem.split("-")[1] for path in shard.glob("segments/segment-*")}
        journals = [path for path in shard.glob("journal-*") if path.stem.split("-")[1] not in sealed]
        kept += sum(len(read_journal(path)) for path in journals)
        assert 0 < kept < 160
        before = sum(faults.seen.values())
        child = start_child(url, questions, output)
        assert child.wait(60) == 0, child.stderr.read()
        assert sum(faults.seen.values()) - before == 80 - kept // 2 + 1  # what is missing, and the probe
    assert folder_bytes(output) == clean_bytes
    rows = [row for path in output.glob("shards/00000/segments/segment-*") for row in lake.iterate_rows(path)]
    assert len(rows) == len({(row["question_id"], row["sample_index"]) for row in rows}) == 160


def test_sigterm_seals_what_came_back(questions, tmp_path):
    output = tmp_path / "attempts"
    with serving(Faults(questions, delay=0.05)) as url:
        child = start_child(url, questions, output)
        while not list(output.glob("shards/00000/segments/segment-*")):
            assert child.poll() is None, child.stderr.read()
            time.sleep(0.01)
        child.terminate()
        assert "TryAgain: told to end" in child.communicate(timeout=20)[1]
    assert not (output / "shards/00000/.lock").exists()


def test_a_finished_folder_is_left_alone(questions, tmp_path):
    faults = Faults(questions)
    with serving(faults) as url:
        config = make_config(endpoint=url)
        first = distill(config, questions, tmp_path / "attempts")
        count = sum(faults.seen.values())
        assert distill(config, questions, tmp_path / "attempts") == first
        assert sum(faults.seen.values()) == count
        with pytest.raises(UserError, match=r"other settings \(temperature: 0.6 -> 0.9\)"):
            distill(make_config(endpoint=url, temperature=0.9), questions, tmp_path / "attempts")


def test_an_unfinished_folder_of_other_settings_is_refused(questions, tmp_path):
    def plan(body, _times):
        return "400" if body["seed"] % 5 == 0 and body["max_tokens"] > 1 else None

    with serving(Faults(questions, plan=plan)) as url:
        with pytest.raises(StopAndLook, match="HTTP 400: fault 400"):
            distill(make_config(endpoint=url, in_flight=1), questions, tmp_path / "attempts")
        with pytest.raises(UserError, match="begun with other settings"):
            distill(make_config(endpoint=url, samples=8), questions, tmp_path / "attempts")


def test_failed_requests_are_asked_again_after_mending(questions, tmp_path, clean_bytes):
    def plan(body, _times):
        return "400" if body["seed"] % 5 == 0 and body["max_tokens"] > 1 else None

    faults = Faults(questions, plan=plan)
    with serving(faults) as url:
        with pytest.raises(StopAndLook, match=r"requests failed for good, \d+ of them with: HTTP 400"):
            distill(make_config(endpoint=url), questions, tmp_path / "attempts")
        faults.plan = None
        distill(make_config(endpoint=url), questions, tmp_path / "attempts")
    assert folder_bytes(tmp_path / "attempts") == clean_bytes


def test_a_few_permanent_failures_are_recorded(tmp_path):
    folder = write_folder(tmp_path / "questions", [make_question(index, 8) for index in range(60)])
    spoilt = []

    def plan(body, _times):
        if body["max_tokens"] > 1 and len(spoilt) < 1 and body["n"] == 2:
            spoilt.append(body["seed"])
        return "400" if body["seed"] in spoilt else None

    with serving(Faults(folder, plan=plan)) as url:
        manifest = distill(make_config(endpoint=url), folder, tmp_path / "attempts")
    assert manifest.counts["failed"] == 2
    rows = list(lake.iterate_rows(tmp_path / "attempts" / "attempts" / "part-00000.parquet"))
    assert {row["error"] for row in rows} == {"", "HTTP 400: fault 400"}
    assert len(rows) == 240


@pytest.mark.parametrize("spelling", ["opened", "reasoning", "reasoning_content"])
def test_every_spelling_of_the_thought_gives_the_same_attempts(questions, tmp_path, clean_bytes, spelling):
    with serving(Faults(questions, spelling=spelling)) as url:
        distill(make_config(endpoint=url), questions, tmp_path / "attempts")
    path = tmp_path / "clean.parquet"
    path.write_bytes(clean_bytes["attempts/part-00000.parquet"])
    for row, expected in zip(
        lake.iterate_rows(tmp_path / "attempts/attempts/part-00000.parquet"), lake.iterate_rows(path), strict=True
    ):
        if expected["finish_reason"] == "stop" and "</think>" in expected["response"]:
            assert (row["response"], row["reasoning"]) == (expected["response"], expected["reasoning"])


def test_an_endpoint_that_goes_away_is_try_again(questions, tmp_path):
    served = []

    def plan(_body, _times):
        served.append(1)
        return "cut" if len(served) > 20 else None

    with serving(Faults(questions, plan=plan)) as url, pytest.raises(TryAgain, match="no answer from http"):
        distill(make_config(endpoint=url), questions, tmp_path / "attempts")
    assert not (tmp_path / "attempts" / "manifest.json").exists()
    assert list((tmp_path / "attempts" / "shards/00000/segments").glob("segment-*"))


def test_an_unreachable_endpoint_is_one_line(questions, tmp_path, capfd):
    words = ["distill", "--config=configs/demo.py", f"--questions={questions}", f"--output={tmp_path / 'attempts'}"]
    assert main([*words, "--endpoint=http://127.0.0.1:9"]) == 42
    error = capfd.readouterr().err.strip().splitlines()[-1]
    assert "http://127.0.0.1:9/v1/chat/completions" in error
    assert "start it, or set --endpoint or config.distill.teachers.teacher.endpoints" in error
    assert not (tmp_path / "attempts" / "manifest.json").exists()


def test_a_key_appears_nowhere(questions, tmp_path, monkeypatch, capfd):
    planted = "sk-planted-5f3a9c"
    monkeypatch.setenv("TEACHER_KEY", planted)

    def plan(body, _times):
        return "echo" if body["max_tokens"] > 1 else None

    faults = Faults(questions, plan=plan)
    with serving(faults) as url:
        with pytest.raises(StopAndLook) as stopped:
            distill(make_config(endpoint=url, api_key_env="TEACHER_KEY"), questions, tmp_path / "attempts")
        assert "bad key Bearer ***" in str(stopped.value)
        faults.plan = None
        distill(make_config(endpoint=url, api_key_env="TEACHER_KEY"), questions, tmp_path / "attempts")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) >= 5
    assert not [path for path in files if planted.encode() in path.read_bytes()]
    for path in (tmp_path / "attempts" / "shards/00000/segments").iterdir():
        assert planted not in str(lake.read_table(path).to_pylist())
    assert planted not in "".join(capfd.readouterr())


def test_mistakes_are_named(questions, tmp_path, monkeypatch):
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    for fields, message in (
        ({"api_key_env": "NO_SUCH_KEY"}, "the variable NO_SUCH_KEY that .* names is not set"),
        ({"api_key_env": "sk-1234"}, "is to be the NAME of a variable"),
        ({"endpoint": "localhost:8000"}, "is no URL"),
        ({"endpoint": "http://user:secret@host/v1"}, "holds a password"),
        ({"samples": 0}, "config.distill.samples=0"),
        ({"answer_format": "box"}, "answer_format='box'"),
        ({"scripted": {"wrong": 0.8, "malformed": 0.3, "truncated": 0.0}}, "more than 1"),
    ):
        with pytest.raises(UserError, match=message):
            distill(make_config(**fields), questions, tmp_path / "attempts")
    assert not (tmp_path / "attempts").exists()


def test_credentialed_and_held_out_questions_are_not_sent(tmp_path):
    folder = write_folder(tmp_path / "a", [make_question(0), make_question(1, access="credentialed")])
    with pytest.raises(UserError, match="made:00001 is credentialed"):
        distill(make_config(endpoint="http://127.0.0.1:9"), folder, tmp_path / "out")
    folder = write_folder(tmp_path / "b", [make_question(0, split="test")])
    with pytest.raises(UserError, match="held out"):
        distill(make_config(endpoint="http://127.0.0.1:9"), folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_refusals_of_the_endpoint_are_the_users(questions, tmp_path):
    for status, message in (
        ("401", "refuses the key"),
        ("404", "knows no model 'scripted'"),
        ("400", "refuses the request"),
    ):
        with (
            serving(Faults(questions, plan=lambda _body, _times, status=status: status)) as url,
            pytest.raises(UserError, match=message),
        ):
            distill(make_config(endpoint=url), questions, tmp_path / "attempts")
        assert not (tmp_path / "attempts").exists()  # nothing came back, so another command may use the name
