"""MIMIC-CXR: chest X-rays with their reports, for those whom PhysioNet gave access.

The folder is MIMIC-CXR-JPG's, with the reports of MIMIC-CXR beside: unpacked (``files/p10/p10000032/s50414267.txt``) or
as mimic-cxr-reports.zip. A question is a study. Neither its text nor its id holds a number of a patient or a study; the
cluster is a patient, by a hash of the number: a pseudonym, and no anonymity.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from octomed_jax.errors import UserError
from octomed_jax.questions.adapter import Adapter, Cells, Row, Split
from octomed_jax.questions.pseudonyms import pseudonym
from octomed_jax.questions.reading.folder import Folder, Place
from octomed_jax.questions.reading.reports import BOTH, FINDINGS, IMPRESSION, WRITE, gold_of, sections_of, shown
from octomed_jax.verification.rows import RowError

SPLITS = ("mimic-cxr-2.0.0-split.csv.gz", "mimic-cxr-2.0.0-split.csv")  # so named in all versions
VIEWS = ("mimic-cxr-2.0.0-metadata.csv.gz", "mimic-cxr-2.0.0-metadata.csv")


def places(folder: Folder, split: str, patterns: Sequence[str]) -> Iterator[Place]:
    """Yield the studies of a split in the order of their first image; the tables are held, not the reports."""
    table = _first(folder, patterns)
    views = {row["dicom_id"]: row["ViewPosition"] for _, row in _rows(folder, _first(folder, VIEWS))}
    studies: dict[tuple[str, str], tuple[int, list[str]]] = {}
    for number, row in _rows(folder, table):
        if row["split"] == split:
            studies.setdefault((row["subject_id"], row["study_id"]), (number, []))[1].append(row["dicom_id"])
    for (subject, study), (number, images) in studies.items():
        path = f"p{subject[:2]}/p{subject}/s{study}"
        found = {
            "subject_id": subject,
            "images": [(views.get(image), f"{path}/{image}.jpg") for image in images],
            "report": _report(folder, f"{path}.txt"),
        }
        yield Place(folder.shown(table), number, "line", found)


def _rows(folder: Folder, table: Path) -> Iterator[tuple[int, Row]]:
    """Yield the lines of a table, all of which are needed to know a study."""
    for place in folder.rows(table):
        if place.row is None:
            raise UserError(f"{folder.root / place.file} line {place.number} {place.problem}; get it again")
        yield place.number, place.row


def _first(folder: Folder, names: Sequence[str]) -> Path:
    """Return the first of some files that is there."""
    return folder.path(next((name for name in names if (folder.root / name).is_file()), names[0]))


def _report(folder: Folder, name: str) -> str | None:
    """Return the text of a report, which lies where images do or in the archive; None where there is none."""
    try:
        return folder.read_image(name, named=False).decode()
    except (ValueError, OSError, RuntimeError):  # the errors of the system name the file, and with it the patient
        return None


def cells(row: Row, split: str) -> Iterator[Cells]:  # noqa: ARG001
    """Yield the question of a study."""
    if row["report"] is None:
        raise RowError("has no report that can be read", "report")
    if any(view is None for view, _ in row["images"]):
        raise RowError(f"has an image that {VIEWS[0]} has not", "image")
    sections = sections_of(row["report"])
    yield {
        "question": WRITE,
        "task": "report",
        "answer": gold_of(sections.get(FINDINGS, ""), sections.get(IMPRESSION, ""), sections.get(BOTH, "")),
        "image": shown(row["images"]),
        "cluster": pseudonym("mimic-cxr", row["subject_id"]),
    }


MIMIC_CXR = Adapter(
    name="mimic-cxr",
    title="chest X-rays and the findings and impression of their reports",
    kind="free form",
    home="https://physionet.org/content/mimic-cxr-jpg/",
    licence="PhysioNet Credentialed Health Data License 1.5.0",
    citation="Johnson et al. 2019, doi:10.1038/s41597-019-0322-0, arXiv:1901.07042",
    splits={
        "train": Split(SPLITS, 222_758),
        "validate": Split(SPLITS, 1_808, chosen=False),
        "test": Split(SPLITS, 3_269, "test"),
    },
    cells=cells,
    columns=("subject_id", "study_id", "dicom_id", "split", "ViewPosition"),
    access="credentialed",
    modality="X-ray",
    body_region="chest",
    places=places,
    image_folders=("files", "mimic-cxr-reports/files"),
    archives=("mimic-cxr-reports.zip",),
)
SOURCES = (MIMIC_CXR,)
