"""Down the line of a curated folder: asked, verified, shown, evaluated, and curated again by its attempts."""

import dataclasses
from collections import defaultdict
from pathlib import Path

import pytest
from fault_server import Faults, serving
from ml_collections import ConfigDict
from teacher_helpers import make_config, make_question, write_folder

from octomed_jax import configuration, manifests
from octomed_jax.cli.main import main
from octomed_jax.curation.curate import curate
from octomed_jax.curation.settings import defaults
from octomed_jax.evaluation import run
from octomed_jax.evaluation.backends import jax_backend
from octomed_jax.evaluation.backends.base import Answer
from octomed_jax.teacher.distill import distill
from octomed_jax.teacher.script import Rates
from octomed_jax.traces import lake
from octomed_jax.verification.verify import verify
from tests.traces.corpus import iterate_records

SAMPLES = 16


def settings(steps, **fields):
    config = ConfigDict({"seed": 0, "curate": defaults()})
    config.curate.steps = steps
    config.curate.difficulty.update(fields)
    return config


@pytest.fixture(scope="module")
def curated(tmp_path_factory):
    """A curated folder: of 24 questions and a copy, one of which is held out too."""
    folder = tmp_path_factory.mktemp("curated")
    questions = [make_question(index, 8) for index in range(24)]
    copy = dataclasses.replace(questions[4], id="made:copy")
    held_out = [make_question(index, 8, split="test", id=f"made:held {index}") for index in (0, 25, 26)]
    lake.write_questions(folder / "questions" / "heldout.parquet", held_out)
    write_folder(folder / "questions", [*questions, copy])
    path = folder / "questions" / manifests.MANIFEST
    path.write_text(path.read_text().replace('"train": 25', '"train": 25, "test": 3'))
    manifest = curate(settings(("decontaminate", "deduplicate")), [folder / "questions"], folder / "out", workers=1)
    assert manifest.counts["train"] == 23
    return folder / "out"


@pytest.fixture(scope="module")
def attempts(curated, tmp_path_factory):
    output = tmp_path_factory.mktemp("asked") / "attempts"
    with serving(Faults(curated, Rates(0.1, 0.05, 0.05))) as url:
        manifest = distill(make_config(endpoint=url, samples=SAMPLES), curated, output)
    assert manifest.inputs == {"questions": manifests.read_manifest(curated, "curate").identity}
    assert manifest.counts["attempts"] == 23 * SAMPLES
    return output


def test_it_is_asked_and_verified(attempts, tmp_path):
    verify(attempts, tmp_path / "traces")
    records = list(iterate_records(tmp_path / "traces"))
    assert len(records) == 23
    assert {"made:00000", "made:copy"}.isdisjoint(record.question.id for record in records)


def test_difficulty_counts_its_attempts(curated, attempts, tmp_path):
    right = defaultdict(int)
    for row in lake.iterate_rows(attempts / "attempts" / "part-00000.parquet"):
        right[row["question_id"]] += row["verdict"] == "correct"
    spread = sorted(right.values())
    fewest, most = spread[5], spread[-6]
    assert spread[0] < fewest < most < spread[-1]
    config = settings(("difficulty",), fewest=fewest, most=most)
    manifest = curate(config, [curated], tmp_path / "out", attempts=attempts, workers=1)
    left = [question.id for question in lake.iterate_questions(tmp_path / "out" / "questions.parquet")]
    assert left == sorted(name for name, count in right.items() if fewest <= count <= most)
    reasons = {
        "too_easy": sum(count > most for count in right.values()),
        "too_hard": sum(count < fewest for count in right.values()),
    }
    assert manifest.counts["steps"][0]["reasons"] == reasons


def test_it_is_shown(curated, tmp_path, capsys):
    assert main(["questions", "show", str(curated), f"--output={tmp_path / 'page.html'}"]) == 0
    assert "Which plane?" in (tmp_path / "page.html").read_text()
    assert str(tmp_path / "page.html") in capsys.readouterr().out


class Backend:
    """Says the gold answer of what it is asked; its model has no weights."""

    identity, told = "made", {}

    def __init__(self, *_, **__):
        pass

    def check(self, questions):
        assert questions

    def answer(self, asked):
        yield [(one, Answer(f"<think>so</think>\n\n\\boxed{{{one.question.answer}}}", "stop", 9)) for one in asked]

    def count_tokens(self, text, _whole):
        return len(text.split())


def test_it_is_evaluated(curated, tmp_path, monkeypatch, root):
    monkeypatch.setattr(jax_backend, "JaxBackend", Backend)
    (tmp_path / "model").mkdir()
    config = configuration.load(str(Path(root) / "configs" / "demo.py"))
    manifest = run.evaluate(config, tmp_path / "model", curated, tmp_path / "eval")
    assert manifest.inputs["questions"] == manifests.read_manifest(curated, "curate").identity
    assert manifest.counts == {"questions": 3, "samples": 3}
    assert {row["id"] for row in lake.iterate_rows(curated / "heldout.parquet")} == {
        "made:held 0", "made:held 25", "made:held 26",
    }  # fmt: skip
