"""Medical sets of tensorflow-datasets, read from a folder that it prepared, with encoded images and without TensorFlow.

Prepare one with ``tfds build NAME --file_format=array_record``: the other formats cannot be read without TensorFlow.
The folder may be the data folder itself, or the version's folder in it. Names of classes that a set has itself must be
those that are known here, in their order. Numbers of patients and studies become hashes: pseudonyms, and no anonymity.

Its set bccd is not among them. It has boxes around the cells of blood smears; in 15 of its 364 images no red cell is
boxed, though those that were looked at are full of them, so that neither a count nor what is missing is a gold. In 344
both red and white cells are boxed, so that to ask which are there asks nothing.
"""

import dataclasses
import functools
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from octomed_jax.errors import StopAndLook, UserError
from octomed_jax.questions.adapter import Adapter, Cells, PassedOver, Row, Split
from octomed_jax.questions.pseudonyms import pseudonym
from octomed_jax.questions.reading.folder import Folder, Place
from octomed_jax.questions.retinopathy import GRADES
from octomed_jax.questions.sources import chexpert
from octomed_jax.questions.templates import Classes, label_at

JSON_BYTES = 16 * 2**20
FEATURES = "tensorflow_datasets.core.features."  # only these classes may be named: others would be imported
CATALOG = "https://www.tensorflow.org/datasets/catalog/"


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A set of tensorflow-datasets as it is prepared.

    Attributes:
        name: its name there.
        features: those that are read.
        names: of the classes of its ``label`` as it has them; empty where it has numbers only.
        config: of those that it has, the one to read; empty: any.
    """

    name: str
    features: tuple[str, ...]
    names: tuple[str, ...] = ()
    config: str = ""


def splits(name: str, counts: dict[str, Split]) -> dict[str, Split]:
    """Return splits with the files in which tensorflow-datasets keeps them."""
    forms = ("array_record", "tfrecord")  # the second to say what is wrong with it
    return {
        split: dataclasses.replace(one, files=tuple(f"**/{name}-{split}.{form}-*" for form in forms))
        for split, one in counts.items()
    }


def places(prepared: Prepared, folder: Folder, split: str, patterns: Sequence[str]) -> Iterator[Place]:
    """Yield the examples of a split, images encoded as they are stored.

    Raises:
        UserError: the folder is not as tensorflow-datasets prepares it.
        StopAndLook: a file is damaged.
    """
    paths = folder.tables(split, Split(tuple(patterns)))
    top = _version_folder(paths, prepared)
    source = _open(top, split, prepared)
    shown = folder.shown(paths[0])
    for number in range(len(source)):
        try:
            row = source[number]
        except Exception as error:  # of array_record, protobuf or the features, whichever meets it first
            raise StopAndLook(f"{top} is damaged at example {number} of {split} ({_first_line(error)})") from error
        if any(row[name] is None for name in prepared.features):  # a damaged record is read as an empty one
            raise StopAndLook(f"{top} is damaged at example {number} of {split}; prepare it again")
        yield Place(shown, number + 1, f"{split} example", {**row, "number": number})


def _version_folder(paths: Sequence[Path], prepared: Prepared) -> Path:
    tops = sorted({path.parent for path in paths})
    if len(tops) > 1:
        raise UserError(f"{prepared.name} is there {len(tops)} times ({tops[0]}, {tops[1]}); give one as --input")
    if ".tfrecord-" in paths[0].name:
        raise UserError(
            f"{paths[0]} is TFRecord, which needs TensorFlow; prepare it again with --file_format=array_record"
        )
    return tops[0]


def _open(top: Path, split: str, prepared: Prepared) -> Sequence[dict[str, Any]]:
    import tensorflow_datasets as tfds

    _check_classes(top)
    try:
        builder = tfds.builder_from_directory(str(top))
        features = builder.info.features
        missing = [name for name in prepared.features if name not in features]
        names = None if missing else _class_names(features["label"])
    except Exception as error:  # whatever the JSON files make it run into
        raise UserError(f"{top} cannot be opened by tensorflow-datasets ({_first_line(error)})") from error
    if builder.name != prepared.name or missing:
        which = f"; give its config {prepared.config}" if prepared.config else ""
        raise UserError(f"{top} holds {builder.name} with {', '.join(features)}, not {prepared.name}{which}")
    if names and names != list(prepared.names):
        raise UserError(f"{top} has the classes {', '.join(names)[:200]}; {prepared.name} is not as it was")
    try:
        source = builder.as_data_source(split, decoders={"image": tfds.decode.SkipDecoding()})
        len(source)
    except Exception as error:
        raise StopAndLook(f"{top} is damaged in the split {split} ({_first_line(error)})") from error
    return source


def _class_names(label: Any) -> list[str] | None:
    """Return the names of the classes of a label, or of each of several; None where they are only numbered."""
    label = getattr(label, "feature", label)
    return list(label.names) if label._str2int is not None else None


def _check_classes(top: Path) -> None:
    """Refuse features whose classes are not tensorflow-datasets' own."""
    path = top / "features.json"
    if not path.is_file() or path.stat().st_size > JSON_BYTES:
        raise UserError(f"{path} is not there or too large; give a folder that tensorflow-datasets prepared")
    try:
        todo = [json.loads(path.read_bytes())]
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is no JSON ({error}); prepare the set again") from error
    while todo:
        value = todo.pop()
        todo += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        for key in ("pythonClassName", "type") if isinstance(value, dict) else ():
            if isinstance(name := value.get(key), str) and not name.startswith(FEATURES):
                raise UserError(f"{path} names the class {name[:80]!r}, which is not of tensorflow-datasets")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def one_class(classes: Classes, row: Row, split: str) -> Iterator[Cells]:
    """Yield the question of an example with an image and a label."""
    yield classes.cells(f"{split}:{row['number']}", classes.label(row["label"], "label"), row["image"])


def eye(row: Row, split: str) -> Iterator[Cells]:
    """Yield the question of an eye (``4_left``); a patient is one cluster."""
    if row["label"] < 0:
        raise PassedOver("no label")
    patient, side = _text(row["name"]).rsplit("_", 1)
    yield {
        **next(one_class(GRADES, row, split)),
        "id": f"eyepacs:{pseudonym('eyepacs', f'{patient}_{side}')}",
        "cluster": pseudonym("eyepacs", patient),
    }


def patch(row: Row, split: str) -> Iterator[Cells]:
    """Yield the question of a patch of a mammogram (``STUDY/SERIES/abnorm_1/patch_0``); a study is one cluster."""
    study = _text(row["id"]).partition("/")[0]
    yield {**next(one_class(CBIS, row, split)), "cluster": pseudonym("cbis-ddsm", study)}


def radiograph(row: Row, split: str) -> Iterator[Cells]:  # noqa: ARG001
    """Yield the question of a chest X-ray as ``chexpert`` asks it."""
    numbers = zip(chexpert.FINDINGS, row["label"], strict=True)
    labels = {finding: label_at(CHEXPERT_LABELS, number, "label") for finding, number in numbers}
    view = label_at(chexpert.VIEWS, row["image_view"], "image_view")
    yield chexpert.question(labels, _text(row["name"]), view, row["image"])


PCAM = Classes(
    "histology tile of a lymph node",
    "class",
    ("no metastatic tissue in the centre", "metastatic tissue in the centre"),
)
MALARIA = Classes("microscope image of a red blood cell", "class", ("parasitized", "uninfected"))
TEXTURES = Classes(
    "histology tile of colorectal cancer",
    "tissue type",
    (
        "tumour epithelium",
        "simple stroma",
        "complex stroma",
        "immune cell conglomerates",
        "debris and mucus",
        "mucosal glands",
        "adipose tissue",
        "background",
    ),
)
CBIS = Classes(
    "patch of a mammogram",
    "class of finding",
    ("background", "benign calcification", "benign mass", "malignant calcification", "malignant mass"),
)
CHEXPERT_LABELS = (chexpert.UNCERTAIN, chexpert.POSITIVE, chexpert.NEGATIVE, chexpert.UNMENTIONED)


def adapter(
    prepared: Prepared, cells: Callable[[Row, str], Iterator[Cells]], counts: dict[str, Split], **fields: Any
) -> Adapter:
    """Return the adapter of a set."""
    return Adapter(
        kind="classification",
        home=CATALOG + prepared.name,
        splits=splits(prepared.name, counts),
        cells=cells,
        tfds=prepared.name,
        places=functools.partial(places, prepared),
        **fields,
    )


SOURCES = (
    adapter(
        Prepared("patch_camelyon", ("image", "label")),
        functools.partial(one_class, PCAM),
        {
            "train": Split(rows=262_144),
            "validation": Split(rows=32_768, chosen=False),
            "test": Split(rows=32_768, goes_to="test"),
        },
        name="patch-camelyon",
        title="PatchCamelyon: metastases in tiles of lymph nodes",
        licence="CC0-1.0",
        citation="Veeling et al. 2018, arXiv:1806.03962",
        modality="histopathology",
    ),
    adapter(
        Prepared("malaria", ("image", "label"), ("parasitized", "uninfected")),
        functools.partial(one_class, MALARIA),
        {"train": Split(rows=27_558)},
        name="malaria",
        title="malaria parasites in red blood cells of thin smears",
        licence="unknown",
        citation="Rajaraman et al. 2018, PeerJ 6:e4568",
        modality="light microscopy",
    ),
    adapter(
        Prepared(
            "colorectal_histology",
            ("image", "label"),
            ("tumor", "stroma", "complex", "lympho", "debris", "mucosa", "adipose", "empty"),
        ),
        functools.partial(one_class, TEXTURES),
        {"train": Split(rows=5_000)},
        name="colorectal-histology",
        title="textures of colorectal cancer in histology tiles, eight tissues",
        licence="CC-BY-4.0",
        citation="Kather et al. 2016, Scientific Reports 6:27988",
        modality="histopathology",
        body_region="colon",
    ),
    adapter(
        Prepared("diabetic_retinopathy_detection", ("image", "label", "name")),
        eye,
        {
            "train": Split(rows=35_126),
            "validation": Split(rows=10_906, chosen=False),
            "test": Split(rows=42_670, goes_to="test"),
            "sample": Split(rows=10, goes_to="test", chosen=False, gold=False),
        },
        name="eyepacs",
        title="EyePACS (Kaggle 2015): diabetic retinopathy in fundus photographs",
        licence="unknown",
        citation="EyePACS and Kaggle 2015, Diabetic Retinopathy Detection",
        modality="fundus photography",
        body_region="eyes",
    ),
    adapter(
        Prepared(
            "curated_breast_imaging_ddsm",
            ("image", "label", "id"),
            ("BACKGROUND", "BENIGN_CALCIFICATION", "BENIGN_MASS", "MALIGNANT_CALCIFICATION", "MALIGNANT_MASS"),
            "patches",
        ),
        patch,
        {"train": Split(), "validation": Split(chosen=False), "test": Split(goes_to="test")},
        name="cbis-ddsm",
        title="CBIS-DDSM: calcifications and masses in patches of mammograms",
        licence="CC-BY-3.0",
        citation="Sawyer-Lee et al. 2016, doi:10.7937/k9/tcia.2016.7o02s9cy",
        modality="mammography",
        body_region="breast",
    ),
    adapter(
        Prepared("chexpert", ("image", "label", "name", "image_view"), CHEXPERT_LABELS),
        radiograph,
        {"train": Split(rows=223_414), "validation": Split(rows=234, goes_to="test")},
        name="chexpert-tfds",
        title="CheXpert as tensorflow-datasets prepares it",
        licence=chexpert.LICENCE,
        citation="Irvin et al. 2019, arXiv:1901.07031",
        access="credentialed",
        modality="X-ray",
        body_region="chest",
    ),
)
