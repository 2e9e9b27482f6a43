"""DICOM studies that pydicom's test data carry: modality and body part, several views of each, split by study."""

import dataclasses
from collections.abc import Mapping

import numpy as np
from PIL import Image

from octomed_jax.errors import UserError
from octomed_jax.images.decode import encode_png
from octomed_jax.images.dicom import DicomFrames, read_dicom
from octomed_jax.questions.packages.archives import wheel_members
from octomed_jax.questions.packages.fetch import fetch
from octomed_jax.questions.packages.pinned import PYDICOM, PYDICOM_DATA, Package
from octomed_jax.questions.packages.source import Made, Source, generator, side_of
from octomed_jax.schema import Question
from octomed_jax.storage import sha256_bytes

LICENCE = "MIT (pydicom, pydicom-data)"
MODALITIES = {"CT": "CT", "MR": "MRI", "US": "ultrasound", "CR": "X-ray", "NM": "nuclear medicine"}
BODY_PARTS = ("head", "chest", "abdomen", "heart", "pelvis", "shoulder", "leg", "whole body")
TEXTS = {
    "dicom_modality": "Which kind of imaging made this picture?",
    "dicom_body_part": "Which part of the body does this picture show?",
}


@dataclasses.dataclass(frozen=True)
class Study:
    """One study, by the file that shows it. The wheel's pin covers the file's bytes.

    Attributes:
        name: of the study, as used in ids.
        package, member: where the file lies. Files that need no codec beyond pydicom's and Pillow's own are chosen.
        modality: the header's code, compared when the file is read.
        body_part: looked up by eye where the header has none; empty where it is not one of BODY_PARTS.
        crop: left, top, right, bottom as shares of the image; leaves burned-in text out.
        split: ``train`` or ``test``.
    """

    name: str
    package: Package
    member: str
    modality: str
    body_part: str
    crop: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
    split: str = "train"


def _data(name: str) -> tuple[Package, str]:
    return PYDICOM_DATA, f"data_store/data/{name}.dcm"


def _own(name: str) -> tuple[Package, str]:
    return PYDICOM, f"pydicom/data/test_files/{name}.dcm"


# About every fourth study is held out, chosen such that each of its classes has a study in training.
STUDIES = (
    Study("ct-head-693", *_data("693_UNCR"), "CT", "head"),
    Study("ct-pancreas", *_data("explicit_VR-UN"), "CT", "abdomen"),
    Study("ct-small", *_own("CT_small"), "CT", ""),
    Study("ct-head-lv2", *_own("J2K_pixelrep_mismatch"), "CT", "head", split="test"),
    Study("mr-shoulder", *_data("MR2_UNCR"), "MR", "shoulder"),
    Study("mr-head", *_data("emri_small"), "MR", "head"),
    Study("mr-small", *_own("MR_small"), "MR", ""),
    Study("mr-liver", *_data("MR-SIEMENS-DICOM-WithOverlays"), "MR", "abdomen", split="test"),
    Study("us-heart-doppler", *_data("color-pl"), "US", "heart"),
    Study("us-pelvis", *_data("gdcm-US-ALOKA-16"), "US", "pelvis", (0.04, 0.2, 0.96, 0.86)),
    Study("us-node", *_data("US1_UNCR"), "US", "", (0.1, 0.24, 0.9, 0.68), "test"),
    Study("us-heart", *_data("color3d_jpeg_baseline"), "US", "heart", (0.14, 0.04, 0.76, 0.86), "test"),
    Study("cr-chest", *_data("RG1_UNCR"), "CR", "chest"),
    Study("cr-leg", *_data("RG3_UNCR"), "CR", "leg", (0.2, 0.0, 0.62, 1.0)),
    Study("nm-bone", *_data("JPEG2000_UNC"), "NM", "whole body"),
)


def read_study(study: Study, data: bytes) -> DicomFrames:
    """Return the frames of a study, cropped, at most 8.

    Raises:
        UserError: it cannot be decoded, or its header names another modality.
    """
    frames = read_dicom(data, study.member, max_frames=8)
    if frames.modality != study.modality:
        raise UserError(
            f"{study.member} says it is {frames.modality!r}, not {study.modality!r}; delete the cached wheel"
        )
    height, width = frames.frames.shape[1:3]
    left, top, right, bottom = study.crop
    rows = slice(round(top * height), round(bottom * height))
    columns = slice(round(left * width), round(right * width))
    return dataclasses.replace(frames, frames=np.ascontiguousarray(frames.frames[:, rows, columns]))


def view(frames: DicomFrames, side: int, index: int, rng: np.random.Generator) -> Image.Image:
    """Return a square view (side, side): a frame, a random crop of 75 % or more, slightly brighter or darker.

    View 0 is the whole first frame.
    """
    image = frames.image(index % len(frames.frames))
    scale = 1.0 if index == 0 else rng.uniform(0.75, 1.0)
    gain = 1.0 if index == 0 else rng.uniform(0.8, 1.15)
    width, height = image.width * scale, image.height * scale
    left, top = rng.uniform(0, image.width - width + 1e-9), rng.uniform(0, image.height - height + 1e-9)
    # Padded to a square, so that nothing is squeezed.
    longest = max(width, height)
    size = (max(1, round(side * width / longest)), max(1, round(side * height / longest)))
    part = image.resize(size, Image.Resampling.BICUBIC, box=(left, top, left + width, top + height), reducing_gap=3.0)
    square = Image.new(part.mode, (side, side))
    square.paste(part, ((side - size[0]) // 2, (side - size[1]) // 2))
    return square.point(lambda value: min(255, round(value * gain)))


def make(settings: Mapping[str, int], seed: int, workers: int) -> Made:  # noqa: ARG001
    """Make ``views_each`` views of every study, each asked for its modality and, where known, its body part.

    Raises:
        UserError: a view under 28 pixels a side; a file that cannot be read.
    """
    side = side_of("dicom", settings, 28, "views")
    questions = []
    wheels = {package: fetch(package) for package in (PYDICOM_DATA, PYDICOM)}
    for study in STUDIES:
        data = wheel_members(wheels[study.package], [study.member], study.package.filename)[study.member]
        frames = read_study(study, data)
        for index in range(settings["views_each"]):
            image = encode_png(view(frames, side, index, generator("dicom", seed, study.name, index)))
            questions += _questions(study, index, image)
    return Made(questions)


def _questions(study: Study, index: int, image: bytes) -> list[Question]:
    modality = MODALITIES[study.modality]
    asked = {"dicom_modality": (modality, tuple(MODALITIES.values()), f"Asked: imaging. This is {modality}.")}
    if study.body_part:
        explanation = f"Asked: body part. This is the {study.body_part}."
        asked["dicom_body_part"] = (study.body_part, BODY_PARTS, explanation)
    return [
        Question(
            id=f"dicom:{benchmark}:{study.name}:{index:03d}",
            source="dicom",
            benchmark=benchmark,
            split=study.split,
            task="classification",
            question=TEXTS[benchmark],
            options=options,
            answer=answer,
            images=(image,),
            image_hashes=(sha256_bytes(image),),
            explanation=explanation,
            cluster=study.name,
            modality=modality,
            body_region=study.body_part,
            licence=LICENCE,
        )
        for benchmark, (answer, options, explanation) in asked.items()
    ]


SOURCE = Source(
    name="dicom",
    title="DICOM studies: kind of imaging and body part, split by study",
    licence=LICENCE,
    access="open",
    attribution=(
        "Test data of pydicom and pydicom-data, (C) the pydicom authors and contributors; no patient field is kept."
    ),
    gives={"dicom_modality": "train and test", "dicom_body_part": "train and test"},
    packages=(PYDICOM_DATA, PYDICOM),
    settings=("views_each", "side_pixels"),
    make=make,
)
