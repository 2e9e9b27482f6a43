"""The model card of an export."""

from collections.abc import Mapping
from typing import Any

from octomed_jax.storage import Manifest


def model_card(trained: Manifest, figures: Mapping[str, Any]) -> str:
    """Return README.md of an exported folder."""
    train = trained.config["train"]
    difference = figures.get("max_logit_diff")
    checked = "not compared with transformers" if difference is None else f"equal to transformers to {difference:.1e}"
    return f"""---
license: apache-2.0
library_name: transformers
pipeline_tag: image-text-to-text
tags: [medical, qwen2_5_vl, octomed_jax]
---

# A student of the OctoMed recipe

Trained with octomed_jax for {trained.counts["steps"]} steps on {trained.counts.get("examples", "?")} accepted traces
(batch of {train["examples_per_step"]} examples, peak learning rate {train["peak_learning_rate"]}, {train["schedule"]}).
Exported in the published layout of Qwen2.5-VL; logits {checked}.

**Not for clinical use.** It was trained on answers that were checked only in their final line. Its data, their
licences and access classes are named by the manifest hashes in `provenance.json`.
"""
