"""APTOS 2019: fundus photographs with grades of diabetic retinopathy.

The competition keeps the grades of its test images. The public splits are of a mirror that divides the training images
into three tables; ``aptos-kaggle`` reads the competition's own folder, whose rows are all to learn from.
"""

import dataclasses
from collections.abc import Iterator

from octomed_jax.questions.adapter import Adapter, Cells, Row, Split
from octomed_jax.questions.retinopathy import GRADES


def cells(row: Row, split: str) -> Iterator[Cells]:  # noqa: ARG001
    """Yield the question of a photograph; ``diagnosis`` is its grade."""
    code = row["id_code"]
    label = GRADES.label(row["diagnosis"], "diagnosis")
    yield {"id": f"aptos:{code}", **GRADES.cells(code, label, f"{code}.png")}


SPLITS = Adapter(
    name="aptos",
    title="APTOS 2019: diabetic retinopathy in fundus photographs, in the splits of a public mirror",
    kind="classification",
    home="https://www.kaggle.com/datasets/mariaherrerot/aptos2019",
    licence="unknown",
    citation="Karthik, Maggie and Dane 2019, APTOS 2019 Blindness Detection, Kaggle",
    splits={
        "train": Split(("train_1.csv",), 2_930),
        "validation": Split(("valid.csv",), 366, chosen=False),
        "test": Split(("test.csv",), 366, "test"),
    },
    cells=cells,
    columns=("id_code", "diagnosis"),
    modality="fundus photography",
    body_region="eyes",
    image_folders=tuple(
        f"{name}_images{inner}" for name in ("train", "val", "test") for inner in (f"/{name}_images", "")
    ),
)
KAGGLE = dataclasses.replace(
    SPLITS,
    name="aptos-kaggle",
    title="APTOS 2019: diabetic retinopathy in fundus photographs, the competition's training images",
    home="https://www.kaggle.com/c/aptos2019-blindness-detection",
    splits={
        "train": Split(("train.csv",), 3_662),
        "test": Split(("test.csv",), 1_928, "test", chosen=False, gold=False),
    },
    image_folders=("train_images",),
)
SOURCES = (SPLITS, KAGGLE)
