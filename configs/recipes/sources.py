"""Which questions to learn from: Figure 3 of the paper (arXiv 2511.23269).

What the paper found (printed in the figure, points over the base student): a source helps what is like it and harms the
rest. Text alone: +12.2 on text, -6.5 on classification; classification alone: +34.5 there, -23.7 on text. Questions of
reasoning on images alone do not even help themselves (-1.6); together with text they do (+5.0). All sources together
are best over the 14 benchmarks (+17.7).

What to measure: accuracy less that of the student before training, for each group of benchmarks, after an equal number
of steps.

Seen: the three groups and the five mixtures; that reasoning on images is a subset of PMC-VQA's train split. Unknown:
sizes, epochs and steps of these runs. Ours: an equal number of steps (2,345, three epochs of 100,000 examples), the
whole of each source that is not left out, as often as it has examples.

At full scale, from questions that were built of each source and curated together, answered by your own teachers:

    octomed curate --config=configs/recipes/sources.py --questions=runs/medmcqa/questions --questions=... \\
      --output=runs/paper/curated
    octomed sweep run --config=configs/recipes/sources.py --questions=runs/paper/curated --output=runs/recipes/sources

``:demo`` has stand-ins, which are not the paper's groups: for text CHA2DS2-VASc and HAS-BLED of a described patient;
for classification the plane of a brain slice; for reasoning on images the region under a ring, one of lettered options,
which the demo's student has not been seen to learn in this time. Each run has 2,000 steps. Its student begins from
random weights: it cannot lose what the paper's loses, so that nothing can fall below the base.
``:tiny`` is for the tests and learns nothing.
"""

from collections.abc import Callable
from typing import Any

from ml_collections import ConfigDict

from configs.experiments import (
    CLASSES,
    DEMO_CLASSES,
    DEMO_IMAGES,
    DEMO_TEXT,
    IMAGES,
    TEXT,
    claim,
    demo_scale,
    full_scale,
    measured,
    only,
    table,
    variant_of,
    with_images,
)

METRIC = "overall"
COLUMNS = ("text", "MM reasoning", "MM classification", "overall")
PAPER: dict[str, Any] = {
    "figure": "Figure 3",
    "says": "sources help the benchmarks that are like them, and all sources together are best over all",
    "confidence": "seen-fig",
    "unit": "points over the base",
    "x": "",
    "columns": {
        "text": DEMO_TEXT,
        "MM reasoning": DEMO_IMAGES,
        "MM classification": DEMO_CLASSES,
        "overall": (*DEMO_TEXT, *DEMO_IMAGES, *DEMO_CLASSES),
    },
    "benchmarks": measured(COLUMNS),
    "values": table(
        COLUMNS,
        {
            "text": (12.2, -3.2, -6.5, 1.1),
            "MM reasoning": (-8.4, -1.6, 3.5, -2.2),
            "MM classification": (-23.7, -13.6, 34.5, -0.0),
            "text + MM reasoning": (11.2, 5.0, 4.8, 7.1),
            "all": (10.9, 4.4, 35.2, 17.7),
        },
    ),
    "claims": [
        claim("text helps text more than classification does", "text", "MM classification", "text"),
        claim(
            "classification helps classification more than text does",
            *("MM classification", "text", "MM classification"),
        ),
        claim(
            "text and reasoning on images together help reasoning on images more than the latter alone",
            *("text + MM reasoning", "MM reasoning", "MM reasoning"),
        ),
        claim("all sources are better over all than all but classification", "all", "text + MM reasoning", "overall"),
        claim("all sources are better over all than text", "all", "text", "overall"),
    ],
}
FILE = "sources.py"
FULL = {"text": tuple(TEXT), "MM reasoning": tuple(IMAGES), "MM classification": tuple(CLASSES)}
DEMO = {"text": ("medcalc",), "MM reasoning": ("brain_regions",), "MM classification": ("brain",)}


def get_config(arg: str | None = None) -> ConfigDict:
    """Return the config that the points change; ``arg`` is empty, ``demo`` or ``tiny``."""
    variant = variant_of(FILE, arg)
    if not variant:
        config = full_scale("sources")
        config.train.update({"steps": 2345, "epochs": 0.0})
    else:
        config = with_images(demo_scale("sources", variant), variant == "tiny")
        config.train.steps = 2000 if variant == "demo" else 4
    config.stages = (*config.stages, "baseline")
    return config


def sweep(add: Callable[..., None], arg: str | None = None) -> None:
    """Add one point for each mixture; every one is drawn from the same shards."""
    groups = DEMO if variant_of(FILE, arg) else FULL
    every = [source for group in groups.values() for source in group]
    for name in ("text", "MM reasoning", "MM classification", "text + MM reasoning", "all"):
        kept = every if name == "all" else [source for group in name.split(" + ") for source in groups[group]]
        add(name=name, **{"mixture.epochs": only(kept, every)})
