"""The three styles of sweeps in open config files; each file of ``files`` follows one of them, unchanged."""

from pathlib import Path

import pytest
from sweep_config import write_config

from octomed_jax.cli.main import main
from octomed_jax.errors import UserError
from octomed_jax.sweeps.expand import expand

FILES = Path(__file__).parent / "files"


def points(spec: str, *names: str):
    return expand(f"{FILES / spec}", names).points


def test_big_vision_packs_arguments_and_fields():
    small, large = points("big_vision.py")
    assert small.spec == f"{FILES / 'big_vision.py'}:res=224,freeze=True"
    # `freeze` is a word of the argument alone; `res` is a field too.
    assert dict(small.changes) == {"rate": 3e-5, "res": 224, "train.optimizer.b2": 0.999}
    assert dict(large.changes) == {"res": 448, "rate": 1e-5, "train.steps": 20, "train.optimizer.b1": 0.8}
    assert large.config["train"] == {"epochs": 0, "seed": None, "steps": 20, "optimizer": {"b1": 0.8, "b2": 0.95}}
    assert (small.config["res"], large.config["res"]) == (224, 448)


def test_the_argument_of_the_sweep_goes_through_its_points():
    first, _ = points("big_vision.py:freeze=False")
    assert first.config_arg == "res=224,freeze=False"
    assert first.config["train"]["steps"] == 40


def test_a_named_sweep_keeps_the_argument_of_the_file():
    found = points("big_vision.py:res=448", "seeds")
    assert [(point.config_arg, point.config["seed"]) for point in found] == [("res=448", seed) for seed in range(3)]


def test_scenic_multiplies_zips_and_chains():
    found = [point.config for point in points("scenic.py")]
    rows = [
        (one["train"]["steps"], one["sizes"], one["rows"], one["seed"], one["rate"], one["shuffle"]) for one in found
    ]
    tasks = [(100, [3, 4], "together", 0), (200, [5, 6], "together", 0), (10, [1, 2], "apart", 7)]
    assert rows == [(*task, rate, shuffle) for task in tasks for rate in (0.25, 0.125) for shuffle in (False, True)]
    values = [value for point in points("scenic.py") for value in point.changes.values()]
    assert {type(value) for value in values} == {int, float, bool, str, tuple}  # no numbers of NumPy
    assert points("scenic.py:local")[0].config["batch"] == 8


def test_baselines_draw_the_same_numbers_each_time_and_more_of_them_keep_the_first(tmp_path):
    found = [(point.config["rows"], point.config["rate"], point.config["seed"]) for point in points("baselines.py")]
    assert [rows for rows, *_ in found] == ["apart"] * 4 + ["together"] * 4
    assert [drawn for _, *drawn in found[:4]] == [drawn for _, *drawn in found[4:]]
    assert len({rate for _, rate, _ in found}) == 4
    assert all(1e-4 <= rate <= 1e-1 and 0 <= seed < 1e6 for _, rate, seed in found)
    for name in ("baselines.py", "sweep_common.py"):
        (tmp_path / name).write_text((FILES / name).read_text().replace("TRIALS = 4", "TRIALS = 6"))
    longer = expand(str(tmp_path / "baselines.py")).points
    assert [point.config_hash for point in longer[:4]] == [point.config_hash for point in points("baselines.py")[:4]]


def test_kauldron_yields_dicts():
    assert [dict(point.changes) for point in points("kauldron.py")] == [
        {"train.steps": steps, "rate": rate} for steps in (10, 20) for rate in (0.5, 0.25)
    ]


def test_named_sweeps_are_combined_each_with_each():
    found = points("kauldron.py", "optimizer", "seed")
    assert [(point.name, point.changes["train.seed"]) for point in found] == [
        (name, seed) for name in ("slow", "slower") for seed in range(3)
    ]
    assert [point.config["train"]["optimizer"] for point in found[2:4]] == [
        {"b1": 0.8, "b2": 0.9},
        {"b1": 0.7, "b2": 0.95},
    ]
    assert len({point.group for point in found}) == 2


@pytest.mark.parametrize(
    "sweep",
    [
        "sweep = [{'seed': 1}, {'seed': 2}]\n",
        "sweep = ({'seed': seed} for seed in (1, 2))\n",
        "def sweep():\n    return ({'config.seed': seed} for seed in (1, 2))\n",
        "def get_hyper(hyper):\n    return hyper.sweep('seed', range(1, 3))\n",
        "def get_hyper(hyper):\n    return hyper.sweep('config.seed', range(1, 9), length=2)\n",
        "import functools\ndef add_to(seeds, add):\n    for seed in seeds:\n        add(seed=seed)\n"
        "sweep = functools.partial(add_to, (1, 2))\n",
        "class Seeds:\n    def __call__(self, add):\n        add(seed=1)\n        add(seed=2)\nsweep = Seeds()\n",
    ],
)
def test_other_spellings(tmp_path, sweep):
    assert [point.config["seed"] for point in expand(write_config(tmp_path, sweep)).points] == [1, 2]


@pytest.mark.parametrize(
    ("body", "overrides"),
    [
        ("hyper.product([])", [()]),
        ("hyper.fixed('seed', 3)", [("seed=3",)]),
        ("hyper.product([hyper.fixed('seed', 3), hyper.sweep('rate', [0.25])])", [("seed=3", "rate=0.25")]),
        ("hyper.zipit([hyper.fixed('seed', 3), hyper.fixed('name', 'a')])", [("seed=3", "name=a")]),
        ("hyper.chainit([hyper.fixed('seed', 3), hyper.product([])])", [("seed=3",), ()]),
        ("hyper.sweep('config.end', hyper.boolean())", [("end=False",), ("end=True",)]),
        ("hyper.uniform('seed', [5], length=1)", [("seed=5",)]),
    ],
)
def test_axes(tmp_path, body, overrides):
    found = expand(write_config(tmp_path, f"def get_hyper(hyper):\n    return {body}\n")).points
    assert [point.overrides for point in found] == overrides


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        ("x = 1", "has no sweep: define sweep"),
        ("def sweep_a():\n    yield {}\n", "no sweep.., but named ones; choose with --sweep=NAME: a"),
        (
            "def sweep(add):\n    add()\ndef get_hyper(hyper):\n    return hyper.product([])\n",
            "both sweep and get_hyper",
        ),
        ("def get_hyper(hyper):\n    return []\n", r"get_hyper\(\) of .* returned a list"),
        ("def get_hyper(hyper):\n    return hyper.prodct([])\n", "hyper.prodct is unknown .did you mean 'product'"),
        ("def get_hyper(hyper):\n    return hyper.sweep('seed', 3)\n", "the values must be a list"),
        ("def get_hyper(hyper):\n    return hyper.sweep('name', 'abc')\n", "the values must be a list"),
        ("def get_hyper(hyper):\n    return hyper.sweep('seed', [])\n", "has no points"),
        ("def get_hyper(hyper):\n    return hyper.sweep('seed', range(10**6))\n", "1,000,000 points is more than"),
        (
            "def get_hyper(hyper):\n    a = hyper.sweep('seed', range(500))\n    return hyper.product([a, a])\n",
            "250,000 points is more than",
        ),
        (
            "def get_hyper(hyper):\n    a, b = hyper.sweep('seed', [1]), hyper.sweep('rate', [1, 2])\n"
            "    return hyper.zipit([a, b])\n",
            "axes of 1 and 2 points",
        ),
        ("def get_hyper(hyper):\n    return hyper.zipit([hyper.sweep('seed', [1])], length=2)\n", "only 1 points"),
        ("def get_hyper(hyper):\n    return hyper.uniform('rate', hyper.interval(0, 1))\n", "rate without an end"),
        (
            "def get_hyper(hyper):\n    return hyper.zipit([hyper.uniform('rate', hyper.interval(0, 1))])\n",
            "give it length=N",
        ),
        ("def get_hyper(hyper):\n    return hyper.loguniform('rate', hyper.interval(0, 1))\n", "with 0 < LOW <= HIGH"),
        ("def sweep():\n    return None\n", "gives a NoneType"),
        ("def sweep():\n    return {'seed': 1}\n", "gives a dict; it must yield a dict for each point"),
        ("def sweep():\n    yield ('seed', 1)\n", "yields a tuple"),
        ("def sweep():\n    yield {1: 2}\n", "point 0 .* 1 is no name of a field"),
        ("def sweep():\n    yield {'seed': {1, 2}}\n", "point 0 .*is a set; use numbers, text, tuples or dicts"),
        ("def sweep():\n    yield {'traces': {'per_qestion': 2}}\n", "did you mean 'per_question'"),
        ("def sweep():\n    yield {'traces': {}}\n", "config.traces is a group of fields"),
        ("def sweep(add):\n    add(config_arg=3)\n", "config_arg=3 must be the text"),
        ("def sweep(add):\n    add({'seed': 1})\n", r"small.py, line \d+: TypeError: .*positional argument"),
        ("def sweep(add):\n    add(seed=missing)\n", r"small.py, line \d+: NameError: name 'missing'"),
        ("def sweep():\n    yield {'seed': 1}\n    yield {'seed': 1 // 0}\n", r"small.py, line \d+: ZeroDivisionError"),
    ],
)
def test_what_is_wrong_with_a_sweep_is_one_line(sweep, message, tmp_path):
    with pytest.raises(UserError, match=message) as caught:
        expand(write_config(tmp_path, sweep))
    assert "\n" not in str(caught.value)


def test_an_unknown_name_is_refused_with_a_suggestion(capsys):
    assert main(["sweep", "expand", f"--config={FILES / 'kauldron.py'}", "--sweep=sed"]) == 2
    assert "no sweep 'sed' (sweep_sed) (did you mean 'seed'?); known: optimizer, seed" in capsys.readouterr().err
    assert main(["sweep", "expand", f"--config={FILES / 'kauldron.py'}", "--sweep=seed,"]) == 2
    assert "--sweep=seed, must be names" in capsys.readouterr().err
