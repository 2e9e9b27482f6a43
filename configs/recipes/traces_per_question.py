"""How many accepted traces a question should keep: Figure 5 of the paper (arXiv 2511.23269).

What the paper found (seen, printed in the figure): MedQA accuracy rises with the accepted traces kept per question, at
every epoch; one epoch over 16 traces (81.76) beats three epochs over one (75.16). PAPER holds the numbers.

What to measure: accuracy after training at an equal number of epochs, and again at an equal number of optimizer steps.
Keeping more traces also makes an epoch longer, and the figure alone does not tell the two effects apart (inferred).

What is ours: ``:demo`` keeps 1, 2 or 4 of 4 sampled attempts instead of 1, 4 or 16 of 16; it trains a small student
from random weights on the demo's questions for an equal number of *steps*, so it shows diversity against repetition
and not the paper's curve. ``:tiny`` is for the tests and learns nothing.
"""

from collections.abc import Callable

from ml_collections import ConfigDict

from configs.demo import get_config as demo_config

# MedQA accuracy (%) by accepted traces kept, after 0, 1, 2 and 3 epochs; Qwen2.5-VL-7B-Instruct, DeepSeek-R1 traces.
PAPER = {
    1: (57.99, 65.88, 73.59, 75.16),
    4: (57.99, 76.50, 80.61, 82.69),
    16: (57.99, 81.76, 84.70, 85.01),
}

KEPT = {"demo": (1, 2, 4), "tiny": (1, 2)}


def _variant(arg: str | None) -> str:
    if arg not in KEPT:
        raise ValueError(
            "traces_per_question.py at the paper's size (1, 4, 16 traces) needs MedQA and a teacher's own attempts, "
            "which a later recipe brings; use traces_per_question.py:demo or :tiny"
            if not arg
            else f"traces_per_question.py knows no variant {arg!r}; use :demo or :tiny"
        )
    return arg


def get_config(arg: str | None = None) -> ConfigDict:
    """Return the config that the points change; ``arg`` is ``demo`` or ``tiny``."""
    variant = _variant(arg)
    config = demo_config("tiny" if variant == "tiny" else None)
    config.name = f"traces_per_question_{variant}"
    # Sampled once, kept in part: as many attempts as the largest point keeps (the paper: 16).
    config.distill.samples = 4
    return config


def sweep(add: Callable[..., None], arg: str | None = None) -> None:
    """Add one point for each number of kept traces."""
    for kept in KEPT[_variant(arg)]:
        add(**{"traces.per_question": kept})
