"""LLaVA-Med: talks about figures of PubMed Central, written by GPT-4 from their captions; a question a pair of turns.

The replies are a model's. They are an instruction's reference text, and no gold that an answer could be marked against.
Some of its files misspell ``conversations``. Its splits are files that share figures, and one is read if none is named.
"""

from collections.abc import Iterator

from octomed_jax.questions.adapter import Adapter, Cells, Row, Split
from octomed_jax.questions.reading.turns import exchanges
from octomed_jax.verification.rows import RowError

# The domain that a row may carry, a word of ours for each; ``gross`` is gross pathology.
DOMAINS = {
    "chest_xray": ("X-ray", "chest"),
    "ct_scan": ("CT", ""),
    "gross": ("gross pathology", ""),
    "histology": ("histopathology", ""),
    "mri": ("MRI", ""),
}


def cells(row: Row, split: str) -> Iterator[Cells]:  # noqa: ARG001
    """Yield a question for each exchange, all with the image."""
    column = "conversatons" if "conversatons" in row else "conversations"
    if not row["image"] or not isinstance(row["image"], str):
        raise RowError("names no image", "image")
    modality, body_region = _domain(row.get("domain"))
    for asked, reply in exchanges(row[column], 1, column):
        yield {
            "question": asked,
            "task": "instruction",
            "answer": reply,
            "image": row["image"],
            "cluster": str(row["id"]).partition("_")[0],  # the paper: 17506892_F1 is its first figure
            "modality": modality,
            "body_region": body_region,
        }


def _domain(marks: object) -> tuple[str, str]:
    """Return modality and body region where a row names one domain, and no other."""
    named = [name for name, marked in marks.items() if marked] if isinstance(marks, dict) else []
    return DOMAINS.get(named[0], ("", "")) if len(named) == 1 else ("", "")


def _files(folder: str, name: str) -> tuple[str, ...]:
    file = f"llava_med_{name}.json"
    return (file, f"{folder}/{file}", f"data/{folder}/{file}")


LLAVA_MED = Adapter(
    name="llava-med",
    title="talks about figures of papers, by GPT-4 from their captions",
    kind="free form",
    home="https://github.com/microsoft/LLaVA-Med",
    licence="CC-BY-NC-4.0",
    citation="Li et al. 2023, arXiv:2306.00890",
    splits={
        "instruct_60k_inline_mention": Split(_files("instruct", "instruct_60k_inline_mention")),
        "instruct_60k": Split(_files("instruct", "instruct_60k"), chosen=False),
        "instruct_10k": Split(_files("instruct", "instruct_10k"), chosen=False),
        "alignment_500k": Split(_files("alignment", "alignment_500k"), chosen=False),
    },
    cells=cells,
    image_folders=("images", "data/images", ""),
)
SOURCES = (LLAVA_MED,)
