"""Whether to filter questions by difficulty before training: Figure 4 of the paper (arXiv 2511.23269).

What the paper found (measured off the figure's pixels, good to about 0.3 points): on PMC-VQA a filter saves samples
early and does not raise the peak. Questions of which the student gets 2 to 14 of 16 right reach 58.0 after 192,000
samples; all questions reach 58.5 after 576,000. The final recipe filters nothing. After the first 64,000 samples the
teacher's filter is below none (49.1 to 50.6), so that not every filter helps early.

What to measure: accuracy on PMC-VQA by the number of samples trained on. ``checkpoint.parts`` keeps a checkpoint every
64,000; x is the share of 832,000 samples, which the longest of the paper's runs has.

Seen: the rules. Student, teacher: 16 samples, and a question goes with fewer than 2 or more than 14 right; judge:
GPT-4.1-mini rates from 1 to 10, and 3 to 6 stay. Unknown: which part of PMC-VQA, and how many traces of a question.
Inferred: 64,000 samples are 500 steps of 128. Ours: all four run as long as the longest (832,000 samples), which the
paper's first three do not.

At full scale the student's 16 attempts at the questions are given; the teacher's are made by the stage ``sample``,
which asks it 16 times a question. What stays is then asked again, by ``distill``. So the sweep asks the teacher twice.

    octomed distill --questions=runs/pmc/questions --endpoint=http://STUDENT:8000 --model=STUDENT --samples=16 \\
      --output=runs/pmc/tried
    octomed sweep run --config=configs/recipes/question_filters.py --questions=runs/pmc/questions \\
      --student-attempts=runs/pmc/tried --config.curate.judge.endpoint=https://api.example.org

``judge`` needs ``curate.judge.endpoint``, and asks by itself; ``none`` needs nothing. ``:demo`` has ``none`` and
``teacher``, by itself, on the demo's questions. It shows that the stages work and not what the paper shows: the
programmatic teacher is wrong at random, so that its mistakes tell nothing of a question. It has no ``student``: the
demo's begins from random weights, gets none of 16 right, and nothing would stay. It has no ``judge``: nothing here
rates questions without a model. ``:tiny`` is for the tests and learns nothing.
"""

from collections.abc import Callable
from typing import Any

from ml_collections import ConfigDict

from configs.experiments import FROM_QUESTIONS, claim, curve, demo_scale, full_scale, measured, variant_of, with_planes

METRIC = "overall"
MARKS = 13  # each 64,000 samples
PAPER: dict[str, Any] = {
    "figure": "Figure 4",
    "says": "filters save samples early and do not raise the peak",
    "confidence": "seen-fig, measured",
    "unit": "accuracy, %",
    "x": "share",
    "columns": {"PMC-VQA": ("plane",)},
    "benchmarks": measured(("PMC-VQA",)),
    "values": curve(
        "PMC-VQA",
        [mark / MARKS for mark in range(1, MARKS + 1)],
        {
            "student": (52.8, 55.4, 58.0, 57.5, *[None] * 9),
            "teacher": (49.1, 54.3, 55.2, 56.2, *[None] * 9),
            "judge": (52.7, 55.4, 55.3, 57.4, 58.2, 58.7, 58.4, 57.6, *[None] * 5),
            "none": (50.6, 52.3, 53.8, 55.2, 55.4, 54.9, 56.3, 57.4, 58.5, 58.0, 58.0, 57.9, 58.2),
        },
    ),
    "claims": [
        claim("no filter is as good in the end: the student's filter does not beat it", "none", "student", "PMC-VQA"),
    ],
}
FILE = "question_filters.py"
FILTERS = {"": ("student", "teacher", "judge", "none"), "demo": ("teacher", "none"), "tiny": ("teacher", "none")}


def get_config(arg: str | None = None) -> ConfigDict:
    """Return the config that the points change; ``arg`` is empty, ``demo`` or ``tiny``."""
    variant = variant_of(FILE, arg)
    if not variant:
        config = full_scale("question_filters")
        config.train.update({"steps": 6500, "epochs": 0.0})
        config.checkpoint.parts = MARKS
        config.eval.benchmarks = ("pmc-vqa",)
        config.curate.judge.model = "gpt-4.1-mini"
    else:
        config = with_planes(demo_scale("question_filters", variant), variant == "tiny")
        config.eval.benchmarks = ("plane",)
        config.distill.samples = 16
        config.curate.steps = ("metadata",)  # one has to be named; it takes no question out
        config.train.steps = 1500 if variant == "demo" else 4
    from_sample = ("sample", "curate", *FROM_QUESTIONS)
    config.stages = ("questions", *from_sample) if variant else from_sample
    return config


def sweep(add: Callable[..., None], arg: str | None = None) -> None:
    """Add one point for each filter."""
    variant = variant_of(FILE, arg)
    steps = tuple(get_config(arg).curate.steps)
    for name in FILTERS[variant]:
        by = {} if name == "none" else {"curate.steps": (*steps, "difficulty"), "curate.difficulty.by": name}
        add(name=name, **by)
