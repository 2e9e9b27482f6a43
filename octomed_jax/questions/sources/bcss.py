"""BCSS-WSSS: tiles of breast cancer slides with the tissues that they hold, which stand in the tiles' names.

BCSS itself is a set of segmentations. The labels of whole tiles are of its weakly supervised form, whose training tiles
are named ``..._ymin25055_MPP-0.2500+12[1101].png``: a digit each for tumor, stroma, lymphocytes and necrosis. Its
validation and test tiles have masks instead and are not read. The makers' code numbers the classes and does not name
them: the order is that of the classes in the masks, as others who use the set have it. A patient (``TCGA-A1-A0SK``)
is one cluster, by a hash of that code: a pseudonym, and no anonymity.
"""

import re
from collections.abc import Iterator, Sequence

from octomed_jax.errors import UserError
from octomed_jax.questions.adapter import Adapter, Cells, PassedOver, Row, Split
from octomed_jax.questions.pseudonyms import pseudonym
from octomed_jax.questions.reading.folder import Folder, Place
from octomed_jax.questions.templates import several_cells
from octomed_jax.verification.rows import RowError

TISSUES = ("tumor", "stroma", "lymphocytes", "necrosis")
FOLDERS = tuple(f"{top}{name}" for top in ("", "BCSS-WSSS/") for name in ("training", "train", "train/img"))
_NAME = re.compile(r"(TCGA-\w{2}-\w{4}).*\[([01])[ ,]*([01])[ ,]*([01])[ ,]*([01])\]\.png")


def cells(row: Row, split: str) -> Iterator[Cells]:  # noqa: ARG001
    """Yield the question of a tile."""
    name = row["image"].rpartition("/")[2]
    if not (match := _NAME.fullmatch(name)):
        raise RowError(f"the name {name[:80]!r} does not end in four digits 0 or 1 in brackets", "image")
    patient, *digits = match.groups()
    present = [tissue for tissue, digit in zip(TISSUES, digits, strict=True) if digit == "1"]
    if not present:
        raise PassedOver("none of the tissues")
    picture = "histology image of breast cancer"
    asked = several_cells(name, picture, "tissues", TISSUES, present, row["image"])
    yield {**asked, "cluster": pseudonym("bcss", patient)}


def places(folder: Folder, split: str, patterns: Sequence[str]) -> Iterator[Place]:  # noqa: ARG001
    """Yield the tiles, sorted by name.

    Raises:
        UserError: there are none.
    """
    for name in FOLDERS:
        if images := sorted(path.name for path in (folder.root / name).glob("*.png")):
            for image in images:
                yield Place(f"{name}/{image}", 1, "image", {"image": f"{name}/{image}"})
            return
    raise UserError(f"{folder.root} has no tiles; bcss has .png files in {' or '.join(FOLDERS)}")


BCSS = Adapter(
    name="bcss",
    title="BCSS-WSSS: tissues in tiles of breast cancer slides, any number of them",
    kind="classification",
    home="https://github.com/ChuHan89/WSSS-Tissue",
    licence="CC0-1.0",
    citation="Amgad et al. 2019, Bioinformatics 35:3461; Han et al. 2022, Medical Image Analysis 80:102487",
    splits={"train": Split((), 23_422)},
    cells=cells,
    modality="histopathology",
    body_region="breast",
    places=places,
    image_folders=("",),
)
SOURCES = (BCSS,)
