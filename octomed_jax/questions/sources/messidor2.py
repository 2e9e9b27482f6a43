"""Messidor-2: fundus photographs with adjudicated grades of diabetic retinopathy.

The images are ADCIS's; ``messidor_data.csv`` with the grades is another publication, and its names differ from the
images' in the spelling of their endings. Four photographs are ungradable and are passed over. There is no official
split: all rows are to learn from. Where ``messidor-2.csv`` lies beside the grades, which pairs the eyes of a patient,
a pair is one cluster, by a hash of the images' names: a pseudonym, and no anonymity.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from octomed_jax.errors import UserError
from octomed_jax.questions.adapter import Adapter, Cells, PassedOver, Row, Split
from octomed_jax.questions.pseudonyms import pseudonym
from octomed_jax.questions.reading.folder import Folder, Place
from octomed_jax.questions.retinopathy import GRADES
from octomed_jax.verification.rows import RowError

GRADES_FILE, PAIRS_FILE = "messidor_data.csv", "messidor-2.csv"
PAIRS_COLUMN = "left;right"
ENDINGS = (".png", ".jpg", ".JPG", ".jpeg", ".PNG")
MISSING = ("", "nan", "None", None)


def cells(row: Row, split: str) -> Iterator[Cells]:  # noqa: ARG001
    """Yield the question of a photograph; ``adjudicated_dr_grade`` is empty where it is ungradable."""
    name, grade = row["image_id"], row["adjudicated_dr_grade"]
    gradable = row.get("adjudicated_gradable") not in ("0", "0.0", 0)
    if grade in MISSING:
        if gradable and "adjudicated_gradable" in row:
            raise RowError("adjudicated_dr_grade is empty, but the image is gradable", "adjudicated_dr_grade")
        raise PassedOver("ungradable")
    if not gradable:
        raise RowError(f"is ungradable, but has the grade {grade}", "adjudicated_dr_grade")
    label = GRADES.label(grade, "adjudicated_dr_grade")
    yield {**GRADES.cells(stem(name), label, row["image"]), "cluster": row["cluster"]}


def places(folder: Folder, split: str, patterns: Sequence[str]) -> Iterator[Place]:
    """Yield the grades, each with the file of its image and the pair that it belongs to."""
    tables = {path.name: path for path in folder.tables(split, Split(tuple(patterns)))}
    if GRADES_FILE not in tables:
        raise UserError(f"{folder.root} has {', '.join(tables)}, but not {GRADES_FILE}, which has the grades")
    pairs = _pairs(folder, tables[PAIRS_FILE]) if PAIRS_FILE in tables else {}
    for place in folder.rows(tables[GRADES_FILE]):
        if place.row is None or "image_id" not in place.row:
            yield place
            continue
        name = place.row["image_id"]
        spellings = [name, *(stem(name) + ending for ending in ENDINGS)]
        image = next(filter(folder.has_image, spellings), name)
        row = {**place.row, "image": image, "cluster": pairs.get(stem(name), "")}
        yield Place(place.file, place.number, place.counts, row)


def _pairs(folder: Folder, path: Path) -> dict[str, str]:
    """Return image to pair, both without endings; an eye may be missing."""
    pairs = dict[str, str]()
    for place in folder.rows(path):
        if place.row is None or PAIRS_COLUMN not in place.row:
            raise UserError(f"{path} {place.counts} {place.number} is no pair under {PAIRS_COLUMN!r}; get it again")
        names = [stem(name.strip()) for name in place.row[PAIRS_COLUMN].split(";") if name.strip()]
        pairs |= dict.fromkeys(names, pseudonym("messidor2", "+".join(names)))
    return pairs


def stem(name: str) -> str:
    """Return an image's name without its ending."""
    return PurePosixPath(name).stem


MESSIDOR2 = Adapter(
    name="messidor2",
    title="Messidor-2: diabetic retinopathy in fundus photographs (OctoMed/Messidor2 is read by --source=octomed)",
    kind="classification",
    home="https://www.kaggle.com/datasets/google-brain/messidor2-dr-grades",
    licence="unknown",
    citation="Decencière et al. 2014, Image Analysis and Stereology 33:231; Krause et al. 2018, arXiv:1710.01711",
    splits={"train": Split(("messidor*.csv", "*/messidor*.csv"), 1_748)},
    cells=cells,
    modality="fundus photography",
    body_region="eyes",
    places=places,
    image_folders=("IMAGES", "images", "messidor-2/messidor-2/preprocess", "messidor-2/preprocess", ""),
)
SOURCES = (MESSIDOR2,)
