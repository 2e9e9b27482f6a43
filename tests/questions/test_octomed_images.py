"""Images of a row in every form; what is hostile or broken is refused before it is decoded."""

import base64
import io
import json
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from octomed_jax.questions.reading.folder import Folder
from octomed_jax.questions.reading.row_images import hash_files, read_images
from octomed_jax.questions.reading.rows import Defaults, read_question
from octomed_jax.questions.sources.octomed import OWN
from octomed_jax.storage import sha256_bytes
from octomed_jax.verification.rows import RowError


def picture(seed=0, kind="PNG"):
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, format=kind)
    return file.getvalue()


PNG, JPEG = picture(0), picture(1, "JPEG")
TEXT = base64.b64encode(PNG).decode()


@pytest.fixture
def folder(tmp_path):
    inner = tmp_path / "rows"
    (inner / "pictures").mkdir(parents=True)
    (inner / "pictures" / "a.png").write_bytes(PNG)
    (inner / "ä 漢").write_bytes(JPEG)
    (tmp_path / "secret.png").write_bytes(PNG)
    (inner / "out.png").symlink_to(tmp_path / "secret.png")
    (inner / "within.png").symlink_to(inner / "pictures" / "a.png")
    (inner / "loop.png").symlink_to(inner / "loop.png")
    return inner


def files(folder):
    """The files beside the rows, as the adapter of one's own questions sees them."""
    return Folder(OWN, folder)


def read(value, folder):
    return [image.data for image in read_images(value, files(folder).read_image, "f line 3", lambda _: None)]


@pytest.mark.parametrize(
    ("value", "images"),
    [
        (None, []),
        ("", []),
        ([], []),
        ("pictures/a.png", [PNG]),
        ("within.png", [PNG]),
        (["pictures/a.png", "ä 漢"], [PNG, JPEG]),
        (["pictures/a.png"] * 2, [PNG, PNG]),
        (json.dumps(["pictures/a.png", "ä 漢"]), [PNG, JPEG]),
        (TEXT, [PNG]),
        (f"{TEXT[:60]}\n{TEXT[60:]}\n", [PNG]),
        (f"data:image/png;base64,{TEXT}", [PNG]),
        (base64.b64encode(JPEG).decode(), [JPEG]),
        (PNG, [PNG]),
        ({"bytes": PNG, "path": "../no.png"}, [PNG]),  # a path beside bytes is a name only
        ({"bytes": TEXT, "path": None}, [PNG]),
        ({"bytes": None, "path": "pictures/a.png"}, [PNG]),
        ([{"bytes": PNG}, TEXT, "ä 漢"], [PNG, PNG, JPEG]),
    ],
)
def test_every_form_gives_the_same_bytes(value, images, folder):
    assert read(value, folder) == images


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("../secret.png", "image: '../secret.png' leads out of the folder of the rows; put the image there"),
        ("/etc/hostname", "'/etc/hostname' leads out of"),
        ("pictures/../../secret.png", "leads out of"),
        ("out.png", "'out.png' leads out of"),
        ({"bytes": None, "path": "../secret.png"}, "leads out of"),
        (["pictures/a.png", "out.png"], "image 2: 'out.png' leads out of"),
        ("loop.png", "loop.png"),
        ("pictures", "no file 'pictures' beside the rows"),
        ("no.png", "no file 'no.png' beside the rows; names are relative to their folder"),
        ("x" * 5000, "cannot be read (OSError)"),
        ("a\x00.png", "cannot be read (ValueError)"),
        ("https://host/a.png", "is the address 'https://host/a.png'; download it"),
        (TEXT[:-9] + "!", "is broken base64"),
        (TEXT[:80], "is truncated or corrupt"),
        ("data:image/png," + TEXT, "is a data URL without base64"),
        ("data:image/png;base64,*", "is broken base64"),
        ({"bytes": "pictures/a.png"}, "is broken base64"),
        ("data:image/svg+xml;base64," + base64.b64encode(b"<svg/>").decode(), "is not a PNG or JPEG or TIFF or"),
        (b"%PDF-1.7", "is not a PNG or JPEG or TIFF or BMP or WEBP or GIF file; convert it"),
        (PNG[:-60], "is truncated or corrupt"),
        (b"", "is not a PNG or JPEG or"),
        ({"bytes": None, "path": None}, "has neither bytes nor path"),
        ({"url": "x"}, "has neither bytes nor path"),
        ([None], "is NoneType; give a file's name, base64, or bytes"),
        (7, "is int; give a file's name"),
        ([["pictures/a.png"]], "is list"),
        (["pictures/a.png"] * 101, "has 101 images, over the limit of 100"),
    ],
)
def test_what_is_hostile_or_broken_is_refused(value, words, folder):
    with pytest.raises(RowError) as error:
        read(value, folder)
    assert words in str(error.value)
    assert error.value.column == "image"
    assert str(folder) not in str(error.value)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_a_huge_header_is_refused_before_a_pixel_is_decoded(folder):
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(10**6)))
    with pytest.raises(RowError, match=r"over the limit of|more pixels than the limit"):
        read(bomb + chunk(b"IEND", b""), folder)


def test_a_pipe_is_not_waited_for(folder):
    os.mkfifo(folder / "pipe.png")
    with pytest.raises(RowError, match=r"no file 'pipe\.png'"):
        read("pipe.png", folder)


def test_an_image_that_was_decoded_before_is_not_decoded_again(folder):
    broken = PNG[:-60]
    (image,) = read_images(broken, files(folder).read_image, "", {sha256_bytes(broken): JPEG}.get)
    assert image == (sha256_bytes(broken), sha256_bytes(JPEG), JPEG)


def test_images_give_hashes_of_ours_cluster_and_id(folder):
    row = {"question": "What?", "answer": "x", "image": ["pictures/a.png", "ä 漢"], "image_hash": ["a", "b"]}

    def question(**fields):
        return read_question(row | fields, "", files(folder).read_image, lambda _: None, Defaults()).question

    assert question().image_hashes == (sha256_bytes(PNG), sha256_bytes(JPEG))
    assert question().cluster == sha256_bytes(PNG)
    assert question(image=[TEXT, "ä 漢"]).id == question().id
    assert question(image=["ä 漢", TEXT]).id != question().id != question(image=TEXT).id


def test_marks_of_images_in_a_conversation_must_fit_the_images(folder):
    def question(text, image):
        row = {"conversations": [{"from": "human", "value": text}], "answer": "x", "image": image}
        return read_question(row, "f line 3", files(folder).read_image, lambda _: None, Defaults()).question.question

    assert question("<image>\nWhat?", TEXT) == "What?"
    assert question("<image><image> What? <image>", ["pictures/a.png", TEXT, "ä 漢"]) == "What?"
    assert question("What?", TEXT) == "What?"
    for text, words in (
        ("<image> and <image> differ?", "within the text"),
        ("<image> What?", "1 <image> but 2 images"),
    ):
        with pytest.raises(RowError, match=words):
            question(text, ["pictures/a.png", TEXT])


def test_the_hash_of_named_files_follows_their_content(folder):
    named = ["pictures/a.png", None, [TEXT, "ä 漢"], {"bytes": PNG, "path": "no.png"}]
    before = hash_files(named, files(folder).image_print)
    assert hash_files(named, files(folder).image_print) == before
    assert hash_files([TEXT, None, {"bytes": PNG, "path": "no.png"}], files(folder).image_print) == ""
    (folder / "pictures" / "a.png").write_bytes(JPEG)
    assert hash_files(named, files(folder).image_print) != before
    assert hash_files(["../secret.png"], files(folder).image_print) == hash_files(
        ["../secret.png"], files(folder / "pictures").image_print
    )
