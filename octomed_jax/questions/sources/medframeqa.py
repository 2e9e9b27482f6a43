"""MedFrameQA: multiple-choice questions on two to five frames of a medical video."""

from collections.abc import Iterator

from octomed_jax.questions.adapter import Adapter, Cells, Row, Split
from octomed_jax.questions.reading.forms import at_letter, by_letter
from octomed_jax.verification.rows import RowError

IMAGES = tuple(f"image_{number}" for number in range(1, 6))
MODALITIES = {"ct": "CT", "mri": "MRI", "x-ray": "X-ray", "ultrasound": "ultrasound"}


def cells(row: Row, split: str) -> Iterator[Cells]:  # noqa: ARG001
    """Yield the question of a row of the set, or of OctoMed's copy, which has a list of images and ``answer``."""
    if "correct_answer" in row:
        images = [row[name] for name in IMAGES if row.get(name) is not None]
        answer = at_letter(by_letter(row["options"]), row["correct_answer"], "correct_answer")
    else:
        images, answer = row["image"], row["answer"]
    if len(images) < 2:
        raise RowError(f"there are {len(images)} images, and its questions are on several", "image")
    modality = (row.get("modality") or "").strip()
    yield {
        "question": row["question"].strip(),
        "task": "mcq",
        "options": row["options"],
        "answer": answer,
        "image": images,
        "explanation": row.get("reasoning_chain"),
        "modality": MODALITIES.get(modality.lower(), modality),
        "body_region": (row.get("organ") or "").strip().lower(),
        "cluster": row.get("video_id"),
    }


SOURCES = (
    Adapter(
        name="medframeqa",
        title="questions on several frames of a medical video",
        kind="images",
        home="https://huggingface.co/datasets/SuhaoYu1020/MedFrameQA",
        licence="CC-BY-4.0",
        citation="Yu et al. 2025, arXiv:2505.16964",
        splits={"test": Split(("data/test-*.parquet", "data/*.parquet", "test*.parquet"), 2_851, "test")},
        cells=cells,
        columns=(
            "question", "options", "correct_answer", "answer", *IMAGES, "image", "reasoning_chain", "modality", "organ",
            "video_id",
        ),
        hub="SuhaoYu1020/MedFrameQA",
    ),
)  # fmt: skip
