"""Which accepted responses are trained on, and in which form: a pure function of the row and the settings."""

import dataclasses
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ml_collections import ConfigDict

from configs.demo import get_config
from octomed_jax import manifests, storage
from octomed_jax.cli.main import main
from octomed_jax.configuration import answer_format_of
from octomed_jax.errors import UserError
from octomed_jax.schema import Attempt, Question, Verdict, question_to_row
from octomed_jax.traces.choose import CHOICES, SOURCES, TRACES, settings_of, training_record
from octomed_jax.traces.grouped import iterate_lake, lake_row
from octomed_jax.traces.shards import ShardReader
from octomed_jax.verification.check import check_response
from tests.traces.corpus import write_rows, write_traces

ASKED = Question("q:1", "made", "b", "train", "mcq", "Which?", "B-option", ("A-option", "B-option", "C-option"))


def wanted(**fields):
    return {**TRACES, "per_question": 0, **fields}


def row_of(attempts, question=ASKED):
    """Return a row of (text, verdict, tokens, teacher, option order), any of the last three left out."""
    judged = []
    for sample, (text, verdict, *more) in enumerate(attempts):
        tokens, teacher, order = (*more, *(100, "t", ())[len(more) :])
        attempt = Attempt(
            question.id, sample, teacher, text, "", "stop", 5, tokens, "", "", "", "", tuple(order), 0, 1, "h"
        )
        judged.append((dataclasses.asdict(attempt), Verdict(verdict, question.answer, "match")))
    return lake_row(question_to_row(question), judged, "3")


def samples(row, **fields):
    record = training_record(row, wanted(**fields))
    return None if record is None else list(record.samples)


def texts(count, tokens=None, teacher="t"):
    return [(f"<think>{n}</think>\\boxed{{B}}", "correct", tokens[n] if tokens else 100, teacher) for n in range(count)]


def test_only_accepted_responses_are_taken_and_all_of_them_where_no_number_is_set():
    row = row_of([("a \\boxed{B}", "correct"), ("b", "wrong"), ("c \\boxed{B}", "correct"), ("d", "truncated")])
    assert samples(row) == [0, 2]
    assert samples(row, per_question=1) == [0]
    assert samples(row, per_question=16) == [0, 2]
    assert samples(row_of([("b", "wrong"), ("", "unparsed")])) is None
    assert samples(row_of([])) is None


def test_several_teachers_take_turns():
    row = row_of(texts(4, teacher="a") + [(f"{n} \\boxed{{B}}", "correct", 9, "b") for n in range(2)])
    assert samples(row, per_question=2) == [0, 4]
    assert samples(row, per_question=3) == [0, 1, 4]
    assert samples(row, per_question=5) == [0, 1, 2, 4, 5]


def test_a_copy_is_taken_only_where_there_are_not_enough_others():
    same, other = ("same \\boxed{B}", "correct"), ("other \\boxed{B}", "correct")
    row = row_of([same, same, same, other])
    assert samples(row, per_question=2) == [0, 3]
    assert samples(row, per_question=3) == [0, 1, 3]
    assert samples(row) == [0, 1, 2, 3]  # the paper keeps all
    moved = row_of([(*same, 100, "t", (0, 1, 2)), (*same, 100, "t", (2, 1, 0)), (*same, 100, "t", ())])
    assert samples(moved, per_question=2) == [0, 1]  # another order is another example; the last is as the first


def test_the_shortest_are_those_of_the_fewest_tokens():
    row = row_of(texts(4, [30, 10, 20, 10]))
    assert samples(row, choose="shortest", per_question=1) == [1]
    assert samples(row, choose="shortest", per_question=3) == [1, 2, 3]


@pytest.mark.parametrize("attempts", [
    [("xx", "correct", 1), ("x", "correct", 0)],  # not all were counted
    [("xx", "correct", 1, "a"), ("x", "correct", 2, "b")],  # tokens of two teachers do not compare
])  # fmt: skip
def test_lengths_are_characters_where_tokens_do_not_compare(attempts):
    assert samples(row_of(attempts), choose="shortest", per_question=1) == [1]


def test_balanced_takes_the_middle_of_each_part_of_the_lengths():
    row = row_of(texts(8, [80, 70, 60, 50, 40, 30, 20, 10]))
    # By length: 7 6 5 4 3 2 1 0. One part: its place 4; two of four: their places 2, so 5 and 1; four of two.
    assert samples(row, choose="balanced", per_question=1) == [3]
    assert samples(row, choose="balanced", per_question=2) == [1, 5]
    assert samples(row, choose="balanced", per_question=4) == [0, 2, 4, 6]
    assert samples(row, choose="balanced", per_question=8) == list(range(8))


def test_random_is_drawn_by_question_and_seed_and_more_hold_fewer():
    row = row_of(texts(16))
    four = samples(row, choose="random", per_question=4)
    assert set(samples(row, choose="random", per_question=1)) < set(four)
    assert four == samples(row, choose="random", per_question=4)
    drawn = Counter()
    for number in range(400):
        asked = dataclasses.replace(ASKED, id=f"q:{number}")
        drawn.update(samples(row_of(texts(16), asked), choose="random", per_question=4))
    assert max(drawn.values()) < 2 * min(drawn.values())  # 100 each, about
    assert {tuple(samples(row, choose="random", per_question=4, seed=seed)) for seed in range(8)} != {tuple(four)}


@settings(max_examples=150)
@given(
    attempts=st.lists(
        st.tuples(
            st.sampled_from(["a", "bb \\boxed{B}", "cc <answer>B</answer>", "B", "\\boxed{A}"]),
            st.sampled_from(["correct", "wrong"]), st.integers(0, 3), st.sampled_from("ab"),
            st.sampled_from([(), (0, 1, 2), (1, 0, 2)]),
        ), max_size=8,
    ),
    most=st.integers(0, 6), choose=st.sampled_from(CHOICES["choose"]),
    form=st.sampled_from([("cot", form) for form in CHOICES["answer_format"]] + [("direct", "as_written")]),
    shuffle=st.integers(0, 5),
)  # fmt: skip
def test_the_order_of_the_attempts_in_a_row_decides_nothing(attempts, most, choose, form, shuffle):
    row, how = row_of(attempts), wanted(per_question=most, choose=choose, format=form[0], answer_format=form[1])
    record = training_record(row, how)
    places = list(range(len(attempts)))
    random.Random(shuffle).shuffle(places)
    moved = {name: [row[name][place] for place in places] for name in ("responses", "attempts", "verdicts")}
    assert training_record({**row, **moved}, how) == record
    right = [n for n, (_, verdict, *_) in enumerate(attempts) if verdict == "correct"]
    if record is None:
        assert not right or form[1] != "as_written"
        return
    assert set(record.samples) <= set(right)
    assert list(record.samples) == sorted(set(record.samples))
    assert len(record.samples) <= (most or 99)
    if form == ("cot", "as_written"):
        assert len(record.samples) == min(len(right), most or 99)
        assert list(record.responses) == [attempts[n][0] for n in record.samples]
    for number, text in enumerate(record.responses):
        if form != ("cot", "as_written"):
            assert check_response(record.shown(number), text, "stop").verdict == "correct"


def test_the_answer_alone_stands_once_for_each_order_of_the_options():
    orders = [(), (1, 0, 2), (0, 1, 2), (1, 0, 2)]
    row = row_of([(f"{n} \\boxed{{x}}", "correct", 100, "t", order) for n, order in enumerate(orders)])
    record = training_record(row, wanted(format="direct"))
    assert (record.responses, record.samples) == (("B", "A"), (0, 1))
    assert record.option_orders == ((), (1, 0, 2))
    assert samples(row, format="direct", per_question=1) == [0]


def test_reports_alone_stay_several_where_they_differ():
    asked = Question("r:1", "made", "r", "train", "report", "Report.", "Clear.")
    texts = ["<think>a</think>Clear lungs.", "<think>b</think>Clear lungs.", "<think>c</think>Lungs are clear."]
    record = training_record(row_of([(text, "correct") for text in texts], asked), wanted(format="direct"))
    assert record.responses == ("Clear lungs.", "Lungs are clear.")


def test_what_cannot_be_converted_is_counted_and_others_take_its_place():
    row = row_of([("\\boxed{A}", "correct"), ("x \\boxed{B}", "correct"), ("The answer is B.", "correct")])
    left_out = Counter()
    record = training_record(row, wanted(answer_format="tag", per_question=2), left_out)
    assert record.responses == ("x <answer>B</answer>", "The answer is B.\n\n<answer>B</answer>")
    assert (record.samples, left_out) == ((1, 2), {"changed": 1})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"choose": "shortes"}, "config.traces.choose='shortes' is unknown (did you mean 'shortest'?); one of first, "),
        ({"format": "Direct"}, "config.traces.format='Direct' is unknown (did you mean 'direct'?)"),
        ({"answer_format": "box"}, "(did you mean 'boxed'?); one of as_written, boxed, tag"),
        ({"per_question": -1}, "config.traces.per_question=-1: 1 or more traces a question, or 0 for all"),
        ({"per_question": True}, "config.traces.per_question=True"),
        ({"leave_out": "medqa"}, "config.traces.leave_out='medqa': names of sources, such as ('medqa',)"),
        ({"release": "yes"}, "config.traces.release='yes': True or False"),
        ({"chose": "first"}, "config.traces has no field 'chose' (did you mean 'choose'?)"),
        ({"format": "direct", "answer_format": "tag"}, "leave answer_format at as_written"),
    ],
)
def test_settings_that_make_no_sense_are_refused(fields, message):
    config = ConfigDict({"seed": 0, "traces": fields})
    with pytest.raises(UserError) as refused:
        settings_of(config)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_config_of_before_gets_what_nobody_set():
    config = ConfigDict({"seed": 7, "traces": {"per_question": 4}})
    expected = {name: value for name, value in TRACES.items() if name not in SOURCES}
    assert settings_of(config) == expected | {"per_question": 4}  # whatever the seed, where nothing is drawn
    with config.unlocked():
        config.traces.choose = "random"
    assert settings_of(config)["seed"] == 7


def test_all_accepted_responses_are_the_default_and_those_not_taken_are_counted(tmp_path, root, capsys):
    assert settings_of(ConfigDict({"seed": 0, "traces": {}}))["per_question"] == 0
    asked = [dataclasses.replace(ASKED, id=f"made:{n}") for n in range(2)]
    write_rows(
        tmp_path / "traces",
        [row_of([*texts(count), ("no", "wrong")], one) for one, count in zip(asked, (5, 2), strict=True)],
    )
    words = ["shard", f"--config={root}/configs/demo.py:tiny", f"--config.run={tmp_path}"]
    for most, taken in ((2, 4), (0, 7)):
        output = tmp_path / f"shards-{most}"
        assert main([*words, f"--output={output}", f"--config.traces.per_question={most}"]) == 0
        counts = manifests.read_manifest(output, "shard").counts
        assert (counts["examples"], counts["not_chosen"]) == (taken, 7 - taken)
        told = "3 accepted responses not chosen, as config.traces says" in capsys.readouterr().err
        assert told is bool(7 - taken)


def test_the_configs_have_every_field():
    assert sorted(get_config().traces) == sorted(TRACES)


@pytest.mark.parametrize(
    ("teacher", "traces", "asked"),
    [
        ("boxed", {}, "boxed"),
        ("tag", {"answer_format": "as_written"}, "tag"),
        ("boxed", {"answer_format": "tag"}, "tag"),
        ("boxed", {"format": "direct", "answer_format": "as_written"}, "direct"),
        ("direct", {"format": "cot"}, "direct"),
        ("direct", {"answer_format": "boxed"}, "boxed"),
    ],
)
def test_the_student_is_asked_for_what_it_learned_to_write(teacher, traces, asked):
    assert answer_format_of(ConfigDict({"distill": {"answer_format": teacher}, "traces": traces})) == asked


def test_the_command_writes_what_is_asked_for_and_names_a_slip(tmp_path, root, capsys):
    traces = write_traces(tmp_path / "traces", 6)
    words = ["shard", f"--config={root}/configs/demo.py:tiny", f"--config.run={tmp_path}"]
    assert main([*words, "--config.traces.choose=shortes"]) == 2
    assert "did you mean 'shortest'" in capsys.readouterr().err
    assert main([*words, "--config.traces.answer_format=tag"]) == 0
    rows = list(iterate_lake(traces))
    for record, row in zip(sorted(ShardReader(tmp_path / "shards"), key=lambda r: r.question.id), rows, strict=True):
        expected = [text.replace("\\boxed{", "<answer>").replace("}", "</answer>") for text in row["responses"]]
        assert list(record.responses) == expected
    manifest = storage.read_json(tmp_path / "shards" / "manifest.json")
    assert manifest["config"]["traces"]["answer_format"] == "tag"
    direct = [f"--output={tmp_path}/direct", "--config.traces.format=direct"]
    assert main([*words, *direct]) == 0
    assert {record.responses for record in ShardReader(tmp_path / "direct")} == {
        (row["answer"],) for row in rows
    }  # fmt: skip


def test_what_is_left_out_is_said_and_stands_in_the_manifest(tmp_path, root, capsys):
    asked = [dataclasses.replace(ASKED, id=f"made:{n}") for n in range(3)]
    texts = ["\\boxed{B}", "\\boxed{A}", "\\boxed{C}"]  # the last two were judged by another verifier
    write_rows(tmp_path / "traces", [row_of([(text, "correct")], one) for one, text in zip(asked, texts, strict=True)])
    words = ["shard", f"--config={root}/configs/demo.py:tiny", f"--config.run={tmp_path}"]
    assert main([*words, "--config.traces.answer_format=tag"]) == 0
    assert "2 accepted responses left out (changed): the verifier of today does not accept" in capsys.readouterr().err
    counts = manifests.read_manifest(tmp_path / "shards", "shard").counts
    assert (counts["records"], counts["left_out"]) == (1, {"changed": 2})


def test_the_help_says_what_is_chosen_and_mixed(capsys):
    with pytest.raises(SystemExit):
        main(["shard", "--help"])
    told, example = capsys.readouterr().out.split("example:")
    assert all(name in told for name in (*TRACES, "config.mixture", "table"))
    assert "--config.traces.choose=balanced" in example
    assert "--config.mixture.weights=" in example
