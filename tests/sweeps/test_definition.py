"""sweep.json: written once, refused with what changed, extended without touching what is there."""

import json

import pytest
from sweep_config import write_config

from octomed_jax.errors import StopAndLook, UserError
from octomed_jax.sweeps.definition import definition, read_definition, write_definition
from octomed_jax.sweeps.expand import expand

RULE = {"kind": "median", "metric": "held_out_loss", "goal": "min", "rungs": [4, 8]}


def points(*kept: int, more: str = "") -> str:
    return f"{more}\ndef sweep(add):\n    for kept in {kept!r}:\n        add(**{{'traces.per_question': kept}})\n"


def sweep_of(folder, text: str, name: str = "small.py"):
    return expand(write_config(folder, text, name))


def test_a_definition_is_plain_data_that_says_what_the_runs_are(tmp_path):
    more = 'METRIC = "plane"\nPAPER = {"figure": "Figure 5", "columns": {"MedQA": ("plane",)}, "x": None}'
    sweep = sweep_of(tmp_path, points(1, 2, more=more))
    assert write_definition(sweep, tmp_path / "out", RULE) == sweep
    found = read_definition(tmp_path / "out")
    assert found == definition(sweep, RULE)
    names = ["format_version", "config", "points", "bases", "metric", "paper", "stopping", "steps"]
    assert list(json.loads((tmp_path / "out/sweep.json").read_text())) == names
    assert (found["config"], found["metric"], found["stopping"]) == ("small.py", "plane", RULE)
    assert found["paper"] == {"figure": "Figure 5", "columns": {"MedQA": ["plane"]}, "x": None}
    [first, _] = found["points"]
    point = sweep.points[0]
    assert first == {
        "id": point.id,
        "group": point.group,
        "name": "",
        "changes": {"traces.per_question": 1},
        "config_arg": None,
        "config_hash": point.config_hash,
    }
    assert found["bases"][""]["traces"]["per_question"] == 2
    assert not {"run", "name"} & set(found["bases"][""])


def test_the_steps_are_those_of_the_longest_point_if_all_are_fixed(tmp_path):
    text = (
        "from ml_collections import ConfigDict\ndef get_config():\n"
        "    return ConfigDict({'train': {'steps': 10, 'epochs': 0}})\n"
        "def sweep_fixed():\n    yield {}\n    yield {'train.steps': 30}\n"
        "def sweep_epochs():\n    yield {}\n    yield {'train.steps': 0, 'train.epochs': 2}\n"
    )
    (tmp_path / "steps.py").write_text(text)
    steps = [definition(expand(str(tmp_path / "steps.py"), [name]))["steps"] for name in ("fixed", "epochs")]
    assert steps == [30, None]


def test_the_same_sweep_again_changes_nothing(tmp_path):
    write_definition(sweep_of(tmp_path, points(1, 2)), tmp_path / "out")
    before = (tmp_path / "out/sweep.json").read_bytes()
    (tmp_path / "moved").mkdir()
    again = sweep_of(tmp_path / "moved", points(1, 2))
    for extend in (False, True):
        assert write_definition(again, tmp_path / "out", extend=extend) == again
    assert (tmp_path / "out/sweep.json").read_bytes() == before


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (
            points(1, 2, 4),
            points(1, 2, 8),
            r"\(point 2 \(r\w{8}-per-question-4\) traces.per_question: 4 -> 8\); choose",
        ),
        (points(1, 2, 4), points(1, 4), "(gone: traces.per_question=2); choose another --output"),
        (points(1, 2), points(1, 2, 4, 8), "(new: traces.per_question=4; new: traces.per_question=8); --extend adds"),
        (points(1), points(1, *range(2, 9)), "new: traces.per_question=4; and 4 more); --extend adds"),
        (points(1), points(1, more="METRIC = 'plane'"), "(metric: none -> plane); --extend"),
        (points(1, more="PAPER = {'y': 1}"), points(1, more="PAPER = {'y': 2}"), 'paper: {"y":1} -> {"y":2}'),
        (
            "def sweep():\n    yield {'seed': 1}\n",
            "def sweep():\n    yield {'rate': 1}\n",
            "(gone: seed=1; new: rate=1.0)",
        ),
        ("def sweep():\n    yield {'name': 'a'}\n", "def sweep():\n    yield {'name': 'b'}\n", "-b instead of r"),
        (
            "def sweep():\n    yield {'seed': 1, 'rate': 2}\n",
            "def sweep():\n    yield {'seed': 3, 'rate': 4}\n",
            "seed: 1 -> 3, rate: 2.0 -> 4.0",
        ),
    ],
)
def test_another_definition_is_refused_with_what_changed(before, after, message, tmp_path):
    write_definition(sweep_of(tmp_path, before), tmp_path / "out")
    kept = (tmp_path / "out/sweep.json").read_bytes()
    with pytest.raises(UserError, match=message if message.startswith("\\") else None) as caught:
        write_definition(sweep_of(tmp_path, after), tmp_path / "out")
    assert message.startswith("\\") or message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "out/sweep.json").read_bytes() == kept


def test_a_change_under_the_points_is_said_once(tmp_path):
    write_definition(sweep_of(tmp_path, points(1, 2, 4)), tmp_path / "out")
    path = tmp_path / "small.py"
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 5'))
    for extend in (False, True):
        with pytest.raises(UserError) as caught:
            write_definition(expand(str(path)), tmp_path / "out", extend=extend)
        assert "(under the points seed: 0 -> 5); choose another --output" in str(caught.value)


def test_a_change_under_the_points_that_all_points_set_is_none(tmp_path):
    write_definition(sweep_of(tmp_path, points(1, 4)), tmp_path / "out")
    path = tmp_path / "small.py"
    path.write_text(path.read_text().replace('"per_question": 2', '"per_question": 3'))
    write_definition(expand(str(path)), tmp_path / "out")
    assert read_definition(tmp_path / "out")["bases"][""]["traces"]["per_question"] == 2


def test_a_rule_of_stopping_is_part_of_it(tmp_path):
    sweep = sweep_of(tmp_path, points(1, 2))
    write_definition(sweep, tmp_path / "out", RULE)
    for extend in (False, True):
        with pytest.raises(UserError, match=r"stopping: .* -> none\); choose another --output"):
            write_definition(sweep, tmp_path / "out", extend=extend)


def test_no_points_join_those_that_halving_has_compared(tmp_path):
    rule = {**RULE, "kind": "halving"}
    write_definition(sweep_of(tmp_path, points(1, 2)), tmp_path / "out", rule)
    with pytest.raises(UserError, match="halving compares all points, so that none can be added"):
        write_definition(sweep_of(tmp_path, points(1, 2, 4)), tmp_path / "out", rule, extend=True)
    longer = write_definition(sweep_of(tmp_path, points(1, 2, 4)), tmp_path / "median", RULE, extend=True)
    assert len(longer.points) == 3


def test_extending_adds_points_after_those_that_are_there(tmp_path):
    old = sweep_of(tmp_path, points(2, 4))
    write_definition(old, tmp_path / "out")
    before = read_definition(tmp_path / "out")["points"]
    new = sweep_of(tmp_path, points(1, 4, 2, 8, more="METRIC = 'plane'"))
    ordered = write_definition(new, tmp_path / "out", extend=True)
    found = read_definition(tmp_path / "out")
    assert found["points"][:2] == before
    assert [entry["changes"]["traces.per_question"] for entry in found["points"]] == [2, 4, 1, 8]
    assert [point.id for point in ordered.points] == [entry["id"] for entry in found["points"]]
    assert found["metric"] == "plane"
    kept = (tmp_path / "out/sweep.json").read_bytes()
    for extend in (False, True):
        assert write_definition(new, tmp_path / "out", extend=extend) == ordered
    assert (tmp_path / "out/sweep.json").read_bytes() == kept
    with pytest.raises(
        UserError, match=r"per_question: 4 -> 16; gone: traces.per_question=1; gone: .*; choose another"
    ):
        write_definition(sweep_of(tmp_path, points(2, 16)), tmp_path / "out", extend=True)


def test_new_points_join_the_group_that_is_there(tmp_path):
    write_definition(sweep_of(tmp_path, "def sweep():\n    yield {'seed': 1}\n"), tmp_path / "out")
    text = "def sweep():\n    yield {'seed': 2, 'rate': 0.5}\n    yield {'seed': 1}\n"
    sweep = write_definition(sweep_of(tmp_path, text), tmp_path / "out", extend=True)
    groups = {entry["group"] for entry in read_definition(tmp_path / "out")["points"]}
    assert groups == {point.group for point in sweep.points}
    assert len(groups) == 1


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text[: len(text) // 2], "no JSON"),
        (lambda _: "", "no JSON"),
        (lambda _: "[]", "it has no points"),
        (lambda text: text.replace('"changes"', '"chnges"'), "point 0 lacks its changes"),
        (lambda text: text.replace('"group"', '"grup"'), "point 0 lacks one of id, group"),
        (lambda text: text.replace('"bases"', '"bass"'), "bases is missing"),
        (lambda text: json.dumps({**json.loads(text), "points": json.loads(text)["points"] * 2}), "point 2 has the id"),
        (lambda text: text.replace('"id": "r', '"id": "../r', 1), "point 0 has the id '../r"),
    ],
)
def test_a_damaged_definition_is_one_line_with_a_cure_that_works(damage, message, tmp_path):
    sweep = sweep_of(tmp_path, points(1, 2))
    path = tmp_path / "out/sweep.json"
    write_definition(sweep, tmp_path / "out")
    (tmp_path / "out/stages/train-1").mkdir(parents=True)
    whole = path.read_bytes()
    path.write_text(damage(path.read_text()))
    for look in (lambda: read_definition(tmp_path / "out"), lambda: write_definition(sweep, tmp_path / "out")):
        with pytest.raises(StopAndLook) as caught:
            look()
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)
    path.unlink()
    write_definition(sweep, tmp_path / "out")
    assert path.read_bytes() == whole


def test_bytes_that_are_no_text_are_damage_too(tmp_path):
    (tmp_path / "sweep.json").write_bytes(b"\xff\xfe{")
    with pytest.raises(StopAndLook, match="is damaged"):
        read_definition(tmp_path)


def test_a_definition_of_another_version_is_named(tmp_path):
    (tmp_path / "sweep.json").write_text('{"format_version": 1, "points": []}')
    with pytest.raises(UserError, match="format version 1, this program reads 2"):
        read_definition(tmp_path)


def test_a_folder_with_something_else_is_refused(tmp_path):
    sweep = sweep_of(tmp_path, points(1))
    (tmp_path / "thesis.txt").write_text("x")
    for place in (tmp_path, tmp_path / "thesis.txt"):
        with pytest.raises(UserError, match="holds no sweep"):
            write_definition(sweep, place)
    with pytest.raises(UserError, match=r"sweep.json is missing"):
        read_definition(tmp_path)
