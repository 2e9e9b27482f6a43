"""Whether to train on the answer alone or on the thought before it: Table 1 of the paper (arXiv 2511.23269).

What the paper found (seen; the means of the groups are computed from its rows): on one subset of 100,000 examples, in
which only the style of the prompt and of the response differs, a chain of thought is far better where one must reason
(text 52.19 to 29.23, reasoning on images 38.15 to 23.08), and a little worse on classification (63.33 to 65.46). It
costs tokens.

What to measure: accuracy by group, and the mean tokens of a response.

Seen: one subset of 100,000, only the style differs. Unknown: how the subset was drawn, epochs. Inferred: the direct
style asks with ``Answer in a short word or phrase.``, which the model's card has for VQA-RAD and SLAKE. Ours: one trace
of a question; the sources in proportion to their questions; three epochs.

At full scale, from the same folder of curated questions as ``sources.py``:

    octomed sweep run --config=configs/recipes/direct_or_cot.py --questions=runs/paper/curated \\
      --output=runs/recipes/direct_or_cot

``:demo`` has the stand-ins of ``sources.py`` (which says what they are), one trace of each question, and three epochs,
some 2,100 steps of 10 examples. ``:tiny`` is for the tests and learns nothing.
"""

from collections.abc import Callable
from typing import Any

from ml_collections import ConfigDict

from configs.experiments import (
    DEMO_CLASSES,
    DEMO_IMAGES,
    DEMO_TEXT,
    SOURCES,
    claim,
    demo_scale,
    full_scale,
    measured,
    table,
    variant_of,
    with_images,
)

METRIC = "overall"
MEANS = {"text": DEMO_TEXT, "MM reasoning": DEMO_IMAGES, "classification": DEMO_CLASSES}
ROWS = (
    *("Brain Tumor", "CoronaHack", "Aptos", "MESSIDOR2", "BCSS"),
    *("MMMU-PRO", "NEJM", "PMC-VQA", "MedXpertQA-MM"),
    *("MedQA", "HeadQA", "MedMCQA", "MedXpertQA-T", "MMLU-PRO"),
)
PAPER: dict[str, Any] = {
    "figure": "Table 1",
    "says": "a chain of thought helps where one must reason, costs a little on classification, and costs tokens",
    "confidence": "seen",
    "unit": "accuracy, %",
    "x": "",
    "columns": {**MEANS, **dict.fromkeys(ROWS, ())},
    "benchmarks": measured((*MEANS, *ROWS)),
    "values": table(
        (*MEANS, *ROWS),
        {
            "direct": (
                *(29.23, 23.08, 65.46),
                *(71.32, 62.82, 75.98, 66.29, 50.90),
                *(12.59, 23.23, 33.85, 22.65),
                *(32.13, 47.70, 34.47, 11.43, 20.42),
            ),
            "CoT": (
                *(52.19, 38.15, 63.33),
                *(70.56, 66.19, 73.60, 53.71, 52.58),
                *(31.82, 45.62, 49.25, 25.90),
                *(69.68, 72.61, 53.38, 14.04, 51.22),
            ),
        },
    ),
    "claims": [
        claim("a chain of thought costs tokens, on text", "CoT", "direct", "text", "tokens"),
        claim("a chain of thought helps on text", "CoT", "direct", "text"),
        claim("a chain of thought helps at reasoning on images", "CoT", "direct", "MM reasoning"),
        claim("the answer alone is better on classification", "direct", "CoT", "classification"),
    ],
}
FILE = "direct_or_cot.py"
SUBSET = 100_000  # examples


def get_config(arg: str | None = None) -> ConfigDict:
    """Return the config that the points change; ``arg`` is empty, ``demo`` or ``tiny``."""
    variant = variant_of(FILE, arg)
    if not variant:
        config = full_scale("direct_or_cot")
        config.mixture.weights = ",".join(f"{name}={count}" for name, count in SOURCES.items())
        config.mixture.examples = SUBSET
    else:
        config = with_images(demo_scale("direct_or_cot", variant), variant == "tiny")
        config.train.update({"steps": 0, "epochs": 3.0 if variant == "demo" else 1.0})
    config.traces.per_question = 1  # all direct answers to a question are the same one
    return config


def sweep(add: Callable[..., None], arg: str | None = None) -> None:
    """Add one point for each style."""
    variant_of(FILE, arg)
    add(name="direct", **{"traces.format": "direct"})
    add(name="CoT", **{"traces.format": "cot"})
