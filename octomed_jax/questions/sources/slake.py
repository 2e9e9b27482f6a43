"""SLAKE: questions on radiology images in English and Chinese, closed and open; the English ones are asked."""

from collections.abc import Iterator

from octomed_jax.questions.adapter import Adapter, Cells, PassedOver, Row, Split
from octomed_jax.questions.reading.forms import short_answer
from octomed_jax.verification.rows import RowError

LANGUAGES = {"en": "English", "zh": "Chinese"}
MODALITIES = {"CT": "CT", "MRI": "MRI", "X-RAY": "X-ray"}
# Its locations are regions, or "Chest_heart": a region and what of it is asked.
REGIONS = {"lung": "chest", "pelvic cavity": "pelvis"}


def cells(row: Row, split: str) -> Iterator[Cells]:  # noqa: ARG001
    """Yield the question of a row, whose image is a file named as ``xmlab1/source.jpg``."""
    if row["q_lang"] not in LANGUAGES:
        raise RowError(f"q_lang is {row['q_lang']!r}, neither en nor zh", "q_lang")
    if row["q_lang"] != "en":
        raise PassedOver(f"in {LANGUAGES[row['q_lang']]}")
    kind = row["answer_type"].strip().upper()
    if kind not in ("CLOSED", "OPEN"):
        raise RowError(f"answer_type is {row['answer_type']!r}, neither CLOSED nor OPEN", "answer_type")
    region = row["location"].strip().lower().partition("_")[0]
    yield {
        **short_answer(row["question"], row["answer"]),
        "image": row["img_name"].strip(),
        "benchmark": f"slake-{kind.lower()}",
        "modality": MODALITIES.get(row["modality"].strip().upper(), row["modality"].strip()),
        "body_region": REGIONS.get(region, region),
        "cluster": row["img_name"].strip().rpartition("/")[0],
    }


SOURCES = (
    Adapter(
        name="slake",
        title="questions on radiology images, the English ones",
        kind="images",
        home="https://huggingface.co/datasets/BoKelvin/SLAKE",
        licence="CC-BY-4.0",
        citation="Liu et al. 2021, arXiv:2102.09542",
        splits={
            "train": Split(("train.json", "Slake1.0/train.json"), 9_835),
            "validation": Split(("validation.json", "validate.json", "Slake1.0/validate.json"), 2_099, chosen=False),
            "test": Split(("test.json", "Slake1.0/test.json"), 2_094, "test"),
        },
        cells=cells,
        image_folders=("imgs", "Slake1.0/imgs"),
        archives=("imgs.zip",),
        hub="BoKelvin/SLAKE",
    ),
)
