"""This recipe's data against other sets for fine-tuning: Figure 1, left, of the paper (arXiv 2511.23269).

What the paper found (measured off the figure's pixels, good to about 0.3 points): the student gains on all three groups
of benchmarks from OctoMed's data, most of it in the first half (text 48.1 to 67.3, reasoning on images 37.2 to 50.4,
classification 30.5 to 67.3); LLaVA-Med, PubMedVision and MedVLThinker leave it below where it began on text and on
reasoning on images.

What to measure: the mean of each group of benchmarks at six equal parts of the training.

Seen: student, the four sets, the marks at 16, 33, 50, 66, 83 and 100 %. Inferred: they are every half epoch of three;
MedVLThinker's set is that with GPT-4o's thoughts on PMC-VQA, with m23k for text. Ours: OctoMed's own set is what its
authors publish, with what else the paper names and anyone can get; responses without a gold answer are trained on as
published (``verify.trust``).

At full scale all sets must lie in one folder of attempts: `octomed data write` writes the traces of each in one form,
and `octomed questions build --source=octomed --input=FOLDER --attempts=...` reads the files of all, whose column
``source`` says which is whose. Nobody has run this at full scale.

    octomed sweep run --config=configs/recipes/data_sets.py --attempts=runs/sets/attempts \\
      --questions=runs/benchmarks/questions --output=runs/recipes/data_sets

``:demo`` has no other set to fine-tune on. It compares questions like the benchmarks (`this recipe`: scores and planes)
with about as many others (`another set`: chapters of ICD-10-CM, and DICOM studies). ``:tiny`` is for the tests and
learns nothing.
"""

from collections.abc import Callable
from typing import Any

from ml_collections import ConfigDict

from configs.experiments import (
    DEMO_CLASSES,
    DEMO_TEXT,
    FROM_ATTEMPTS,
    SOURCES,
    claim,
    curve,
    demo_scale,
    full_scale,
    measured,
    only,
    variant_of,
    with_planes,
)

METRIC = "overall"
EPOCHS = (0, 0.5, 1, 1.5, 2, 2.5, 3)  # the figure: 0, 16, 33, 50, 66, 83, 100 % of the training
PAPER: dict[str, Any] = {
    "figure": "Figure 1, left",
    "says": "this recipe's data help on all three groups of benchmarks, other sets for fine-tuning on few",
    "confidence": "seen-fig, measured",
    "unit": "accuracy, %",
    "x": "epoch",
    "columns": {"MM reasoning": (), "text": DEMO_TEXT, "classification": DEMO_CLASSES},
    "benchmarks": measured(("MM reasoning", "text", "classification")),
    "values": [
        *curve(
            "MM reasoning",
            EPOCHS,
            {
                "OctoMed": (37.2, 40.4, 42.0, 47.0, 49.1, 50.4, 50.4),
                "LLaVA-Med": (37.2, 22, 20.4, 22.6, 23.6, 24.1, 24.1),
                "PubMedVision": (37.2, 22, 25, 26.5, 27, 30, 30),
                "MedVLThinker": (37.2, 24.2, 27.3, 27.4, 28.4, 29.1, 27.6),
            },
        ),
        *curve(
            "text",
            EPOCHS,
            {
                "OctoMed": (48.1, 54.1, 56.2, 65.1, 66.9, 67.2, 67.3),
                "LLaVA-Med": (48.1, 26.6, 24.5, 28.8, 31.6, 32.1, 31.9),
                "PubMedVision": (48.1, 29.9, 28.6, 27, 28, 29.1, 29),
                "MedVLThinker": (48.1, 23.3, 25.4, 26.8, 29.0, 30.4, 30.0),
            },
        ),
        *curve(
            "classification",
            EPOCHS,
            {
                "OctoMed": (30.5, 54.3, 59.8, 65.9, 60.7, 66.0, 67.3),
                "LLaVA-Med": (30.5, 29.7, 19.5, 26.2, 36.3, 31.8, 30.1),
                "PubMedVision": (30.5, 27.6, 26.6, 27.8, 29.5, 41.4, 41.8),
                "MedVLThinker": (30.5, 14.7, 22.4, 24.2, 27.6, 29.4, 32.3),
            },
        ),
    ],
    "claims": [
        claim(f"this recipe's data beat another set's on {column}, at the end", "OctoMed", "MedVLThinker", column)
        for column in ("text", "classification")
    ],
}
FILE = "data_sets.py"
FULL = {
    "OctoMed": tuple(SOURCES),
    "LLaVA-Med": ("llava-med",),
    "PubMedVision": ("pubmedvision",),
    "MedVLThinker": ("medvlthinker-gpt-4o", "medvlthinker-m23k"),
}
DEMO = {"this recipe": ("medcalc", "brain"), "another set": ("icd10", "dicom")}


def get_config(arg: str | None = None) -> ConfigDict:
    """Return the config that the points change; ``arg`` is empty, ``demo`` or ``tiny``."""
    variant = variant_of(FILE, arg)
    if not variant:
        config = full_scale("data_sets")
        config.stages = (*FROM_ATTEMPTS, "baseline")
        config.verify.trust = ("llava-med", "pubmedvision")
        config.checkpoint.parts = 6
        return config
    tiny = variant == "tiny"
    config = with_planes(demo_scale("data_sets", variant), tiny)
    with config.unlocked():
        config.questions.icd10 = ConfigDict({"train": 24 if tiny else 1000, "test": 4})
        config.questions.dicom = ConfigDict({"views_each": 1 if tiny else 40, "side_pixels": 112})
    config.stages = (*config.stages, "baseline")
    if not tiny:
        config.questions.brain.plane = 1000
        config.questions.medcalc.score_train_each = 500
    config.train.update({"steps": 0, "epochs": 1.0 if tiny else 3.0})
    config.checkpoint.parts = 2 if tiny else 6
    return config


def sweep(add: Callable[..., None], arg: str | None = None) -> None:
    """Add one point for each set; every one is drawn from the same shards."""
    sets = DEMO if variant_of(FILE, arg) else FULL
    every = [source for sources in sets.values() for source in sources]
    for name, sources in sets.items():
        add(name=name, **{"mixture.epochs": only(sources, every)})
