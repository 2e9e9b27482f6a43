"""Metadata: modality and body region of questions whose source names none, by rule.

A rule is a list of words that only questions about one modality, or one region, have. Where words of two stand in a
question, nothing is filled in. What was filled in is marked (metadata_marks.py). A modality is that of an image, so
only questions with images get one.
"""

import dataclasses
import functools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, UInt8

from octomed_jax.curation.corpus import Corpus, Piece
from octomed_jax.curation.decontaminate import has_images
from octomed_jax.curation.scratch import do_pieces, joined_arrays, save_array

RULES_VERSION = "rule-2"
COLUMNS = ("question", "options", "image_hash", "modality", "body_region")
FIELDS = ("modality", "body_region")

# Words as they are in a text in lower case; a word stands for its beginnings where it ends with a star.
MODALITIES = {
    "CT": ("ct", "ct-scan*", "pet-ct", "cect", "hrct", "computed tomograph*", "computerized tomograph*", "hounsfield"),
    "MRI": ("mri", "pet-mri", "mr image*", "magnetic resonance", "t1-weighted", "t2-weighted", "t1w", "t2w", "flair"),
    "X-ray": ("x-ray*", "xray*", "x ray*", "radiograph*", "roentgen*", "cxr"),
    "ultrasound": ("ultrasound*", "ultrasonograph*", "sonogra*", "echocardiogra*", "doppler"),
    "fundus photography": ("fundus", "fundoscop*", "funduscop*", "ophthalmoscop*"),
    "OCT": ("optical coherence tomograph*", "oct image*", "oct scan*"),
    "dermoscopy": ("dermoscop*", "dermatoscop*"),
    "histopathology": (
        "histopatholog*",
        "histolog*",
        "h&e",
        "hematoxylin",
        "haematoxylin",
        "immunohistochem*",
        "biopsy",
    ),
    "electron microscopy": ("electron micro*",),
    "endoscopy": ("endoscop*", "colonoscop*", "bronchoscop*", "laparoscop*", "gastroscop*", "cystoscop*"),
    "nuclear medicine": ("nuclear medicine", "scintigra*", "spect", "bone scan*"),
    "PET": ("pet", "pet-scan*", "positron emission"),
    "mammography": ("mammogra*",),
}
BODY_REGIONS = {
    "chest": (
        "chest",
        "thora*",
        "lung*",
        "pulmon*",
        "pleura*",
        "pneumothora*",
        "pneumon*",
        "mediastin*",
        "cardiac",
        "heart",
    ),
    "brain": (
        "brain*",
        "cerebr*",
        "cerebell*",
        "intracranial",
        "cranial",
        "hippocamp*",
        "ventricles",
        "glioma*",
        "mening*",
    ),
    "abdomen": (
        *(
            "abdom*",
            "liver",
            "hepat*",
            "kidney*",
            "renal",
            "spleen*",
            "splenic",
            "pancrea*",
            "bowel*",
            "colon",
            "gallbladder",
        ),
        *("stomach", "gastric", "intestin*", "appendi*"),
    ),
    "eyes": ("eye", "eyes", "retina*", "macula*", "fundus", "optic disc", "optic nerve", "cornea*", "ocular"),
    "skin": ("skin", "dermat*", "dermoscop*", "melanoma*", "nevus", "mole", "cutaneous"),
    "pelvis": ("pelvi*", "prostat*", "uter*", "ovar*", "bladder", "cervix", "rectum", "rectal"),
    "breast": ("breast*", "mammogra*"),
    "neck": ("neck", "thyroid*", "laryn*", "carotid*", "cervical spine"),
}


@dataclasses.dataclass(frozen=True)
class Filled:
    """What is filled in, by place.

    Attributes:
        codes: field to the number of the value of each question, counted from 1 in ``values``; 0: left as it is.
        judged: field to which of them a judge gave, where one was asked; rules gave the others.
        judge: its name, with the version of what it was asked.
    """

    codes: Mapping[str, UInt8[np.ndarray, " N"]]
    judged: Mapping[str, Bool[np.ndarray, " N"]] | None = None
    judge: str = ""

    def by(self, field: str, place: int) -> str:
        """Return who gave the value of a field that is filled in: the rules, with their version, or the judge."""
        return self.judge if self.judged and self.judged[field][place] else RULES_VERSION

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Field to value to how many questions got it."""
        return {
            field: {
                value: int(count)
                for value, count in zip(values(field), np.bincount(self.codes[field], minlength=256)[1:], strict=False)
                if count
            }
            for field in FIELDS
        }


@dataclasses.dataclass(frozen=True)
class MetadataPiece:
    """A piece whose values are worked out into ``target``, (2, N) numbers."""

    piece: Piece
    replace: bool
    target: str


def values(field: str) -> tuple[str, ...]:
    """Return the values of a field that rules know."""
    return tuple(MODALITIES if field == "modality" else BODY_REGIONS)


def fill(
    corpus: Corpus,
    kept: Bool[np.ndarray, " N"],
    settings: Mapping[str, Any],
    folder: Path,
    engine: str,
    workers: int,
) -> Filled:
    """Return what rules say of those questions that are kept and whose source says nothing; with ``replace`` of all.

    Memory: 2 bytes a question.
    """
    pieces = corpus.pieces()
    targets = [folder / f"{number:05d}.npy" for number in range(len(pieces))]
    work = [
        MetadataPiece(piece, bool(settings["replace"]), str(target))
        for piece, target in zip(pieces, targets, strict=True)
    ]
    do_pieces("looking for modality and region", fill_piece, work, targets, engine, workers)
    found = np.stack([joined_arrays(targets, np.zeros(0, np.uint8), row) for row in range(len(FIELDS))])
    found[:, ~kept] = 0
    return Filled(dict(zip(FIELDS, found, strict=True)))


def fill_piece(one: MetadataPiece) -> None:
    """Write what rules say of one piece."""
    found = []
    for table in one.piece.tables(COLUMNS):
        rows = zip(has_images(table).tolist(), table.to_pylist(), strict=True)
        found.append(
            np.array([_codes(row, images, one.replace) for images, row in rows], dtype=np.uint8).reshape(-1, 2)
        )
    save_array(Path(one.target), np.concatenate(found).T)


def _codes(row: Mapping[str, Any], images: bool, replace: bool) -> tuple[int, int]:
    text = " ".join([row["question"], *row["options"]]).lower()
    modality = images and (replace or not row["modality"])
    region = replace or not row["body_region"]
    return code_of("modality", text) if modality else 0, code_of("body_region", text) if region else 0


def code_of(field: str, text: str) -> int:
    """Return the number of the one value whose words stand in a text in lower case; 0 if there are none or several."""
    found = [number for number, words in enumerate(_patterns(field), 1) if words.search(text)]
    return found[0] if len(found) == 1 else 0


@functools.cache
def _patterns(field: str) -> "tuple[re.Pattern[str], ...]":
    table = MODALITIES if field == "modality" else BODY_REGIONS
    return tuple(_pattern(words) for words in table.values())


def _pattern(words: Sequence[str]) -> "re.Pattern[str]":
    spelt = [re.escape(word.removesuffix("*")) + (r"\w*" if word.endswith("*") else "") for word in words]
    return re.compile(rf"(?<![\w-])(?:{'|'.join(spelt)})(?![\w])")


def with_metadata(table: pa.Table, filled: Filled, first: int) -> pa.Table:
    """Return questions, the first of which has a place, with what is filled in."""
    for field in FIELDS:
        codes = filled.codes[field][first : first + table.num_rows]
        known = ("", *values(field))
        column = [known[code] if code else old for code, old in zip(codes, table[field].to_pylist(), strict=True)]
        table = table.set_column(table.schema.get_field_index(field), table.schema.field(field), [column])
    return table
