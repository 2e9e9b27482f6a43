"""A vLLM that an evaluation starts and ends; a fake one, which answers "2" to everything."""

import itertools
import json

import pytest
from eval_helpers import make_config, make_question, png, write_heldout

from octomed_jax.errors import UserError
from octomed_jax.evaluation.run import evaluate
from octomed_jax.inputs.render import example_builder
from octomed_jax.inputs.template import SYSTEM_LINE
from tests.hf.folders import make_student
from tests.teacher.vllm_helpers import Fake


@pytest.fixture
def fake(tmp_path, monkeypatch):
    (tmp_path / "fake").mkdir()
    return Fake(tmp_path / "fake", monkeypatch)


@pytest.fixture
def model(tmp_path):
    make_student(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def questions(tmp_path):
    made = [make_question(1), make_question(2, question="Which one of all these is number 2?")]
    return write_heldout(tmp_path / "questions", made)


def served_by(fake, **fields):
    config = make_config(backend="vllm", max_new_tokens=1500, **fields)
    config.eval.vllm.command = fake.path
    return config


def test_it_is_started_with_what_is_needed_and_ended(fake, model, questions, tmp_path):
    evaluate(served_by(fake), model, questions, tmp_path / "a")
    (note,) = fake.notes()
    options = dict(itertools.pairwise(note["arguments"]))
    builder = example_builder(model, "boxed")
    longest = builder.measure(make_question(2, question="Which one of all these is number 2?"), None).tokens
    assert int(options["--max-model-len"]) == longest + 1500
    assert "--mm-processor-kwargs" not in options
    assert json.loads(options["--override-generation-config"])["repetition_penalty"] == 1.0
    assert not fake.running()
    results = json.loads((tmp_path / "a" / "results.json").read_text())
    assert results["backend"]["vllm"] == "1.2.3+cpu"
    assert results["backend"]["identity"].startswith("vllm:1.2.3+cpu:")
    assert "command" not in results["settings"]["eval"]["vllm"]
    row = json.loads((tmp_path / "a" / "samples" / "letters.jsonl").read_text())
    assert (row["response"], row["error"]) == ("2", "")
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["manifest.json", "results.json", "samples"]


def test_it_limits_images_as_the_folder_and_the_protocol_do(fake, model, tmp_path):
    questions = write_heldout(tmp_path / "pictures", [make_question(1, [png(40), png(50)])])
    evaluate(served_by(fake, max_pixels=6000), model, questions, tmp_path / "a")
    (note,) = fake.notes()
    options = dict(itertools.pairwise(note["arguments"]))
    assert json.loads(options["--limit-mm-per-prompt"]) == {"image": 2, "video": 0}
    assert json.loads(options["--mm-processor-kwargs"]) == {"max_pixels": 6000}


def test_a_prompt_is_measured_with_its_images_as_they_are_sent(fake, model, tmp_path):
    questions = write_heldout(tmp_path / "pictures", [make_question(1, [png(112)])])
    evaluate(served_by(fake, max_pixels=56 * 56), model, questions, tmp_path / "a")
    (note,) = fake.notes()
    sent = example_builder(model, "boxed").measure(make_question(1, [png(56)]), None).tokens
    assert int(dict(itertools.pairwise(note["arguments"]))["--max-model-len"]) == sent + 1500
    assert json.loads((tmp_path / "a" / "results.json").read_text())["backend"]["longest_prompt_tokens"] == sent


def test_words_that_the_folders_own_template_adds_are_counted(fake, model, questions, tmp_path):
    path = model / "chat_template.jinja"
    evaluate(served_by(fake), model, questions, tmp_path / "a")
    path.write_text(path.read_text().replace(SYSTEM_LINE, f"{SYSTEM_LINE} 1 2 3"))
    evaluate(served_by(fake), model, questions, tmp_path / "b")
    lengths = sorted(int(note["arguments"][note["arguments"].index("--max-model-len") + 1]) for note in fake.notes())
    assert lengths[1] - lengths[0] >= 3


def test_a_context_that_is_too_short_starts_nothing(fake, model, questions, tmp_path):
    config = served_by(fake)
    config.eval.max_new_tokens = 32768
    with pytest.raises(UserError, match="together more than the 32768 of"):
        evaluate(config, model, questions, tmp_path / "a")
    assert not fake.notes()


def test_one_that_does_not_start_says_why(fake, model, questions, tmp_path):
    fake.plan(answers=[(400, "no such model")])
    with pytest.raises(UserError, match="vLLM refuses a request for one token"):
        evaluate(served_by(fake), model, questions, tmp_path / "a")
    assert not fake.running()
    assert not (tmp_path / "a").exists()
