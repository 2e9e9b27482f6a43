"""``octomed verify FILE``: rows as people have them, JSON lines and Parquet, through the real command."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from octomed_jax.cli.main import main
from octomed_jax.errors import UserError
from octomed_jax.verification.check import REASONS, VERIFIER_VERSION, Rules, check_response
from octomed_jax.verification.rows import question_of, responses_of, without_letters

OPTIONS = ["A. Asthma", "B. Pneumonia", "C. Pulmonary embolism"]
GROUPED = {
    "image": [{"bytes": b"\x89PNG", "path": None}],
    "question": "What is seen?",
    "options": OPTIONS,
    "answer": "B",
    "responses": ["<think>a</think>\\boxed{B}", "\\boxed{A}", "\\boxed{A} or \\boxed{B}", "<think>cut"],
}
SINGLE = {
    "task": "numeric",
    "question": "Compute the BMI.",
    "options": [],
    "answer": "24.2",
    "lower_limit": 23.0,
    "upper_limit": 25.4,
    "response": "\\boxed{24.2}",
    "finish_reason": "stop",
}


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def read_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_rows_come_back_as_they_were_with_their_verdicts(tmp_path, capsys):
    grouped = {name: value for name, value in GROUPED.items() if name != "image"} | {"note": "Ä 漢"}
    source = write_lines(tmp_path / "in.jsonl", [grouped, SINGLE, SINGLE | {"finish_reason": "length"}])
    assert main(["verify", str(source), f"--output={tmp_path / 'out.jsonl'}"]) == 0
    printed = capsys.readouterr()
    assert printed.out.strip() == f"2 of 6 responses of 3 rows are right; verdicts lie in {tmp_path / 'out.jsonl'}"
    assert "undecided" in printed.err
    first, second, third = read_lines(tmp_path / "out.jsonl")
    assert {name: first[name] for name in grouped} == grouped
    assert first["verdict"] == ["correct", "wrong", "unparsed", "truncated"]
    assert first["extracted"] == ["Pneumonia", "Asthma", "", ""]
    assert first["reason"] == ["match", "other_option", "undecided", "thought_not_closed"]
    assert first["judge"] == [False] * 4
    assert first["verifier"] == VERIFIER_VERSION
    assert (second["verdict"], second["extracted"], second["reason"]) == ("correct", "24.2", "match")
    assert (third["verdict"], third["reason"]) == ("truncated", "length")


def test_parquet_keeps_every_column_and_its_type(tmp_path, capsys):
    table = pa.Table.from_pylist([GROUPED] * 3).replace_schema_metadata({"huggingface": "{}", "own": "kept"})
    pq.write_table(table, tmp_path / "in.parquet", row_group_size=1)
    assert main(["verify", str(tmp_path / "in.parquet"), f"--output={tmp_path / 'out.parquet'}", "--json"]) == 0
    counted = json.loads(capsys.readouterr().out)
    assert counted["verdicts"] == {"correct": 3, "truncated": 3, "unparsed": 3, "wrong": 3}
    found = pq.read_table(tmp_path / "out.parquet")
    assert found.select(table.column_names).to_pylist() == table.to_pylist()
    assert [found.schema.field(name).type for name in table.column_names] == [field.type for field in table.schema]
    assert found["verdict"].to_pylist() == [["correct", "wrong", "unparsed", "truncated"]] * 3
    assert found["verifier"].to_pylist() == [VERIFIER_VERSION] * 3
    # The datasets library would refuse columns that its own description of the file does not know.
    assert found.schema.metadata == {b"own": b"kept"}
    single = pa.Table.from_pylist([SINGLE])
    pq.write_table(single, tmp_path / "one.parquet")
    assert main(["verify", str(tmp_path / "one.parquet"), f"--output={tmp_path / 'two.parquet'}"]) == 0
    assert pq.read_table(tmp_path / "two.parquet")["verdict"].to_pylist() == ["correct"]


@pytest.mark.parametrize(
    ("fields", "gold", "options"),
    [
        ({"options": OPTIONS, "answer": "B"}, "Pneumonia", ("Asthma", "Pneumonia", "Pulmonary embolism")),
        ({"options": OPTIONS, "answer": "b"}, "Pneumonia", ("Asthma", "Pneumonia", "Pulmonary embolism")),
        ({"options": OPTIONS, "answer": "B. Pneumonia"}, "Pneumonia", ("Asthma", "Pneumonia", "Pulmonary embolism")),
        ({"options": OPTIONS, "answer": "pneumonia"}, "Pneumonia", ("Asthma", "Pneumonia", "Pulmonary embolism")),
        ({"options": ["(A) x", "(B) y"], "answer": "(B)"}, "y", ("x", "y")),
        ({"options": ["A) x", "B) y"], "answer": "y"}, "y", ("x", "y")),
        ({"options": ["A: x", "B: y"], "answer": "A"}, "x", ("x", "y")),
        ({"options": {"A": "x", "B": "y"}, "answer": "B"}, "y", ("x", "y")),
        ({"options": '["x", "y"]', "answer": "B"}, "y", ("x", "y")),
        ({"options": ["x", "y"], "answer": "y"}, "y", ("x", "y")),
        ({"options": ["A", "B", "AB", "O"], "answer": "AB"}, "AB", ("A", "B", "AB", "O")),
        ({"options": ["B", "A"], "answer": "A"}, "A", ("B", "A")),  # a text before a letter
        ({"options": ["A. only one has a letter", "y"], "answer": "y"}, "y", ("A. only one has a letter", "y")),
        ({"options": OPTIONS, "answer": "Gout"}, "Gout", ("Asthma", "Pneumonia", "Pulmonary embolism")),
    ],
)
def test_options_and_golds_in_every_spelling(fields, gold, options):
    question = question_of(fields, "row 1")
    assert (question.task, question.answer, question.options) == ("mcq", gold, options)


def test_options_that_stand_in_the_question_are_read_by_their_letters():
    question = question_of({"task": "mcq", "question": "Which? (A) x (B) y", "answer": "b"}, "row 1")
    read = {
        text: check_response(question, text, "stop").verdict
        for text in ("\\boxed{B}", "The answer is C.", "It is a y.")
    }
    assert list(read.values()) == ["correct", "wrong", "unparsed"]


def test_an_answer_that_could_be_two_options_is_not_guessed():
    with pytest.raises(UserError, match="answer 'A' is the letter of one option and the text of another"):
        question_of({"options": ["A. B", "B. A"], "answer": "A"}, "row 1")
    assert question_of({"options": ["A. B", "B. A"], "answer": "A. B"}, "row 1").answer == "B"
    assert question_of({"options": ["A. A", "B. B", "C. AB"], "answer": "B"}, "row 1").answer == "B"
    assert question_of({"options": ["x", "X"], "answer": "X"}, "row 1").answer == "X"


def test_more_options_than_letters_lose_none():
    options = [f"{letter}. {letter}{letter}" for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"]
    assert question_of({"options": options, "answer": "Z"}, "row 1").answer == "ZZ"
    assert len(question_of({"options": [*options, "AA. AA"], "answer": "AA. AA"}, "row 1").options) == 27


def test_one_alias_may_be_a_text():
    assert question_of({"answer": "heart attack", "aliases": "MI"}, "row 1").aliases == ("MI",)
    assert question_of({"answer": "two", "aliases": "2"}, "row 1").aliases == ("2",)
    assert question_of({"answer": "heart attack", "aliases": '["MI", "infarction"]'}, "").aliases == (
        "MI",
        "infarction",
    )


@pytest.mark.parametrize(
    ("fields", "task"),
    [
        ({"answer": "4"}, "numeric"),
        ({"answer": "about 4", "lower_limit": 3}, "numeric"),
        ({"answer": "yes"}, "yes_no"),
        ({"answer": "no", "options": ["yes", "no"]}, "yes_no"),
        ({"answer": "A", "options": ["A. Yes", "B. No"]}, "mcq"),
        ({"answer": "the heart"}, "short_answer"),
        ({"answer": "x", "options": ["x", "y"], "task": "classification"}, "classification"),
        ({"answer": True}, "yes_no"),
        ({"answer": 4.5}, "numeric"),
    ],
)
def test_a_task_that_is_not_said_is_found(fields, task):
    assert question_of(fields, "row 1").task == task


def test_letters_of_options_must_be_all_there_and_in_order():
    assert without_letters(["B. x", "A. y"]) == (("B. x", "A. y"), False)
    assert without_letters(["A.", "B."]) == (("A.", "B."), False)
    assert without_letters([]) == ((), False)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "line 2 is no JSON"),
        ("[1]", "line 2 is no row but list"),
        ('{"responses": []}', "row 2 has no answer"),
        ('{"answer": "B"}', "row 2 has neither responses nor response"),
        ('{"answer": "B", "responses": "x"}', "row 2: responses is no list"),
        ('{"answer": "B", "response": 3}', "a response is no text but int"),
        ('{"answer": "B", "response": "x", "task": "mqc"}', "unknown task 'mqc' (did you mean 'mcq'?)"),
        ('{"answer": "B", "response": "x", "lower_limit": "low"}', "lower_limit is no number"),
        ('{"answer": "B", "response": "x", "options": "A or B"}', "options is no list"),
        (
            '{"answer": "B", "responses": ["x"], "finish_reason": ["stop", "stop"]}',
            "1 responses, but 2 of finish_reason",
        ),
        ("[" * 100_000, "line 2 is no JSON"),
    ],
)
def test_a_row_that_cannot_be_used_is_named_and_nothing_is_written(tmp_path, capsys, line, problem):
    source = tmp_path / "in.jsonl"
    source.write_text(json.dumps(SINGLE) + "\n" + line + "\n")
    assert main(["verify", str(source), f"--output={tmp_path / 'out.jsonl'}"]) == 2
    assert problem in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_mistakes_with_files(tmp_path, capsys):
    source = write_lines(tmp_path / "in.jsonl", [SINGLE])
    for words, problem in (
        (["verify", str(source)], "FILE needs --output, or --explain"),
        (["verify"], "give FILE, or --config for a run"),
        (["verify", str(source), f"--output={tmp_path / 'out.parquet'}"], "files of different kinds"),
        (["verify", str(source), f"--output={source}"], "is the file to read"),
        (["verify", str(tmp_path / "no.jsonl"), f"--output={tmp_path / 'out.jsonl'}"], "no such file"),
        (["verify", str(tmp_path / "a.csv"), f"--output={tmp_path / 'out.csv'}"], "neither .jsonl nor .parquet"),
        (["verify", str(source), "--explain=2"], "has no row 2; its rows are 1 to 1"),
        (["verify", str(source), "--explain=x"], "is no row"),
        (["verify", str(source), "--explain=1:2"], "has 1 responses, no number 2"),
        (["verify", str(source), "--config.verify.threshold=1", f"--output={tmp_path / 'o.jsonl'}"], "needs --config"),
    ):
        assert main(words) == 2, words
        assert problem in capsys.readouterr().err, words
    (tmp_path / "bad.parquet").write_bytes(b"no")
    assert main(["verify", str(tmp_path / "bad.parquet"), f"--output={tmp_path / 'out.parquet'}"]) == 2
    assert "is no Parquet file" in capsys.readouterr().err


def test_verifying_what_another_version_verified_tells_what_changed(tmp_path, capsys):
    old = {"verdict": ["correct", "correct", "unparsed", "truncated"], "verifier": "1"}
    grouped = {name: value for name, value in GROUPED.items() if name != "image"}
    source = write_lines(tmp_path / "in.jsonl", [grouped | old, SINGLE | {"verdict": "correct", "verifier": "1"}])
    words = ["verify", str(source), f"--output={tmp_path / 'out.jsonl'}"]
    assert main(words) == 0
    told = capsys.readouterr().err
    assert f"verifier 1 -> {VERIFIER_VERSION}: 1 of 5 verdicts changed" in told
    assert "correct -> wrong: 1, such as row 1:2" in told
    assert main(["verify", str(tmp_path / "out.jsonl"), f"--output={tmp_path / 'again.jsonl'}"]) == 0
    assert "changed" not in capsys.readouterr().err
    assert read_lines(tmp_path / "again.jsonl") == read_lines(tmp_path / "out.jsonl")


def test_explain_shows_how_a_verdict_came_about(tmp_path, capsys):
    grouped = {name: value for name, value in GROUPED.items() if name != "image"}
    source = write_lines(tmp_path / "in.jsonl", [SINGLE, grouped])
    assert main(["verify", str(source), "--explain=2:3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "gold      Pneumonia" in lines
    assert "found     box at 0: A -> 'Asthma'" in lines
    assert "          box at 13: B -> 'Pneumonia'" in lines
    assert any(line.startswith("verdict   unparsed, undecided (rival answers") for line in lines)
    assert main(["verify", str(source), "--explain=2", "--json"]) == 0
    texts = json.loads(capsys.readouterr().out)["explained"]
    assert [text.splitlines()[0] for text in texts] == [f"--- response {number}" for number in (1, 2, 3, 4)]
    assert "thought   3 characters, NOT closed" in texts[3]
    assert main(["verify", str(source), "--explain=1"]) == 0
    assert "gold      24.2, accepted from 23.0 to 25.4" in capsys.readouterr().out


def test_every_reason_is_listed(capsys):
    assert main(["verify", "--reasons"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(REASONS)


def test_open_tasks_are_accepted_by_a_threshold_that_is_named_only(tmp_path, capsys):
    row = {"task": "report", "answer": "The lungs are clear. No effusion.", "options": []}
    source = write_lines(
        tmp_path / "in.jsonl",
        [row | {"response": "Clear lungs, no effusion."}, row | {"response": "There is a fracture of the left femur."}],
    )
    words = ["verify", str(source), f"--output={tmp_path / 'out.jsonl'}"]
    assert main(words) == 0
    assert [found["reason"] for found in read_lines(tmp_path / "out.jsonl")] == ["no_rule", "no_rule"]
    chosen = ["--config=configs/demo.py", "--config.verify.open_rule=token_f1", "--config.verify.threshold=0.6"]
    assert main([*words, *chosen]) == 0
    first, second = read_lines(tmp_path / "out.jsonl")
    assert (first["verdict"], first["reason"]) == ("correct", "overlap_reached")
    # lungs, are, clear, no, effusion against clear, lungs, no, effusion: 4 shared of 5 and 4
    assert first["extracted"] == "0.889"
    assert (second["verdict"], second["reason"]) == ("wrong", "overlap_below")
    assert first["verifier"] == f"{VERIFIER_VERSION}+token_f1>=0.6"
    capsys.readouterr()
    for setting, problem in (("open_rule=f1", "'f1', one of none, token_f1"), ("threshold=0.0", "above 0")):
        assert main([*words, "--config=configs/demo.py", f"--config.verify.{setting}"]) == 2
        assert problem in capsys.readouterr().err


def test_responses_without_a_finish_reason():
    assert responses_of({"response": None}, "") == [("", "")]
    assert responses_of({"responses": ["a", None], "finish_reason": ["stop", None]}, "") == [("a", "stop"), ("", "")]
    with pytest.raises(UserError, match="neither"):
        responses_of({}, "row 9")
    assert Rules().name == VERIFIER_VERSION


def test_half_an_emoji_and_both_columns_are_no_trouble(tmp_path):
    source = tmp_path / "in.jsonl"
    source.write_text('{"answer": "B", "options": ["x", "y"], "response": "\\\\boxed{B} \\ud83d"}\n')
    assert main(["verify", str(source), f"--output={tmp_path / 'out.jsonl'}"]) == 0
    assert read_lines(tmp_path / "out.jsonl")[0]["verdict"] == "correct"
    rows = [{"answer": "4", "responses": ["4"], "response": None}, {"answer": "4", "responses": None, "response": "4"}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "in.parquet")
    assert main(["verify", str(tmp_path / "in.parquet"), f"--output={tmp_path / 'out.parquet'}"]) == 0
    assert pq.read_table(tmp_path / "out.parquet")["verdict"].to_pylist() == [["correct"], []]


def test_golds_and_options_that_tables_spell_in_their_own_way():
    row = {"answer": "B", "options": {"A": "x", "B": None, "C": "z"}}
    assert question_of(row, "row 1").options == ("x", "", "z")
    assert question_of({"answer": "c", "options": {"2": "c", "10": "d", "1": "b"}}, "").options == ("b", "c", "d")
    labels = question_of({"task": "multi_label", "answer": ["Edema", "Nodule"], "options": ["Edema", "Nodule"]}, "")
    assert labels.answer == "Edema;Nodule"
    assert question_of({"answer": "x", "options": ["x", "y"], "lower_limit": float("nan")}, "").task == "mcq"
    with pytest.raises(UserError, match="unknown access class 'secret'"):
        question_of({"answer": "x", "access": "secret"}, "row 1")
    with pytest.raises(UserError, match="lower_limit is no number"):
        question_of({"answer": "4", "lower_limit": 10**400}, "row 1")


def test_a_damaged_page_is_named(tmp_path, capsys):
    rows = [{"answer": "B", "options": ["x", "y"], "response": f"\\boxed{{B}} {number}"} for number in range(5000)]
    source = tmp_path / "in.parquet"
    pq.write_table(pa.Table.from_pylist(rows), source, compression="zstd")
    data = bytearray(source.read_bytes())
    data[2000:2400] = bytes(400)
    source.write_bytes(data)
    assert main(["verify", str(source), f"--output={tmp_path / 'out.parquet'}"]) == 43
    assert "in.parquet is damaged" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["in.parquet"]


def test_every_row_of_a_long_file_comes_back_in_order(tmp_path):
    rows = [{"answer": "B", "options": ["x", "y"], "response": "B", "n": number} for number in range(1300)]
    source = write_lines(tmp_path / "in.jsonl", rows)
    assert main(["verify", str(source), f"--output={tmp_path / 'out.jsonl'}"]) == 0
    assert [row["n"] for row in read_lines(tmp_path / "out.jsonl")] == list(range(1300))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "in.parquet")
    assert main(["verify", str(tmp_path / "in.parquet"), f"--output={tmp_path / 'out.parquet'}"]) == 0
    assert pq.read_table(tmp_path / "out.parquet")["n"].to_pylist() == list(range(1300))
