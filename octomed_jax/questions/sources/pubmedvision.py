"""PubMedVision: talks about figures of PubMed, written by GPT-4V; a question a pair of turns.

The replies are a model's: an instruction's reference text, and no gold that an answer could be marked against. Its card
unpacks the zip files of images with ``unzip -j``, so that a member's folder need not be the one that rows name.
"""

import re
from collections.abc import Iterator

from octomed_jax.questions.adapter import Adapter, Cells, Row, Split
from octomed_jax.questions.reading.turns import exchanges
from octomed_jax.verification.rows import RowError

# Names that mean just one of our words; all others stay as they are, in lower case.
MODALITIES = {
    "computed tomography": "CT",
    "magnetic resonance imaging": "MRI",
    "x-ray": "X-ray",
    "ultrasound": "ultrasound",
    "optical coherence tomography": "OCT",
    "fundus photography": "fundus photography",
    "dermoscopy": "dermoscopy",
    "endoscopy": "endoscopy",
    "histopathology": "histopathology",
    "mammography": "mammography",
    "positron emission tomography": "PET",
}
_FIGURE = re.compile(r"(pmc_\d+)_\d+$")  # pmc_952216_0 is the first image of a figure


def cells(row: Row, split: str) -> Iterator[Cells]:  # noqa: ARG001
    """Yield a question for each exchange, all with the images."""
    images = [row["image"]] if isinstance(row["image"], str) else list(row["image"] or [])
    if not images or not all(isinstance(image, str) and image for image in images):
        raise RowError("names no image", "image")
    stem = images[0].rpartition("/")[2].rpartition(".")[0]
    figure = _FIGURE.match(stem)
    modality = (row.get("modality") or "").strip().lower()
    for asked, reply in exchanges(row["conversations"], len(images), "conversations"):
        yield {
            "question": asked,
            "task": "instruction",
            "answer": reply,
            "image": images,
            "cluster": figure[1] if figure else stem,
            "modality": MODALITIES.get(modality, modality),
            "body_region": (row.get("body_part") or "").strip().lower(),
        }


PUBMEDVISION = Adapter(
    name="pubmedvision",
    title="talks about figures of papers, by GPT-4V",
    kind="free form",
    home="https://huggingface.co/datasets/FreedomIntelligence/PubMedVision",
    licence="Apache-2.0",
    citation="Chen et al. 2024, arXiv:2406.19280",
    splits={
        "instruction": Split(("PubMedVision_InstructionTuning_VQA.json",), 647_031),
        "alignment": Split(("PubMedVision_Alignment_VQA.json",), 647_031, chosen=False),
    },
    cells=cells,
    hub="FreedomIntelligence/PubMedVision",
    image_folders=("",),
    archives=("images_*.zip",),
    base_names=True,
)
SOURCES = (PUBMEDVISION,)
