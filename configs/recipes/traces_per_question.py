"""How many accepted traces a question should keep: Figure 5 of the paper (arXiv 2511.23269).

What the paper found (printed in the figure): MedQA accuracy rises with the accepted traces kept of each question, at
every epoch. One epoch over up to 16 (81.76) beats three epochs over one (75.16).

What to measure: accuracy after each of three epochs, read from the checkpoints of one run. An epoch over more traces is
also longer: at like numbers of steps the paper's own rows lie close (4 kept, one epoch: 76.50; 1 kept, three epochs:
75.16; 4 kept, three epochs: 82.69; 16 kept, one epoch: 81.76; derived). Look at both before you say what helped.

Seen: MedQA, DeepSeek-R1, 16 samples a question, 1, 4 and 16 kept, 1 to 3 epochs, and what ``experiments.py`` calls
seen. Inferred: the authors' published MedQA-5options holds those 16 samples. Ours: which of the accepted are kept (the
first), and that the figure's epochs are of one run and not of three.

At full scale, with the authors' published samples, each judged anew:

    octomed questions build --source=octomed-medqa-5options --input=hf --output=runs/medqa/questions \\
      --attempts=runs/medqa/attempts --teacher=DeepSeek-R1
    octomed sweep run --config=configs/recipes/traces_per_question.py --questions=runs/medqa/questions \\
      --attempts=runs/medqa/attempts --output=runs/recipes/traces_per_question

``:demo`` asks for 600 scores of described patients (CHA2DS2-VASc, HAS-BLED) 16 times each, and keeps 1, 4, 8 or 16 of
the right answers (some 13 of 16 are right); the
largest run has about 2,300 steps of 10 examples. What differs from the paper, beside all sizes: the student begins from
random weights, and the programmatic teacher words all right answers to a question alike, so that more traces repeat
what they say: the demo shows longer training on the same questions, and not what other ways to reason add.
``:tiny`` is for the tests and learns nothing.
"""

from collections.abc import Callable
from typing import Any

from ml_collections import ConfigDict

from configs.experiments import DEMO_TEXT, FROM_ATTEMPTS, claim, curve, demo_scale, full_scale, measured, variant_of

METRIC = "overall"
PAPER: dict[str, Any] = {
    "figure": "Figure 5",
    "says": "the more accepted traces of a question are kept, the better, at every epoch",
    "confidence": "seen-fig",
    "unit": "accuracy, %",
    "x": "epoch",
    "columns": {"MedQA": DEMO_TEXT},
    "benchmarks": measured(("MedQA",)),
    "values": curve(
        "MedQA",
        (0, 1, 2, 3),
        {
            "1": (57.99, 65.88, 73.59, 75.16),
            "4": (57.99, 76.50, 80.61, 82.69),
            "16": (57.99, 81.76, 84.70, 85.01),
        },
    ),
    "claims": [
        claim("16 accepted traces of a question beat one, after three epochs", "16", "1", "MedQA", x=3),
        claim("16 accepted traces of a question beat four, after three epochs", "16", "4", "MedQA", x=3),
        claim("four accepted traces of a question beat one, after one epoch", "4", "1", "MedQA", x=1),
    ],
}
KEPT = {"": (1, 4, 16), "demo": (1, 4, 8, 16), "tiny": (1, 2)}
FILE = "traces_per_question.py"


def get_config(arg: str | None = None) -> ConfigDict:
    """Return the config that the points change; ``arg`` is empty, ``demo`` or ``tiny``."""
    variant = variant_of(FILE, arg)
    if not variant:
        config = full_scale("traces_per_question")
        config.stages = FROM_ATTEMPTS
        config.eval.benchmarks = ("medqa",)
        config.checkpoint.parts = 3
        return config
    config = demo_scale("traces_per_question", variant)
    config.distill.samples = 16 if variant == "demo" else 4
    if variant == "demo":
        config.questions.medcalc.score_train_each = 300
    config.train.update({"steps": 0, "epochs": 3.0 if variant == "demo" else 2.0})
    config.checkpoint.parts = 3 if variant == "demo" else 2
    return config


def sweep(add: Callable[..., None], arg: str | None = None) -> None:
    """Add one point for each number of kept traces."""
    for kept in KEPT[variant_of(FILE, arg)]:
        add(name=str(kept), **{"traces.per_question": kept})
