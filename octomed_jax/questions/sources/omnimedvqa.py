"""OmniMedVQA: multiple-choice questions made of 73 sets of medical images; a file of JSON for each of them."""

from collections.abc import Iterator

from octomed_jax.questions.adapter import Adapter, Cells, Row, Split
from octomed_jax.questions.reading.forms import lettered
from octomed_jax.verification.rows import RowError
from octomed_jax.verification.text import plain_name

CHOICES = {letter: f"option_{letter}" for letter in "ABCD"}
# As its files spell them, folded; others stay as they are.
MODALITIES = {
    "ct(computed tomography)": "CT",
    "mr (mag-netic resonance imaging)": "MRI",
    "x-ray": "X-ray",
    "ultrasound": "ultrasound",
    "dermoscopy": "dermoscopy",
    "microscopy images": "light microscopy",
    "fundus photography": "fundus photography",
    "oct (optical coherence tomography": "OCT",
    "endoscopy": "endoscopy",
}
RESTRICTED = "as its original data set has it (restricted access)"


def cells(row: Row, split: str) -> Iterator[Cells]:
    """Yield the question of a row: the gold is a text, and some of the four options may be missing."""
    options = list(lettered(row, CHOICES).values())
    gold = [option for option in options if plain_name(option) == plain_name(row["gt_answer"])]
    if len(options) < 2:
        raise RowError(f"there are {len(options)} options", "options")
    if not gold:  # else a text such as "B" would be read as a letter
        raise RowError(f"gt_answer {row['gt_answer'][:60]!r} is none of the options", "gt_answer")
    modality = row["modality_type"].strip()
    yield {
        "question": row["question"].strip(),
        "options": options,
        "answer": gold[0],
        "image": row["image_path"].strip(),
        "modality": MODALITIES.get(modality.lower(), modality),
        "licence": RESTRICTED if split == "restricted" else None,
    }


def _files(part: str) -> tuple[str, ...]:
    return f"QA_information/{part}/*.json", f"OmniMedVQA/QA_information/{part}/*.json"


SOURCES = (
    Adapter(
        name="omnimedvqa",
        title="multiple-choice questions made of 73 sets of medical images",
        kind="images",
        home="https://huggingface.co/datasets/foreverbeliever/OmniMedVQA",
        licence="as each of its original data sets has it",
        citation="Hu et al. 2024, arXiv:2402.09181",
        splits={
            "open": Split(_files("Open-access"), goes_to="test"),
            "restricted": Split(_files("Restricted-access"), goes_to="test", chosen=False, access="credentialed"),
        },
        cells=cells,
        image_folders=("", "OmniMedVQA"),  # rows name Images/ACRIMA/Im002_ACRIMA.png
        archives=("OmniMedVQA.zip",),
    ),
)
