"""Which student to fine-tune: Figure 9 of the paper (arXiv 2511.23269). Two of its three need another student's code.

What the paper found (measured off the figure's pixels, good to about 0.3 points): the data help every base. Bases that
are instruction-tuned gain more on reasoning (Qwen2.5-VL-7B on MedQA: 58.0 to 90.8) than one that was already trained by
RL (InternVL3.5-8B: 73.3 to 79.8), so that fine-tuning belongs before RL.

What to measure: accuracy on the ten benchmarks before and after, for each base.

Seen: the three bases, full fine-tuning. Ours: everything else is as for the final model; Qwen2.5-VL-3B as a second
base, which this project's student can be.

**Needs another student**: this project has the architecture of Qwen2.5-VL. Qwen3-VL-8B and InternVL3.5-8B have other
ones, and are refused by name (``base_model.py:Qwen3-VL-8B``); no point is made of them. What is missing is a model
beside ``octomed_jax/models/qwen2_5_vl`` and its names in ``octomed_jax/hf``.

    octomed sweep run --config=configs/recipes/base_model.py --traces=runs/paper/traces \\
      --questions=runs/benchmarks/questions --output=runs/recipes/base_model

``:demo`` has two students of random weights, of which one is half as wide: it compares sizes, and no bases.
``:tiny`` is for the tests and learns nothing.
"""

from collections.abc import Callable
from typing import Any

from ml_collections import ConfigDict

from configs.experiments import (
    BENCHMARKS,
    DEMO_CLASSES,
    DEMO_TEXT,
    demo_scale,
    full_scale,
    measured,
    table,
    variant_of,
    with_planes,
)
from configs.octomed_3b import get_config as octomed_3b_config

METRIC = "overall"
COLUMNS = (
    *("Brain Tumor", "CoronaHack", "Aptos", "MESSIDOR-2", "BCSS"),
    *("MedXpertQA-MM", "MedQA", "MedMCQA", "MedXpertQA-T", "MMLU-PRO"),
)
PAPER: dict[str, Any] = {
    "figure": "Figure 9",
    "says": "the data help every base; one that was trained by RL before gains least on reasoning",
    "confidence": "seen-fig, measured",
    "unit": "accuracy, %",
    "x": "",
    "columns": {**dict.fromkeys(COLUMNS, ()), "MedQA": DEMO_TEXT, "Aptos": DEMO_CLASSES},
    "benchmarks": measured(COLUMNS),
    "values": table(
        COLUMNS,
        {
            "Qwen3-VL-8B, before": (57, 48, 49, 45, 41.4, 28.7, 76.6, 65.0, 17.2, 66.2),
            "Qwen3-VL-8B": (79, 69.5, 73.5, 49.6, 53.3, 34.9, 89.5, 73.6, 29.5, 74.2),
            "Qwen2.5-VL-7B, before": (27.8, 34.2, 26.7, 20.6, 43.1, 22.4, 58.0, 51.5, 12.1, 49.3),
            "Qwen2.5-VL-7B": (80.9, 71.2, 75.4, 55.2, 53.7, 36.6, 90.8, 72.6, 24.5, 68.7),
            "InternVL3.5-8B, before": (64.3, 36.8, 51.8, 27.7, 50.9, 26.1, 73.3, 60.7, 12.8, 62.9),
            "InternVL3.5-8B": (71.7, 68.4, 74.3, 54.8, 53.0, 29.5, 79.8, 61.0, 18.8, 66.4),
        },
    ),
    "claims": [],  # none between bases that can be run here
}
FILE = "base_model.py"
MISSING = {
    "Qwen3-VL-8B": "Qwen3-VL's decoder, vision tower and deep stack",
    "InternVL3.5-8B": "InternVL's vision tower and tiles, and the decoder of Qwen3",
}


def _variant(arg: str | None) -> str:
    if arg in MISSING:
        raise ValueError(
            f"base_model.py:{arg} needs another student, which this project does not have: {MISSING[arg]}; "
            "use base_model.py for Qwen2.5-VL"
        )
    return variant_of(FILE, arg)


def get_config(arg: str | None = None) -> ConfigDict:
    """Return the config that the points change; ``arg`` is empty, ``demo`` or ``tiny``.

    Raises:
        ValueError: a base that this project has no student for, or no variant at all.
    """
    variant = _variant(arg)
    if not variant:
        config = full_scale("base_model")
        config.stages = ("shard", "baseline", "train", "export", "eval")
        config.train.update({"examples_per_step": 512, "warmup_ratio": 0.1})
        config.eval.benchmarks = BENCHMARKS
    else:
        config = with_planes(demo_scale("base_model", variant), variant == "tiny")
        config.stages = (*config.stages, "baseline")
        if variant == "demo":
            config.train.steps = 1500
    return config


def sweep(add: Callable[..., None], arg: str | None = None) -> None:
    """Add one point for each base that there is a student for."""
    if _variant(arg):
        add(name="the demo's student")
        add(name="half as wide", **{"student.text.hidden_size": 48, "student.text.intermediate_size": 128})
        return
    smaller = octomed_3b_config().student
    sizes = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads")
    add(name="Qwen2.5-VL-7B")
    add(
        name="Qwen2.5-VL-3B",
        **{"student.base": smaller.base, "student.vocab_size": smaller.vocab_size},
        **{f"student.text.{size}": smaller.text[size] for size in sizes},
        **{"student.text.tie_word_embeddings": True},
    )
