import dataclasses
import re
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octomed_jax.errors import UserError
from octomed_jax.questions.packages import medcalc
from octomed_jax.questions.packages.medcalc_calculators import CALCULATORS
from octomed_jax.questions.packages.medcalc_package import WheelFinder, calculators
from octomed_jax.questions.packages.source import generator

COUNTS = {"train_each": 20, "score_train_each": 60, "test_each": 15}

pytestmark = pytest.mark.usefixtures("packages")


@settings(max_examples=60)
@given(st.integers(0, 2**31), st.sampled_from(sorted(CALCULATORS)))
def test_our_traces_end_with_the_packages_value(seed, name):
    calculator = CALCULATORS[name]
    inputs = calculator.draw(generator(seed))
    worked = calculator.work(inputs)
    assert worked.value == pytest.approx(calculators()[name](inputs), abs=1e-9)
    last = re.findall(r"-?\d+(?:\.\d+)?", worked.trace(generator(seed).permutation(len(worked.facts))))[-1]
    assert float(last) == pytest.approx(worked.value)


@pytest.mark.parametrize(
    ("name", "inputs", "value"),
    [
        # By hand: 80 years 2, female 1, stroke 2, diabetes 1.
        (
            "cha2ds2_vasc",
            {
                "age": [80, "years"],
                "sex": "Female",
                "chf": False,
                "hypertension": False,
                "stroke": True,
                "vascular_disease": False,
                "diabetes": True,
            },
            6,
        ),
        (
            "anion_gap",
            {
                name: [value, "mEq/L"]
                for name, value in zip(("sodium", "chloride", "bicarbonate"), (140, 104, 24), strict=True)
            },
            12,
        ),
        ("mean_arterial_pressure", {"sys_bp": [120, "mm hg"], "dia_bp": [80, "mm hg"]}, 93.333),
    ],
)
def test_values_known_from_the_clinic(name, inputs, value):
    assert CALCULATORS[name].work(inputs).value == value
    assert calculators()[name](inputs) == value


def test_questions_are_right_disjoint_and_balanced():
    made = medcalc.make(COUNTS, 0, 1)
    assert made.dropped == {}
    for name, calculator in CALCULATORS.items():
        mine = [question for question in made.questions if question.benchmark == name]
        train = [question for question in mine if question.split == "train"]
        test = [question for question in mine if question.split == "test"]
        wanted = 0 if calculator.held_out else COUNTS["train_each" if calculator.tolerance else "score_train_each"]
        assert (len(train), len(test)) == (wanted, COUNTS["test_each"])
        facts = [frozenset(question.question.split("Patient: ")[1].rstrip(".").split(", ")) for question in mine]
        assert len(set(facts)) == len(mine), "the same inputs were asked twice"
        for question in mine:
            assert question.explanation.rstrip(".").endswith(question.answer)
            limits = (question.lower_limit, question.upper_limit)
            assert (limits == (None, None)) == (calculator.tolerance == 0)
            if calculator.tolerance:
                assert limits[0] <= float(question.answer) <= limits[1]


def test_a_seed_gives_the_same_questions_and_another_gives_others():
    assert medcalc.make(COUNTS, 1, 1) == medcalc.make(COUNTS, 1, 2)
    assert medcalc.make(COUNTS, 1, 1) != medcalc.make(COUNTS, 2, 1)


def test_too_many_questions_are_refused():
    centor = CALCULATORS["centor"]
    few = dataclasses.replace(centor, draw=lambda rng: centor.draw(generator(int(rng.integers(9)))))
    assert len(medcalc._questions_of(few, {"test": 3, "train": 6}, 0)[0]) == 9
    with pytest.raises(UserError, match="centor has too few distinct inputs for 7 train"):
        medcalc._questions_of(few, {"test": 3, "train": 7}, 0)


def test_traces_that_differ_are_refused(monkeypatch):
    monkeypatch.setattr(medcalc, "calculators", lambda: {name: lambda _: 1e6 for name in CALCULATORS})
    with pytest.raises(UserError, match="worked traces of cha2ds2_vasc differ"):
        medcalc.make({"train_each": 1, "score_train_each": 1, "test_each": 1}, 0, 1)


def test_the_package_runs_from_memory_and_leaves_no_module_behind():
    calculators.cache_clear()
    before, finders = set(sys.modules), list(sys.meta_path)
    assert len(calculators()) == len(CALCULATORS)
    assert not any(name.split(".")[0] == "medcalc" for name in set(sys.modules) - before)
    assert sys.meta_path == finders


def test_the_finder_serves_only_what_it_holds():
    finder = WheelFinder({"thing/__init__.py": b"", "thing/part.py": b"value = 3"})
    assert finder.find_spec("thing", None).submodule_search_locations is not None
    assert finder.find_spec("thing.part", None).origin == "thing/part.py"
    assert finder.find_spec("thing.other", None) is None
    assert finder.find_spec("os", None) is None
