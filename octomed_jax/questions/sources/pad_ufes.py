"""PAD-UFES-20: smartphone photographs of skin lesions with patients' data; only the image and the diagnosis are used.

It has no official split: all rows are to learn from, and a patient is one cluster. Ids and clusters are hashes of the
set's numbers of images and patients: pseudonyms, and no anonymity.
"""

from collections.abc import Iterator

from octomed_jax.questions.adapter import Adapter, Cells, Row, Split
from octomed_jax.questions.pseudonyms import pseudonym
from octomed_jax.questions.templates import Classes
from octomed_jax.verification.rows import RowError

DIAGNOSES = {
    "ACK": "actinic keratosis",
    "BCC": "basal cell carcinoma",
    "MEL": "melanoma",
    "NEV": "nevus",
    "SCC": "squamous cell carcinoma",
    "SEK": "seborrheic keratosis",
}
ASKED = Classes("clinical photograph of a skin lesion", "diagnosis", tuple(DIAGNOSES.values()))
PARTS = ("imgs_part_1", "imgs_part_2", "imgs_part_3")


def cells(row: Row, split: str) -> Iterator[Cells]:  # noqa: ARG001
    """Yield the question of a photograph; ``img_id`` is its file's name, ``PAT_8_15_820.png``."""
    name, patient, diagnosis = row["img_id"], row["patient_id"], row["diagnostic"]
    if diagnosis not in DIAGNOSES:
        raise RowError(f"diagnostic {diagnosis[:40]!r} is none of {', '.join(DIAGNOSES)}", "diagnostic")
    if not name.startswith(f"{patient}_"):
        raise RowError(f"img_id {name[:60]!r} is not of the patient {patient[:40]!r}", "img_id")
    yield {
        "id": f"pad-ufes:{pseudonym('pad-ufes', name.removesuffix('.png'))}",
        **ASKED.cells(name, DIAGNOSES[diagnosis], name),
        "cluster": pseudonym("pad-ufes", patient),
    }


PAD_UFES = Adapter(
    name="pad-ufes",
    title="PAD-UFES-20: skin lesions in smartphone photographs, six diagnoses, no official split",
    kind="classification",
    home="https://data.mendeley.com/datasets/zr7vgbcyr2",
    licence="CC-BY-4.0",
    citation="Pacheco et al. 2020, Data in Brief 32:106221",
    splits={"train": Split(("metadata.csv",), 2_298)},
    cells=cells,
    columns=("patient_id", "diagnostic", "img_id"),
    modality="clinical photography",
    body_region="skin",
    image_folders=(
        *(f"{top}{part}{inner}" for part in PARTS for top in ("images/", "") for inner in (f"/{part}", "")),
        "images",
    ),
    archives=("images/imgs_part_*.zip", "imgs_part_*.zip"),
)
SOURCES = (PAD_UFES,)
