"""An evaluation that is killed is gone on with, and ends with the same bytes; its journal survives being torn."""

import os
import signal
import subprocess
import sys
import time

import pytest
from eval_helpers import at, make_question, result_bytes, write_heldout
from eval_server import MODEL, eval_server

from octomed_jax.evaluation.backends.base import Answer, Asked
from octomed_jax.evaluation.journal import Journal, key_of
from octomed_jax.evaluation.protocol import read_protocol
from octomed_jax.evaluation.run import evaluate


def lines_of(path):
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_killed_several_times_it_ends_with_the_same_bytes(tmp_path, root):
    questions = write_heldout(tmp_path / "questions", [make_question(number) for number in range(40)])
    journal = tmp_path / ".a.partial" / "journal.jsonl"
    with eval_server(seconds=0.05) as server:
        command = [
            sys.executable, "-m", "octomed_jax.cli.main", "eval", "run", "--config=configs/demo.py:tiny",
            f"--questions={questions}", f"--output={tmp_path / 'a'}", f"--endpoint={server.url}", f"--model={MODEL}",
            "--config.eval.in_flight=2", "--config.eval.seeds=2",
        ]  # fmt: skip
        for _ in range(3):
            before = lines_of(journal)
            process = subprocess.Popen(command, cwd=root, stderr=subprocess.DEVNULL, start_new_session=True)
            while process.poll() is None and lines_of(journal) < before + 5:
                time.sleep(0.005)
            assert process.poll() is None, "it ended before it could be killed"
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        held = lines_of(journal)
        assert 15 <= held < 80
        with journal.open("ab") as file:
            file.write(b'{"half": ["a li')  # as a kill within a write leaves it
        server.asked.clear()
        subprocess.run(command, cwd=root, check=True, stderr=subprocess.DEVNULL)
        asked = [body for body in server.asked if body["max_tokens"] > 1]
        assert len(asked) <= 80 - held
        evaluate(at(server, seeds=2), "", questions, tmp_path / "b")
    assert result_bytes(tmp_path / "a") == result_bytes(tmp_path / "b")
    assert not journal.parent.exists()


def test_killed_after_all_was_written_nothing_is_asked_again(tmp_path, monkeypatch):
    questions = write_heldout(tmp_path / "questions", [make_question(number) for number in range(6)])
    with eval_server() as server:
        with monkeypatch.context() as patch:
            patch.setattr("octomed_jax.evaluation.run.manifests.write_manifest", _killed)
            with pytest.raises(KeyboardInterrupt):
                evaluate(at(server), "", questions, tmp_path / "a")
        before = len(server.asked)
        evaluate(at(server), "", questions, tmp_path / "a")
        assert {body["max_tokens"] for body in server.asked[before:]} == {1}
        before = len(server.asked)
        evaluate(at(server), "", questions, tmp_path / "a")
        assert len(server.asked) == before, "a finished evaluation asks nobody"


def _killed(*_):
    raise KeyboardInterrupt


ANSWERS = [Answer("<think>é</think>\n\nA", "stop", 3), Answer("B", "length", 2, forced=True)]


def asked(number):
    return Asked(make_question(number), 0, number, f"key{number}")


def test_a_torn_or_damaged_journal_is_healed(tmp_path):
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        journal.add([(asked(0), ANSWERS[0]), (asked(1), ANSWERS[1])])
        journal.add([(asked(2), ANSWERS[0]), (asked(3), Answer("", "error", 0, error="HTTP 500"))])
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        with Journal(path) as journal:
            kept = {0: set(), 1: {"key0", "key1"}, 2: {"key0", "key1", "key2"}}[whole[:cut].count(b"\n")]
            assert set(journal.held) == kept
            journal.add([(asked(4), ANSWERS[1])])
        with Journal(path) as journal:
            assert set(journal.held) == kept | {"key4"}
    assert journal.held["key0"] == ANSWERS[0]
    assert journal.held["key1"] == ANSWERS[1]
    path.write_bytes(whole[:first] + b"\x00" * 9 + b"\n" + whole[first:])
    with Journal(path) as journal:
        assert set(journal.held) == {"key0", "key1"}
    assert path.read_bytes() == whole[:first]


def test_the_name_of_a_sample_depends_on_all_that_decides_it():
    with eval_server() as server:
        config = at(server, force_end_of_thinking=True)
    protocol, question = read_protocol(config), make_question(1)
    names = [
        key_of("m", question, protocol, 1),
        key_of("n", question, protocol, 1),
        key_of("m", question, protocol, 2),
        key_of("m", make_question(1, question="Another?"), protocol, 1),
        key_of("m", make_question(1, images=[b"an image"]), protocol, 1),
    ]
    for name, value in {
        "temperature": 0.5, "top_p": 0.5, "max_new_tokens": 5, "max_pixels": 5, "answer_format": "tag",
        "force_end_of_thinking": False, "forced_answer_tokens": 5,
    }.items():  # fmt: skip
        config = at(server, force_end_of_thinking=True)
        config.eval[name] = value
        names.append(key_of("m", question, read_protocol(config), 1))
    assert len(set(names)) == len(names)
    config.eval.in_flight = 3
    assert key_of("m", question, read_protocol(config), 1) == names[-1]
