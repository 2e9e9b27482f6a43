"""The same evaluation through our own generation and through the real vLLM: greedy answers are equal."""

import json

import pytest
from eval_helpers import make_config, make_question, png, write_heldout
from eval_model import write_model

from octomed_jax.evaluation.backends import endpoint, jax_backend
from octomed_jax.evaluation.run import evaluate
from tests.teacher.vllm_helpers import VLLM, needs_vllm

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900), needs_vllm]


def rows_of(folder):
    return [json.loads(line) for path in sorted(folder.glob("samples/*.jsonl")) for line in path.open()]


def test_greedy_answers_are_equal(tmp_path, monkeypatch):
    """Also those that go on after a thought that is ended; the model knows none, so every cut answer is taken for one.

    The image has a size that needs no resizing: there vLLM's preprocessing differs from ours by rounding.
    """
    for module in (jax_backend, endpoint):
        monkeypatch.setattr(module, "is_cut_in_thought", lambda _text, end: end == "length")
    made = [make_question(number) for number in range(4)] + [make_question(4, [png(56)])]
    questions, model = write_heldout(tmp_path / "questions", made), write_model(tmp_path)
    fields = {"max_new_tokens": 8, "force_end_of_thinking": True, "forced_answer_tokens": 5}
    evaluate(make_config(batch=8, **fields), model, questions, tmp_path / "ours")
    config = make_config(backend="vllm", **fields)
    config.eval.vllm.update({"command": VLLM, "dtype": "float32"})
    evaluate(config, model, questions, tmp_path / "theirs")
    ours, theirs = rows_of(tmp_path / "ours"), rows_of(tmp_path / "theirs")
    assert [row["response"] for row in ours] == [row["response"] for row in theirs]
    assert ours == theirs
    assert all(row["forced"] and row["completion_tokens"] == 13 for row in ours)
    told = json.loads((tmp_path / "theirs" / "results.json").read_text())["backend"]
    assert told["continued_by"] == "continue_final_message"
    assert told["longest_prompt_tokens"] + 8 + 5 < told["max_model_len"]
    again = evaluate(config, model, questions, tmp_path / "theirs")
    assert again.counts == {"questions": 5, "samples": 5}
