"""MedMNIST: small images with labels, in one .npz file a set; images become PNG.

Its files are ``NAME.npz`` (28 pixels on a side) and ``NAME_64.npz``, ``NAME_128.npz``, ``NAME_224.npz``; where several
lie in the folder, the largest images count. They name neither patients nor lesions, so an image is its own cluster.
"""

import dataclasses
import functools
import math
from collections.abc import Iterator, Sequence

from PIL import Image

from octomed_jax.errors import UserError
from octomed_jax.images.decode import encode_png
from octomed_jax.questions.adapter import Adapter, Cells, Row, Split
from octomed_jax.questions.reading.folder import Folder, Place
from octomed_jax.questions.reading.npz import Npz
from octomed_jax.questions.retinopathy import GRADES
from octomed_jax.questions.templates import Classes

SIDES = ("_224", "_128", "_64", "")  # of the file's name, largest images first


def cells(classes: Classes, row: Row, split: str) -> Iterator[Cells]:
    """Yield the question of an image; the label is its class's number."""
    image = {"bytes": encode_png(Image.fromarray(row["pixels"]))}
    yield classes.cells(f"{split}:{row['number']}", classes.label(row["label"], "label"), image)


def places(folder: Folder, split: str, patterns: Sequence[str]) -> Iterator[Place]:
    """Yield the images of a split, which are the rows of the arrays ``SPLIT_images`` and ``SPLIT_labels``."""
    for path in folder.tables(split, Split(tuple(patterns))):
        with Npz(path) as npz:
            images, labels = npz.header(f"{split}_images"), npz.header(f"{split}_labels")
            if images.dtype != "u1" or len(images.shape) not in (2, 3) or images.shape[2:] not in ((), (3,)):
                raise UserError(f"{path}: {split}_images are {images.dtype} {images.shape}, no gray or RGB images")
            if images.rows != labels.rows:
                raise UserError(f"{path} has {images.rows} {split}_images, but {labels.rows} {split}_labels")
            if math.prod(labels.shape) != 1:
                raise UserError(f"{path}: {split}_labels has the rows {labels.shape}, not one label an image")
            rows = zip(npz.rows(f"{split}_images"), npz.rows(f"{split}_labels"), strict=True)
            for number, (pixels, label) in enumerate(rows, 1):
                row = {"pixels": pixels, "label": label.item(), "number": number}
                yield Place(folder.shown(path), number, f"{split} image", row)


@dataclasses.dataclass(frozen=True)
class Set:
    """One set of the collection: its rows by split as published, and what it asks."""

    name: str
    rows: tuple[int, int, int]
    classes: Classes
    modality: str
    body_region: str
    licence: str = "CC-BY-4.0"

    def adapter(self) -> Adapter:
        """Return what reads it."""
        files = tuple(f"{self.name}{side}.npz" for side in SIDES)
        train, val, test = self.rows
        return Adapter(
            name=self.name,
            title=f"MedMNIST: {self.classes.asked} of a {self.classes.picture}",
            kind="classification",
            home="https://medmnist.com",
            licence=self.licence,
            citation="Yang et al. 2023, Scientific Data 10:41",
            splits={
                "train": Split(files, train),
                "val": Split(files, val, chosen=False),
                "test": Split(files, test, "test"),
            },
            cells=functools.partial(cells, self.classes),
            modality=self.modality,
            body_region=self.body_region,
            places=places,
        )


BLOOD = Classes(
    "microscope image of a blood cell",
    "cell type",
    (
        "basophil",
        "eosinophil",
        "erythroblast",
        "immature granulocytes(myelocytes, metamyelocytes and promyelocytes)",
        "lymphocyte",
        "monocyte",
        "neutrophil",
        "platelet",
    ),
)
# "normal, benign" would read as two options in a line of them.
BREAST = Classes(
    "breast ultrasound image",
    "class of finding",
    ("malignant", "normal or benign"),
    (("normal or benign", ("normal, benign", "benign", "normal")),),
)
DERMA = Classes(
    "dermoscopy image of a skin lesion",
    "diagnosis",
    (
        "actinic keratoses and intraepithelial carcinoma",
        "basal cell carcinoma",
        "benign keratosis-like lesions",
        "dermatofibroma",
        "melanoma",
        "melanocytic nevi",
        "vascular lesions",
    ),
)
OCT = Classes(
    "retinal OCT scan",
    "diagnosis",
    ("choroidal neovascularization", "diabetic macular edema", "drusen", "normal"),
)
PATH = Classes(
    "histology image of colorectal tissue",
    "tissue type",
    (
        "adipose",
        "background",
        "debris",
        "lymphocytes",
        "mucus",
        "smooth muscle",
        "normal colon mucosa",
        "cancer-associated stroma",
        "colorectal adenocarcinoma epithelium",
    ),
)
PNEUMONIA = Classes("chest X-ray of a child", "diagnosis", ("normal", "pneumonia"))
SETS = (
    Set("bloodmnist", (11_959, 1_712, 3_421), BLOOD, "light microscopy", ""),
    Set("breastmnist", (546, 78, 156), BREAST, "ultrasound", "breast"),
    Set("dermamnist", (7_007, 1_003, 2_005), DERMA, "dermoscopy", "skin", "CC-BY-NC-4.0"),
    Set("octmnist", (97_477, 10_832, 1_000), OCT, "OCT", "eyes"),
    Set("pathmnist", (89_996, 10_004, 7_180), PATH, "histopathology", "colon"),
    Set("pneumoniamnist", (4_708, 524, 624), PNEUMONIA, "X-ray", "chest"),
    # Its own label names are the numbers of the grades.
    Set("retinamnist", (1_080, 120, 400), GRADES, "fundus photography", "eyes"),
)
SOURCES = tuple(one.adapter() for one in SETS)
