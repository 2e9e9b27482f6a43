"""Points of a sweep: ids, checks before anything starts, and the recipe of the paper's Figure 5."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sweep_config import write_config

from octomed_jax.cli.main import main
from octomed_jax.errors import UserError
from octomed_jax.sweeps.expand import expand, point_id

ROOT = Path(__file__).resolve().parents[2]
RECIPE = str(ROOT / "configs/recipes/traces_per_question.py")


def test_points_come_in_order_with_their_changes(tmp_path):
    sweep = expand(write_config(tmp_path))
    assert [dict(point.changes) for point in sweep.points] == [{"traces.per_question": kept} for kept in (1, 2, 4)]
    assert sweep.points[2].overrides == ("traces.per_question=4",)
    assert [point.config["traces"]["per_question"] for point in sweep.points] == [1, 2, 4]
    assert all("run" not in point.config for point in sweep.points)


def test_ids_follow_the_resolved_config_alone(tmp_path):
    one = 'def sweep(add):\n    add(**{"seed": 3, "rate": 0.25})\n'
    other = 'def sweep(add):\n    add(**{"rate": 0.25, "seed": 3})\n    add()\n'
    first, second = expand(write_config(tmp_path, one)), expand(write_config(tmp_path, other, "other.py"))
    assert first.points[0].id.split("-")[0] == second.points[0].id.split("-")[0]
    assert second.points[1].id.endswith("-base")


def test_the_argument_of_the_config_reaches_the_sweep(tmp_path):
    spec = write_config(tmp_path, "def sweep(add, arg):\n    add(name=arg)\n")
    assert expand(f"{spec}:other").points[0].config["name"] == "other"


@given(
    st.dictionaries(st.text("abc._", min_size=1, max_size=30), st.integers() | st.text(max_size=80) | st.floats()),
    st.integers(),
)
def test_every_id_is_a_kubernetes_name_and_a_folder(changes, seed):
    name = point_id({"seed": seed}, changes)
    assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name)
    assert len(name) <= 40


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        ("x = 1", "has no sweep"),
        ("def get_hyper(hyper):\n    return []\n", "get_hyper.*not supported yet"),
        ("def sweep(add):\n    pass\n", "added no points"),
        ("def sweep(add):\n    add(sed=1)\n", "point 0 .*did you mean 'seed'"),
        ("def sweep(add):\n    add(seed=1)\n    add(seed='many')\n", "point 1 .*seed='many' is no int"),
        ("def sweep(add):\n    add(traces=1)\n", "group of fields"),
        ("def sweep(add):\n    add(seed=1)\n    add(name='b')\n    add(seed=1)\n", "points 0 and 2 are the same run"),
        ("def sweep(add):\n    add(seed=0)\n    add()\n", "points 0 and 1 are the same run"),
        ("def sweep(add):\n    add(run='elsewhere')\n", "is where a run writes"),
        ("def sweep(add):\n    add(end=float('inf'))\n", "read back as something else"),
        ("def sweep(add):\n    raise ValueError('no such variant')\n", "no such variant"),
    ],
)
def test_what_is_wrong_is_said_before_anything_starts(sweep, message, tmp_path):
    with pytest.raises(UserError, match=message) as caught:
        expand(write_config(tmp_path, sweep))
    assert "\n" not in str(caught.value)


def test_tuples_floats_and_text_survive_the_command_line(tmp_path):
    spec = write_config(tmp_path, "def sweep(add):\n    add(sizes=(3, 4), rate=1e-05, name='a b', end=0.5)\n")
    point = expand(spec).points[0]
    assert point.config["sizes"] == [3, 4]
    assert point.overrides == ("sizes=(3, 4)", "rate=1e-05", "name=a b", "end=0.5")


@pytest.mark.parametrize(("variant", "kept"), [("demo", [1, 4, 8, 16]), ("tiny", [1, 2])])
def test_the_recipe_expands_from_any_folder(variant, kept, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["sweep", "expand", f"--config={RECIPE}:{variant}", "--json"]) == 0
    points = json.loads(capsys.readouterr().out)["points"]
    assert [point["changes"]["traces.per_question"] for point in points] == kept
    assert main(["sweep", "expand", f"--config={RECIPE}:{variant}"]) == 0
    assert f"{len(kept)} points, all valid" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--config=none.py"], "no such config file: none.py"),
        ([f"--config={RECIPE}:dmo"], "knows no variant 'dmo'"),
        ([f"--config={RECIPE}:demo", "--config.seed=1"], "takes no overrides"),
        ([f"--config={RECIPE}:demo", "--jsn"], "did you mean '--json'"),
        ([], "required: --config"),
    ],
)
def test_command_line_mistakes_exit_2(words, message, capsys):
    assert main(["sweep", "expand", *words]) == 2
    assert message in capsys.readouterr().err
