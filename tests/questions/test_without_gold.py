"""Published responses to questions without gold: accepted only where a recipe names their source, counted apart."""

import json

import pytest
from adapter_helpers import build, built, refused, write_lines

from octomed_jax import manifests
from octomed_jax.cli.main import main
from octomed_jax.cli.shard import make_shards
from octomed_jax.configuration import load
from octomed_jax.traces.lake import iterate_parts, iterate_rows, read_table
from tests.traces.corpus import iterate_records

WHOLE = "<think>\nPregnant, so it is safe.\n</think>\n\nNitrofurantoin.\n\n\\boxed{B}"
CUT = "<think>\nWhy?\n</think>\n\nSo it is \\boxed{Nitro"


def messages(asked, trace):
    return {"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": trace}]}


def import_set(tmp_path):
    rows = [messages("Which drug?", WHOLE), messages("Which other?", WHOLE), messages("Which third?", CUT)]
    write_lines(tmp_path / "in" / "train.jsonl", rows)
    more = (f"--attempts={tmp_path}/attempts", "--teacher=qwen3-235b")
    assert build("ii-medical", tmp_path / "in" / "train.jsonl", tmp_path / "questions", *more) == 0


def judged(tmp_path, root, *more, code=0):
    assert main(["verify", f"--config={root}/configs/demo.py:tiny", f"--config.run={tmp_path}", *more]) == code


def verdicts(tmp_path):
    rows = iterate_rows(tmp_path / "traces" / "verdicts.parquet")
    return [(row["verdict"], row["reason"], row["verifier"]) for row in rows]


def test_nothing_is_accepted_unless_the_source_is_named(tmp_path, root, capsys):
    import_set(tmp_path)
    assert "3 questions have no gold: no response to them can be checked" in capsys.readouterr().err
    assert "- Without gold: ii-medical (3)" in (tmp_path / "questions" / "card.md").read_text()
    assert {row["reason"] for row in iterate_parts(tmp_path / "attempts" / "attempts")} == {"no_gold", "not_closed"}
    judged(tmp_path, root, "--config.verify.open_rule=token_f1")  # there is nothing to compare with
    rule = "3+token_f1>=0.5"
    no_gold = ("unparsed", "no_gold", rule)
    assert verdicts(tmp_path) == [no_gold, no_gold, ("unparsed", "not_closed", rule)]
    assert "published" not in manifests.read_manifest(tmp_path / "traces", "verify").extra


def test_trusted_traces_reach_the_shards_and_are_counted_apart(tmp_path, root, capsys):
    import_set(tmp_path)
    judged(tmp_path, root, "--config.verify.trust=ii-medical")
    printed = capsys.readouterr()
    assert "0 of 3 attempts are right and 2 are taken as published, unchecked; 2 traces of 2 questions" in printed.out
    trusted = ("correct", "published", "3+trust=ii-medical")
    assert verdicts(tmp_path) == [trusted, trusted, ("unparsed", "not_closed", trusted[2])]
    manifest = manifests.read_manifest(tmp_path / "traces", "verify")
    assert manifest.extra["published"] == {"ii-medical": 2}
    counts = {name: manifest.counts[name] for name in ("asked", "parsed", "correct", "published", "kept")}
    assert counts == {"asked": 3, "parsed": 0, "correct": 0, "published": 2, "kept": 2}
    (first, _) = iterate_records(tmp_path / "traces")
    assert first.responses == ("<think>Pregnant, so it is safe.</think>\n\nNitrofurantoin.\n\n\\boxed{B}",)
    settings = load(f"{root}/configs/demo.py:tiny", [f"run={tmp_path}"])
    shards, _ = make_shards(settings, tmp_path / "traces", tmp_path / "shards")
    assert shards.counts["examples"] == 2
    counted = {"questions": 2, "responses": 2, "published": 2, "licences": {"unknown": 2}, "access": "open"}
    assert shards.extra["sources"] == {"ii-medical": counted}
    assert main(["data", "write", f"--traces={tmp_path}/traces", f"--output={tmp_path}/data"]) == 0
    words = "Not so ii-medical (2): no gold is published there"
    assert words in (tmp_path / "data" / "README.md").read_text()
    # What was written for others is read again, with its source, and trusted by the same name.
    again = (f"--attempts={tmp_path}/again/attempts", "--teacher=qwen3-235b")
    assert build("octomed", tmp_path / "data", tmp_path / "again" / "questions", *again) == 0
    judged(tmp_path / "again", root, "--config.verify.trust=ii-medical")
    assert manifests.read_manifest(tmp_path / "again" / "traces", "verify").extra["published"] == {"ii-medical": 2}


def test_a_source_that_is_not_there_or_was_not_published_is_not_trusted(tmp_path, root, capsys):
    import_set(tmp_path)
    judged(tmp_path, root, "--config.verify.trust=ii_medical", code=2)
    line = "config.verify.trust names 'ii_medical', which is no source of"
    assert line in (told := capsys.readouterr().err)
    assert "did you mean 'ii-medical'" in told
    path = tmp_path / "attempts" / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["config"]["published"]
    path.write_text(json.dumps(manifest))
    judged(tmp_path, root, "--config.verify.trust=ii-medical", code=2)
    assert "holds attempts that a teacher was asked for" in capsys.readouterr().err
    assert not (tmp_path / "traces").exists()


@pytest.mark.parametrize(
    ("finish", "response", "verdict"),
    [
        ("stop", WHOLE, "published"),
        ("unknown", WHOLE, "published"),
        ("length", WHOLE, "length"),
        ("content_filter", WHOLE, "content_filter"),
        ("stop", "<think>Why", "thought_not_closed"),
        ("stop", "<think>Why</think>", "empty_answer"),
        ("stop", "<think>Why</think>" + "x" * 20_001, "too_long"),
        ("stop", CUT, "not_closed"),
    ],
)
def test_only_a_whole_response_is_taken(tmp_path, finish, response, verdict):
    row = {"task": "instruction", "source": "mine", "question": "Why?", "response": response, "finish_reason": finish}
    path = write_lines(tmp_path / "rows.jsonl", [row])
    words = ["verify", str(path), "--config=configs/demo.py", "--config.verify.trust=mine"]
    assert main([*words, f"--output={tmp_path}/out.jsonl"]) == 0
    assert json.loads((tmp_path / "out.jsonl").read_text())["reason"] == verdict


def test_a_gold_that_is_there_is_compared(tmp_path, capsys):
    gold = {"task": "short_answer", "source": "mine", "question": "Where?", "answer": "the heart"}
    rows = [gold | {"response": "\\boxed{lung}"}, gold | {"task": "report", "response": "Clear lungs."}]
    path = write_lines(tmp_path / "rows.jsonl", rows)
    words = ["verify", str(path), "--config=configs/demo.py", "--config.verify.trust=mine"]
    assert main([*words, f"--output={tmp_path}/out.jsonl"]) == 0
    reasons = [json.loads(line)["reason"] for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert reasons == ["other_text", "no_rule"]
    assert "0 of 2 responses of 2 rows are right; verdicts" in capsys.readouterr().out


def test_questions_of_ones_own_may_have_no_gold_where_they_say_that_they_are_open(tmp_path, capsys):
    row = {"question": "Explain sepsis.", "task": "instruction"}
    (question,), _, manifest = built("octomed", write_lines(tmp_path / "own.jsonl", [row]), tmp_path / "out")
    assert (question.answer, manifest.counts["without_gold"]) == ("", {"octomed": 1})
    for change, words in (
        ({"task": "mcq", "options": ["x", "y"]}, "line 1: has no answer; fill the column answer"),
        ({"anwser": "It is."}, "has no answer (did you mean 'anwser'?); rename that column"),
        ({"split": "test"}, "line 1: is held out and has no answer to be measured by"),
    ):
        path = write_lines(tmp_path / "bad.jsonl", [row | change])
        assert words in refused(capsys, "octomed", path, tmp_path / "bad")


def test_verdicts_change_with_the_trust_and_say_so(tmp_path, root, capsys):
    import_set(tmp_path)
    judged(tmp_path, root)
    judged(tmp_path, root, "--config.verify.trust=ii-medical")
    assert "verifier 3 -> 3+trust=ii-medical: 2 of 3 verdicts changed" in capsys.readouterr().err
    assert read_table(tmp_path / "traces" / "verdicts-3.parquet").num_rows == 3
