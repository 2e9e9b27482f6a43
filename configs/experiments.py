"""What the paper's recipe experiments share (arXiv 2511.23269): student, schedule, sources and how they are measured.

Each experiment is a file of ``recipes/``; ``get_config`` here is the full scale that all of them start from.

Seen: Qwen2.5-VL-7B-Instruct with all of its weights, 1 to 3 epochs, batches of 128, a peak learning rate of 5e-5, a
cosine with a warm-up of 1 %; 14 benchmarks, five seeds. The three groups of sources, and that the one of reasoning on
images is a subset of PMC-VQA's train split.
Inferred: which public set each abbreviated name of the paper's Figure 2 means (SOURCES).
Ours: all that ``octomed_7b.py`` calls ours, and three epochs where the paper does not say how many.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from configs.demo import get_config as demo_config
from configs.octomed_7b import get_config as octomed_7b_config

VARIANTS = ("", "demo", "tiny")
# Stages where questions or a teacher's attempts were made elsewhere, and their folders are given to the sweep.
FROM_QUESTIONS = ("distill", "verify", "shard", "train", "export", "eval")
FROM_ATTEMPTS = FROM_QUESTIONS[1:]

# The paper's groups as sources of `octomed questions list`, with the questions that each publishes to learn from.
TEXT = {"octomed-medqa-5options": 10_178, "medmcqa": 182_822, "headqa": 2_657}
IMAGES = {"octomed-pmc-vqa": 176_948}
CLASSES = {
    "octomed-messidor2": 1_394,
    "aptos": 2_930,
    "retinamnist": 1_080,
    "octmnist": 97_477,
    "brain-tumor-mri": 5_712,
    "coronahack": 5_286,
    "pneumoniamnist": 4_708,
    "breastmnist": 546,
    "dermamnist": 7_007,
    "pad-ufes": 2_298,
    "bloodmnist": 11_959,
    "pathmnist": 89_996,
    "bcss": 23_422,
}
SOURCES = {**TEXT, **IMAGES, **CLASSES}
BENCHMARKS = ("text", "reasoning on images", "classification")  # categories of `octomed eval benchmarks`: all 14
# Columns of the paper's figures as its benchmarks of `octomed eval benchmarks`.
MEASURED: dict[str, tuple[str, ...]] = {
    "text": ("medqa", "headqa", "medmcqa", "medxpertqa-text", "mmlu-pro-health"),
    "MM reasoning": ("mmmu-pro", "nejm-image-challenge", "pmc-vqa", "medxpertqa-mm"),
    "classification": ("brain-tumor-mri", "coronahack", "aptos", "messidor2", "bcss"),
    "MedQA": ("medqa",),
    "HeadQA": ("headqa",),
    "MedMCQA": ("medmcqa",),
    "MMMU-PRO": ("mmmu-pro",),
    "NEJM": ("nejm-image-challenge",),
    "PMC-VQA": ("pmc-vqa",),
    "MedXpertQA-MM": ("medxpertqa-mm",),
    "Brain Tumor": ("brain-tumor-mri",),
    "CoronaHack": ("coronahack",),
    "Aptos": ("aptos",),
    "BCSS": ("bcss",),
    **dict.fromkeys(("MedXpertQA-T", "MedXpertQA"), ("medxpertqa-text",)),
    **dict.fromkeys(("MMLU-PRO", "MMLU-PRO-H"), ("mmlu-pro-health",)),
    **dict.fromkeys(("MESSIDOR2", "MESSIDOR-2"), ("messidor2",)),
}
MEASURED["MM classification"] = MEASURED["classification"]
MEASURED["reasoning on images"] = MEASURED["MM reasoning"]
MEASURED["overall"] = (*MEASURED["text"], *MEASURED["MM reasoning"], *MEASURED["classification"])

# The demo's stand-ins, which its small student can be asked on two cores: packages of `octomed questions list`.
DEMO_TEXT = ("cha2ds2_vasc", "has_bled")  # scores out of a patient's facts, with a running total as the trace
DEMO_CLASSES = ("plane",)  # of a brain slice; the held-out one is another brain
DEMO_IMAGES = ("region",)  # lettered regions of the brain, one of them under a ring
HELD_OUT = 200  # questions of each benchmark


def get_config() -> ConfigDict:
    """Return the full scale of the recipe experiments; questions and benchmarks are given as folders."""
    config = octomed_7b_config().lock()
    config.name = "experiments"
    config.run = "runs/recipes/experiments"
    with config.unlocked():
        config.questions = ConfigDict()  # of no package: they are of published sets
    config.stages = FROM_QUESTIONS
    config.train.update({"steps": 0, "epochs": 3.0, "examples_per_step": 128, "warmup_ratio": 0.01})
    config.eval.benchmarks = BENCHMARKS
    return config


def full_scale(name: str) -> ConfigDict:
    """Return the same under the name of an experiment."""
    config = get_config()
    config.name, config.run = name, f"runs/recipes/{name}"
    return config


def demo_scale(name: str, variant: str) -> ConfigDict:
    """Return what ``:demo`` and ``:tiny`` of an experiment start from: scores, and the demo's student.

    Args:
        name: of the experiment.
        variant: ``demo``, for two cores and some minutes a run, or ``tiny``, which learns nothing.
    """
    tiny = variant == "tiny"
    config = demo_config("tiny" if tiny else None).lock()
    config.name, config.run = f"{name}_{variant}", f"runs/recipes/{name}_{variant}"
    test = 4 if tiny else HELD_OUT
    with config.unlocked():
        config.questions = ConfigDict(
            {"medcalc": {"train_each": 0, "score_train_each": 12 if tiny else 1400, "test_each": test}}
        )
    config.eval.benchmarks = DEMO_TEXT
    if tiny:
        config.train.steps = 4
    return config


def with_planes(config: ConfigDict, tiny: bool) -> ConfigDict:
    """Return a demo that also has questions which stand in for classification."""
    test = config.questions.medcalc.test_each
    with config.unlocked():
        config.questions.brain = ConfigDict(
            {"plane": 24 if tiny else 2200, "side": 0, "lobe": 0, "test_each": test, "side_pixels": 112}
        )
    config.eval.benchmarks = (*DEMO_TEXT, *DEMO_CLASSES)
    return config


def with_images(config: ConfigDict, tiny: bool) -> ConfigDict:
    """Return a demo that also has questions which stand in for classification and for reasoning on images."""
    with_planes(config, tiny)
    with config.unlocked():
        config.questions.brain_regions = ConfigDict(
            {"train": 24 if tiny else 2000, "test": 4 if tiny else HELD_OUT, "side_pixels": 112}
        )
    config.eval.benchmarks = (*DEMO_TEXT, *DEMO_IMAGES, *DEMO_CLASSES)
    return config


def variant_of(file: str, arg: str | None, known: Sequence[str] = VARIANTS) -> str:
    """Return the variant that an argument names, ``""`` for the full scale.

    Raises:
        ValueError: the file has no such variant.
    """
    if (arg or "") not in known:
        others = ", ".join(f":{name}" for name in known if name)
        raise ValueError(f"{file} knows no variant {arg!r}; use {file} for the full scale, or {others}")
    return arg or ""


def only(kept: Sequence[str], sources: Sequence[str]) -> str | None:
    """Return ``mixture.epochs`` that leaves out all sources but some, of which each example comes once an epoch."""
    return ",".join(f"{name}=0" for name in sources if name not in kept) or None


def measured(columns: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return the paper's own benchmarks of each column of a figure; a column may be called as its benchmark is."""
    return {column: MEASURED.get(column, (column,)) for column in columns}


def curve(column: str, at: Sequence[float], rows: Mapping[str, Sequence[float | None]]) -> list[dict[str, Any]]:
    """Return the values of a figure's curves; None where a curve ends."""
    return [
        {"row": row, "column": column, "x": x, "y": y}
        for row, values in rows.items()
        for x, y in zip(at, values, strict=True)
        if y is not None
    ]


def table(columns: Sequence[str], rows: Mapping[str, Sequence[float]]) -> list[dict[str, Any]]:
    """Return the values of a table, or of bars."""
    return [
        {"row": row, "column": column, "x": None, "y": y}
        for row, values in rows.items()
        for column, y in zip(columns, values, strict=True)
    ]


def claim(
    says: str, more: str, less: str, column: str, measure: str = "accuracy", x: float | None = None
) -> dict[str, Any]:
    """Return what a figure shows of two of its rows: that ``more`` has more of the measure in a column, at ``x``."""
    found = {"says": says, "more": more, "less": less, "column": column, "measure": measure}
    return found if x is None else {**found, "x": x}
