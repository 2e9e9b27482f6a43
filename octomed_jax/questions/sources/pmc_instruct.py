"""PMC-Instruct: captions of, or talks about, figures of papers in the nine groups that the paper's Figure 2 names.

The set itself is not published, and what it is made of is not known. The form read here is ours, after LLaVA-Med's:
docs/pmc-instruct.md has it. Caption and replies are an instruction's reference text, and no gold that an answer could
be marked against.
"""

from collections.abc import Iterator

from octomed_jax.errors import did_you_mean
from octomed_jax.questions.adapter import Adapter, Cells, Row, Split
from octomed_jax.questions.reading.row_images import images_of
from octomed_jax.questions.reading.turns import exchanges
from octomed_jax.verification.rows import RowError

# Group to our modality and body region. Whether dermatology is dermoscopy or photographs is not known.
GROUPS = {
    "histopathology": ("histopathology", ""),
    "ct": ("CT", ""),
    "electron microscopy": ("electron microscopy", ""),
    "fluorescence microscopy": ("fluorescence microscopy", ""),
    "mri": ("MRI", ""),
    "dermatology": ("", "skin"),
    "cxr": ("X-ray", "chest"),
    "gross pathology": ("gross pathology", ""),
    "ultrasound": ("ultrasound", ""),
}


def cells(row: Row, split: str) -> Iterator[Cells]:  # noqa: ARG001
    """Yield the question of a caption, or a question for each exchange; reports keep the nine groups apart."""
    group = str(row["modality"]).strip().lower()
    if group not in GROUPS:
        hint = did_you_mean(group, list(GROUPS))
        raise RowError(f"unknown modality {row['modality']!r}{hint}; one of {', '.join(GROUPS)}", "modality")
    modality, body_region = GROUPS[group]
    if not (images := images_of(row["image"])):
        raise RowError("names no image", "image")
    for asked, reply in _asked(row, len(images)):
        yield {
            "question": asked,
            "task": "instruction",
            "answer": reply,
            "image": images,
            "benchmark": f"pmc-instruct-{group.replace(' ', '-')}",
            "cluster": row.get("paper"),
            "modality": modality,
            "body_region": body_region,
            "licence": row.get("licence"),
        }


def _asked(row: Row, images: int) -> list[tuple[str, str]]:
    if (row.get("caption") is None) == (row.get("conversations") is None):
        raise RowError("needs caption or conversations, and not both", "caption")
    if row.get("conversations") is not None:
        return exchanges(row["conversations"], images, "conversations")
    if not row["caption"].strip():
        raise RowError("has an empty caption", "caption")
    return [("Describe this image." if images == 1 else "Describe these images.", row["caption"].strip())]


PMC_INSTRUCT = Adapter(
    name="pmc-instruct",
    title="captions and talks in the paper's nine groups, in a form of ours (docs/pmc-instruct.md)",
    kind="free form",
    home="https://arxiv.org/abs/2511.23269",
    licence="unknown",
    citation="Ossowski et al. 2025, arXiv:2511.23269, Figure 2",
    splits={"train": Split(("*.jsonl", "*.jsonl.gz"))},
    cells=cells,
    image_folders=("images", ""),
    archives=("images*.zip",),
)
SOURCES = (PMC_INSTRUCT,)
