"""Brain Tumor MRI: slices in folders of their classes. Patients are not named, so an image is its own cluster."""

from collections.abc import Iterator, Sequence

from octomed_jax.errors import UserError
from octomed_jax.questions.adapter import Adapter, Cells, Row, Split
from octomed_jax.questions.reading.folder import Folder, Place
from octomed_jax.questions.templates import Classes

FOLDERS = {"train": "Training", "test": "Testing"}
CLASSES = {
    "glioma": "glioma",
    "meningioma": "meningioma",
    "notumor": "no tumor",
    "pituitary": "pituitary tumor",
}
ENDINGS = (".jpg", ".jpeg", ".png")
ASKED = Classes("brain MRI slice", "diagnosis", tuple(CLASSES.values()))


def cells(row: Row, split: str) -> Iterator[Cells]:  # noqa: ARG001
    """Yield the question of a slice; its folder is its class."""
    yield ASKED.cells(row["image"], CLASSES[row["class"]], row["image"])


def places(folder: Folder, split: str, patterns: Sequence[str]) -> Iterator[Place]:  # noqa: ARG001
    """Yield the slices of a split, class by class, sorted by name.

    Raises:
        UserError: the folders of the classes are not as published.
    """
    top = folder.root / FOLDERS[split]
    found = sorted(path.name for path in top.iterdir() if path.is_dir()) if top.is_dir() else []
    if found != sorted(CLASSES):
        has = f"has {', '.join(found)}" if found else "is not there"
        raise UserError(f"{top} {has}; brain-tumor-mri has folders {', '.join(CLASSES)} in it")
    for name in CLASSES:
        images = (path.name for path in (top / name).iterdir() if path.suffix.lower() in ENDINGS)
        for image in sorted(images):
            file = f"{FOLDERS[split]}/{name}/{image}"
            yield Place(file, 1, "image", {"image": file, "class": name})


BRAIN_TUMOR_MRI = Adapter(
    name="brain-tumor-mri",
    title="brain tumours in MRI slices, four classes",
    kind="classification",
    home="https://www.kaggle.com/datasets/masoudnickparvar/brain-tumor-mri-dataset",
    licence="CC0-1.0",
    citation="Nickparvar 2021, Brain Tumor MRI Dataset, Kaggle, doi:10.34740/KAGGLE/DSV/2645886",
    splits={"train": Split((), 5_712), "test": Split((), 1_311, "test")},
    cells=cells,
    modality="MRI",
    body_region="brain",
    places=places,
    image_folders=("",),
)
SOURCES = (BRAIN_TUMOR_MRI,)
