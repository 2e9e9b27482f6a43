"""A real vLLM as teacher: real questions are asked, the answers verified, and what is accepted trains a step.

SmolLM2-135M answers questions of text, a tiny Qwen2.5-VL with random weights those with images; the second is right by
chance alone.
"""

import tempfile
from collections import Counter
from pathlib import Path

import jax
import pytest

from octomed_jax import configuration
from octomed_jax.cli.shard import make_shards
from octomed_jax.models.qwen2_5_vl.model import initial_parameters
from octomed_jax.questions.packages.build import build_questions
from octomed_jax.teacher.distill import distill
from octomed_jax.teacher.server.vllm import VllmSettings
from octomed_jax.teacher.server.vllm_process import serve
from octomed_jax.traces import lake
from octomed_jax.training.loop import train
from octomed_jax.verification.verify import verify
from tests.hf.folders import make_student, publish
from tests.hf.smollm import SmolLM, write_smollm
from tests.teacher.vllm_helpers import VLLM, needs_vllm

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900), needs_vllm]
OVERRIDES = (
    "questions.icd10.train=24", "questions.medmcqa_sample.test=1", "questions.brain.plane=6", "questions.brain.side=0",
    "questions.brain.lobe=6", "questions.medcalc.train_each=0", "questions.medcalc.score_train_each=1",
    "distill.answer_format=direct", "distill.max_tokens=24", "distill.temperature=0.8", "distill.in_flight=8",
    "train.steps=1", "checkpoint.every=1",
)  # fmt: skip


@pytest.fixture(scope="module")
def place():
    """A folder that is removed at once: pytest would keep the 640 MB of three runs."""
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


@pytest.fixture(scope="module")
def config(root, place):
    loaded = configuration.load(str(root / "configs/demo.py:tiny"), OVERRIDES)
    text = {"takes": "text", "model": "smollm2"}
    images = {"takes": "images", "model": "random-vl"}
    base = loaded.distill.teachers.teacher.to_dict()
    with loaded.unlocked():
        del loaded.distill.teachers["teacher"]
        loaded.distill.teachers.update({"text": {**base, **text}, "images": {**base, **images}})
        loaded.run = str(place / "run")
    return loaded


def test_real_questions_are_distilled_verified_and_trained_on(config, place, capfd):
    run = Path(config.run)
    build_questions(config, run / "questions")
    write_smollm(SmolLM(place), place / "smollm2")
    student = make_student(place / "side")
    publish(place / "random-vl", (place / "side", student), jax.jit(lambda: initial_parameters(student, 0))())
    common = {"cpu": True, "dtype": "float32", "max_model_len": 1024}
    text = VllmSettings(str(place / "smollm2"), name="smollm2", **common)
    images = VllmSettings(str(place / "random-vl"), name="random-vl", images=2, **common)
    with serve(VLLM, text, place / "text.log") as one, serve(VLLM, images, place / "images.log") as other:
        config.distill.teachers.text.endpoints = (one.base,)
        config.distill.teachers.images.endpoints = (other.base,)
        attempts = distill(config, run / "questions", run / "attempts")
    asked = {row["id"]: row for row in lake.iterate_rows(run / "questions" / "questions.parquet")}
    rows = list(lake.iterate_parts(run / "attempts" / "attempts"))
    assert len(rows) == 4 * len(asked) == attempts.counts["attempts"]
    assert 30 <= len(asked) <= 80
    assert attempts.counts["failed"] == 0
    by_teacher = Counter(row["teacher"] for row in rows)
    assert by_teacher["smollm2"] == 4 * sum(not row["image"] for row in asked.values()) > 60
    assert by_teacher["random-vl"] == 4 * sum(bool(row["image"]) for row in asked.values()) > 20
    assert all(row["prompt_tokens"] > 10 for row in rows)
    tokens = Counter()  # of a request: they are counted for all of its choices together
    for row in rows:
        tokens[row["question_id"], row["group"]] += row["completion_tokens"]
    assert all(4 <= count <= 4 * 24 for count in tokens.values())
    # One request gives samples that differ, and so do the requests of a question.
    assert len({row["response"] for row in rows if row["teacher"] == "smollm2"}) > by_teacher["smollm2"] // 4
    assert attempts.counts["verdicts"]["correct"] > 0

    traces = verify(run / "attempts", run / "traces")
    assert traces.counts["correct"] == attempts.counts["verdicts"]["correct"]
    shards, _ = make_shards(config, run / "traces", run / "shards")
    assert shards.counts["records"] == traces.counts["questions_kept"] > 0
    trained = train(config, run / "shards", run / "train")
    assert trained.counts["steps"] == 1
    assert "smollm2" in (run / "attempts" / "card.md").read_text()
    assert capfd.readouterr().out == ""
