"""CheXpert: chest X-rays with fourteen findings, each read out of the report: 1, 0, -1 (uncertain) or nothing.

The question names the findings and asks which are there. How its labels count, as a rule of ours:

- 1 is there; 0 is not; nothing (the report does not speak of it) counts as not there.
- A finding that is uncertain is not among the options: it is neither right nor wrong to name it.
- "No Finding" is the answer where it is 1 and nothing but support devices is there too; with those, they are.
- An image without any finding that is there, and without "No Finding", has no answer and is passed over.

The radiologists' validation images are the held-out split. A patient is one cluster. Ids and clusters are hashes of
the set's numbers of images and patients: pseudonyms, and no anonymity.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from octomed_jax.questions.adapter import Adapter, Cells, PassedOver, Row, Split
from octomed_jax.questions.pseudonyms import pseudonym
from octomed_jax.questions.templates import several_cells
from octomed_jax.verification.rows import RowError

NO_FINDING, DEVICES = "No Finding", "Support Devices"
FINDINGS = (
    NO_FINDING,
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    DEVICES,
)
POSITIVE, NEGATIVE, UNCERTAIN, UNMENTIONED = "positive", "negative", "uncertain", "unmentioned"
SPELLINGS = {"1": POSITIVE, "0": NEGATIVE, "-1": UNCERTAIN, "": UNMENTIONED}
VIEWS = ("frontal", "lateral")
_PATH = re.compile(r"[^/]+/(?:train|valid|test)/((patient\d+)/study\d+/view\d+_(\w+)\.(?:jpg|png))")


def cells(row: Row, split: str) -> Iterator[Cells]:  # noqa: ARG001
    """Yield the question of an image; its labels stand in fourteen columns, the patient and the view in its path."""
    labels = {finding: _label(row[finding], finding) for finding in FINDINGS}
    match = _PATH.fullmatch(row["Path"])
    yield question(labels, row["Path"], row["Frontal/Lateral"].lower(), match[1] if match else "")


def question(labels: Mapping[str, str], name: str, view: str, image: Any) -> Cells:
    """Return the cells of the question about an image.

    Args:
        labels: finding to positive, negative, uncertain or unmentioned.
        name: the published path of the image.
        view: frontal or lateral.
        image: as a cell has it.

    Raises:
        RowError: labels contradict each other, or the path is not as published.
        PassedOver: there is no answer.
    """
    if not (match := _PATH.fullmatch(name)) or view not in VIEWS or match[3] != view:
        raise RowError("Path is not as published, or of another view than Frontal/Lateral says", "Path")
    present = [finding for finding in FINDINGS if labels[finding] == POSITIVE]
    if NO_FINDING in present:
        if others := [finding for finding in present if finding not in (NO_FINDING, DEVICES)]:
            raise RowError(f"No Finding is 1, but {others[0]} is too", NO_FINDING)
        present = [DEVICES] if DEVICES in present else [NO_FINDING]
    if not present:
        raise PassedOver("no certain finding, and not No Finding")
    options = [finding for finding in FINDINGS if labels[finding] != UNCERTAIN]
    return {
        "id": f"chexpert:{pseudonym('chexpert', match[1].rpartition('.')[0])}",
        **several_cells(match[1], f"{view} chest X-ray", "findings", options, present, image),
        "cluster": pseudonym("chexpert", match[2]),
    }


def _label(value: Any, finding: str) -> str:
    text = "" if value is None or value != value else str(value).strip().removesuffix(".0")
    if text not in SPELLINGS:
        raise RowError(f"{finding} {text[:40]!r} is none of 1, 0, -1 and nothing", finding)
    return SPELLINGS[text]


TOPS = ("CheXpert-v1.0-small/", "CheXpert-v1.0/", "")
BATCHES = (
    "CheXpert-v1.0 batch 1 (validate & csv)",
    "CheXpert-v1.0 batch 2 (train 1)",
    "CheXpert-v1.0 batch 3 (train 2)",
    "CheXpert-v1.0 batch 4 (train 3)",
)
LICENCE = "Stanford University Dataset Research Use Agreement"
CHEXPERT = Adapter(
    name="chexpert",
    title="CheXpert: fourteen findings in chest X-rays, any number of them",
    kind="classification",
    home="https://stanfordmlgroup.github.io/competitions/chexpert/",
    licence=LICENCE,
    citation="Irvin et al. 2019, arXiv:1901.07031",
    splits={
        "train": Split((*(f"{top}train.csv" for top in TOPS), f"{BATCHES[0]}/train.csv"), 223_414),
        "valid": Split((*(f"{top}valid.csv" for top in TOPS), f"{BATCHES[0]}/valid.csv"), 234, "test"),
    },
    cells=cells,
    columns=("Path", "Frontal/Lateral", *FINDINGS),
    access="credentialed",
    modality="X-ray",
    body_region="chest",
    # Patients have numbers that no two splits share, so a path from the patient on is enough.
    image_folders=(*(f"{top}{split}" for top in TOPS for split in ("train", "valid")), f"{BATCHES[0]}/valid", *BATCHES),
)
SOURCES = (CHEXPERT,)
