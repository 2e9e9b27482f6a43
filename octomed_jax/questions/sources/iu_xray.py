"""IU X-ray (Open-i, Indiana University): chest X-rays with their reports, where ``XXXX`` stands for what was taken out.

Two forms: Kaggle's two tables with normalised images, and the XML files of Open-i itself (openi.nlm.nih.gov), which do
not name the views. A study is known by a hash of its number: a pseudonym, and no anonymity.
"""

import dataclasses
import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from octomed_jax.errors import UserError
from octomed_jax.images.decode import MAX_BYTES
from octomed_jax.questions.adapter import Adapter, Cells, PassedOver, Row, Split
from octomed_jax.questions.pseudonyms import pseudonym
from octomed_jax.questions.reading.folder import Folder, Place
from octomed_jax.questions.reading.reports import WRITE, gold_of, shown, tidy
from octomed_jax.verification.rows import RowError

REPORTS, PROJECTIONS = "indiana_reports.csv", "indiana_projections.csv"
XML = "ecgen-radiology/*.xml"


def places(folder: Folder, split: str, patterns: Sequence[str]) -> Iterator[Place]:  # noqa: ARG001
    """Yield the studies, of the tables where they are there, else of the XML files."""
    if not (folder.root / REPORTS).is_file() and (files := sorted(folder.root.glob(XML))):
        yield from (_of_xml(folder, folder.path(folder.shown(path))) for path in files)  # none leads elsewhere
        return
    reports = folder.path(REPORTS)
    images = defaultdict(list)
    for place in folder.rows(folder.path(PROJECTIONS)):
        if place.row is None:
            raise UserError(f"{folder.root / place.file} line {place.number} {place.problem}; get it again")
        images[place.row["uid"]].append((place.row["projection"], place.row["filename"]))
    for place in folder.rows(reports):
        if place.row is not None:
            place = dataclasses.replace(place, row={**place.row, "images": images.get(place.row["uid"], [])})
        yield place


def _of_xml(folder: Folder, path: Path) -> Place:
    """Return the study of a file of Open-i, in the columns of Kaggle's table."""
    place = Place(folder.shown(path), 1, "row", None)
    if (size := path.stat().st_size) > MAX_BYTES:
        return dataclasses.replace(place, problem=f"has {size} bytes")
    try:
        root = ElementTree.fromstring(path.read_bytes())
    except (ElementTree.ParseError, ValueError) as error:
        return dataclasses.replace(place, problem=f"is no XML ({error})")
    uid = root.find("uId")
    texts = {text.get("Label", "").lower(): "".join(text.itertext()) for text in root.iter("AbstractText")}
    row = {
        "uid": "" if uid is None else uid.get("id", "").removeprefix("CXR"),
        "findings": texts.get("findings", ""),
        "impression": texts.get("impression", ""),
        "images": [("", f"{image.get('id')}.png") for image in root.iter("parentImage")],
    }
    return dataclasses.replace(place, row=row)


def cells(row: Row, split: str) -> Iterator[Cells]:  # noqa: ARG001
    """Yield the question of a study."""
    if not row["uid"]:
        raise RowError("has no uid", "uid")
    if not row["images"]:
        raise PassedOver("it has no image")
    study = pseudonym("iu-xray", row["uid"])
    yield {
        "id": f"iu-xray:{study}",
        "question": WRITE,
        "task": "report",
        "answer": gold_of(tidy(row["findings"]), tidy(row["impression"])),
        "image": shown(row["images"]),
        "cluster": study,
    }


IU_XRAY = Adapter(
    name="iu-xray",
    title="chest X-rays and the findings and impression of their reports",
    kind="free form",
    home="https://www.kaggle.com/datasets/raddar/chest-xrays-indiana-university",
    licence="unknown",
    citation="Demner-Fushman et al. 2016, doi:10.1093/jamia/ocv080",
    splits={"train": Split((REPORTS, XML))},
    cells=cells,
    modality="X-ray",
    body_region="chest",
    places=places,
    image_folders=("images/images_normalized", "images_normalized", "NLMCXR_png", "images"),
    archives=("*.zip",),
)
SOURCES = (IU_XRAY,)
