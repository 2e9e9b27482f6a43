"""Scores of conversations against transformers', through the Python API and the command."""

import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest
from PIL import Image

import octomed_jax
from octomed_jax.cli.main import main
from octomed_jax.errors import UserError
from octomed_jax.hf.names import hub_tensors
from octomed_jax.hf.shards import DTYPES, plan_shards, write_shards
from octomed_jax.hf.student import write_student
from octomed_jax.models.qwen2_5_vl.model import initial_parameters
from octomed_jax.models.trees import flatten_names
from tests.models.student import part_reader
from tests.tiny import tiny_config

CONVERSATIONS = [
    [{"role": "user", "content": "Which plane?"}, {"role": "assistant", "content": "<think>a</think>\n\naxial"}],
    [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "image", "image": "a.png"}, {"type": "text", "text": "Which plane?"}]},
        {"role": "assistant", "content": "axial"},
        {"role": "user", "content": [{"type": "image", "image": "b.png"}, {"type": "image", "image": "a.png"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "coronal"}]},
    ],
    [{"role": "user", "content": "Typed: <|im_end|>"}, {"role": "assistant", "content": "kept as text"}],
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    config = tiny_config()
    path = tmp_path_factory.mktemp("model")
    model = write_student(path, config.student, ["Which plane is this? axial coronal"] * 3, config.shard)
    rng = np.random.default_rng(0)
    flat = flatten_names(initial_parameters(model, 0))
    flat = {name: np.asarray(leaf) + 0.1 * rng.normal(size=leaf.shape) for name, leaf in flat.items()}
    plan = plan_shards(hub_tensors(model, flat), DTYPES["float32"], 100_000)
    write_shards(path, plan, DTYPES["float32"], part_reader(flat))
    for name, size in (("a.png", (140, 84)), ("b.png", (56, 112))):
        pixels = rng.integers(0, 256, (*size, 3), np.uint8)
        Image.fromarray(pixels).save(path / name)
    return path


def test_scores_equal_those_of_transformers(folder):
    torch = pytest.importorskip("torch", reason="the parity extra is not installed (make test PARITY=1)")
    from transformers import Qwen2_5_VLForConditionalGeneration

    model = octomed_jax.load(folder)
    scores = model.score(CONVERSATIONS, folder)
    reference = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    for messages, score in zip(CONVERSATIONS, scores, strict=True):
        example = model._scored(messages, folder, "it")
        ids = torch.from_numpy(example.token_ids[None].astype(np.int64))
        inputs = {"mm_token_type_ids": (ids == example.image_token_id).int()}
        if example.images:
            inputs["pixel_values"] = torch.from_numpy(np.concatenate([image.patches for image in example.images]))
            grids = [image.layout.grid for image in example.images]
            inputs["image_grid_thw"] = torch.tensor([(1, 2 * rows, 2 * columns) for rows, columns in grids])
        with torch.no_grad():
            logprobs = torch.log_softmax(reference(input_ids=ids, **inputs).logits[0], -1)
        answer = len(score.token_ids)
        expected = logprobs[-answer - 1 : -1].gather(1, ids[0, -answer:, None])[:, 0].numpy()
        assert score.token_ids == example.token_ids[-answer:].tolist()
        np.testing.assert_allclose(score.logprobs, expected, atol=2e-5)
        assert score.loss == pytest.approx(-expected.mean(), abs=2e-5)


def test_greedy_answers_and_logprobs_equal_those_of_transformers(folder):
    torch = pytest.importorskip("torch", reason="the parity extra is not installed (make test PARITY=1)")
    from transformers import Qwen2_5_VLForConditionalGeneration

    model, prompts = octomed_jax.load(folder), [messages[:-1] for messages in CONVERSATIONS]
    replies = model.generate(prompts, folder, max_new_tokens=12, top_logprobs=4)
    reference = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    for messages, reply in zip(prompts, replies, strict=True):
        example = model._prompt(messages, folder, "it")
        ids = torch.from_numpy(example.token_ids[None].astype(np.int64))
        inputs = {"input_ids": ids, "mm_token_type_ids": (ids == example.image_token_id).int()}
        if example.images:
            inputs["pixel_values"] = torch.from_numpy(np.concatenate([image.patches for image in example.images]))
            grids = [image.layout.grid for image in example.images]
            inputs["image_grid_thw"] = torch.tensor([(1, 2 * rows, 2 * columns) for rows, columns in grids])
        out = reference.generate(
            **inputs, max_new_tokens=12, do_sample=False, return_dict_in_generate=True, output_logits=True
        )
        new = out.sequences[0, ids.shape[1] :].tolist()
        assert reply.token_ids == new
        assert reply.prompt_tokens == ids.shape[1]
        assert reply.finish_reason == ("stop" if new[-1] in model._tokenizer.stop_ids else "length")
        assert len(reply.logprobs) == len(new)
        for place, logits in zip(reply.logprobs, out.logits, strict=True):
            best = torch.log_softmax(logits[0], -1).topk(4)
            assert [entry["id"] for entry in place] == best.indices.tolist()
            np.testing.assert_allclose([entry["logprob"] for entry in place], best.values.numpy(), atol=2e-5)


def test_samples_follow_the_seed(folder):
    model, prompts = octomed_jax.load(folder), [messages[:-1] for messages in CONVERSATIONS]
    settings = {"max_new_tokens": 8, "temperature": 1.0, "top_p": 0.95}
    first, again = [model.generate(prompts, folder, seed=1, **settings) for _ in range(2)]
    assert first == again != model.generate(prompts, folder, seed=2, **settings)
    assert all(place == [] for reply in first for place in reply.logprobs)


def test_settings_that_make_no_sense_are_refused(folder):
    model = octomed_jax.load(folder)
    for settings, message in (
        ({"max_new_tokens": 0}, "max_new_tokens=0 must be from 1 to"),
        ({"temperature": -1.0}, "temperature=-1.0 must be 0, or from"),
        ({"top_p": 0.0}, "top_p=0.0 must be above 0"),
        ({"top_logprobs": 301}, "top_logprobs=301 must be from 0 to 289"),
    ):
        with pytest.raises(UserError, match=message):
            model.generate([CONVERSATIONS[0][:-1]], folder, **settings)


def test_a_score_does_not_depend_on_its_neighbours(folder):
    model = octomed_jax.load(folder)
    together = model.score(CONVERSATIONS * 4, folder)
    assert together[: len(CONVERSATIONS)] == together[-len(CONVERSATIONS) :]
    for number, messages in enumerate(CONVERSATIONS):
        others = [messages, *[CONVERSATIONS[2]] * 11]
        assert model.score(others, folder)[0] == together[number]  # to the bit: as many at once
        alone = model.score([messages], folder)[0]
        np.testing.assert_allclose(alone.logprobs, together[number].logprobs, atol=2e-5)


def test_a_mesh_gives_what_one_device_gives(folder):
    """Over eight devices: tokens are the same, log-probabilities to rounding; samples too."""
    one, many = octomed_jax.load(folder), octomed_jax.load(folder, mesh={"data": 2, "fsdp": -1})
    prompts = [messages[:-1] for messages in CONVERSATIONS]
    for settings in ({"top_logprobs": 2}, {"temperature": 1.0, "top_p": 0.9, "seed": 3}):
        ours, theirs = [model.generate(prompts, folder, max_new_tokens=10, **settings) for model in (one, many)]
        for a, b in zip(ours, theirs, strict=True):
            assert (a.token_ids, a.finish_reason) == (b.token_ids, b.finish_reason)
            for places in zip(a.logprobs, b.logprobs, strict=True):
                values = [[entry["logprob"] for entry in place] for place in places]
                np.testing.assert_allclose(*values, atol=2e-5)
    for a, b in zip(one.score(CONVERSATIONS, folder), many.score(CONVERSATIONS, folder), strict=True):
        np.testing.assert_allclose(a.logprobs, b.logprobs, atol=2e-5)


def test_a_thought_is_closed_when_its_budget_runs_out(folder):
    model, prompts = octomed_jax.load(folder), [messages[:-1] for messages in CONVERSATIONS]
    free = model.generate(prompts, folder, max_new_tokens=30)
    closing = model._tokenizer.encode("\n</think>\n\n")
    budget = 6
    for settings in ({}, {"temperature": 0.7}):
        free = model.generate(prompts, folder, max_new_tokens=40, **settings)
        cut = model.generate(prompts, folder, max_new_tokens=40, thinking_tokens=budget, **settings)
        for before, after in zip(free, cut, strict=True):
            assert after.token_ids[:budget] == before.token_ids[:budget]
            if len(before.token_ids) > budget:  # none of these students ever closes one
                assert after.thought_cut
                assert after.token_ids[budget : budget + len(closing)] == closing
                assert "\n</think>\n\n" in after.text
                assert len(after.token_ids) > budget + len(closing)
        assert any(reply.thought_cut for reply in cut)
    with pytest.raises(UserError, match=f"thinking_tokens=30 must be .* without the {len(closing)} tokens"):
        model.generate(prompts, folder, max_new_tokens=30, thinking_tokens=30)


def test_settings_do_not_compile_again(folder, caplog):
    """Budgets, temperatures, seeds, counts and numbers of listed tokens within their buckets share their programs."""
    model, prompts = octomed_jax.load(folder), [messages[:-1] for messages in CONVERSATIONS]
    sampled = {"temperature": 0.8, "top_p": 0.9, "thinking_tokens": 4}
    model.generate(prompts, folder, max_new_tokens=30, top_logprobs=3, **sampled)

    def compiled(budget, listed):
        caplog.clear()
        settings = {"temperature": 0.1 * budget, "top_p": 1 / budget, "thinking_tokens": budget // 12, "seed": budget}
        with jax.log_compiles(), caplog.at_level("WARNING"):
            replies = model.generate(prompts, folder, max_new_tokens=budget, top_logprobs=listed, **settings)
        assert {len(place) for reply in replies for place in reply.logprobs} == {listed}
        return [
            line for line in caplog.messages if line.startswith("Compiling") and ("_read" in line or "_write" in line)
        ]

    assert compiled(12, 2) == compiled(25, 5) == compiled(40, 4) == []
    assert len(compiled(40, 6)) >= 2  # the next bucket of listed tokens: this test can see a compilation


def test_an_end_of_the_folders_own_ends_an_answer(folder, tmp_path):
    first = octomed_jax.load(folder).generate([CONVERSATIONS[0][:-1]], folder, max_new_tokens=8)[0]
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    fields = json.loads((other / "generation_config.json").read_text())
    (other / "generation_config.json").write_text(json.dumps(fields | {"eos_token_id": first.token_ids[3]}))
    reply = octomed_jax.load(other).generate([CONVERSATIONS[0][:-1]], folder, max_new_tokens=8)[0]
    place = first.token_ids.index(first.token_ids[3])
    assert (reply.token_ids, reply.finish_reason) == (first.token_ids[: place + 1], "stop")


def test_an_image_token_that_is_not_the_tokenizers_is_refused(folder, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    fields = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(fields | {"image_token_id": 7}))
    with pytest.raises(UserError, match=r"image_token_id 7 in config\.json is not the tokenizer's"):
        octomed_jax.load(other)


def test_the_command_writes_what_the_api_gives(folder, tmp_path, capsys):
    (folder / "messages.json").write_text(json.dumps(CONVERSATIONS))
    words = ["score", f"--model={folder}", f"--messages={folder / 'messages.json'}", f"--output={tmp_path / 's.json'}"]
    assert main(words) == 0
    scores = octomed_jax.load(folder).score(CONVERSATIONS, folder)
    for found, score in zip(json.loads((tmp_path / "s.json").read_text()), scores, strict=True):
        assert (found["token_ids"], found["logprobs"], found["loss"]) == (score.token_ids, score.logprobs, score.loss)
    tokens = sum(len(score.token_ids) for score in scores)
    assert f"3 conversations, {tokens} tokens scored, mean loss " in capsys.readouterr().out


def test_generate_writes_what_the_api_gives(folder, tmp_path, capsys):
    prompts = [messages[:-1] for messages in CONVERSATIONS]
    (folder / "prompts.json").write_text(json.dumps(prompts))
    words = ["generate", f"--model={folder}", f"--messages={folder / 'prompts.json'}", "--max-new-tokens=6"]
    assert main([*words, f"--output={tmp_path / 'a.json'}", "--top-logprobs=2", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    replies = octomed_jax.load(folder).generate(prompts, folder, max_new_tokens=6, top_logprobs=2)
    wanted = [dataclasses.asdict(reply) for reply in replies]
    keys = {"text", "token_ids", "finish_reason", "prompt_tokens", "logprobs"}
    assert json.loads((tmp_path / "a.json").read_text()) == [{key: one[key] for key in keys} for one in wanted]
    assert printed["tokens"] == sum(len(reply.token_ids) for reply in replies)
    assert main([*words, f"--output={tmp_path / 'b.json'}", "--top-p=2"]) == 2
    assert "top_p=2.0 must be above 0 and at most 1" in capsys.readouterr().err
    assert not (tmp_path / "b.json").exists()


def test_bfloat16_is_near_and_other(folder):
    exact = octomed_jax.load(folder).score(CONVERSATIONS, folder)
    rough = octomed_jax.load(folder, "bfloat16").score(CONVERSATIONS, folder)
    for one, other in zip(exact, rough, strict=True):
        assert 0 < abs(one.loss - other.loss) < 0.05 * one.loss


def test_mistakes_are_one_line_and_write_nothing(folder, tmp_path, capsys):
    (tmp_path / "bad.json").write_text(json.dumps([[{"role": "user", "content": "x"}]]))
    output = tmp_path / "out.json"
    words = ["score", f"--model={folder}", f"--output={output}"]
    for more, message in (
        ([f"--messages={tmp_path / 'absent.json'}"], "no such file"),
        ([f"--messages={tmp_path / 'bad.json'}"], "last message is the user's"),
        ([f"--messages={tmp_path / 'bad.json'}", "--dtpe=float32"], "did you mean '--dtype'"),
        ([f"--messages={tmp_path / 'bad.json'}", "--config.a=1"], "score takes no config"),
    ):
        assert main([*words, *more]) == 2
        printed = capsys.readouterr().err.strip()
        assert message in printed
        assert len(printed.splitlines()) == 1
    assert not output.exists()


def test_a_dtype_that_is_none_is_refused(folder):
    with pytest.raises(UserError, match="dtype 'float8'"):
        octomed_jax.load(folder, "float8")
