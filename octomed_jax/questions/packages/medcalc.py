"""Clinical calculators of MedCalc-Bench: inputs drawn at random, answers by the package's own functions.

Two whole calculators are held out of training; of the others, test inputs never occur in training.
"""

from collections.abc import Mapping

import numpy as np

from octomed_jax.errors import UserError
from octomed_jax.questions.packages.medcalc_calculators import CALCULATORS, Calculator, Inputs, spelled
from octomed_jax.questions.packages.medcalc_package import calculators
from octomed_jax.questions.packages.pinned import MEDCALC_BENCH
from octomed_jax.questions.packages.source import Made, Source, generator
from octomed_jax.schema import Question
from octomed_jax.storage import canonical_json, fingerprint

LICENCE = "Apache-2.0"
# How far our traces may differ from the package before we say that they are wrong.
MOST_DIFFERENT = 0.02
# Draws in a row that only repeat what was drawn before; then the inputs are taken to be used up.
MOST_REPEATS = 500


def make(settings: Mapping[str, int], seed: int, workers: int) -> Made:  # noqa: ARG001
    """Make ``train_each`` (``score_train_each`` of the scores) and ``test_each`` questions of every calculator.

    Raises:
        UserError: a calculator has fewer distinct inputs than are asked for, or our traces differ from the package's.
    """
    questions: list[Question] = []
    dropped: dict[str, int] = {}
    for calculator in CALCULATORS.values():
        counts = {"test": settings["test_each"]}
        if not calculator.held_out:
            counts["train"] = settings["train_each" if calculator.tolerance else "score_train_each"]
        made, different = _questions_of(calculator, counts, seed)
        questions += made
        if different:
            dropped[f"{calculator.name}: trace differs from the package"] = different
    return Made(questions, dropped)


def _questions_of(calculator: Calculator, counts: Mapping[str, int], seed: int) -> tuple[list[Question], int]:
    """Return questions with distinct inputs over both splits, and how many were dropped for a differing value."""
    compute = calculators()[calculator.name]
    rng = generator("medcalc", seed, calculator.name)
    seen: set[str] = set()
    questions: list[Question] = []
    different = 0
    for split, count in counts.items():
        made = repeats = 0
        while made < count:
            inputs = calculator.draw(rng)
            key = canonical_json(inputs)
            if key in seen:
                repeats += 1
                if repeats > MOST_REPEATS:
                    raise UserError(
                        f"{calculator.name} has too few distinct inputs for {count} {split} questions; "
                        "lower the counts in config.questions.medcalc"
                    )
                continue
            seen.add(key)
            repeats = 0
            question = _question(calculator, inputs, compute(inputs), split, made, rng)
            if question is None:
                different += 1
                if different > MOST_DIFFERENT * len(questions) + 1:
                    raise UserError(
                        f"{different} worked traces of {calculator.name} differ from {MEDCALC_BENCH.filename}; "
                        "report this with the version of this program"
                    )
                continue
            questions.append(question)
            made += 1
    return questions, different


def _question(
    calculator: Calculator, inputs: Inputs, answer: float, split: str, index: int, rng: np.random.Generator
) -> Question | None:
    worked = calculator.work(inputs)
    if abs(worked.value - answer) > 1e-9:
        return None
    order = [int(position) for position in rng.permutation(len(worked.facts))]
    facts = ", ".join(worked.facts[position] for position in order)
    unit = f" in {calculator.unit}" if calculator.unit else ""
    margin = abs(answer) * calculator.tolerance
    return Question(
        id=f"medcalc:{calculator.name}:{split}:{index:05d}",
        source="medcalc",
        benchmark=calculator.name,
        split=split,
        task="numeric",
        question=f"Compute the {calculator.title}{unit}. Patient: {facts}.",
        answer=spelled(answer),
        lower_limit=answer - margin if calculator.tolerance else None,
        upper_limit=answer + margin if calculator.tolerance else None,
        explanation=f"Asked: {calculator.title}. {worked.trace(order)}",
        cluster=calculator.name if calculator.held_out else f"{calculator.name}:{fingerprint(inputs)}",
        licence=LICENCE,
    )


SOURCE = Source(
    name="medcalc",
    title="clinical calculators with worked traces; unseen inputs and two whole calculators are held out",
    licence=LICENCE,
    access="open",
    attribution=(
        "Answers by the functions of medcalc-bench (CAMEL-AI.org), after MedCalc-Bench: Khandekar et al. 2024 (NCBI)."
        " Inputs are drawn at random, no patient is described; worked traces are this project's own, each compared "
        "with the package's value."
    ),
    gives={name: "test only" if calculator.held_out else "train and test" for name, calculator in CALCULATORS.items()},
    packages=(MEDCALC_BENCH,),
    settings=("train_each", "score_train_each", "test_each"),
    make=make,
)
