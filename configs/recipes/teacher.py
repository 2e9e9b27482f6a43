"""Whose traces to learn from: Figure 6 of the paper (arXiv 2511.23269).

What the paper found (measured off the figure's pixels, good to about 0.3 points): on all five text benchmarks the
student of DeepSeek-R1 is better than the student of GPT-4o, most on MedQA (70.4 to 65.0; before training 56.8).

What to measure: accuracy on the text benchmarks, with intervals over questions (the paper: 10,000 bootstrap samples),
and how many traces of each teacher were accepted, since fewer of them is a difference too.

Seen: the two teachers, text questions, 16 samples. Unknown: which text questions, sizes, epochs, temperatures, token
limits. Ours: all text sources, three epochs, all accepted traces.

At full scale, from text questions that were built and curated, with an endpoint for each teacher (``distill.teachers``;
the key of GPT-4o is in the environment variable that is named here). Read what its provider's terms say of training
other models first.

    octomed sweep run --config=configs/recipes/teacher.py --questions=runs/text/curated --output=runs/recipes/teacher

``:demo`` knows one teacher, a program, and so stands in for the two: one that is wrong in 6 of 10 answers against one
that is wrong in 1 of 10. What differs is how many traces are left, not how they reason. ``:tiny`` is for the tests.
"""

from collections.abc import Callable
from typing import Any

from ml_collections import ConfigDict

from configs.experiments import DEMO_TEXT, claim, demo_scale, full_scale, measured, table, variant_of

METRIC = "overall"
COLUMNS = ("MedQA", "HeadQA", "MedMCQA", "MedXpertQA", "MMLU-PRO-H")
WEAKER, STRONGER = "GPT-4o, or a weaker teacher", "DeepSeek-R1, or a stronger teacher"
PAPER: dict[str, Any] = {
    "figure": "Figure 6",
    "says": "a teacher that reasons better makes a better student, on all text benchmarks",
    "confidence": "seen-fig, measured",
    "unit": "accuracy, %",
    "x": "",
    "columns": {**dict.fromkeys(COLUMNS, ()), "MedQA": DEMO_TEXT},
    "benchmarks": measured(COLUMNS),
    "values": table(
        COLUMNS,
        {
            "before training": (56.8, 68.5, 51.8, 11.5, 48.9),
            WEAKER: (65.0, 70.2, 51.8, 13.6, 49.3),
            STRONGER: (70.4, 73.1, 56.8, 14.0, 55.8),
        },
    ),
    "claims": [
        claim("the stronger teacher makes the better student", STRONGER, WEAKER, "MedQA"),
    ],
}
FILE = "teacher.py"


def get_config(arg: str | None = None) -> ConfigDict:
    """Return the config that the points change; ``arg`` is empty, ``demo`` or ``tiny``."""
    variant = variant_of(FILE, arg)
    if not variant:
        config = full_scale("teacher")
        config.eval.benchmarks = ("text",)
        with config.unlocked():
            del config.distill.teachers.images  # text questions alone
        return config
    config = demo_scale("teacher", variant)
    config.traces.per_question = 4
    if variant == "demo":
        config.questions.medcalc.score_train_each = 300
        config.train.update({"steps": 0, "epochs": 3.0})
    return config


def sweep(add: Callable[..., None], arg: str | None = None) -> None:
    """Add one point for each teacher."""
    if variant_of(FILE, arg):
        add(name=WEAKER, **{"distill.scripted.wrong": 0.6})
        add(name=STRONGER, **{"distill.scripted.wrong": 0.1})
        return
    closed = {
        "model": "gpt-4o",
        "endpoints": ("https://api.openai.com",),
        "api_key_env": "OPENAI_API_KEY",
        "terms": "of the provider; read what they say of training other models",
    }
    add(name=WEAKER, **{f"distill.teachers.text.{field}": value for field, value in closed.items()})
    add(name=STRONGER)  # as in octomed_7b.py
