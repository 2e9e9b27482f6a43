"""VQA-RAD: questions of clinicians on radiology images, closed (mostly yes or no) and open.

Images stand in both splits as published, in the Hub's copy, which has no doubled rows, and in the original file. A
patient's case is one cluster, by a hash of its address: a pseudonym, and no anonymity.
"""

import dataclasses
from collections.abc import Iterator, Sequence

from octomed_jax.questions.adapter import Adapter, Cells, Row, Split
from octomed_jax.questions.pseudonyms import pseudonym
from octomed_jax.questions.reading.folder import Folder, Place
from octomed_jax.questions.reading.forms import short_answer
from octomed_jax.verification.rows import RowError

FILES = ("VQA_RAD Dataset Public.json", "VQA_RAD*.json")
PHRASES = {"freeform": "train", "para": "train", "test_freeform": "test", "test_para": "test"}
REGIONS = {"HEAD": "head", "CHEST": "chest", "ABD": "abdomen"}


def cells(row: Row, split: str) -> Iterator[Cells]:  # noqa: ARG001
    """Yield the question of a row of the Hub's copy."""
    yield {**short_answer(row["question"], row["answer"]), "image": row["image"]}


def original(row: Row, split: str) -> Iterator[Cells]:
    """Yield the question of a row of the original file; some of its answers are numbers."""
    if PHRASES.get(row["phrase_type"]) != split:
        raise RowError(f"phrase_type is {row['phrase_type']!r}, none of {', '.join(PHRASES)}", "phrase_type")
    kind = row["answer_type"].strip().upper()
    if kind not in ("CLOSED", "OPEN"):
        raise RowError(f"answer_type is {row['answer_type']!r}, neither CLOSED nor OPEN", "answer_type")
    yield {
        **short_answer(row["question"], row["answer"]),
        "image": row["image_name"].strip(),
        "benchmark": f"vqa-rad-{kind.lower()}",
        "body_region": REGIONS.get(row["image_organ"].strip(), ""),
        "cluster": pseudonym("vqa-rad", row["image_case_url"].strip()),
    }


def places(folder: Folder, name: str, files: Sequence[str]) -> Iterator[Place]:
    """Yield the rows of one split of the original file, which holds both; a row of neither stands in train."""
    for path in folder.tables(name, Split(tuple(files))):
        for place in folder.rows(path):
            phrase = place.row.get("phrase_type") if place.row else None
            if PHRASES.get(phrase if isinstance(phrase, str) else "", "train") == name:
                yield dataclasses.replace(place, size=1)


HUB = Adapter(
    name="vqa-rad",
    title="questions of clinicians on radiology images (the Hub's copy)",
    kind="images",
    home="https://huggingface.co/datasets/flaviagiammarino/vqa-rad",
    licence="CC0-1.0",
    citation="Lau et al. 2018, doi:10.1038/sdata.2018.251",
    splits={
        "train": Split(("data/train-*.parquet", "train*.parquet"), 1_793),
        "test": Split(("data/test-*.parquet", "test*.parquet"), 451, "test"),
    },
    cells=cells,
    columns=("image", "question", "answer"),
    hub="flaviagiammarino/vqa-rad",
)
ORIGINAL = Adapter(
    name="vqa-rad-original",
    title="questions of clinicians on radiology images (the authors' file)",
    kind="images",
    home="https://osf.io/89kps",
    licence="CC0-1.0",
    citation="Lau et al. 2018, doi:10.1038/sdata.2018.251",
    splits={"train": Split(FILES, 1_797), "test": Split(FILES, 451, "test")},
    cells=original,
    places=places,
    image_folders=("VQA_RAD Image Folder", "images", ""),
    archives=("VQA_RAD Image Folder.zip",),
)
SOURCES = (HUB, ORIGINAL)
