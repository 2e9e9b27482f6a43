"""``octomed distill`` asks the teacher of a launch: from its spec, or from the variables in the launch's own pods."""

import json
from pathlib import Path

import pytest
from fault_server import Faults, serving
from ml_collections import ConfigDict
from teacher_helpers import make_question, write_folder

from octomed_jax import configuration
from octomed_jax.cli.main import main
from octomed_jax.errors import UserError
from octomed_jax.launching import endpoints
from octomed_jax.launching.endpoints import Served, environment_of, fill_in, from_environment, served
from octomed_jax.launching.read_spec import read_spec
from octomed_jax.teacher.settings import defaults

ROOT = Path(__file__).resolve().parents[2]
LAUNCH = str(ROOT / "configs/launch/teacher_gpu.py")
MODEL = "Qwen/Qwen2.5-VL-72B-Instruct"


@pytest.fixture
def questions(tmp_path):
    return write_folder(tmp_path / "questions", [make_question(index) for index in range(6)])


def told(capfd) -> dict:
    return json.loads(capfd.readouterr().out.strip().splitlines()[-1])


def test_in_a_pod_of_the_launch_the_variables_say_where_the_teacher_is(questions, tmp_path, monkeypatch, capfd):
    servers = [Faults(questions), Faults(questions)]
    with serving(servers[0]) as one, serving(servers[1]) as other:
        for name, value in environment_of(Served(MODEL, (one, other))).items():
            monkeypatch.setenv(name, value)
        words = ["distill", f"--questions={questions}", f"--output={tmp_path / 'a'}", "--samples=4", "--json"]
        assert main(words) == 0
    assert told(capfd)["attempts"] == 24
    assert all(server.seen for server in servers)
    assert {json.loads(key)["model"] for server in servers for key in server.seen} == {MODEL}


def test_a_recipe_gets_the_endpoints_for_the_teacher_of_that_model(questions, tmp_path, monkeypatch, capfd):
    server = Faults(questions)
    with serving(server) as url:
        monkeypatch.setenv(endpoints.MODEL, MODEL)
        monkeypatch.setenv(endpoints.ENDPOINTS, url)
        words = ["distill", f"--config={ROOT / 'configs/recipes/octomed_7b_one_teacher.py'}", "--samples=4"]
        assert main([*words, f"--questions={questions}", f"--output={tmp_path / 'a'}", "--json"]) == 0
    assert told(capfd)["attempts"] == 24
    assert server.seen


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://teacher-0.default.svc.invalid:8000"])
def test_a_teacher_that_is_not_ready_yet_is_waited_for_and_asked_another_time(
    url, questions, tmp_path, monkeypatch, capsys
):
    """No service, or one without a pod that is ready: exit code 42, with which a JobSet begins again, not counted."""
    monkeypatch.setenv(endpoints.MODEL, MODEL)
    monkeypatch.setenv(endpoints.ENDPOINTS, url)
    words = ["distill", f"--questions={questions}", f"--output={tmp_path / 'a'}", "--samples=4"]
    assert main([*words, "--config.distill.patience_seconds=1"]) == 42
    assert url in capsys.readouterr().err


def test_the_launch_config_says_the_same_as_the_variables(questions, tmp_path, capfd, monkeypatch):
    """The name of the service resolves in the cluster only: here the spec's endpoints are put on loopback."""
    spec = read_spec(configuration.load(LAUNCH), roots=(ROOT,))
    of_spec = served(spec)
    assert of_spec == from_environment(environment_of(of_spec))
    assert of_spec.endpoints[0] == "http://octomed-traces-teacher-0.default.svc:8000"
    server = Faults(questions)
    with serving(server) as url:
        monkeypatch.setattr("octomed_jax.cli.distill.served", lambda job: Served(job.teacher.model, (url,)))
        words = ["distill", f"--launch={LAUNCH}", f"--questions={questions}", f"--output={tmp_path / 'a'}"]
        assert main([*words, "--samples=4", "--json"]) == 0
    assert told(capfd)["attempts"] == 24
    assert {json.loads(key)["model"] for key in server.seen} == {MODEL}


def test_a_teacher_that_asks_for_a_key_gets_it_by_name():
    settings = defaults()
    settings.teachers.teacher.model = MODEL
    environment = {**environment_of(Served(MODEL, ("http://a",))), "VLLM_API_KEY": "x"}
    fill_in(settings, from_environment(environment))
    assert settings.teachers.teacher.endpoints == ("http://a",)
    assert settings.teachers.teacher.api_key_env == "VLLM_API_KEY"


def test_an_approval_is_not_carried_over_to_other_endpoints():
    settings = defaults()
    settings.teachers.teacher.update({"model": MODEL, "approved_access": ("open", "credentialed")})
    fill_in(ConfigDict(settings), Served(MODEL, ("http://a",)))  # approved for what the launch gives
    settings.teachers.teacher.endpoints = ("http://approved",)
    with pytest.raises(UserError, match="approves credentialed for http://approved, and the launch has others"):
        fill_in(settings, Served(MODEL, ("http://a",)))


def test_mistakes_are_one_line(questions, tmp_path, capsys, monkeypatch):
    base = ["distill", f"--questions={questions}", f"--output={tmp_path / 'a'}"]
    recipe = f"--config={ROOT / 'configs/recipes/octomed_7b_one_teacher.py'}"
    pod = str(ROOT / "configs/launch/octomed_7b_v5e_256.py:gke")
    for words, message in (
        ([*base, f"--launch={LAUNCH}", "--model=m"], "--model and --launch both say where the teacher is"),
        ([*base, f"--launch={pod}"], "has no teacher; set its group `teacher`, or give --endpoint"),
        ([*base, f"--launch={LAUNCH}:three"], "knows no variant 'three'"),
        ([*base, f"--launch={LAUNCH}", recipe, "--terms=MIT"], "set config.distill.teachers"),
        (
            [*base, f"--launch={LAUNCH}", f"--config={ROOT / 'configs/demo.py:tiny'}"],
            f"the launch serves {MODEL}, which no teacher of config.distill.teachers asks for (teacher: scripted)",
        ),
    ):
        assert main(words) == 2, words
        assert message in capsys.readouterr().err
    monkeypatch.setenv(endpoints.MODEL, MODEL)
    assert main(base) == 2
    assert "go together; set both or neither" in capsys.readouterr().err
    assert not (tmp_path / "a").exists()
