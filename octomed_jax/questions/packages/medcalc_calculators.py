"""The calculators we ask about: how inputs are drawn and worded, and a short worked trace of our own.

The trace of a score goes through the question's facts in their order with a running total, and its last value must
equal what the package's own function returns; ``medcalc`` compares the two for every question.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

Inputs = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Worked:
    """A worked example.

    Attributes:
        facts: how each input is worded.
        trace: from the order in which the question names the facts, the short text that works them out.
        value: what the trace ends with.
    """

    facts: tuple[str, ...]
    trace: Callable[[Sequence[int]], str]
    value: float


@dataclasses.dataclass(frozen=True)
class Calculator:
    """One calculator.

    Attributes:
        name: the benchmark it is reported as.
        title: as it is worded in the question.
        unit: of the answer; empty for a score.
        tolerance: share of the value that an answer may be off; 0 for a score.
        held_out: whether all of its questions are test questions.
        draw: a generator to inputs, as the package's function takes them.
        work: inputs to the worked example.
    """

    name: str
    title: str
    unit: str
    tolerance: float
    held_out: bool
    draw: Callable[[np.random.Generator], Inputs]
    work: Callable[[Inputs], Worked]


def _flags(rng: np.random.Generator, names: tuple[str, ...]) -> Inputs:
    # A chance of its own for each patient spreads the scores, so that no single one is a good guess.
    chance = rng.uniform(0.05, 0.95)
    return {name: bool(rng.random() < chance) for name in names}


def _whole(rng: np.random.Generator, low: int, high: int) -> int:
    return int(rng.integers(low, high + 1))


def _yes(flag: bool) -> str:
    return "yes" if flag else "no"


def _score(items: list[tuple[str, str, int]]) -> Worked:
    """Return a worked score of (name, value, points) items: after each item stands the total so far."""

    def trace(order: Sequence[int]) -> str:
        total, steps = 0, []
        for position in order:
            name, value, points = items[position]
            total += points
            steps.append(f"{name}={value}: {total}")
        return f"Running total: {', '.join(steps)}."

    facts = tuple(f"{name}={value}" for name, value, _ in items)
    return Worked(facts, trace, float(sum(points for _, _, points in items)))


def _fixed(text: str) -> Callable[[Sequence[int]], str]:
    """Return a trace that does not depend on the order of the facts."""
    return lambda _: text


CHA2DS2_VASC_FLAGS = {
    "chf": ("heart failure", 1),
    "hypertension": ("hypertension", 1),
    "stroke": ("stroke", 2),
    "vascular_disease": ("vascular disease", 1),
    "diabetes": ("diabetes", 1),
}


def draw_cha2ds2_vasc(rng: np.random.Generator) -> Inputs:
    """Draw inputs of CHA2DS2-VASc."""
    sex = "Female" if rng.random() < 0.5 else "Male"
    return {"age": [_whole(rng, 45, 94), "years"], "sex": sex, **_flags(rng, tuple(CHA2DS2_VASC_FLAGS))}


def work_cha2ds2_vasc(inputs: Inputs) -> Worked:
    """Age 65 to 74 +1, from 75 +2; female +1; stroke +2; the others +1."""
    age = inputs["age"][0]
    items = [("age", str(age), 2 if age >= 75 else int(age >= 65))]
    items.append(("female", _yes(inputs["sex"] == "Female"), int(inputs["sex"] == "Female")))
    items += [(name, _yes(inputs[key]), points * inputs[key]) for key, (name, points) in CHA2DS2_VASC_FLAGS.items()]
    return _score(items)


# One example of each criterion, in words that do not begin alike: a short look back tells them apart.
HAS_BLED_FLAGS = {
    "hypertension": "uncontrolled hypertension",
    "renal_disease_has_bled": "dialysis",
    "liver_disease_has_bled": "cirrhosis",
    "stroke": "stroke",
    "prior_bleeding": "bleeding",
    "labile_inr": "labile INR",
    "medications_for_bleeding": "antiplatelets",
}


def draw_has_bled(rng: np.random.Generator) -> Inputs:
    """Draw inputs of HAS-BLED."""
    return {
        "age": [_whole(rng, 40, 94), "years"],
        "alcoholic_drinks": _whole(rng, 0, 9),
        **_flags(rng, tuple(HAS_BLED_FLAGS)),
    }


def work_has_bled(inputs: Inputs) -> Worked:
    """Age over 65 +1; from 8 drinks a week +1; the others +1."""
    age, drinks = inputs["age"][0], inputs["alcoholic_drinks"]
    items = [(name, _yes(inputs[key]), int(inputs[key])) for key, name in HAS_BLED_FLAGS.items()]
    items += [("age", str(age), int(age > 65)), ("weekly drinks", str(drinks), int(drinks >= 8))]
    return _score(items)


def draw_anion_gap(rng: np.random.Generator) -> Inputs:
    """Draw inputs of the anion gap."""
    low, high = {"sodium": 128, "chloride": 92, "bicarbonate": 10}, {"sodium": 150, "chloride": 112, "bicarbonate": 28}
    return {name: [_whole(rng, low[name], high[name]), "mEq/L"] for name in low}


def work_anion_gap(inputs: Inputs) -> Worked:
    """Sodium less chloride and bicarbonate, in mEq/L."""
    sodium, chloride, bicarbonate = (inputs[name][0] for name in ("sodium", "chloride", "bicarbonate"))
    negative = chloride + bicarbonate
    gap = sodium - negative
    trace = f"Chloride {chloride} + bicarbonate {bicarbonate} = {negative}. Sodium {sodium} - {negative} = {gap}."
    facts = tuple(f"{name}={inputs[name][0]} mEq/L" for name in ("sodium", "chloride", "bicarbonate"))
    return Worked(facts, _fixed(trace), float(gap))


def draw_mean_arterial_pressure(rng: np.random.Generator) -> Inputs:
    """Draw inputs of the mean arterial pressure; the pulse pressure stays between 15 and 90."""
    diastolic = _whole(rng, 40, 110)
    return {"sys_bp": [diastolic + _whole(rng, 15, 90), "mm hg"], "dia_bp": [diastolic, "mm hg"]}


def work_mean_arterial_pressure(inputs: Inputs) -> Worked:
    """Two thirds of the diastolic and one third of the systolic pressure, in mmHg."""
    systolic, diastolic = inputs["sys_bp"][0], inputs["dia_bp"][0]
    pulse = systolic - diastolic
    value = round(2 * diastolic / 3 + systolic / 3, 3)
    third = spelled(round(pulse / 3, 3))
    trace = f"{systolic} - {diastolic} = {pulse}. {pulse} / 3 = {third}. {diastolic} + {third} = {spelled(value)}."
    return Worked((f"systolic pressure={systolic} mmHg", f"diastolic pressure={diastolic} mmHg"), _fixed(trace), value)


def draw_curb_65(rng: np.random.Generator) -> Inputs:
    """Draw inputs of CURB-65."""
    return {
        "age": [_whole(rng, 35, 94), "years"],
        "confusion": bool(rng.random() < 0.5),
        "bun": [_whole(rng, 8, 32), "mg/dL"],
        "respiratory_rate": [_whole(rng, 14, 42), "breaths per minute"],
        "sys_bp": [_whole(rng, 76, 150), "mm hg"],
        "dia_bp": [_whole(rng, 48, 74), "mm hg"],
    }


def work_curb_65(inputs: Inputs) -> Worked:
    """Confusion, BUN over 19 mg/dL, 30 breaths or more, systolic under 90 or diastolic to 60, age from 65: +1 each."""
    age, bun, breaths = inputs["age"][0], inputs["bun"][0], inputs["respiratory_rate"][0]
    systolic, diastolic = inputs["sys_bp"][0], inputs["dia_bp"][0]
    return _score(
        [
            ("confusion", _yes(inputs["confusion"]), int(inputs["confusion"])),
            ("BUN", f"{bun} mg/dL", int(bun > 19)),
            ("respiratory rate", str(breaths), int(breaths >= 30)),
            ("blood pressure", f"{systolic}/{diastolic}", int(systolic < 90 or diastolic <= 60)),
            ("age", str(age), int(age >= 65)),
        ]
    )


CENTOR_FLAGS = {
    "cough_absent": "absent cough",
    "tender_lymph_nodes": "tender neck nodes",
    "exudate_swelling_tonsils": "tonsil exudate",
}


def draw_centor(rng: np.random.Generator) -> Inputs:
    """Draw inputs of the Centor score (McIsaac's, with age)."""
    tenths = _whole(rng, 365, 402)
    return {
        "age": [_whole(rng, 3, 75), "years"],
        "temperature": [tenths / 10, "degrees celsius"],
        **_flags(rng, tuple(CENTOR_FLAGS)),
    }


def work_centor(inputs: Inputs) -> Worked:
    """Age to 14 +1, from 45 -1; over 38 degrees +1; the others +1."""
    age, temperature = inputs["age"][0], inputs["temperature"][0]
    items = [("age", str(age), 1 if age <= 14 else -int(age >= 45))]
    items.append(("temperature", f"{temperature} C", int(temperature > 38)))
    items += [(name, _yes(inputs[key]), int(inputs[key])) for key, name in CENTOR_FLAGS.items()]
    return _score(items)


def spelled(value: float) -> str:
    """Return a number without a needless fraction."""
    return str(int(value)) if value == int(value) else str(value)


CALCULATORS: Mapping[str, Calculator] = {
    calculator.name: calculator
    for calculator in (
        Calculator("cha2ds2_vasc", "CHA2DS2-VASc score", "", 0.0, False, draw_cha2ds2_vasc, work_cha2ds2_vasc),
        Calculator("has_bled", "HAS-BLED score", "", 0.0, False, draw_has_bled, work_has_bled),
        Calculator("anion_gap", "anion gap", "mEq/L", 0.05, False, draw_anion_gap, work_anion_gap),
        Calculator(
            "mean_arterial_pressure",
            "mean arterial pressure",
            "mmHg",
            0.05,
            False,
            draw_mean_arterial_pressure,
            work_mean_arterial_pressure,
        ),
        Calculator("curb_65", "CURB-65 score", "", 0.0, True, draw_curb_65, work_curb_65),
        Calculator("centor", "Centor score", "", 0.0, True, draw_centor, work_centor),
    )
}
