"""Points of a sweep: ids and groups, checks before anything starts, and the recipe of the paper's Figure 5."""

import json
import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sweep_config import write_config

from octomed_jax import configuration, storage
from octomed_jax.cli.main import main
from octomed_jax.errors import UserError
from octomed_jax.sweeps.base import Base
from octomed_jax.sweeps.expand import expand
from octomed_jax.sweeps.ids import group_id, point_id

ROOT = Path(__file__).resolve().parents[2]
RECIPE = str(ROOT / "configs/recipes/traces_per_question.py")
# A field that others follow: such a config is made anew for each point.
LINKED = """
from ml_collections import ConfigDict

def get_config():
    config = ConfigDict({"batch": 8, "rate": 0.5, "end": None, "sizes": (1, 2), "name": "linked", "seed": 0})
    config.rows = config.get_ref("batch") * 2
    return config

"""


def expand_text(folder: Path, text: str, name: str = "own.py"):
    (folder / name).write_text(text)
    return expand(str(folder / name))


def test_points_come_in_order_with_their_changes(tmp_path):
    sweep = expand(write_config(tmp_path))
    assert [dict(point.changes) for point in sweep.points] == [{"traces.per_question": kept} for kept in (1, 2, 4)]
    assert sweep.points[2].overrides == ("traces.per_question=4",)
    assert [point.config["traces"]["per_question"] for point in sweep.points] == [1, 2, 4]
    assert not any({"run", "name"} & set(point.config) for point in sweep.points)
    assert [point.spec for point in sweep.points] == [sweep.spec] * 3


def test_what_a_run_reads_is_what_the_point_holds(tmp_path):
    """Each point's overrides, given to its config file as a command line gives them, make the config of the point."""
    points = ("sizes=[3], rate=1, end='7'", "end=(1, 'a,b'), name='a=b c'", "end={'k': [1]}")
    sweep = "def sweep(add):\n" + "".join(f"    add({changes})\n" for changes in points)
    for point in expand(f"{write_config(tmp_path, sweep)}:other").points:
        read = configuration.plain(configuration.load(point.spec, point.overrides))
        assert {name: read[name] for name in read if name not in ("run", "name")} == point.config
        assert storage.fingerprint(point.config) == point.config_hash
    assert point.config["end"] == {"k": [1]}
    assert point.config["seed"] == 1


def test_ids_follow_the_resolved_config_alone(tmp_path):
    one = 'def sweep(add):\n    add(**{"seed": 3, "rate": 0.25})\n'
    other = 'def sweep(add):\n    add(**{"rate": 0.25, "seed": 3})\n    add()\n    add(rate=0.5, seed=4)\n'
    first, second = expand(write_config(tmp_path, one)), expand(write_config(tmp_path, other, "other.py"))
    assert first.points[0].id == second.points[0].id
    assert second.points[1].id.endswith("-base")
    # Where a file lies and what its run is called change nothing.
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    text = Path(write_config(moved, one)).read_text().replace('"runs/x"', '"runs/y"').replace('"small"', '"moved"')
    assert expand_text(moved, text).points[0].id == first.points[0].id


def test_a_group_is_the_runs_that_differ_in_a_seed(tmp_path):
    text = write_config(
        tmp_path, "def sweep(add):\n" + "".join(f"    add(seed={s}, rate={r})\n" for s in (0, 1) for r in (0.5, 1))
    )
    points = expand(text).points
    assert [point.group for point in points] == [points[0].group, points[1].group] * 2
    assert points[0].group != points[1].group
    assert points[0].group.startswith("g")
    assert points[0].group.endswith("-rate-0-5")


def test_the_seed_of_training_is_no_part_of_a_group_either(tmp_path):
    text = LINKED.replace('"seed": 0', '"seed": 0, "train": {"seed": None, "steps": 3}')
    found = expand_text(
        tmp_path, text + "def sweep():\n    for seed in range(3):\n        yield {'train.seed': seed}\n"
    )
    assert len({point.id for point in found.points}) == 3
    assert len({point.group for point in found.points}) == 1


def test_names_label_points_and_make_no_other_run(tmp_path):
    point = expand(write_config(tmp_path, "def sweep(add):\n    add(name='Text, only', seed=1)\n")).points[0]
    assert point.name == "Text, only"
    assert re.fullmatch("r[0-9a-f]{8}-text-only-seed-1", point.id)
    assert "text" not in point.group


def test_the_argument_of_the_config_reaches_the_sweep(tmp_path):
    spec = write_config(tmp_path, "def sweep(add, arg):\n    add(end=arg)\n")
    assert expand(f"{spec}:other").points[0].config["end"] == "other"


@given(
    st.text(max_size=50),
    st.dictionaries(st.text("abc._", min_size=1, max_size=30), st.text(max_size=80)),
    st.integers(),
)
def test_every_id_is_a_kubernetes_name_and_a_folder(name, changes, seed):
    digits = storage.fingerprint({"seed": seed})
    for label in (point_id(digits, name, changes), group_id(digits, changes)):
        assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", label)
        assert len(label) <= 40
        assert label == label.lower()


VALUES = st.fixed_dictionaries(
    {},
    optional={
        "seed": st.integers(),
        "rate": st.floats(allow_nan=False, allow_infinity=False) | st.integers(-9, 9),
        "sizes": st.lists(st.integers() | st.text(max_size=5), max_size=3).map(tuple),
        "end": st.none()
        | st.booleans()
        | st.integers()
        | st.text(max_size=20)
        | st.dictionaries(st.text("ab"), st.none()),
        "traces.per_question": st.integers(),
    },
)


@given(VALUES)
def test_changing_plain_data_is_what_a_command_line_makes_of_it(tmp_path_factory, values):
    path = tmp_path_factory.getbasetemp() / "compared.py"
    if not path.exists():
        write_config(path.parent, name=path.name)
    base = Base(configuration.load_module(path), None)
    typed, overrides, tree = base.change(values)
    assert storage.canonical_json(tree) == storage.canonical_json(
        configuration.plain(configuration.load(str(path), overrides))
    )
    assert base.hash_of(tree) == storage.fingerprint(tree)
    assert typed == {name: float(value) if name == "rate" else value for name, value in values.items()}


def test_a_change_shows_in_the_fields_that_follow_it(tmp_path):
    text = LINKED + "def sweep(add):\n    add(batch=16)\n    add(rows=3)\n    add()\n"
    assert [point.config["rows"] for point in expand_text(tmp_path, text).points] == [32, 3, 16]


def test_ten_thousand_points_are_a_matter_of_seconds(tmp_path):
    """The file is read once, and its get_config is called once: what takes the time is to check and to hash."""
    text = (
        f"import sys\nsys.path.insert(0, {str(ROOT)!r})\nfrom configs.demo import get_config as demo\ncalls = []\n"
        "def get_config():\n    calls.append(1)\n    assert len(calls) == 1\n    return demo()\n"
        "def get_hyper(hyper):\n    seeds = hyper.sweep('config.seed', range(100))\n"
        "    return hyper.product([seeds, hyper.sweep('config.train.steps', range(1, 101))])\n"
    )
    begun = time.perf_counter()
    points = expand_text(tmp_path, text).points
    assert time.perf_counter() - begun < 30  # benchmarks/sweeps.py measures it; here only that it is no other order
    assert (len(points), len({point.id for point in points}), len({point.group for point in points})) == (
        10_000,
        10_000,
        100,
    )


def test_a_change_shows_in_both_places_of_a_group(tmp_path):
    text = LINKED.replace(
        "    return", "    config.inner = ConfigDict({'x': 1})\n    config.also = config.inner\n    return"
    )
    points = expand_text(tmp_path, text + "def sweep(add):\n    add(**{'also.x': 2})\n    add(seed=1)\n").points
    assert [(point.config["inner"], point.config["also"]) for point in points] == [({"x": 2},) * 2, ({"x": 1},) * 2]
    for point in points:
        read = configuration.plain(configuration.load(point.spec, point.overrides))
        assert {name: read[name] for name in read if name != "name"} == point.config


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        ("def sweep(add):\n    pass\n", "has no points"),
        ("def sweep(add):\n    add(sed=1)\n", "point 0 .*did you mean 'seed'"),
        ("def sweep(add):\n    add(seed=1)\n    add(seed='many')\n", "point 1 .*seed='many' is no int"),
        ("def sweep(add):\n    add(seed=True)\n", "seed=True is no int"),
        ("def sweep(add):\n    add(traces=1)\n", "group of fields"),
        (
            "def sweep(add):\n    add(seed=1)\n    add(name='b')\n    add(seed=1)\n",
            r"points 0 and 2 \(seed=1\) of .*the same run",
        ),
        ("def sweep(add):\n    add(seed=0)\n    add()\n", "points 0 and 1 .*the same run"),
        ("def sweep(add):\n    add(name='a')\n    add(name='b')\n", "`name` and `run` make no other one"),
        (
            "def sweep(add):\n    for seed in (1, 2, 1, 2, 3, 1):\n        add(seed=seed)\n",
            r"points 0 and 2 and 5 \(seed=1\), 1 and 3 \(seed=2\) of .* each the same run",
        ),
        ("def sweep():\n    return ({'seed': n // 2} for n in range(26))\n", r"24 and 25|and 3 more"),
        ("def sweep(add):\n    add(run='elsewhere')\n", "is where a run writes"),
        ("def sweep(add):\n    add(end=float('inf'))\n", "read back as something else"),
        ("def sweep(add):\n    raise ValueError('no such variant')\n", "no such variant"),
        ("METRIC = 3\ndef sweep(add):\n    add()\n", "METRIC=3 of .* must be the name"),
        ("PAPER = {'x': {1, 2}}\ndef sweep(add):\n    add()\n", "PAPER of .* must be plain data"),
    ],
)
def test_what_is_wrong_is_said_before_anything_starts(sweep, message, tmp_path):
    with pytest.raises(UserError, match=message) as caught:
        expand(write_config(tmp_path, sweep))
    assert "\n" not in str(caught.value)


def test_a_config_that_holds_more_than_data_is_refused(tmp_path):
    text = LINKED.replace('"end": None', '"end": print') + "def sweep(add):\n    add()\n"
    with pytest.raises(UserError, match="holds what is no plain data"):
        expand_text(tmp_path, text)


def test_two_runs_of_one_id_are_refused(tmp_path, monkeypatch):
    """The fault is injected: two hashes begin alike once in four milliards."""
    monkeypatch.setattr("octomed_jax.sweeps.ids.HASH_DIGITS", 0)
    sweep = "def sweep(add):\n    add(end='a' * 40 + 'b')\n    add(end='a' * 40 + 'c')\n"
    with pytest.raises(UserError, match=r"points 0 and 1 .* share the id r-end-a+; give one of them a `name`"):
        expand(write_config(tmp_path, sweep))


def test_tuples_floats_and_text_survive_the_command_line(tmp_path):
    spec = write_config(tmp_path, "def sweep(add):\n    add(sizes=(3, 4), rate=1e-05, name='a b', end='7')\n")
    point = expand(spec).points[0]
    assert point.config["sizes"] == [3, 4]
    assert point.overrides == ("sizes=(3, 4)", "rate=1e-05", "name=a b", "end='7'")


@pytest.mark.parametrize(("variant", "kept"), [("demo", [1, 4, 8, 16]), ("tiny", [1, 2])])
def test_the_recipe_expands_from_any_folder(variant, kept, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["sweep", "expand", f"--config={RECIPE}:{variant}", "--json"]) == 0
    points = json.loads(capsys.readouterr().out)["points"]
    assert [point["changes"]["traces.per_question"] for point in points] == kept
    assert main(["sweep", "expand", f"--config={RECIPE}:{variant}"]) == 0
    shown = capsys.readouterr().out
    assert all(point["id"] in shown for point in points)
    assert shown.splitlines()[-1] == (
        f"{len(kept)} points, all valid; `octomed sweep run --config={RECIPE}:{variant}` runs them"
    )


def test_a_long_sweep_is_shown_in_part_with_its_groups(tmp_path, capsys):
    spec = write_config(tmp_path, "def sweep_seed():\n    yield from ({'seed': seed} for seed in range(70))\n")
    assert main(["sweep", "expand", f"--config={spec}", "--sweep=seed"]) == 0
    *_, more, last = capsys.readouterr().out.splitlines()
    assert more == "... and 10 more; --json has all of them"
    assert last.startswith("70 points in 1 groups, all valid; `octomed sweep run")
    assert last.endswith("--sweep=seed` runs them")


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
