"""The demo's checkpoint, trained until it thinks: our own generation and the real vLLM give the same greedy answers."""

import dataclasses
import io
import json
import os
import subprocess
import sys

import pytest
from eval_helpers import write_heldout
from PIL import Image

from octomed_jax import storage
from octomed_jax.evaluation.protocol import CLOSING
from octomed_jax.traces.lake import iterate_questions
from tests.teacher.vllm_helpers import VLLM, needs_vllm

pytestmark = [pytest.mark.integration, pytest.mark.timeout(2400), needs_vllm]
CONFIG = "--config=configs/demo.py:tiny"
STEPS = 400  # after which it writes thoughts, some of them too long, that depend on the image
PROTOCOL = {"force_end_of_thinking": True, "max_new_tokens": 48, "forced_answer_tokens": 24}
# Of images that both sides have to resize; the folder's limits are 56 x 56 and 112 x 112 pixels.
SIZES = ((100, 130), (131, 117), (57, 57), (200, 60), (300, 280), (1000, 800))


def octomed(*words):
    return subprocess.run(
        [sys.executable, "-m", "octomed_jax.cli.main", *words],
        check=True,
        timeout=1200,
        env=os.environ | {"XLA_FLAGS": ""},  # eight devices on two cores would only take turns
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "run"
    octomed("demo", CONFIG, f"--workdir={folder}", f"--config.train.steps={STEPS}")
    return folder


@pytest.fixture(scope="module")
def questions(run, tmp_path_factory):
    """The demo's held-out questions, and more: with images of all sizes, and with two of them."""
    asked = list(iterate_questions(run / "questions/heldout.parquet"))
    shown = [question for question in asked if question.images]
    odd = [
        with_images(question, f"odd:{number}", [resized(question.images[0], SIZES[number % len(SIZES)])])
        for number, question in enumerate(shown[: 2 * len(SIZES)])
    ]
    pairs = zip(shown[:6], shown[6:12], strict=True)
    two = [with_images(one, f"two:{number}", [*one.images, *other.images]) for number, (one, other) in enumerate(pairs)]
    return write_heldout(tmp_path_factory.mktemp("asked") / "questions", [*asked, *odd, *two])


def with_images(question, name, images):
    hashes = tuple(map(storage.sha256_bytes, images))
    benchmark = name.partition(":")[0]
    return dataclasses.replace(question, id=name, benchmark=benchmark, images=tuple(images), image_hashes=hashes)


def resized(data, size):
    file = io.BytesIO()
    Image.open(io.BytesIO(data)).convert("RGB").resize(size).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def answered(run, questions, tmp_path_factory):
    """What the two back ends wrote, by their names."""
    folder = tmp_path_factory.mktemp("answered")
    shared = [f"--model={run / 'export'}", f"--questions={questions}"]
    shared += [f"--config.eval.{name}={value}" for name, value in PROTOCOL.items()]
    theirs = ["--config.eval.backend=vllm", f"--config.eval.vllm.command={VLLM}", "--config.eval.vllm.dtype=float32"]
    for name, words in {"jax": [], "vllm": theirs}.items():
        octomed("eval", "run", CONFIG, *shared, *words, f"--output={folder / name}")
    return folder


def rows_of(folder):
    return [json.loads(line) for path in sorted(folder.glob("samples/*.jsonl")) for line in path.open()]


def test_every_answer_and_figure_is_the_same(answered):
    """Both compute in float32: only where two tokens are as likely to seven digits may they differ, and none are."""
    ours, theirs = rows_of(answered / "jax"), rows_of(answered / "vllm")
    assert len(ours) >= 40
    assert [row["response"] for row in ours] == [row["response"] for row in theirs]
    assert ours == theirs
    results = [json.loads((answered / name / "results.json").read_text()) for name in ("jax", "vllm")]
    assert results[0]["benchmarks"] == results[1]["benchmarks"]
    lengths = {one["backend"]["longest_prompt_tokens"] for one in results}
    assert len(lengths) == 1, "prompts are the same to the token, images and all"
    assert results[1]["backend"]["continued_by"] == "continue_final_message"


def test_what_was_compared_is_worth_it(answered, questions):
    """Thoughts that end by themselves and such that were ended; answers that depend on the image."""
    rows = rows_of(answered / "jax")
    asked = {question.id: question for question in iterate_questions(questions / "heldout.parquet")}
    shown = [row for row in rows if asked[row["id"]].images]
    assert min(len(shown), len(rows) - len(shown)) >= 20
    ended = [row for row in rows if row["forced"]]
    assert len(ended) >= 3
    assert all(CLOSING.strip() in row["response"] for row in ended)
    assert all(row["completion_tokens"] > PROTOCOL["max_new_tokens"] for row in ended)
    by_themselves = [row for row in rows if not row["forced"] and row["thinking_tokens"]]
    assert len(by_themselves) >= 20
    planes = {row["response"] for row in rows if row["benchmark"] == "plane"}
    assert len(planes) >= 2, "the same words with other images"
    assert len({row["response"] for row in rows}) >= 15
