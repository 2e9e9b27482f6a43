"""A run over benchmarks of the registry: how each is asked, what results say of votes, categories and the corpus."""

import json

import pytest
from eval_helpers import at, make_config, make_question, png, result_bytes, write_heldout
from eval_server import MODEL, eval_server

from configs.octomed_7b import get_config as config_7b
from octomed_jax import manifests
from octomed_jax.cli.main import main
from octomed_jax.errors import UserError
from octomed_jax.evaluation import run as runs
from octomed_jax.evaluation.protocol import EVAL, read_protocol
from octomed_jax.evaluation.run import evaluate
from octomed_jax.evaluation.sample_files import score_files
from octomed_jax.teacher import pool
from octomed_jax.traces import lake

LONG = " ".join(f"word{number}" for number in range(30))


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(pool, "FIRST_WAIT", 0.01)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """Folders of questions by name; the first question of medqa is long enough to be known again."""
    shelf = tmp_path_factory.mktemp("shelf")
    text = [make_question(number, id=f"medqa:{number}", benchmark="medqa") for number in range(6)]
    text[0] = make_question(0, id="medqa:0", benchmark="medqa", question=LONG)
    write_heldout(shelf / "medqa", text)
    fields = {"task": "short_answer", "options": (), "answer": "B"}
    legacy = [make_question(7, [png(40)], id="rad:7", benchmark="vqa-rad-open", **fields)]
    legacy += [
        make_question(8, [png(40)], id="rad:8", benchmark="vqa-rad-closed", task="yes_no", options=(), answer="no")
    ]
    write_heldout(shelf / "vqa-rad", legacy)
    report = make_question(9, id="cxr:9", benchmark="mimic-cxr", task="report", options=(), answer="No effusion.")
    write_heldout(shelf / "reports", [report])
    return shelf


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Questions that were trained on, one of them held out too."""
    folder = tmp_path_factory.mktemp("corpus") / "questions"
    lake.write_questions(folder / "questions.parquet", [make_question(1, id="t:1", split="train", question=LONG)])
    lake.write_questions(folder / "heldout.parquet", [])
    manifests.write_manifest(folder, manifests.Manifest("questions", {}, files=manifests.hash_files(folder)))
    return folder


def results_of(folder):
    return json.loads((folder / "results.json").read_text())


def test_the_config_has_the_paper_s_protocol_in_one_place():
    own = config_7b().eval
    assert {name: own[name] for name in EVAL if name not in ("vllm", "batch")} == {
        name: value for name, value in EVAL.items() if name not in ("vllm", "batch")
    }
    assert (own.temperature, own.top_p, own.max_new_tokens, own.seeds) == (0.6, 0.95, 8192, 5)
    assert (own.max_pixels, own.max_images, own.force_end_of_thinking, own.votes) == (262144, 10, True, 0)
    assert set(make_config().eval) == set(EVAL)


def test_each_benchmark_is_asked_its_way(shelf, tmp_path):
    with eval_server() as server:
        evaluate(at(server), "", shelf, tmp_path / "a")
        asked = [body["messages"][0]["content"] for body in server.asked if body["max_tokens"] == 12]
        texts = [part if isinstance(part, str) else part[-1]["text"] for part in asked]
        boxed = "Please reason step-by-step, and put your final answer within \\boxed{}."
        endings = sorted(text.rpartition("\n")[2] for text in texts)
        assert endings == ["Answer in a short word or phrase."] * 2 + [boxed] * 6 + ["Write the report."]
        server.asked.clear()
        evaluate(at(server, formats_by_benchmark=False), "", shelf, tmp_path / "b")
    assert all(
        boxed in str(body["messages"]).replace("\\\\", "\\") for body in server.asked if body["max_tokens"] == 12
    )
    found = results_of(tmp_path / "a")
    assert found["settings"]["eval"]["formats_by_benchmark"] is True
    assert found["settings"]["eval"]["f1_tokens"].startswith("words")
    other = {"direct": {"suffix": "Answer in a short word or phrase."}, "report": {"suffix": "Write the report."}}
    assert (found["settings"]["suffix"], found["settings"]["formats"]) == (boxed, other)
    assert "formats" not in results_of(tmp_path / "b")["settings"]
    assert found["images"] == {"images": 2, "made_smaller": 0, "most": 1}
    benchmarks = found["benchmarks"]
    assert benchmarks["vqa-rad-open"]["token_f1"]["n"] == 1
    assert benchmarks["vqa-rad-closed"]["closed"]["n"] == 1
    assert benchmarks["mimic-cxr"]["rouge_l"]["n"] == 1
    assert benchmarks["mimic-cxr"]["accuracy"] is None


def test_the_command_takes_names_and_says_what_a_vote_is(shelf, corpus, tmp_path, root, monkeypatch, capsys):
    monkeypatch.chdir(root)
    words = ["eval", "run", "--config=configs/demo.py:tiny", f"--questions={shelf}", f"--output={tmp_path / 'a'}"]
    words += [f"--model={MODEL}", "--config.eval.seeds=10", "--config.eval.votes=10", "--config.eval.temperature=0.6"]
    with eval_server() as server:
        command = [*words, f"--endpoint={server.url}", "--benchmarks=MedQA,vqa-rad", f"--trained={corpus}"]
        assert main(command) == 0
        told = capsys.readouterr().err
        before, kept = len(server.asked), result_bytes(tmp_path / "a")
        assert main(command) == 0
        assert len(server.asked) == before, "a finished evaluation asks nobody"
    found = results_of(tmp_path / "a")
    assert found["settings"]["eval"]["benchmarks"] == ["MedQA", "vqa-rad"]
    assert found["settings"]["eval"]["votes"] == 10
    assert found["settings"]["ties"].startswith("split evenly")
    assert sorted(found["benchmarks"]) == ["medqa", "vqa-rad-closed", "vqa-rad-open"]
    medqa = found["benchmarks"]["medqa"]
    assert (medqa["samples"], medqa["vote"]["of"]) == (60, 10)
    assert medqa["vote"]["accuracy"] == pytest.approx(medqa["maj_at"]["10"])
    assert (medqa["seen"]["n"], medqa["seen"]["seen"]) == (6, 1)
    assert found["benchmarks"]["vqa-rad-open"]["seen"]["seen"] == 0
    text = found["categories"]["text"]
    assert (text["overall"], text["partial"]) == (None, pytest.approx(medqa["accuracy"]))
    assert text["vote"]["accuracy"] == pytest.approx(medqa["vote"]["accuracy"])
    assert "@10" in told
    assert "text, partial (1 of 5 benchmarks; too few questions of medqa): " in told
    assert "medqa: 1 of 6 seen in training" in told
    assert "seen.jsonl" in kept
    assert result_bytes(tmp_path / "a") == kept
    again = score_files(sorted((tmp_path / "a" / "samples").iterdir()), votes=10)
    assert again["categories"] == found["categories"]
    assert again["calibration"] == found["calibration"]
    assert again["benchmarks"]["medqa"]["vote"] == medqa["vote"]


def test_what_was_looked_up_is_kept_through_a_kill(shelf, corpus, tmp_path, monkeypatch):
    def broken(*_):
        raise KeyboardInterrupt

    with eval_server() as server:
        with monkeypatch.context() as patch:
            patch.setattr(runs, "_answer_all", broken)
            with pytest.raises(KeyboardInterrupt):
                evaluate(at(server), "", shelf / "medqa", tmp_path / "a", trained=[corpus])
        with monkeypatch.context() as patch:
            patch.setattr("octomed_jax.evaluation.seen_in_run.seen_in_training", broken)
            evaluate(at(server), "", shelf / "medqa", tmp_path / "a", trained=[corpus])
        evaluate(at(server), "", shelf / "medqa", tmp_path / "b", trained=[corpus])
    assert result_bytes(tmp_path / "a") == result_bytes(tmp_path / "b")


def test_a_corpus_that_is_none_is_said_before_anybody_is_asked(shelf, tmp_path):
    with eval_server() as server, pytest.raises(UserError, match="nothing does not exist; make it first"):
        evaluate(at(server), "", shelf, tmp_path / "a", trained=[tmp_path / "nothing"])
    assert not server.asked


def test_an_endpoint_that_takes_too_few_images_is_found_first(tmp_path):
    made = [make_question(0, question=LONG * 40), make_question(1, [png(30, place) for place in range(4)])]
    questions = write_heldout(tmp_path / "questions", made)

    def fault(body):
        return 400 if str(body["messages"]).count("image_url'") > 2 else 0

    with eval_server(fault=fault, length=None) as server:
        with pytest.raises(UserError, match=r"refuses 4 images, that of question made:1 \(HTTP 400") as caught:
            evaluate(at(server), "", questions, tmp_path / "a")
        assert "\n" not in str(caught.value)
        assert {body["max_tokens"] for body in server.asked} == {1}


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"votes": 10}, r"config.eval.votes=10 is more than config.eval.seeds=1, the samples of a question; rais"),
        ({"votes": -1}, r"config.eval.votes=-1: it must be at least 0"),
    ],
)  # fmt: skip
def test_votes_need_as_many_samples(fields, why):
    with pytest.raises(UserError, match=why):
        read_protocol(make_config(**fields))
