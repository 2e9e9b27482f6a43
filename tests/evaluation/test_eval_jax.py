"""Our own generation as a back end: gone on with after a break, thoughts ended, images as an endpoint gets them."""

import dataclasses
import json
import shutil

import pytest
from eval_helpers import make_config, make_question, png, result_bytes, write_heldout
from eval_model import write_model

from octomed_jax.errors import UserError
from octomed_jax.evaluation.backends import jax_backend
from octomed_jax.evaluation.backends.base import Asked, is_cut_in_thought
from octomed_jax.evaluation.backends.jax_backend import JaxBackend
from octomed_jax.evaluation.protocol import CLOSING, read_protocol
from octomed_jax.evaluation.run import evaluate
from octomed_jax.hf import chat
from octomed_jax.inputs.conversation import chat_template
from octomed_jax.inputs.template import SYSTEM_LINE
from octomed_jax.inputs.tokenizer import load_tokenizer
from octomed_jax.prompts import BOXED_SUFFIX, DIRECT_SUFFIX, user_text


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def questions(tmp_path_factory):
    made = [make_question(number) for number in range(5)] + [make_question(5, [png(56)])]
    return write_heldout(tmp_path_factory.mktemp("made") / "questions", made)


def small(**fields):
    return make_config(**{"batch": 2, "max_new_tokens": 6, "temperature": 1.0, **fields})


def backend(folder, **fields):
    config = small(**fields)
    return JaxBackend(folder, read_protocol(config), folder, batch=2, identity="made")


def ask(made, questions):
    asked = [Asked(question, 0, number, f"{number}") for number, question in enumerate(questions)]
    answers = {one.question.id: answer for some in made.answer(asked) for one, answer in some}
    return [answers[question.id] for question in questions]


def test_what_was_done_before_a_break_is_kept_to_the_bit(model, questions, tmp_path, monkeypatch):
    whole = JaxBackend._with_forced
    calls = []

    def broken(self, *arguments):
        calls.append(len(calls))
        if len(calls) in (2, 5):
            raise KeyboardInterrupt
        return whole(self, *arguments)

    config = small(seeds=2)
    with monkeypatch.context() as patch:
        patch.setattr(JaxBackend, "_with_forced", broken)
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                evaluate(config, model, questions, tmp_path / "a")
        evaluate(config, model, questions, tmp_path / "a")
    evaluate(config, model, questions, tmp_path / "b")
    assert result_bytes(tmp_path / "a") == result_bytes(tmp_path / "b")
    assert len(calls) == 2 * 4 + 2, "each batch once, and the two that were broken again"
    rows = [json.loads(line) for line in (tmp_path / "a/samples/signs.jsonl").read_text().splitlines()]
    assert len({row["response"] for row in rows}) == len(rows), "each sample is drawn by itself"


def test_another_chat_template_is_another_model(model, questions, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(model, folder, ignore=lambda *_: {"manifest.json"})
    write = (folder / "chat_template.jinja").write_text
    write(template := chat_template(model))
    evaluate(small(seeds=1, max_new_tokens=1), folder, questions, tmp_path / "a")
    write("{{ '\n' }}" + template)
    with pytest.raises(UserError, match=r"was made with other settings .*model"):
        evaluate(small(seeds=1, max_new_tokens=1), folder, questions, tmp_path / "a")


def test_a_sample_does_not_depend_on_the_questions_beside_it(model):
    made = backend(model)
    questions = [make_question(number) for number in range(3)]
    asked = [Asked(question, 0, number, f"{number}") for number, question in enumerate(questions)]
    all_of_them = {one.key: answer for some in made.answer(asked) for one, answer in some}
    ((alone,),) = made.answer(asked[2:])
    assert alone[1] == all_of_them["2"]


def test_a_cut_thought_is_gone_on_with_as_if_nothing_had_happened(model, monkeypatch):
    """Read anew from its text, it continues as in one go, where the closing text is put in between two tokens.

    The model knows no thought: every answer that is cut is taken for one.
    """
    questions = [make_question(number) for number in range(3)] + [make_question(3, [png(56)])]
    monkeypatch.setattr(jax_backend, "is_cut_in_thought", lambda _text, end: end == "length")
    made = backend(model, temperature=0.0, force_end_of_thinking=True, forced_answer_tokens=4)
    forced = ask(made, questions)
    monkeypatch.setattr(chat, "CLOSING", CLOSING)
    other, closing = chat.ChatModel(model), len(load_tokenizer(model).encode(CLOSING))
    conversations = [[{"role": "user", "content": user_text(question)}] for question in questions[:3]]
    replies = other.generate(conversations, max_new_tokens=6 + closing + 4, thinking_tokens=6)
    for reply, answer in zip(replies, forced, strict=False):
        begun, more = reply.text.split(CLOSING)
        assert reply.thought_cut
        assert answer.text == f"<think>{begun}</think>\n\nFinal Answer: {more}"
    assert all(answer.forced and answer.completion_tokens == 10 for answer in forced)
    assert len({answer.text for answer in forced}) >= 3


def test_only_an_open_thought_is_cut():
    assert is_cut_in_thought("<think>on and on", "length")
    assert not is_cut_in_thought("<think>on and on", "stop")
    assert not is_cut_in_thought("<think>so</think>\n\nthe ans", "length")
    assert not is_cut_in_thought("no thought at all", "length")


def test_large_images_are_made_smaller_as_for_an_endpoint(model):
    question = make_question(1, [png(200)])
    sizes = []
    for pixels in (262144, 3136):
        made = backend(model, max_pixels=pixels)
        made.check([question])
        sizes.append(made.told["longest_prompt_tokens"])
    assert sizes[1] < sizes[0]


def test_ten_images_are_one_question_and_eleven_are_refused(model, tmp_path):
    """By the headers, before the model is loaded; and the limit that the model was made with is said."""
    ten = make_question(1, [png(56, number) for number in range(10)])
    made = backend(model)
    made.check([make_question(2, [png(56)]), ten])
    assert made.told["longest_prompt_tokens"] > 10 * 4
    assert made.told["model_max_pixels"] == made._builder.spec.max_pixels
    (answer,) = ask(made, [ten])
    assert answer.completion_tokens == 6
    questions = write_heldout(tmp_path / "questions", [make_question(1, [png(56, number) for number in range(11)])])
    with pytest.raises(UserError, match=r"made:1 has 11 images, more than config.eval.max_images=10; raise that, or"):
        evaluate(small(), model, questions, tmp_path / "a")


def test_images_that_are_made_smaller_are_counted(model, tmp_path):
    questions = write_heldout(tmp_path / "questions", [make_question(1, [png(80), png(40, 1)]), make_question(2)])
    evaluate(small(max_pixels=3136), model, questions, tmp_path / "a")
    results = json.loads((tmp_path / "a" / "results.json").read_text())
    assert results["images"] == {"images": 2, "made_smaller": 1, "most": 2}


def test_a_legacy_set_is_asked_directly(model):
    asked = [make_question(1), make_question(1, id="made:2", benchmark="vqa-rad-closed")]
    made = backend(model)
    boxed, direct = (made._measure(question, None).tokens for question in asked)
    encode = load_tokenizer(model).encode
    assert boxed - direct == len(encode("\n" + BOXED_SUFFIX)) - len(encode("\n" + DIRECT_SUFFIX))
    made = backend(model, formats_by_benchmark=False)
    assert len({made._measure(question, None).tokens for question in asked}) == 1


def test_a_context_that_is_too_short_is_said_first(model, questions, tmp_path):
    config = small()
    config.eval.max_new_tokens = 40_000
    with pytest.raises(UserError, match=r"has \d+ tokens and its answer may have 40000, together more than the 32768"):
        evaluate(config, model, questions, tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_a_model_that_is_used_to_other_words_is_refused(model, questions, tmp_path):
    other = shutil.copytree(model, tmp_path / "other")
    path = other / "chat_template.jinja"
    path.write_text(path.read_text().replace(SYSTEM_LINE, "You are another assistant."))
    with pytest.raises(UserError, match=r"the chat template of .*other is not that of Qwen2.5-VL.*backend=vllm"):
        evaluate(small(), other, questions, tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_weights_that_are_not_there(model, questions, tmp_path):
    with pytest.raises(UserError, match="takes no --random-weights"):
        evaluate(make_config(backend="vllm"), model, questions, tmp_path / "a", random_weights=True)
    with pytest.raises(UserError, match="has weights; leave out --random-weights"):
        evaluate(small(), model, questions, tmp_path / "a", random_weights=True)
    with pytest.raises(UserError, match=r"eval.backend='vlm' is unknown .did you mean 'vllm'"):
        evaluate(make_config(backend="vlm"), model, questions, tmp_path / "a")


def test_the_protocol_counts_what_may_follow_a_prompt():
    protocol = read_protocol(small(force_end_of_thinking=True, forced_answer_tokens=50))
    assert protocol.budget(closing_tokens=9) == 6 + 9 + 50
    assert dataclasses.replace(protocol, force_end_of_thinking=False).budget(9) == 6
