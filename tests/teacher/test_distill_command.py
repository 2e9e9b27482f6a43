"""``octomed distill`` from the command line, with the programmatic teacher it starts itself."""

import json
import re
import subprocess
import sys
import time

import pytest
from etils import epath
from fault_server import Faults, serving
from teacher_helpers import folder_bytes, make_question, write_folder

from octomed_jax import configuration, manifests
from octomed_jax.cli.main import main
from octomed_jax.teacher.script import Rates
from octomed_jax.teacher.settings import result_settings
from octomed_jax.teacher.shards import begin
from octomed_jax.traces import lake


def test_the_command_names_the_teacher_and_the_result(tmp_path, capfd):
    folder = write_folder(tmp_path / "questions", [make_question(index) for index in range(12)])
    for name, more in (("a", ["--json"]), ("b", ["--config.distill.in_flight=3"])):
        words = ["distill", "--config=configs/demo.py:tiny", f"--questions={folder}", f"--output={tmp_path / name}"]
        assert main([*words, *more]) == 0
    printed = capfd.readouterr()
    first, last = printed.out.strip().splitlines()
    assert json.loads(first)["attempts"] == 48
    assert last.startswith("48 attempts at 12 questions (41 correct, 0 failed) by programmatic teacher (10% wrong, ")
    assert last.endswith(f"lie in {tmp_path / 'b'}; report: {tmp_path / 'b' / 'report.html'}")
    assert "teacher: programmatic teacher (10% wrong, 5% malformed, 5% truncated on purpose), started" in printed.err
    assert folder_bytes(tmp_path / "a") == folder_bytes(tmp_path / "b")


@pytest.mark.parametrize("verb", ["distill", "verify"])
def test_help_has_an_example(verb, capsys):
    with pytest.raises(SystemExit) as ended:
        main([verb, "--help"])
    assert ended.value.code == 0
    assert f"\n  octomed {verb} --config=configs/demo.py" in capsys.readouterr().out.partition("example:")[2]


def test_mistakes_are_one_line(tmp_path, capsys):
    assert main(["distill", "--config=configs/demo.py", f"--questions={tmp_path / 'none'}"]) == 2
    assert "does not exist; make it first with `octomed questions build`" in capsys.readouterr().err
    assert main(["distill", "--config=configs/demo.py", "--config.distill.sample=3"]) == 2
    assert "did you mean 'samples'" in capsys.readouterr().err


def test_the_short_form_needs_no_config(tmp_path, capfd):
    folder = write_folder(tmp_path / "questions", [make_question(index) for index in range(12)])
    servers = [Faults(folder), Faults(folder)]
    output = tmp_path / "attempts"
    with serving(servers[0]) as one, serving(servers[1]) as other:
        words = ["distill", f"--questions={folder}", f"--endpoint={one}", f"--endpoint={other}", "--model=teacher-x"]
        words += ["--samples=8", "--max-tokens=300", "--temperature=0.8", "--seed=5", f"--output={output}", "--json"]
        assert main(words) == 0
    told = json.loads(capfd.readouterr().out)
    assert (told["attempts"], told["questions"], told["finished"]) == (96, 12, True)
    assert (output / "report.html").exists()
    assert sum(told["verdicts"].values()) == 96
    bodies = [json.loads(key) for server in servers for key in server.seen]
    assert all(server.seen for server in servers)
    assert {(body["model"], body["n"], body["temperature"], body["max_tokens"]) for body in bodies} == {
        ("teacher-x", 4, 0.8, 300), ("teacher-x", 4, 0.8, 1),
    }  # fmt: skip
    columns = (
        "question_id", "sample_index", "teacher", "response", "reasoning", "finish_reason", "prompt_tokens",
        "completion_tokens", "verdict", "extracted", "reason",
    )  # fmt: skip
    rows = list(lake.iterate_parts(output / "attempts", columns))
    assert len(rows) == 96
    assert {row["teacher"] for row in rows} == {"teacher-x"}


def test_mistakes_of_the_short_form_are_one_line(tmp_path, capsys):
    folder = write_folder(tmp_path / "questions", [make_question(2)])
    base = ["distill", f"--questions={folder}", f"--output={tmp_path / 'a'}"]
    for words, message in (
        (["distill"], "give --questions and --output, or --config"),
        ([*base, "--model=m"], "--endpoint and --model go together"),
        ([*base, "--endpoint=http://h", "--model=m", "--shard=3/2"], "--shard=3/2 is no I/N"),
        ([*base, "--endpoint=http://h", "--model=m", "--samples=0"], "config.distill.samples=0"),
        ([*base, "--endpoint=http://h", "--model=m", "--sample=3"], "did you mean '--samples'"),
        ([*base, "--endpoint=http://h", "--model=m", "--config.distill.accpt=3"], "did you mean 'accept'"),
        ([*base, "--endpoint=http://h", "--model=m", "--accept=99"], "accept=99 is more than samples=16"),
        (["distill", "--status", str(tmp_path / "none")], "holds no run that has begun"),
    ):
        assert main(words) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "a").exists()


def test_status_tells_of_a_run_from_another_shell(tmp_path, capsys):
    folder = write_folder(tmp_path / "questions", [make_question(index) for index in range(40)])
    output = tmp_path / "attempts"
    faults = Faults(folder, delay=0.4, plan=lambda body, times: "500" if times == 1 and body["seed"] % 5 == 0 else None)
    with serving(faults) as url:
        words = [f"--questions={folder}", f"--output={output}", f"--endpoint={url}", "--model=m", "--samples=4"]
        words += ["--in-flight=2"]
        command = [sys.executable, "-m", "octomed_jax.cli.main", "distill", *words]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            while True:
                assert process.poll() is None, process.stderr.read()
                if (output / "status").exists() and main(["distill", "--status", str(output), "--json"]) == 0:
                    [told] = json.loads(capsys.readouterr().out)["workers"]
                    if told["requests"]:
                        break
                time.sleep(0.05)
            assert main(["distill", "--status", str(output)]) == 0
            shown = capsys.readouterr().out
            assert f"worker 0 of 1 (process {process.pid} on " in shown
            assert ": works" in shown
            assert f"teacher m {url}/v1/chat/completions: up, " in shown
            assert told["of"] == 160
            assert 0 < told["attempts"] <= 160
        finally:
            process.terminate()
            process.communicate(timeout=30)
        assert process.returncode == 42
        capsys.readouterr()
        faults.delay = 0.0
        assert main(["distill", *words]) == 0
    assert main(["distill", "--status", str(output)]) == 0
    assert "160 attempts at 40 questions" in capsys.readouterr().out.splitlines()[-1]


@pytest.mark.parametrize("each", [1, 4])
def test_an_alarm_for_samples_that_are_copies(tmp_path, capsys, each):
    long = make_question(2, explanation="Counting on by two gives the sum. " * 8)
    for name, question, more, alarm in (
        ("same", long, [], "ALARM: 7 of 8 long samples are copies of another sample of their question"),
        ("greedy", long, ["--temperature=0"], ""),
        ("short", make_question(2), [], ""),  # short answers are equal by chance
    ):
        folder = write_folder(tmp_path / name, [question])
        server = Faults(folder, rates=Rates())  # nothing is drawn: each sample is the same text, whatever the seed
        with serving(server) as url:
            words = ["distill", f"--questions={folder}", f"--endpoint={url}", "--model=m", "--samples=8", *more]
            words += [f"--config.distill.samples_per_request={each}", f"--output={tmp_path / name / 'attempts'}"]
            assert main(words) == 0
        told = capsys.readouterr().err
        assert (alarm in told) if alarm else ("ALARM" not in told)


def test_a_server_that_gives_one_choice_is_found_out_before_anything_is_recorded(tmp_path, capsys):
    folder = write_folder(tmp_path / "questions", [make_question(index) for index in range(8)])
    server = Faults(folder, plan=lambda body, _: "wrong n" if body["n"] > 1 else None)
    with serving(server) as url:
        words = ["distill", f"--questions={folder}", f"--endpoint={url}", "--model=m", "--samples=4"]
        words += [f"--output={tmp_path / 'attempts'}"]
        assert main(words) == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert "does not give several choices at once: 1 choices came back for n=4" in error
        assert not (tmp_path / "attempts").exists()
        cure = re.search(r"--config\.[^)]+", error)[0]
        assert main([*words, cure]) == 0


def test_the_cures_of_the_short_form_are_its_options(tmp_path, capsys):
    folder = write_folder(tmp_path / "questions", [make_question(2)])
    closed = write_folder(tmp_path / "closed", [make_question(2, access="credentialed")])
    for fault, option in (("401", "--api-key-env"), ("404", "--model"), ("503", "--endpoint")):
        with serving(Faults(folder, plan=lambda *_, fault=fault: fault)) as url:
            words = [f"--endpoint={url}", "--model=m", f"--output={tmp_path / fault}"]
            words += ["--config.distill.patience_seconds=0"]
            assert main(["distill", f"--questions={folder}", *words]) in (2, 42)
            assert f"set {option} or config.distill.teachers.teacher." in capsys.readouterr().err
    assert main(["distill", f"--questions={closed}", *words]) == 2
    assert "give --approve=credentialed, or name it in" in capsys.readouterr().err


def test_a_worker_for_whom_no_shard_is_left_says_so(tmp_path, capsys):
    folder = write_folder(tmp_path / "questions", [make_question(index) for index in range(4)])
    words = ["distill", "--config=configs/demo.py:tiny", f"--questions={folder}", f"--output={tmp_path / 'a'}"]
    questions = manifests.read_manifest(folder, "questions")
    config = configuration.load("configs/demo.py:tiny", [])
    (tmp_path / "a").mkdir()
    begin(epath.Path(tmp_path / "a"), result_settings(config), {"questions": questions.identity}, 4, 1, 0)
    assert main([*words, "--shard=1/2"]) == 0
    told = capsys.readouterr()
    assert "was begun with 1 shards, none of them for worker 1 of 2" in told.err
    assert told.out.startswith("worker 1 of 2 has nothing left to do; others have")


def test_prices_give_a_cost(tmp_path, capsys):
    folder = write_folder(tmp_path / "questions", [make_question(2)])
    with serving(Faults(folder, rates=Rates())) as url:
        words = ["distill", "--config=configs/demo.py", f"--questions={folder}", f"--output={tmp_path / 'a'}"]
        words += ["--config.distill.teachers.teacher.dollars_per_million.completion=1000000"]
        words += [f"--config.distill.teachers.teacher.endpoints={url}"]
        assert main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    manifest = json.loads((tmp_path / "a" / "manifest.json").read_text())
    assert manifest["extra"]["cost"]["dollars"] == told["completion_tokens"] > 0
