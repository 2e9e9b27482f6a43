"""What would spoil an evaluation ends the command with exit code 2 and one clear line, before hours are spent."""

import json

import pytest
from eval_helpers import make_question, png, write_heldout
from eval_server import MODEL, eval_server
from PIL import Image

from octomed_jax.cli.main import main
from octomed_jax.images.decode import encode_png

ROW = {
    "benchmark": "medqa", "id": "q0", "task": "mcq", "question": "Which?", "options": ["Ash", "Oak"], "answer": "Oak",
    "seed": 0, "response": "\\boxed{B}", "finish_reason": "stop", "cluster": "",
}  # fmt: skip


def line_of(capsys, words):
    """Run a command that is to fail; return its last line, the only one that is no progress."""
    assert main(words) == 2
    told = capsys.readouterr()
    assert not told.out
    lines = [line for line in told.err.splitlines() if line.startswith("octomed: ")]
    assert len(lines) == 1
    assert told.err.splitlines()[-1] == lines[0], "the line is the last"
    return lines[0]


GOOD = [make_question(1), make_question(2)]
LONG = encode_png(Image.new("RGB", (70_000, 4)))
NUMERIC, SHORT = ({"task": task, "options": ()} for task in ("numeric", "short_answer"))
MANY = [make_question(1, [png(8, number) for number in range(11)])]


@pytest.mark.parametrize(
    ("made", "how", "words", "line"),
    [
        (GOOD, {}, ["--benchmarks=leters"], "no benchmark 'leters' among the held-out questions of"),
        (GOOD, {}, ["--benchmarks=leters"], "did you mean 'letters'"),
        (GOOD, {}, ["--benchmarks=medqa"], "holds no question of medqa; build them with `octomed questions build"),
        (GOOD, {}, ["--benchmarks=classification"], "holds no question of any benchmark of 'classification'"),
        (GOOD, {}, ["--benchmarks=,"], "--benchmarks names none; leave it out for all"),
        ([make_question(1, answer=" ", task="report", options=())], {}, [], "made:1 of letters has no gold answer"),
        ([make_question(1, answer="other")], {}, [], "question made:1: its answer 'other' is none of its options, so"),
        ([make_question(1, answer="abc", **NUMERIC)], {}, [], "made:1: its answer 'abc' is not a finite number, so"),
        ([make_question(1, answer="...", **SHORT)], {}, [], "made:1: its answer '...' is no text to compare with, so"),
        ([*GOOD, make_question(1, question="Another?")], {}, [], "question made:1 is there 2 times in"),
        (GOOD, {"models": ("made/other",)}, [], "does not serve 'made/model'"),
        (GOOD, {"models": None, "name": "other"}, [], "was asked for 'made/model' and answers as 'other'"),
        (GOOD, {"length": 60}, ["--config.eval.max_new_tokens=50"], "together more than the 60 of http"),
        (
            GOOD,
            {"length": 100},
            ["--config.eval.force_end_of_thinking=True", "--config.eval.forced_answer_tokens=80"],
            "tokens and its answer may have 116, together more than the 100 of http",
        ),
        (MANY, {}, [], "question made:1 has 11 images, more than config.eval.max_images=10; raise that"),
        ([*GOOD, make_question(3, [LONG])], {}, [], "made:3 cannot be made smaller (an image of 70000 x 4"),
        ([make_question(1, [b"no image"])], {}, [], "the image of question made:1 cannot be read (no PNG"),
        (GOOD, {}, ["--config.eval.votes=10"], "config.eval.votes=10 is more than config.eval.seeds=1"),
        (GOOD, {}, ["--config.eval.f1_tokenizer=/none"], "/none has no tokenizer.json; name the folder of"),
        (GOOD, {}, ["--trained=/none"], "/none does not exist; make it first with `octomed questions build`"),
        (GOOD, {}, ["--output=gs://bucket/eval"], "--output=gs://bucket/eval lies in a bucket; results are written"),
    ],
)  # fmt: skip
def test_a_run(tmp_path, root, monkeypatch, capsys, made, how, words, line):
    monkeypatch.chdir(root)
    questions = write_heldout(tmp_path / "questions", made)
    given = ["eval", "run", "--config=configs/demo.py:tiny", f"--questions={questions}", f"--output={tmp_path / 'a'}"]
    with eval_server(**how) as server:
        assert line in line_of(capsys, [*given, f"--model={MODEL}", f"--endpoint={server.url}", *words])
        assert all(body["max_tokens"] == 1 for body in server.asked)
    assert not (tmp_path / "a").exists()
    assert not (root / "gs:").exists()


@pytest.mark.parametrize(
    ("text", "words", "line"),
    [
        (json.dumps({**ROW, "answer": ""}), [], "a.jsonl line 1 (question 'q0') has no gold; a sample needs"),
        (json.dumps(ROW) + "\n" + json.dumps(ROW), [], "line 2 is a second sample of question 'q0' with seed 0"),
        (json.dumps(ROW) + "\n" + json.dumps({**ROW, "seed": 1, "question": "?"}), [], "one id is one question"),
        (json.dumps(ROW) + "\n" + json.dumps(ROW)[:70], [], "line 2 is cut off in the middle; get the file again"),
        (
            json.dumps({**ROW, "task": "report", "options": [], "labels": "Edema", "labels_found": []}),
            [],
            "a.jsonl line 1 cannot be scored: labels is 'Edema'; it is a list of names, or missing",
        ),
        (json.dumps(ROW), ["--votes=-1"], "--votes=-1: so many samples cannot vote"),
        (json.dumps(ROW), ["--seen=/none.jsonl"], "no such file: /none.jsonl; make it with `octomed eval seen"),
        (json.dumps(ROW), ["--output=gs://bucket/r.json"], "--output=gs://bucket/r.json lies in a bucket"),
    ],
)  # fmt: skip
def test_scoring(tmp_path, monkeypatch, capsys, text, words, line):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.jsonl").write_text(text)
    assert line in line_of(capsys, ["eval", "score", "a.jsonl", "--output=results.json", *words])
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]
