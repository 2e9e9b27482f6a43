"""The final model: all sources, all accepted traces, three epochs (arXiv 2511.23269, sections on training and Table 2).

What the paper found (seen): OctoMed-7B reaches 67.83 on text, 50.36 on reasoning on images and 67.29 on classification,
from 48.10, 37.19 and 30.49 of its base. MedQA's 90.81 is a majority vote of ten samples; a single one is 88.3 (its
Figure 8).

What to measure: the 14 benchmarks, five seeds each, before and after.

Seen: student, three epochs, batch of 512, peak 5e-5, cosine with a warm-up of 10 %, 16 samples and up to 16 accepted
traces of a question, no filter of questions, all sources, chain of thought. Derived: 47,435 steps on 8,095,571
examples; here the epochs say how long it is, whatever you have of them. Ours: what ``octomed_7b.py`` calls ours.

    octomed sweep run --config=configs/recipes/final_model.py --traces=runs/paper/traces \\
      --questions=runs/benchmarks/questions --output=runs/recipes/final_model

``:demo`` is the demo's student on its scores and planes, with two traces of each question. ``:tiny`` is for the tests.
"""

from collections.abc import Callable
from typing import Any

from ml_collections import ConfigDict

from configs.experiments import (
    BENCHMARKS,
    DEMO_CLASSES,
    DEMO_IMAGES,
    DEMO_TEXT,
    demo_scale,
    measured,
    table,
    variant_of,
    with_images,
)
from configs.octomed_7b import get_config as octomed_7b_config

METRIC = "overall"
COLUMNS = {
    "text": DEMO_TEXT,
    "reasoning on images": DEMO_IMAGES,
    "classification": DEMO_CLASSES,
    **dict.fromkeys(("medqa", "headqa", "medmcqa", "medxpertqa-text", "mmlu-pro-health"), ()),
    **dict.fromkeys(("mmmu-pro", "nejm-image-challenge", "pmc-vqa", "medxpertqa-mm"), ()),
    **dict.fromkeys(("brain-tumor-mri", "coronahack", "aptos", "messidor2", "bcss"), ()),
}
PAPER: dict[str, Any] = {
    "figure": "Table 2",
    "says": "the final model is better than its base on all 14 benchmarks",
    "confidence": "seen",
    "unit": "accuracy, %",
    "x": "",
    "columns": COLUMNS,
    "benchmarks": measured(COLUMNS),
    "values": table(
        tuple(COLUMNS),
        {
            "Qwen2.5-VL-7B": (
                *(48.10, 37.19, 30.49),
                *(57.99, 69.61, 51.45, 12.16, 49.32),
                *(32.87, 43.76, 49.66, 22.47),
                *(27.82, 34.17, 26.71, 20.63, 43.12),
            ),
            "OctoMed-7B": (
                *(67.83, 50.36, 67.29),
                *(90.81, 82.36, 72.70, 24.51, 68.75),
                *(42.52, 61.14, 61.13, 36.65),
                *(80.86, 71.22, 75.43, 55.20, 53.72),
            ),
        },
    ),
    "claims": [],  # one run alone: there is no other to compare it with
}
FILE = "final_model.py"


def get_config(arg: str | None = None) -> ConfigDict:
    """Return the config of the one point; ``arg`` is empty, ``demo`` or ``tiny``."""
    variant = variant_of(FILE, arg)
    if variant:
        config = with_images(demo_scale("final_model", variant), variant == "tiny")
        config.stages = (*config.stages, "baseline")
        return config
    config = octomed_7b_config().lock()
    config.name, config.run = "final_model", "runs/recipes/final_model"
    with config.unlocked():
        config.questions = ConfigDict()  # of no package: they are of published sets
    config.stages = ("shard", "baseline", "train", "export", "eval")
    config.train.update({"steps": 0, "epochs": 3.0})
    config.eval.benchmarks = BENCHMARKS
    return config


def sweep(add: Callable[..., None], arg: str | None = None) -> None:
    """Add the one point."""
    variant_of(FILE, arg)
    add(name="OctoMed-7B")
