"""Images of every kind through the real command: what lies in the folder are their pixels, and nobody's name."""

import base64
import json

import numpy as np
import pytest
from adapter_helpers import built, refused, write_lines
from PIL import Image

from octomed_jax.images import files as module
from octomed_jax.images.decode import decode_image
from octomed_jax.storage import sha256_bytes
from tests.images.image_files import PATIENT, dicom, jpeg, nifti, pixels, png, saved

RGB = Image.fromarray(pixels())
KINDS = {
    "plain.png": saved(RGB),
    "named.png": png(1),
    "named.jpg": jpeg(2),
    "side.jpg": jpeg(3, orientation=6),
    "slide.tif": saved(Image.fromarray(pixels(4)), "TIFF", description=PATIENT),
    "old.bmp": saved(Image.fromarray(pixels(5)), "BMP"),
    "web.webp": saved(Image.fromarray(pixels(6)), "WEBP", lossless=True, xmp=PATIENT),
    "one.gif": saved(Image.fromarray(pixels(7)).quantize(32), "GIF", comment=PATIENT),
    "ct.dcm": dicom(pixels(8, (16, 16)).astype(int)),
    "brain.nii": nifti(pixels(9, (6, 7, 5))),
    "brain.nii.gz": nifti(pixels(10, (6, 7, 5)), packed=True),
}
UNCHANGED = {"plain.png"}


def rows(names):
    return [{"id": f"q:{name}", "question": f"What is on {name}?", "answer": "x", "image": name} for name in names]


def write(folder, names=KINDS):
    folder.mkdir()
    for name in names:
        (folder / name).write_bytes(KINDS[name])
    return write_lines(folder / "own.jsonl", rows(names))


def test_every_kind_is_kept_as_its_pixels(tmp_path):
    questions, _, _ = built("octomed", write(tmp_path / "in"), tmp_path / "out")
    kept = {question.id.removeprefix("q:"): question for question in questions}
    assert sorted(kept) == sorted(KINDS)
    for name, question in kept.items():
        (image,) = question.images
        assert question.image_hashes == (sha256_bytes(image),)
        assert (image == KINDS[name]) == (name in UNCHANGED)
        if name.endswith((".png", ".jpg")):
            assert np.array_equal(np.asarray(decode_image(image)), np.asarray(decode_image(KINDS[name])))
        assert PATIENT.encode() not in image
    text = b"".join(path.read_bytes() for path in (tmp_path / "out").iterdir())
    assert PATIENT.encode() not in text
    assert all(PATIENT.encode() in KINDS[name] for name in KINDS if name.startswith(("named", "side", "slide", "ct")))


def test_the_same_image_in_two_kinds_is_one(tmp_path):
    bitmap = "data:;base64," + base64.b64encode(saved(RGB, "BMP")).decode()
    given = [
        {"question": "First?", "answer": "x", "image": base64.b64encode(saved(RGB, "TIFF")).decode()},
        {"question": "Second?", "answer": "x", "image": bitmap},
    ]
    source = write_lines(tmp_path / "own.jsonl", given)
    questions, _, _ = built("octomed", source, tmp_path / "out")
    assert questions[0].image_hashes == questions[1].image_hashes
    assert questions[0].cluster == questions[1].cluster


def test_an_image_of_many_questions_is_decoded_once(tmp_path, monkeypatch):
    count, decode = [], module.decode_image
    monkeypatch.setattr(module, "decode_image", lambda *words, **more: count.append(1) or decode(*words, **more))
    names = ["plain.png", "named.png", "named.jpg", "side.jpg", "slide.tif"]
    source = write(tmp_path / "in", names)
    more = [
        row | {"id": f"{row['id']}:{number}", "question": f"And {number}?"} for row in rows(names) for number in (1, 2)
    ]
    write_lines(source, rows(names) + more)
    questions, _, _ = built("octomed", source, tmp_path / "out")
    assert len(questions) == 15
    assert len(count) == len(names)


@pytest.mark.parametrize("name", ["named.jpg", "slide.tif", "ct.dcm", "brain.nii.gz"])
def test_half_a_file_is_named_and_nothing_is_written(tmp_path, capsys, name):
    source = write(tmp_path / "in", [name])
    (tmp_path / "in" / name).write_bytes(KINDS[name][: len(KINDS[name]) // 2])
    line = refused(capsys, "octomed", source, tmp_path / "out")
    assert line.startswith(f"{source} line 1: ")
    assert PATIENT not in line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


def test_a_row_that_is_left_out_for_its_image_is_counted(tmp_path):
    source = write(tmp_path / "in", ["plain.png", "ct.dcm"])
    (tmp_path / "in" / "ct.dcm").write_bytes(KINDS["ct.dcm"][:-40])
    questions, _, manifest = built("octomed", source, tmp_path / "out", "--most-left-out=0.5")
    assert [question.id for question in questions] == ["q:plain.png"]
    assert manifest.counts["dropped"] == {"octomed": {"image": 1}}
    (line,) = (tmp_path / "out" / "left_out.jsonl").read_text().splitlines()
    assert "cannot be decoded" in json.loads(line)["reason"]
    assert PATIENT not in line
