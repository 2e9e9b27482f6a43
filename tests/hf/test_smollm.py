"""A real language model in our shell: SmolLM2-135M answers medical questions, token for token as in transformers."""

import itertools
import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
import regex
from PIL import Image

import octomed_jax
from octomed_jax.cli.main import main
from octomed_jax.inputs.conversation import encode_messages
from octomed_jax.inputs.tokenizer import SPECIAL_TOKENS, load_tokenizer
from tests.hf.smollm import SmolLM, write_smollm

pytestmark = pytest.mark.integration

# A question, and what its answer must hold; all are questions that the model is known to get right.
FACTS = {
    "What is the normal range of adult body temperature?": ("98.6°F",),
    "Which organ pumps blood through the body?": ("heart",),
    "Which hormone lowers blood sugar, and which organ makes it?": ("insulin", "pancreas"),
    "What does the abbreviation MRI stand for?": ("Magnetic Resonance Imaging",),
}
QUESTIONS = [[{"role": "user", "content": question}] for question in FACTS]
NEW = 48
TEXTS = (
    "The patient's blood pressure was 128/76 mmHg; she'll return in 3 weeks.",
    "  two spaces,\ta tab\r\n\n\nand line ends   \n",
    "def dose(mg):\n    return mg * 0.5  # half",
    "Fièvre à 39,5 °C depuis l'été; Übelkeit, Schüttelfrost und Müdigkeit.",
    "Пациент жалуется на боль в груди. Ο ασθενής έχει πυρετό. המטופל מרגיש טוב.",
    "患者は頭痛を訴えています。患者自述胸痛三天。환자가 기침을 합니다.",
    "المريض يعاني من صداع شديد १२३ ½ ²",
    "👩🏽‍⚕️ café cafe\u0301 ﬁ ∑≤≥±µ",
)


@pytest.fixture(scope="module")
def place():
    """A folder that is removed at once: pytest would keep the 640 MB of three runs."""
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


@pytest.fixture(scope="module")
def source(place):
    return SmolLM(place)  # without a network this fails, as everything that `make test-integration` sets up does


@pytest.fixture(scope="module")
def folder(source, place):
    write_smollm(source, place / "model")
    return place / "model"


@pytest.fixture(scope="module")
def model(folder):
    return octomed_jax.load(folder)


@pytest.fixture(scope="module")
def theirs(folder):
    """transformers' model and tokenizer of the folder."""
    torch = pytest.importorskip("torch", reason="the parity extra is not installed (make test PARITY=1)")
    from transformers import AutoTokenizer, Qwen2_5_VLForConditionalGeneration

    reference, loading = Qwen2_5_VLForConditionalGeneration.from_pretrained(
        folder, dtype=torch.float32, output_loading_info=True
    )
    assert not any(loading[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    return reference.eval(), AutoTokenizer.from_pretrained(folder)


def test_it_answers_medical_questions_as_in_transformers(model, theirs):
    replies = model.generate(QUESTIONS, max_new_tokens=NEW)
    reference, tokenizer = theirs
    for messages, facts, reply in zip(QUESTIONS, FACTS.values(), replies, strict=True):
        assert all(fact in reply.text for fact in facts), reply.text
        prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt")["input_ids"]
        assert encode_messages(model._tokenizer, model._template, messages, []) == prompt[0].tolist()
        out = reference.generate(prompt, max_new_tokens=NEW, do_sample=False)[0, prompt.shape[1] :].tolist()
        assert reply.token_ids == out
        assert reply.text == tokenizer.decode(out, skip_special_tokens=True)


def test_an_image_has_its_places_and_the_tokens_stay_equal(model, theirs, folder):
    import torch

    pixels = np.random.default_rng(0).integers(0, 256, (112, 56, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "a.png")
    content = [{"type": "image", "image": "a.png"}, {"type": "text", "text": "Which organ pumps blood?"}]
    messages = [{"role": "user", "content": content}]
    reply = model.generate([messages], folder, max_new_tokens=12)[0]
    reference, tokenizer = theirs
    example = model._prompt(messages, folder, "it")
    text = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    assert text.count("<|image_pad|>") == 1
    text = text.replace("<|image_pad|>", "<|image_pad|>" * example.cells)
    ids = torch.tensor([tokenizer.encode(text, add_special_tokens=False)])
    assert ids[0].tolist() == example.token_ids.tolist()
    rows, columns = example.images[0].layout.grid
    out = reference.generate(
        input_ids=ids,
        mm_token_type_ids=(ids == reference.config.image_token_id).int(),
        pixel_values=torch.from_numpy(example.images[0].patches),
        image_grid_thw=torch.tensor([(1, 2 * rows, 2 * columns)]),
        max_new_tokens=12,
        do_sample=False,
    )
    assert reply.token_ids == out[0, ids.shape[1] :].tolist()


def test_the_command_answers_too(folder, tmp_path):
    (tmp_path / "messages.json").write_text(json.dumps(QUESTIONS))
    words = ["generate", f"--model={folder}", f"--messages={tmp_path / 'messages.json'}", f"--max-new-tokens={NEW}"]
    assert main([*words, f"--output={tmp_path / 'answers.json'}"]) == 0
    answers = json.loads((tmp_path / "answers.json").read_text())
    for facts, answer in zip(FACTS.values(), answers, strict=True):
        assert all(fact in answer["text"] for fact in facts), answer["text"]


def test_the_tokenizer_is_the_vocabulary_of_the_gguf(source, folder):
    tokenizer = load_tokenizer(folder)
    whole = tokenizer.tokenizer
    assert whole.get_vocab_size() == len(source.tokens) + 5
    assert [whole.id_to_token(number) for number in range(len(source.tokens))] == source.tokens
    own = source.fields["tokenizer.ggml.eos_token_id"], source.fields["tokenizer.ggml.unknown_token_id"]
    assert tokenizer.stop_ids == own
    assert sorted(tokenizer.ids[token] for token in SPECIAL_TOKENS) == [0, 1, 2, *range(49152, 49157)]
    for text in TEXTS:
        ids = tokenizer.encode(text)
        assert ids == plain_bpe(source, text)
        assert tokenizer.decode(ids) == text


def plain_bpe(source, text):
    """Return the ids of a text as the GGUF's merges give them: another way than the one under test."""
    ids = {token: number for number, token in enumerate(source.tokens)}
    ranks = {pair: rank for rank, pair in enumerate(source.merges)}
    # The two splits that llama.cpp lists for "smollm".
    pieces = regex.split(r"(\p{N})", text)
    words = regex.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")
    found = []
    for word in (word for piece in pieces for word in words.findall(piece)):
        parts = [_letter(byte) for byte in word.encode()]
        while len(parts) > 1:
            rank, at = min((ranks.get(pair, 1 << 30), at) for at, pair in enumerate(itertools.pairwise(parts)))
            if rank == 1 << 30:
                break
            parts[at : at + 2] = ["".join(parts[at : at + 2])]
        found += [ids[part] for part in parts]
    return found


def _letter(byte):
    """Return how GPT-2 spells a byte: visible characters as themselves, the others from U+0100 on."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return chr(byte) if byte in visible else chr(256 + sum(other not in visible for other in range(byte)))
