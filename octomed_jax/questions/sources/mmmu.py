"""MMMU and MMMU-Pro: college exam questions with images; of their thirty subjects, the five of health and medicine."""

from collections.abc import Iterator

from octomed_jax.questions.adapter import Adapter, Cells, PassedOver, Row, Split
from octomed_jax.questions.reading.forms import at_letter, by_letter, list_of_texts, marked_images
from octomed_jax.verification.rows import RowError

SUBJECTS = (
    "Basic_Medical_Science",
    "Clinical_Medicine",
    "Diagnostics_and_Laboratory_Medicine",
    "Pharmacy",
    "Public_Health",
)
IMAGES = tuple(f"image_{number}" for number in range(1, 8))


def cells(row: Row, split: str) -> Iterator[Cells]:  # noqa: ARG001
    """Yield the question of a row, whose id names its subject: ``validation_Pharmacy_7``."""
    if row["id"].partition("_")[2].rpartition("_")[0] not in SUBJECTS:
        raise PassedOver("of another subject than health and medicine")
    if row["question_type"] not in ("multiple-choice", "open"):
        raise RowError(f"question_type is {row['question_type']!r}, neither multiple-choice nor open", "question_type")
    yield from _asked(row, row["question_type"] == "multiple-choice")


def pro(row: Row, split: str) -> Iterator[Cells]:  # noqa: ARG001
    """Yield the question of a row of MMMU-Pro, which has its subject as a column, and options for all."""
    if row["subject"].strip().replace(" ", "_") not in SUBJECTS:
        raise PassedOver("of another subject than health and medicine")
    yield from _asked(row, choices=True)


def _asked(row: Row, choices: bool) -> Iterator[Cells]:
    if row["answer"].strip() in ("", "?"):
        raise PassedOver("without a gold answer")
    shown = [row[name] for name in IMAGES if row.get(name) is not None]
    if shown != [row.get(name) for name in IMAGES[: len(shown)]]:
        raise RowError("image columns are empty before one that is not", "image")
    explanation = (row.get("explanation") or "").strip()
    common = {
        "question": marked_images(row["question"].strip(), len(shown), "question"),
        "image": shown,
        "explanation": "" if explanation == "?" else explanation,
    }
    if choices:
        texts = list_of_texts(row["options"], "options")
        options = [marked_images(text.strip(), len(shown), "options") for text in texts]
        gold = at_letter(by_letter(options), row["answer"], "answer")
        yield {**common, "task": "mcq", "options": options, "answer": gold}
        return
    answer = row["answer"].strip()
    golds = list_of_texts(answer, "answer") if answer.startswith(("['", '["')) else [answer]
    yield {**common, "answer": golds[0], "aliases": golds[1:]}


def _files(split: str) -> tuple[str, ...]:
    return f"*/{split}-*.parquet", f"{split}-*.parquet"


MMMU = Adapter(
    name="mmmu",
    title="college exam questions of health and medicine with images",
    kind="images",
    home="https://huggingface.co/datasets/MMMU/MMMU",
    licence="Apache-2.0",
    citation="Yue et al. 2024, arXiv:2311.16502",
    splits={  # of each of the five subjects 5, 30 and more rows; a copy may hold all thirty, so no number is checked
        "dev": Split(_files("dev"), goes_to="test", chosen=False),
        "validation": Split(_files("validation"), goes_to="test"),
        "test": Split(_files("test"), goes_to="test", chosen=False, gold=False),
    },
    cells=cells,
    columns=("id", "question", "options", "explanation", *IMAGES, "answer", "question_type"),
    hub="MMMU/MMMU",
)
PRO = Adapter(
    name="mmmu-pro",
    title="college exam questions of health and medicine with images and up to ten options",
    kind="images",
    home="https://huggingface.co/datasets/MMMU/MMMU_Pro",
    licence="Apache-2.0",
    citation="Yue et al. 2024, arXiv:2409.02813",
    splits={"test": Split(("standard (10 options)/test-*.parquet", "test-*.parquet"), 1_730, "test")},
    cells=pro,
    columns=("id", "question", "options", "explanation", *IMAGES, "answer", "subject"),
    hub="MMMU/MMMU_Pro",
)
SOURCES = (MMMU, PRO)
