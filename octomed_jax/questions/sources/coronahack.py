"""CoronaHack: chest X-rays, normal or with a bacterial or viral pneumonia; one table names the images of both splits.

Its few rows with another cause (stress, smoking) have no class of their own and are passed over. COVID-19, SARS and
other names of its finer column are viral or bacterial here.
"""

from collections.abc import Iterator, Sequence

from octomed_jax.questions.adapter import Adapter, Cells, PassedOver, Row, Split
from octomed_jax.questions.reading.folder import Folder, Place
from octomed_jax.questions.templates import Classes
from octomed_jax.verification.rows import RowError

TABLE = "Chest_xray_Corona_Metadata.csv"
IMAGES = "Coronahack-Chest-XRay-Dataset"
CAUSES = {"bacteria": "bacterial pneumonia", "virus": "viral pneumonia"}
ASKED = Classes("chest X-ray", "diagnosis", ("normal", *CAUSES.values()))
OTHER = "stress-smoking"


def cells(row: Row, split: str) -> Iterator[Cells]:
    """Yield the question of an X-ray; ``Label`` and the cause must agree."""
    label, cause = row["Label"], (row["Label_1_Virus_category"] or "").strip().lower()
    if cause == OTHER:
        raise PassedOver("pneumonia of another cause")
    if label not in ("Normal", "Pnemonia"):
        raise RowError(f"Label {label[:40]!r} is neither Normal nor Pnemonia", "Label")
    if (label == "Normal") != (cause == "") or cause not in ("", *CAUSES):
        raise RowError(f"Label is {label}, but Label_1_Virus_category is {cause[:40]!r}", "Label_1_Virus_category")
    name = row["X_ray_image_name"]
    yield ASKED.cells(name, CAUSES.get(cause, "normal"), f"{split}/{name}")


def places(folder: Folder, split: str, patterns: Sequence[str]) -> Iterator[Place]:
    """Yield the rows of a split; a row that names none is of the first, where it is refused."""
    for path in folder.tables(split, Split(tuple(patterns))):
        for place in folder.rows(path):
            which = str((place.row or {}).get("Dataset_type", "")).lower()
            if which == split or (split == "train" and which not in ("train", "test")):
                problem = place.problem or ("" if which == split else f"is of the split {which[:40]!r}")
                row = None if problem else place.row
                yield Place(place.file, place.number, f"{split} {place.counts}", row, problem)


CORONAHACK = Adapter(
    name="coronahack",
    title="CoronaHack: normal chest X-rays, bacterial and viral pneumonia",
    kind="classification",
    home="https://www.kaggle.com/datasets/praveengovi/coronahack-chest-xraydataset",
    licence="unknown",
    citation="Govi 2020, CoronaHack Chest X-Ray Dataset, Kaggle",
    splits={"train": Split((TABLE,), 5_286), "test": Split((TABLE,), 624, "test")},
    cells=cells,
    modality="X-ray",
    body_region="chest",
    places=places,
    image_folders=(f"{IMAGES}/{IMAGES}", IMAGES, ""),
)
SOURCES = (CORONAHACK,)
