"""Runs that are stopped, shared out and gone on with: nothing is missing, nothing stands in the way, all is said."""

import json
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from aiohttp import web
from etils import epath
from fault_server import Faults, serving
from teacher_helpers import folder_bytes, make_config, make_question, write_folder

from octomed_jax.errors import StopAndLook, TryAgain, UserError
from octomed_jax.teacher import ledger, ownership, pool, run, shards
from octomed_jax.teacher.distill import distill
from octomed_jax.teacher.settings import defaults, one_teacher
from octomed_jax.teacher.shards import begin
from octomed_jax.traces import lake


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(pool, "FIRST_WAIT", 0.01)


@pytest.fixture(scope="module")
def questions(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "questions"
    return write_folder(folder, [make_question(index, 8) for index in range(60)])


def slowly(monkeypatch, seconds):
    """Let the sorting of a shard take as long as that of a large one."""
    finish = shards.Shards.finish

    def slow(self, number, held):
        time.sleep(seconds)
        finish(self, number, held)

    monkeypatch.setattr(shards.Shards, "finish", slow)


def test_sealing_takes_nothing_from_a_shard_that_is_being_finished(questions, tmp_path, monkeypatch):
    monkeypatch.setattr(ledger, "SEAL_SECONDS", 0.0)
    monkeypatch.setattr(run, "TICK_SECONDS", 0.002)
    slowly(monkeypatch, 0.03)
    with serving(Faults(questions)) as url:
        manifest = distill(make_config(endpoint=url, shards=12, in_flight=32), questions, tmp_path / "a")
    assert manifest.counts["attempts"] == 240
    assert sum(lake.count_rows(path) for path in tmp_path.rglob("segment-*")) == 240


def test_told_to_end_while_a_shard_is_sorted_everything_is_sealed(questions, tmp_path, monkeypatch):
    monkeypatch.setattr(ledger, "SEAL_SECONDS", 0.1)
    monkeypatch.setattr(run, "TICK_SECONDS", 0.02)
    slowly(monkeypatch, 0.6)
    faults = Faults(questions, delay=0.03)

    def end():
        while not list(tmp_path.glob("a/shards/*/segments/segment-*")):
            time.sleep(0.01)
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGTERM)

    with serving(faults) as url:
        thread = threading.Thread(target=end)
        thread.start()
        with pytest.raises(TryAgain, match="told to end"):
            distill(make_config(endpoint=url, shards=6, in_flight=4), questions, tmp_path / "a")
        thread.join()
    assert not list(tmp_path.rglob("journal-*"))


def test_what_failed_is_asked_again_also_in_a_shard_that_was_done(questions, tmp_path):
    broken = [True]

    def plan(body, _times):
        return "400" if broken[0] and body["max_tokens"] > 1 and body["seed"] % 4 == 0 else None

    with serving(Faults(questions, plan=plan)) as url:
        config = make_config(endpoint=url, shards=10, most_failed=0.15, in_flight=2)
        with pytest.raises(StopAndLook, match="of 120 requests failed for good"):
            distill(config, questions, tmp_path / "a")
        assert list(tmp_path.glob("a/shards/*/attempts.parquet"))  # some shards were through
        broken[0] = False
        manifest = distill(config, questions, tmp_path / "a")
        distill(make_config(endpoint=url, most_failed=0.15), questions, tmp_path / "b")
    assert manifest.counts["failed"] == 0
    names = ("attempts/part-00000.parquet", "card.md")
    assert {n: folder_bytes(tmp_path / "a")[n] for n in names} == {n: folder_bytes(tmp_path / "b")[n] for n in names}


def test_a_question_that_is_always_refused_stands_in_no_ones_way(questions, tmp_path):
    """It is the first that is missing when the run goes on, and of the kind that a start is tried with."""
    gone = [False]

    def plan(body, _times):
        if gone[0]:
            return "503"
        return "400" if "What is 2 plus 2?" in json.dumps(body["messages"]) else None

    faults = Faults(questions, plan=plan, delay=0.01)

    def go():
        while sum(faults.answered.values()) < 60:
            time.sleep(0.005)
        gone[0] = True

    with serving(faults) as url:
        config = make_config(endpoint=url, in_flight=4, most_failed=0.05)
        threading.Thread(target=go, daemon=True).start()
        with pytest.raises(TryAgain):
            distill(config, questions, tmp_path / "a")
        gone[0] = False
        manifest = distill(config, questions, tmp_path / "a")
    assert manifest.counts["failed"] == 4
    assert manifest.counts["attempts"] == 240


def test_the_share_of_failures_is_of_a_workers_own_requests(questions, tmp_path):
    with serving(Faults(questions, plan=lambda body, _times: "400" if body["max_tokens"] > 1 else None)) as url:
        config = make_config(endpoint=url, shards=10, most_failed=0.2)
        for worker in range(10):
            with pytest.raises(StopAndLook, match="requests failed for good"):
                distill(config, questions, tmp_path / "a", worker, 10)


def test_a_key_that_expires_ends_the_run_at_once(questions, tmp_path):
    count = [0]

    def plan(_body, _times):
        count[0] += 1
        return "401" if count[0] > 30 else None

    with serving(Faults(questions, plan=plan)) as url, pytest.raises(UserError, match="refuses the key"):
        distill(make_config(endpoint=url, most_failed=0.9, in_flight=8), questions, tmp_path / "a")
    assert count[0] < 60


def test_refusals_alone_are_try_again(questions, tmp_path, monkeypatch):
    monkeypatch.setattr(pool, "LEAST_PATIENCE", 0.2)
    with serving(Faults(questions, plan=lambda body, _times: "429" if body["max_tokens"] > 1 else None)) as url:
        with pytest.raises(TryAgain, match="no answer from"):
            distill(make_config(endpoint=url), questions, tmp_path / "a")
        assert not list(tmp_path.rglob("segment-*"))


class Odd(Faults):
    """Answers one question with a reply that is spelt in ``text``."""

    text = ""

    async def _chat(self, request):
        body = json.loads(await request.read())
        if body["max_tokens"] > 1 and "What is 6 plus" in json.dumps(body["messages"]):
            return web.Response(text=self.text, content_type="application/json")
        return await super()._chat(request)


def choices(content="\\\\boxed{8}", usage="{}"):
    each = ", ".join(f'{{"index": {n}, "message": {{"content": "{content}"}}}}' for n in range(2))
    return f'{{"choices": [{each}], "usage": {usage}}}'


@pytest.mark.parametrize(
    ("text", "failed"),
    [
        (choices("\\ud83d \\\\boxed{8}"), 0),
        (choices(usage='{"prompt_tokens": 2147483648, "completion_tokens": -5}'), 0),
        (choices(usage='{"prompt_tokens": Infinity}'), 4),
        ("[" * 100_000, 4),
        ("null", 4),
    ],
    ids=["half a surrogate", "counts out of range", "infinite counts", "deep", "null"],
)
def test_an_odd_reply_is_a_failure_of_one_request(questions, tmp_path, text, failed):
    server = Odd(questions)
    server.text = text
    with serving(server) as url:
        manifest = distill(make_config(endpoint=url, most_failed=0.1), questions, tmp_path / "a")
    assert (manifest.counts["failed"], manifest.counts["attempts"]) == (failed, 240)


def test_workers_may_begin_at_the_same_moment(tmp_path):
    for number in range(20):
        folder = epath.Path(tmp_path / str(number))
        with ThreadPoolExecutor(8) as workers:
            begun = [workers.submit(begin, folder, {"n": 1}, {"q": "a"}, 5000, 4, 0) for _ in range(8)]
        assert {one.result().count for one in begun} == {10}


@pytest.mark.parametrize("shards_done", ["one", "all"])
def test_what_another_process_did_meanwhile_is_passed_over(questions, tmp_path, monkeypatch, shards_done):
    faults = Faults(questions)
    split = shards.Shards.split

    def overtaken(self, numbers):
        """Between seeing what is missing and beginning with it, let another process do it."""
        split(self, numbers)
        monkeypatch.setattr(shards.Shards, "split", split)
        if shards_done == "all":
            assert distill(config, questions, tmp_path / "a").counts["attempts"] == 240
        else:
            assert distill(config, questions, tmp_path / "a", worker=0, workers=2) is None

    monkeypatch.setattr(shards.Shards, "split", overtaken)
    with serving(faults) as url:
        config = make_config(endpoint=url, shards=2)
        manifest = distill(config, questions, tmp_path / "a")
    assert manifest.counts["attempts"] == 240
    assert set(faults.answered.values()) == {1}
    assert not list(tmp_path.glob("a/shards/*/questions.parquet"))


def test_a_teacher_far_ahead_of_another_one_waits(questions, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "MOST_OPEN", 3)
    most = []
    close_end = run.Run.close_end

    async def counted(self, shard):
        most.append(len(self._open) + len(self._finishing))
        await close_end(self, shard)

    monkeypatch.setattr(run.Run, "close_end", counted)
    with serving(Faults(questions)) as fast, serving(Faults(questions, delay=0.05)) as slow:
        teachers = {
            "text": {"takes": "text", "endpoints": (fast,)},
            "images": {"takes": "images", "endpoints": (slow,)},
        }
        manifest = distill(make_config(teachers=teachers, shards=20, in_flight=4), questions, tmp_path / "a")
    assert manifest.counts["attempts"] == 240
    assert max(most) == 3


def test_shards_are_merged_a_few_at_a_time_into_the_same_bytes(questions, tmp_path, monkeypatch):
    with serving(Faults(questions)) as url:
        distill(make_config(endpoint=url, shards=13), questions, tmp_path / "at once")
        monkeypatch.setattr(shards, "MERGE_FILES", 3)
        distill(make_config(endpoint=url, shards=13), questions, tmp_path / "in levels")
    assert folder_bytes(tmp_path / "in levels") == folder_bytes(tmp_path / "at once")
    assert not (tmp_path / "in levels" / "merging").exists()


def test_nothing_of_another_endpoint_is_carried_over():
    settings = defaults()
    first = settings.teachers.teacher
    first.update({"approved_access": ("open", "credentialed"), "api_key_env": "OWN_KEY", "terms": "ours alone"})
    one_teacher(settings, model="m", endpoints=("https://public.example",))
    teacher = settings.teachers.teacher
    assert (teacher.approved_access, teacher.api_key_env, teacher.terms) == (("open",), "", "")
    with pytest.raises(UserError, match="--endpoint and --model go together"):
        one_teacher(settings, model="m")


def test_a_model_without_an_endpoint_is_not_played_by_the_program(questions, tmp_path):
    with pytest.raises(UserError, match="has no endpoint for 'deepseek-ai/DeepSeek-R1'"):
        distill(make_config(model="deepseek-ai/DeepSeek-R1"), questions, tmp_path / "a")


def test_cost_is_counted_once_for_teachers_of_one_model(questions, tmp_path):
    with serving(Faults(questions)) as url:
        one = {"model": "vl", "endpoints": (url,), "dollars_per_million": {"prompt": 0.0, "completion": 1e6}}
        teachers = {"a": {**one, "takes": "text"}, "b": {**one, "takes": "images"}}
        manifest = distill(make_config(teachers=teachers), questions, tmp_path / "a")
        assert manifest.extra["cost"]["dollars"] == manifest.counts["completion_tokens"]
        teachers["b"] = {**teachers["b"], "dollars_per_million": {"prompt": 0.0, "completion": 2.0}}
        with pytest.raises(UserError, match="two prices for 'vl'"):
            distill(make_config(teachers=teachers), questions, tmp_path / "b")


def test_a_key_that_is_echoed_in_an_answer_is_in_no_file(questions, tmp_path, monkeypatch):
    planted = "sk-planted/5f3a9c"
    monkeypatch.setenv("TEACHER_KEY", f" {planted}\n")  # as it comes out of a file
    server = Odd(questions)
    server.text = choices(f"{planted} sk-planted\\\\/5f3a9c".replace("\\\\", "\\"))
    with serving(server) as url:
        distill(make_config(endpoint=url, api_key_env="TEACHER_KEY"), questions, tmp_path / "a")
    rows = [row for row in lake.iterate_parts(tmp_path / "a" / "attempts") if row["question_id"] == "made:00006"]
    assert rows[0]["response"] == "*** ***"
    for path in (path for path in (tmp_path / "a").rglob("*") if path.is_file()):
        assert planted.encode() not in path.read_bytes()
        if path.suffix == ".parquet":
            assert planted not in str(lake.read_table(path).to_pylist())


def test_what_is_no_key_and_no_address_is_named(questions, tmp_path, monkeypatch):
    monkeypatch.setenv("TEACHER_KEY", "two words")
    with pytest.raises(UserError, match="the key in TEACHER_KEY holds characters") as refused:
        distill(make_config(endpoint="http://h", api_key_env="TEACHER_KEY"), questions, tmp_path / "a")
    assert "two words" not in str(refused.value)
    for url in ("http://[::1", "http://h:99999", "http://h:abc", "http://h?key=s3cret"):
        with pytest.raises(UserError, match=r"is no URL|holds a query") as refused:
            distill(make_config(endpoint=url), questions, tmp_path / "a")
        assert "s3cret" not in str(refused.value)


def test_an_endpoint_that_answers_404_while_it_restarts_is_waited_for(questions, tmp_path):
    count = [0]

    def plan(_body, _times):
        count[0] += 1
        return "404" if 30 < count[0] < 60 else None

    with serving(Faults(questions, plan=plan)) as one, serving(Faults(questions, delay=0.01)) as other:
        config = make_config(endpoint=(one, other), patience_seconds=30.0)
        assert distill(config, questions, tmp_path / "a").counts["failed"] == 0


def test_a_full_disk_where_the_lock_is_written_is_try_again(tmp_path, monkeypatch):
    """The fault is injected: writing raises what a full disk raises."""

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(TryAgain, match="no space left"), ownership.owned(epath.Path(tmp_path)):
        pass
