"""Token F1, ROUGE-L and label F1: by brute force, by hand-worked cases, and by what rouge-score gave."""

import itertools
import json
import random

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from octomed_jax.errors import UserError
from octomed_jax.evaluation.text_overlap import (
    SIMPLE,
    answer_text,
    common_length,
    label_f1,
    label_scores,
    labels_of,
    open_and_closed,
    open_tokens,
    report_scores,
    rouge_l,
    token_f1,
)


def longest(left, right):
    """The longest common subsequence, by trying all subsequences of the left one, the longest first."""
    for count in range(len(left), 0, -1):
        for some in itertools.combinations(left, count):
            rest = iter(right)
            if all(word in rest for word in some):
                return count
    return 0


def test_the_longest_common_subsequence_by_brute_force():
    draw = random.Random(0)
    for _ in range(300):
        left, right = ([draw.choice("abcd") for _ in range(draw.randrange(9))] for _ in range(2))
        assert common_length(left, right) == longest(left, right) == common_length(right, left)


@pytest.mark.parametrize(
    ("text", "golds", "score"),
    [
        ("police kill the gunman", ["police killed the gunman"], 3 / 4),  # Lin 2004, section 3.1
        ("the gunman kill police", ["police killed the gunman"], 2 / 4),
        ("No effusion.", ["no EFFUSION"], 1),
        ("effusion", ["there is no effusion"], 2 / 5),
        ("", ["something"], 0),
        ("... !", ["something"], 0),
        ("a b c", ["x y z", "a c"], 4 / 5),
        ("X-ray of T12", ["x ray of t12"], 1),
    ],
)
def test_rouge_l_by_hand(text, golds, score):
    assert rouge_l(text, golds) == pytest.approx(score)


@pytest.mark.parametrize(
    ("text", "gold", "score"),  # by rouge-score 0.1.2, use_stemmer=False
    [
        (
            "The lungs are clear. No pleural effusion or pneumothorax. Heart size normal.",
            "Heart size is normal. The lungs are clear, without effusion or pneumothorax.",
            0.5833333333333334,
        ),
        (
            "No acute cardiopulmonary process. Mild cardiomegaly.",
            "Mild cardiomegaly; no acute cardiopulmonary process.",
            0.6666666666666666,
        ),
        ("A 5 mm nodule is seen in the RIGHT upper-lobe", "5-mm nodule in the right upper lobe (T12).", 0.8),
        ("deja vu of a tube", "Déjà vu of the tube", 0.5454545454545454),
    ],
)
def test_rouge_l_as_rouge_score_has_it(text, gold, score):
    assert rouge_l(text, [gold]) == pytest.approx(score)


def counted_f1(answer, gold):
    """F1 of two lists by pairing equal tokens one by one."""
    left, shared = list(gold), 0
    for token in answer:
        if token in left:
            left.remove(token)
            shared += 1
    if not shared:
        return 0
    precision, recall = shared / len(answer), shared / len(gold)
    return 2 * precision * recall / (precision + recall)


def test_token_f1_by_brute_force():
    draw = random.Random(2)
    for _ in range(300):
        answer, *golds = (draw.choices("bcdefg", k=draw.randrange(8)) for _ in range(3))
        golds = [gold for gold in golds if gold] or [["b"]]
        best = max(counted_f1(answer, gold) for gold in golds)
        assert token_f1(" ".join(answer), [" ".join(gold) for gold in golds]) == pytest.approx(best)


@pytest.mark.parametrize(
    ("answer", "golds", "score"),
    [
        ("The left lung.", ["left LUNG"], 1),
        ("lung", ["left lung"], 2 / 3),
        ("left left lung", ["left lung"], 4 / 5),
        ("heart", ["left lung", "the heart"], 1),
        ("", ["left lung"], 0),
        ("the", ["left lung"], 0),
    ],
)
def test_token_f1_by_hand(answer, golds, score):
    assert token_f1(answer, golds) == pytest.approx(score)


def test_a_gold_without_tokens_has_no_score():
    with pytest.raises(ValueError, match="holds a token"):
        token_f1("lung", ["the", "..."])
    with pytest.raises(ValueError, match="holds a word"):
        rouge_l("lung", ["...", ""])


def write_tokenizer(folder, vocabulary):
    folder.mkdir()
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def test_tokens_of_a_folder(tmp_path):
    letters = {letter: number for number, letter in enumerate("abcdefgh")}
    tokens = open_tokens(write_tokenizer(tmp_path / "letters", letters))
    assert tokens.name.startswith("tokenizer (8 tokens, SHA-256 ")
    assert token_f1(" ABC ", ["abd"], tokens) == pytest.approx(2 / 3)
    assert token_f1("abc", ["abd"]) == 0
    more = letters | {f"t{number}": number for number in range(8, 50_256)} | {"<|endoftext|>": 50_256}
    assert open_tokens(write_tokenizer(tmp_path / "gpt2", more)).name.startswith("GPT-2 (50,257 tokens, SHA-256 ")


def test_a_folder_without_a_tokenizer_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"has no tokenizer\.json; name the folder of a tokenizer"):
        open_tokens(tmp_path)
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": 1}))
    with pytest.raises(UserError, match="is no tokenizer"):
        open_tokens(tmp_path)


def test_label_f1_by_hand():
    told = label_f1(
        [
            ({"edema", "effusion"}, {"edema"}),
            ({"edema"}, {"edema", "nodule"}),
            ({"fracture"}, set()),
            (set(), set()),
        ]
    )
    assert told["n"] == 4
    assert told["micro"] == {"precision": 2 / 3, "recall": 2 / 4, "f1": pytest.approx(4 / 7)}
    assert told["macro_f1"] == pytest.approx((1 + 0 + 0) / 3)  # edema, effusion, fracture; no gold names a nodule
    assert told["exact"] == 1 / 4
    assert told["labels"]["nodule"] == {"gold": 0, "given": 1, "right": 0, "f1": 0}
    nothing = label_f1([])
    assert nothing["micro"]["f1"] is nothing["macro_f1"] is nothing["exact"] is None


def test_label_f1_by_brute_force():
    draw = random.Random(3)
    names = ["a", "b", "c", "d"]
    for _ in range(50):
        pairs = [tuple({name for name in names if draw.random() < 0.4} for _ in range(2)) for _ in range(6)]
        told = label_f1(pairs)
        cells = [(name in gold, name in given) for gold, given in pairs for name in names]
        right, missed, wrong = (cells.count(kind) for kind in ((True, True), (True, False), (False, True)))
        if right + missed + wrong:
            assert told["micro"]["f1"] == pytest.approx(right / (right + (missed + wrong) / 2))


def test_labels_of_an_answer():
    assert labels_of("Edema; pleural  Effusion;;") == {"edema", "pleural effusion"}
    assert labels_of("") == frozenset()


def test_reports_and_labels_of_samples():
    rows = [
        sample("mimic-cxr", "report", "police killed the gunman", "<think>no</think>police kill the gunman"),
        sample("mimic-cxr", "report", "clear", "<think>clear", finish_reason="length"),
        sample("mimic-cxr", "report", "", "clear"),
        sample("mimic-cxr", "report", "clear", "", error="gone"),
    ]
    assert report_scores(rows) == {"n": 2, "rouge_l": pytest.approx(0.375), "without_gold": 1}
    assert report_scores(rows[2:])["rouge_l"] is None
    rows = [
        sample("chexpert", "multi_label", "Edema; Effusion", "x", extracted="effusion; nodule"),
        sample("chexpert", "multi_label", "Edema", "x", "unparsed"),
        sample("chexpert", "multi_label", "Edema", "", finish_reason="error"),
    ]
    told = label_scores(rows)
    assert (told["n"], told["micro"]["recall"], told["micro"]["precision"]) == (2, 1 / 3, 1 / 2)


def sample(benchmark, task, answer, response, verdict="wrong", extracted="", **fields):
    row = {"benchmark": benchmark, "task": task, "answer": answer, "response": response, "verdict": verdict}
    return {**row, "extracted": extracted, "finish_reason": "stop", "aliases": [], **fields}


def test_open_and_closed_questions_of_a_set():
    samples = [
        sample("slake-closed", "yes_no", "yes", "Yes", "correct", "yes"),
        sample("slake-closed", "short_answer", "ct", "<think>a</think>MRI"),
        sample("slake-open", "short_answer", "left lung", "<think>right lung</think>It is the lung.", "unparsed"),
        sample("slake-open", "short_answer", "left lung", "x", "correct", "left lung"),
        sample("slake-open", "short_answer", "left lung", "<think>left lung", "truncated", finish_reason="length"),
        sample("slake-open", "short_answer", "left lung", "", error="gone", finish_reason="error"),
    ]
    told = open_and_closed(samples)
    assert told["closed"] == {"n": 2, "accuracy": 0.5}
    assert told["open"] == {"n": 3, "token_f1": pytest.approx((2 / 5 + 1 + 0) / 3), "tokenizer": SIMPLE.name}
    assert answer_text(samples[2]) == "It is the lung."
    assert open_and_closed(samples[:1])["open"]["token_f1"] is None
    both = [sample("pathvqa", "yes_no", "no", "no", "correct", "no"), sample("pathvqa", "short_answer", "a b", "b")]
    assert open_and_closed(both)["closed"]["n"] == open_and_closed(both)["open"]["n"] == 1
